"""The balance of a job: every input accounted for, every output there."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdsr.inference.strips import kept_bytes
from vdsr.jobs.enrol import output_fault
from vdsr.jobs.manifest import Manifest

_LOOKED_AT = 1000


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What became of the inputs.

    Attributes:
        inputs: files that were come across.
        done: with an output.
        failed: without one, those in quarantine included.
        quarantined: of these, those whose process died twice.
        skipped: files that are not pictures, by the reason.
        left: not yet done.
        faults: outputs that are not as they were made, a line each.
    """

    inputs: int
    done: int
    failed: int
    quarantined: int
    skipped: dict[str, int]
    left: int
    faults: tuple[str, ...]

    @property
    def is_even(self) -> bool:
        """Whether nothing is left, and each done one is on the disk as it was made."""
        skipped = sum(self.skipped.values())
        return self.inputs == self.done + skipped + self.failed and not self.faults

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return {
            "inputs": self.inputs,
            "done": self.done,
            "skipped": sum(self.skipped.values()),
            "failed": self.failed,
            "quarantined": self.quarantined,
            "left": self.left,
            "skipped_because": self.skipped,
            "faults": list(self.faults),
        }


def balance(manifest: Manifest, output: Path, scan: int = 0, *, thorough: bool = False) -> Balance:
    """Count the inputs, and look at every output.

    Args:
        manifest: of the job.
        output: the folder of the outputs.
        scan: only what was seen from this scan on.
        thorough: whether to read every output, not only those whose size or time differs.

    Raises:
        sqlite3.Error: if the manifest cannot be read.
    """
    counts = _counts(manifest, scan)
    skipped = {
        row["error"]: row["count"]
        for row in manifest.db.execute(
            "SELECT error, count(*) AS count FROM pictures WHERE scan >= ? AND state = 'skipped'"
            " GROUP BY error ORDER BY error",
            (scan,),
        )
    }
    rows = manifest.pages(
        "SELECT id, source, output, output_size, output_mtime_ns, output_digest FROM pictures"
        " WHERE scan >= ? AND state = 'done' AND {after}",
        scan,
    )
    faults = []
    for row in rows:
        fault = output_fault(output, row, thorough=thorough)
        if fault is not None:
            faults.append(f"{output / os.fsdecode(row['output'])}: {fault}")
    quarantined = counts.get("quarantined", 0)
    return Balance(
        inputs=sum(counts.values()),
        done=counts.get("done", 0),
        failed=counts.get("failed", 0) + quarantined,
        quarantined=quarantined,
        skipped=skipped,
        left=_left(counts),
        faults=tuple(faults),
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a job stands that was stopped.

    Attributes:
        done: pictures that are done.
        left: those that are not.
        kept: of these, those with finished strips on the disk.
        kept_bytes: of the strips.
    """

    done: int
    left: int
    kept: int
    kept_bytes: int


def standing(manifest: Manifest, output: Path) -> Standing:
    """Count without looking at the outputs.

    Raises:
        sqlite3.Error: if the manifest cannot be read.
    """
    (scan,) = manifest.one("SELECT coalesce(max(scan), 0) FROM pictures")
    counts = _counts(manifest, scan)
    # What was begun is among the first that wait.
    rows = manifest.db.execute(
        "SELECT output FROM pictures WHERE scan >= ? AND state IN ('waiting', 'working')"
        " AND output IS NOT NULL ORDER BY id LIMIT ?",
        (scan, _LOOKED_AT),
    )
    sizes = [kept_bytes(output / os.fsdecode(row["output"])) for row in rows]
    return Standing(
        done=counts.get("done", 0),
        left=_left(counts),
        kept=sum(map(bool, sizes)),
        kept_bytes=sum(sizes),
    )


def _counts(manifest: Manifest, scan: int) -> dict[str, int]:
    """How many pictures are in each state."""
    rows = manifest.db.execute(
        "SELECT state, count(*) AS count FROM pictures WHERE scan >= ? GROUP BY state", (scan,)
    )
    return {row["state"]: row["count"] for row in rows}


def _left(counts: dict[str, int]) -> int:
    return sum(counts.get(state, 0) for state in ("waiting", "working", "finishing"))


def failures(manifest: Manifest, scan: int = 0) -> Iterator[tuple[str, str]]:
    """The pictures that failed, by their paths, and why; in no certain order."""
    rows = manifest.pages(
        "SELECT id, source, error FROM pictures WHERE scan >= ?"
        " AND state IN ('failed', 'quarantined') AND {after}",
        scan,
    )
    return ((os.fsdecode(row["source"]), str(row["error"])) for row in rows)


def pictures(manifest: Manifest, output: Path, scan: int = 0) -> Iterator[dict[str, Any]]:
    """All pictures that were not skipped, each as an object for JSON."""
    rows = manifest.pages(
        "SELECT * FROM pictures WHERE scan >= ? AND state <> 'skipped' AND {after}", scan
    )
    return (_as_dict(row, output) for row in rows)


def _as_dict(row: sqlite3.Row, output: Path) -> dict[str, Any]:
    named = row["output"] is not None
    return {
        "input": os.fsdecode(row["source"]),
        "output": str(output / os.fsdecode(row["output"])) if named else None,
        "state": row["state"],
        "error": row["error"],
        "width": row["width"],
        "height": row["height"],
        "scale": row["scale"],
        "model": row["model"],
        "seconds": row["seconds"],
        "notices": json.loads(row["notices"] or "[]"),
        "input_digest": row["digest"],
        "output_digest": row["output_digest"],
    }
