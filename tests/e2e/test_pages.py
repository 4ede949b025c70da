"""What the pages say is so: snippets, commands, links, and the pages made from the program."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

import vdsr
from vdsr.cli.console import json_argument
from vdsr.cli.main import app

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = ("api.md", "cli.md")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of the code blocks of a page; those that are indented are shell."""
    text = page.read_text("utf-8")
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for match in fence.finditer(text):
        yield match[1], match[2]
    for match in re.finditer(r"(?:^ {4}.*\n)+", fence.sub("", text), re.MULTILINE):
        yield "sh", re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE)


def snippets() -> dict[str, str]:
    """The Python of all pages, by the page and its number."""
    return {
        f"{page.stem.replace('.', '_')}_{i}": text
        for page in PAGES
        for i, (language, text) in enumerate(blocks(page))
        if language == "python"
    }


def commands(page: Path) -> list[str]:
    """The lines of shell that a page shows, without their comments."""
    lines = "\n".join(text for language, text in blocks(page) if language in ("sh", "bash"))
    found = (re.sub(r"\s+#.*", "", line).strip() for line in lines.splitlines())
    return [line for line in found if line and not line.startswith("#")]


def run(*arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **env},
    )


# Made from the program


def test_the_pages_from_the_program_are_up_to_date():
    done = run(ROOT / "docs" / "pages.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_site_is_built_without_a_warning(tmp_path: Path):
    done = run(
        *("-m", "mkdocs", "build", "--strict", "--quiet"),
        *("--config-file", ROOT / "mkdocs.yml", "--site-dir", tmp_path / "site"),
        cwd=ROOT,
        NO_MKDOCS_2_WARNING="1",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    built = {path.parent.name for path in (tmp_path / "site").glob("*/index.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"} <= built
    assert not list((tmp_path / "site").rglob("*.py"))


# Python


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snippets")
    for key, text in snippets().items():
        (folder / f"{key}.py").write_text(text, "utf-8")
    return folder


def test_there_are_snippets():
    pages = {key.rpartition("_")[0] for key in snippets()}
    assert {"README", "README_zh", "python"} <= pages


def test_snippets_pass_mypy(written: Path):
    settings = written / "mypy.ini"
    settings.write_text("[mypy]\nstrict = True\nfollow_imports = silent\n", "utf-8")
    done = run(
        *("-m", "mypy", "--config-file", settings, "--cache-dir", ROOT / ".mypy_cache"),
        *sorted(written.glob("*.py")),
        cwd=written,
        MYPYPATH=str(ROOT / "src"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_snippets_pass_pyright(written: Path):
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")], "include": ["."]}
    (written / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    done = run(
        *("-m", "basedpyright", "--project", written, "--outputjson"),
        *("--pythonpath", sys.executable),
        cwd=written,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    said = [
        f"{Path(one['file']).name}:{one['range']['start']['line']}: {one['message']}"
        for one in found
    ]
    assert (said, done.returncode) == ([], 0)


@pytest.mark.parametrize("key", snippets())
def test_snippets_run(written: Path, key: str, tmp_path: Path):
    rows, columns = np.mgrid[:60, :80]
    photo = np.stack([rows * 4, columns * 3, (rows + columns) % 256], -1).astype(np.uint8)
    vdsr.write_image(tmp_path / "photo.jpg", photo)
    (tmp_path / "photos").mkdir()
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "photos" / "one.jpg")
    done = run("-W", "error", written / f"{key}.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


# The command line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_understood(page: Path):
    """Each `vdsr ...` on the page has a command, and options and arguments that it takes."""
    inline = re.findall(r"`(vdsr [a-z][^`]*)`", page.read_text("utf-8"))
    shown = [line for line in commands(page) if line.startswith("vdsr ")]
    if page.name not in GENERATED:
        assert shown or page.name not in ("README.md", "README.zh.md")
    for line in shown:
        understood(line, whole=True)
    for line in inline:
        understood(line, whole=False)


def understood(line: str, *, whole: bool) -> None:
    """Fail unless the command line would take this; parts of commands lack arguments."""
    arguments = [word for word in shlex.split(line)[1:] if word != "..."]
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and arguments:
        word = arguments.pop(0)
        if word == "COMMAND":
            return
        assert word in command.commands, f"{line}: there is no command {word}"
        command = command.commands[word]
    taken = {option for one in command.params for option in one.opts if option.startswith("-")}
    for word in arguments:
        if re.match(r"--?[a-zA-Z]", word):
            option = word.partition("=")[0]
            assert option in {*taken, "--help", "-h"}, f"{line}: there is no option {option}"
    if whole:
        try:
            command.make_context("vdsr", json_argument(arguments))
        except Exception as error:
            pytest.fail(f"{line}: {error}")


def test_the_readmes_say_the_same():
    english, chinese = READMES
    assert commands(chinese) == commands(english)
    assert [text for language, text in blocks(chinese) if language == "python"] == [
        text for language, text in blocks(english) if language == "python"
    ]
    numbers = [re.findall(r"\d+\.\d+", page.read_text("utf-8")) for page in READMES]
    assert sorted(numbers[1]) == sorted(numbers[0])
    headings = [re.findall(r"^#+ ", page.read_text("utf-8"), re.MULTILINE) for page in READMES]
    assert headings[1] == headings[0]


def test_the_readmes_command_enlarges(tmp_path: Path):
    vdsr.write_image(tmp_path / "photo.jpg", np.full((8, 9, 3), 90, np.uint8))
    line = next(line for line in commands(READMES[0]) if line.startswith("vdsr upscale"))
    done = run("-m", *shlex.split(line), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert vdsr.read_image(tmp_path / "large.png").shape == (32, 36, 3)


# What is named is there


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_targets_that_are_named_are_there(page: Path):
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link
    for script in re.findall(r"python ((?:benchmarks|examples|docs)/[\w./-]+)", text):
        assert (ROOT / script).is_file(), script
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE):
        assert target in targets, target
    for script in re.findall(r"`?pytest (tests/[\w./]+)", text):
        assert (ROOT / script).exists(), script
