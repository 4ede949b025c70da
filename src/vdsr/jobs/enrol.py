"""Entering what was found into the manifest, and giving every picture the name of its output."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from vdsr.errors import OutputError
from vdsr.inputs import file_digest
from vdsr.jobs.discovery import Found
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.naming import LEVELS, NamePattern, longest_name

_T = TypeVar("_T")

_BATCH = 1000
# Seconds that a file must have been left alone before a watching job takes it.
SETTLED = 2.0

_ENTER = """
INSERT INTO pictures (source, relative, size, mtime_ns, scan, state, error)
VALUES (:source, :relative, :size, :mtime_ns, :scan, :state, :error)
ON CONFLICT (source) DO UPDATE SET
    scan = max(pictures.scan, excluded.scan),
    state = CASE
        WHEN pictures.state IN ('working', 'finishing') THEN pictures.state
        WHEN excluded.state <> 'waiting' THEN excluded.state
        WHEN pictures.size = excluded.size AND pictures.mtime_ns = excluded.mtime_ns THEN
            CASE WHEN pictures.state = 'done' THEN 'done'
                 WHEN pictures.state = 'quarantined' AND NOT :retry THEN 'quarantined'
                 WHEN pictures.state = 'failed' AND NOT :again THEN 'failed'
                 ELSE 'waiting' END
        ELSE 'waiting' END,
    crashes = CASE
        WHEN pictures.size = excluded.size AND pictures.mtime_ns = excluded.mtime_ns
             AND NOT (:retry AND pictures.state = 'quarantined') THEN pictures.crashes
        ELSE 0 END,
    cut_short = CASE WHEN :retry THEN 0 ELSE pictures.cut_short END,
    error = CASE WHEN excluded.error IS NULL THEN pictures.error ELSE excluded.error END,
    size = excluded.size,
    mtime_ns = excluded.mtime_ns
"""


def enrol(
    manifest: Manifest,
    found: Iterable[Found],
    pattern: NamePattern,
    output: Path,
    *,
    again: bool = True,
    retry: bool = False,
    settled: bool = False,
    longest: int | None = None,
) -> int:
    """Enter what was found, and name the outputs.

    What is done and has not changed stays done. All names are given before anything is
    done, and stay from run to run.

    Args:
        manifest: where to.
        found: see `vdsr.jobs.discovery.find`.
        pattern: how outputs are named.
        output: the folder of the outputs.
        again: whether what has failed is to be tried again.
        retry: whether what was quarantined is, too.
        settled: whether to leave files that changed just now for the next time.
        longest: bytes that a name may have; None asks the folder.

    Returns:
        The number of this scan; what it saw has this number or a larger one.

    Raises:
        OutputError: if the manifest cannot be written.
    """
    with manifest.errors():
        with manifest.transaction():
            scan = int(manifest.value("scan") or 0) + 1
            manifest.set_value("scan", str(scan))
        rows = (
            _row(one, scan) | {"again": again, "retry": retry}
            for one in found
            if not (settled and _restless(one))
        )
        for batch in _batches(rows):
            with manifest.transaction() as db:
                db.executemany(_ENTER, batch)
        _name_all(manifest, pattern, output, longest or longest_name(output))
    return scan


def _row(found: Found, scan: int) -> dict[str, object]:
    state, error = "waiting", None
    if found.skipped is not None:
        state, error = "skipped", found.skipped
    elif found.unreadable is not None:
        state, error = "failed", found.unreadable
    return {
        "source": os.fsencode(found.source),
        "relative": os.fsencode(found.relative),
        "size": found.size,
        "mtime_ns": found.mtime_ns,
        "scan": scan,
        "state": state,
        "error": error,
    }


def _restless(found: Found) -> bool:
    return found.skipped is None and abs(time.time() - found.mtime_ns / 1e9) < SETTLED


def _batches(rows: Iterator[_T]) -> Iterator[list[_T]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


_FRESH = "INSERT INTO fresh SELECT id FROM pictures WHERE output IS NULL AND state = 'waiting'"
_CLASHES = """
CREATE TEMP TABLE clashes AS SELECT id, relative, source FROM pictures
WHERE id IN (SELECT id FROM fresh) AND key IN (
    SELECT key FROM pictures
    WHERE key IN (SELECT key FROM pictures WHERE id IN (SELECT id FROM fresh))
    GROUP BY key HAVING count(*) > 1)
