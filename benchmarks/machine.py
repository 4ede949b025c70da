"""What a benchmark ran on, the photograph it ran on, and where its record goes."""

from __future__ import annotations

import datetime
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from vdsr.benchmark.machine import describe

RECORDS = Path(__file__).parent / "records"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures, and keep them with date and machine in `benchmarks/records/`."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{today}-{name}.json"
    content = {"benchmark": name, "date": today, "machine": describe(), "figures": figures}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"recorded in {path.relative_to(RECORDS.parent.parent)}")


def photograph() -> Path:
    """A public-domain photograph that scikit-image's wheel ships; `make bench` installs it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the photograph is missing: pip install --no-deps scikit-image")
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"
