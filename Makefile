# make demo: the light core, and a real photograph enlarged.
# make test: everything the tests need, and the tests.
# Both share one virtual environment and install only what is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The version of the demonstration's photograph: scikit-image ships it, for this one use.
PICTURES := scikit-image==0.26.0

.PHONY: demo test lint bench performance docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.pictures: | $(VENV)/.core
	$(PIP) install --no-deps $(PICTURES)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $(VENV)/.core $@

demo: $(VENV)/.core $(VENV)/.pictures
	$(BIN)/python examples/demo.py demo-output

# A browser for the tests of pages, where Debian's can be had; without one they skip.
$(VENV)/.browser: | $(BIN)/python
	@command -v chromium chromium-browser google-chrome >/dev/null \
		|| { apt-get update -q && apt-get install -qy --no-install-recommends chromium; } \
		>/dev/null 2>&1 || echo "no Chromium: the tests of pages in a browser will skip"
	touch $@

test: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pages that are made from the program, and the site in site/.
docs: $(VENV)/.dev
	$(BIN)/python docs/pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev $(VENV)/.pictures
	$(BIN)/python benchmarks/resample.py
	$(BIN)/python benchmarks/upscale.py
	$(BIN)/python benchmarks/memory.py

# docs/performance.md, by the commands that stand in it: four minutes on two quiet cores.
performance: $(VENV)/.dev
	$(BIN)/vdsr benchmark --json benchmarks/records/$$(date -u +%F)-benchmark.json --overwrite
	$(BIN)/python benchmarks/performance_page.py

clean:
	rm -rf $(VENV) demo-output build dist site
