"""Write docs/performance.md from records of `vdsr benchmark` and `benchmarks/faster.py`.

    vdsr benchmark --json benchmarks/records/DATE-benchmark.json
    python benchmarks/performance_page.py [RECORD.json] [-o docs/performance.md]

Without a name the latest record counts. The record of `faster.py`, if there is one, and
that of a GPU stand below.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from machine import RECORDS

from vdsr.benchmark.report import as_markdown

PAGE = RECORDS.parent.parent / "docs" / "performance.md"
HEAD = """# Performance

Made by

    {command}
    python benchmarks/performance_page.py

on {date}; the record is `benchmarks/records/{name}`. All rows of a table come from one \
interleaved run: every candidate once per round, in turning order; medians. Ratios travel \
between machines, seconds do not. "Eager" is the same network as public implementations run \
it: `nn.Conv2d` and ReLU in eager PyTorch, float32, contiguous, all cores. "File to file" is \
compared with the eager network alone, without any file; "process start to file" with a \
process that loads torch and the weights, and reads, enlarges and writes the same PNG.

"""


def latest(kind: str) -> Path | None:
    found = sorted(RECORDS.glob(f"*-{kind}.json"))
    return found[-1] if found else None


def faster(record: dict[str, Any]) -> str:
    """The table of `faster.py`."""
    figures = record["figures"]
    lines = ["| model | way | times the whole at once |", "| --- | --- | --- |"]
    lines += [
        f"| {row['model']} | {row['way']} | {row['times_at_once']:.2f} |" for row in figures["rows"]
    ]
    return (
        f"\n## Faster than the bare runtime\n\nMade by `python benchmarks/faster.py` on"
        f" {record['date']}: OpenVINO, {figures['size']}, {figures['threads']} threads.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def main(path: Path, goal: Path) -> None:
    record = json.loads(path.read_text("utf-8"))
    page = HEAD.format(command=record["command"], date=record["date"], name=path.name)
    page += as_markdown(record)
    if (goal.parent / "performance.svg").exists():
        page += "\n![Speed against PSNR](performance.svg)\n"
    other = latest("faster")
    if other is not None:
        page += faster(json.loads(other.read_text("utf-8")))
    gpu = latest("gpu")
    if gpu is not None:
        page += f"\nFrom `benchmarks/gpu_benchmark.sh`, record `{gpu.name}`:\n\n"
        page += as_markdown(json.loads(gpu.read_text("utf-8")))
    goal.write_text(page, encoding="utf-8")
    print(f"written: {goal}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("record", type=Path, nargs="?", default=latest("benchmark"))
    parser.add_argument("--output", "-o", type=Path, default=PAGE)
    given = parser.parse_args()
    if given.record is None:
        parser.error(
            "no record: run 'vdsr benchmark --json benchmarks/records/DATE-benchmark.json'"
        )
    main(given.record, given.output)