"""


def _name_all(manifest: Manifest, pattern: NamePattern, output: Path, longest: int) -> None:
    """Name the outputs that have no name yet, and tell apart those that would be the same."""
    fold = _folds_case(output)

    def name(rows: Iterator[sqlite3.Row], level: int) -> int:
        count = 0
        for batch in _batches(rows):
            named = []
            for row in batch:
                relative, source = os.fsdecode(row["relative"]), os.fsdecode(row["source"])
                goal = pattern.name(relative, source, level, longest)
                named.append((os.fsencode(goal), _key(goal, fold), row["id"]))
            manifest.db.executemany("UPDATE pictures SET output = ?, key = ? WHERE id = ?", named)
            count += len(named)
        return count

    with manifest.transaction() as db:
        db.execute("CREATE TEMP TABLE IF NOT EXISTS fresh (id INTEGER PRIMARY KEY)")
        db.execute("DELETE FROM fresh")
        db.execute(_FRESH)
        columns = "SELECT id, relative, source FROM"
        fresh = manifest.pages(
            f"{columns} pictures WHERE id IN (SELECT id FROM fresh) AND {{after}}"
        )
        name(fresh, 0)
        for level in range(1, LEVELS + 1):
            db.execute(_CLASHES)
            if level == LEVELS:
                (left,) = db.execute("SELECT count(*) FROM clashes").fetchone()
            else:
                left = name(manifest.pages(f"{columns} clashes WHERE {{after}}"), level)
            db.execute("DROP TABLE clashes")
            if not left:
                return
        raise OutputError(f"{output}: the names of {left} outputs cannot be told apart")


def _key(goal: str, fold: bool) -> bytes:
    """What two names agree in that cannot both be there."""
    if not fold:
        return os.fsencode(goal)
    return unicodedata.normalize("NFC", goal.casefold()).encode("utf-8", "surrogateescape")


def _folds_case(folder: Path) -> bool:
    """Whether a folder takes `A` and `a` for the same name."""
    if not folder.is_dir():
        return False
    probe = folder / f".vdsr-case-{uuid4().hex}"
    try:
        probe.touch()
        return probe.with_name(probe.name.upper()).exists()
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def check_outputs(manifest: Manifest, output: Path, scan: int, *, overwrite: bool) -> None:
    """Have done again what is missing; and, where it may be replaced, what was altered.

    Raises:
        OutputError: if the manifest cannot be written.
    """
    with manifest.errors():
        rows = manifest.pages(
            "SELECT id, output, output_size, output_mtime_ns, output_digest FROM pictures"
            " WHERE scan >= ? AND state = 'done' AND {after}",
            scan,
        )
        lost = []
        for row in rows:
            fault = output_fault(output, row)
            if fault == MISSING or (fault is not None and overwrite):
                lost.append((row["id"],))
        with manifest.transaction() as db:
            db.executemany(
                "UPDATE pictures SET state = 'waiting' WHERE id = ? AND state = 'done'", lost
            )


MISSING = "the output is missing"
ALTERED = "the output was altered since it was made"


def output_fault(
    output: Path, row: sqlite3.Row | Mapping[str, Any], *, thorough: bool = False
) -> str | None:
    """What is wrong with an output that the manifest calls done; None if nothing is.

    Args:
        output: the folder of the outputs.
        row: `output`, `output_size`, `output_mtime_ns` and `output_digest` of the picture.
        thorough: whether to read it even if its size and time are as they were.
    """
    path = output / os.fsdecode(row["output"])
    try:
        status = path.stat()
    except OSError:
        return MISSING
    if status.st_size != row["output_size"]:
        return ALTERED
    if status.st_mtime_ns == row["output_mtime_ns"] and not thorough:
        return None
    try:
        return None if file_digest(path) == row["output_digest"] else ALTERED
    except OSError as error:
        return f"the output cannot be read: {error.strerror}"
