"""Leases: which picture is whose, and what became of it.

A worker is a process that works on a job. It beats, so that the others know that it lives. A
picture belongs to a worker from before its work begins until its output is in its place.
All but `Worker` itself are called within a transaction of the manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdsr.jobs.manifest import Manifest
from vdsr.jobs.others import host, started
from vdsr.jobs.picture import Outcome

BEAT_SECONDS = 5.0
# Tries that a picture has when the process that is working on it dies.
CRASHES = 2
QUARANTINED = (
    "in quarantine: the process that enlarges {death} twice while it was at work on it:"
    " retry_failed=True tries it again"
)
_FREE = {"worker": None, "alone": 0, "made": None, "beside": None}


@dataclass(frozen=True)
class Lease:
    """A picture that this worker has taken.

    Attributes:
        id: its row in the manifest.
        source: absolute path.
        output: path relative to the output folder.
        size: of the input, bytes.
        digest: of the input as it was last done, or None.
        output_size, output_mtime_ns, output_digest: of the output as it was last made.
        alone: whether nothing else may be in progress beside it.
    """

    id: int
    source: str
    output: str
    size: int
    digest: str | None
    output_size: int | None
    output_mtime_ns: int | None
    output_digest: str | None
    alone: bool

    @property
    def as_made(self) -> dict[str, Any]:
        """The output as it was last made; see `output_fault`."""
        return {
            "output": os.fsencode(self.output),
            "output_size": self.output_size,
            "output_mtime_ns": self.output_mtime_ns,
            "output_digest": self.output_digest,
        }


class Worker:
    """This process as one of those that work on a job.

    Args:
        manifest: of the job.
        output: the folder of the outputs.
        folder: where unfinished files are, in the folder of the outputs.
    """

    def __init__(self, manifest: Manifest, output: Path, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self._manifest = manifest
        self._output = output
        self._ended = threading.Event()
        with manifest.transaction() as db:
            db.execute(
                "INSERT INTO workers (id, host, pid, started, beat_at, folder)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    self.id,
                    host(),
                    os.getpid(),
                    started(os.getpid()) or "",
                    time.time(),
                    os.fsencode(folder.relative_to(output)),
                ),
            )
        self._thread = threading.Thread(target=self._beat, name="vdsr-lease", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            # A disk that is full is found by those who have something to write.
            with contextlib.suppress(sqlite3.Error):
                self._manifest.db.execute(
                    "UPDATE workers SET beats = beats + 1, beat_at = ? WHERE id = ?",
                    (time.time(), self.id),
                )

    def claim(self, count: int, scan: int) -> list[Lease]:
        """Take pictures that wait: so many at most, none that is under suspicion."""
        return self._take(count, scan, "crashes = 0", alone=0)

    def claim_suspect(self, scan: int) -> list[Lease]:
        """Take one picture that was in progress when a process died, to be done by itself."""
        return self._take(1, scan, "crashes > 0", alone=1)

    def _take(self, count: int, scan: int, which: str, *, alone: int) -> list[Lease]:
        rows = self._manifest.db.execute(
            "UPDATE pictures SET state = 'working', worker = ?, alone = ? WHERE id IN"
            f" (SELECT id FROM pictures WHERE state = 'waiting' AND {which} AND scan >= ?"
            "  ORDER BY source LIMIT ?) RETURNING *",
            (self.id, alone, scan, count),
        ).fetchall()
        return [
            Lease(
                id=row["id"],
                source=os.fsdecode(row["source"]),
                output=os.fsdecode(row["output"]),
                size=row["size"],
                digest=row["digest"],
                output_size=row["output_size"],
                output_mtime_ns=row["output_mtime_ns"],
                output_digest=row["output_digest"],
                alone=bool(alone),
            )
            for row in sorted(rows, key=lambda row: bytes(row["source"]))
        ]

    def finishing(self, outcome: Outcome, made: Path, beside: Mapping[str, str]) -> bool:
        """Write down what was made, before it is put in its place.

        Args:
            outcome: what the picture became.
            made: the finished file.
            beside: what was made beside it: drafts, and their goals.

        Returns:
            Whether the picture still was this worker's.
        """
        return self._set(
            outcome.id,
            state="finishing",
            size=outcome.size,
            mtime_ns=outcome.mtime_ns,
            digest=outcome.digest,
            width=outcome.width,
            height=outcome.height,
            scale=outcome.scale,
            model=outcome.model,
            made=os.fsencode(made.relative_to(self._output)),
            beside=json.dumps(
                [[str(Path(a).relative_to(self._output)), b] for a, b in beside.items()]
            ),
            output_size=outcome.output_size,
            output_mtime_ns=outcome.output_mtime_ns,
            output_digest=outcome.output_digest,
            seconds=outcome.seconds,
            notices=json.dumps(outcome.notices),
        )

    def done(self, id: int) -> None:
        """The output is in its place."""
        self._set(id, state="done", **_FREE, error=None, crashes=0, cut_short=0)

    def unchanged(self, outcome: Outcome) -> None:
        """The picture is as it was when it was done, and so is its output."""
        read = {"size": outcome.size, "mtime_ns": outcome.mtime_ns}
        self._set(outcome.id, state="done", **_FREE, **read, error=None, crashes=0, cut_short=0)

    def failed(self, id: int, error: str) -> None:
        """It cannot be done."""
        self._set(id, state="failed", **_FREE, error=_text(error), crashes=0, cut_short=0)

    def release(self, ids: Iterable[int]) -> None:
        """Give pictures back; nothing is held against them."""
        for id in ids:
            self._set(id, state="waiting", **_FREE)

    def suspect(self, ids: Sequence[int], death: str) -> list[int]:
        """The process that was working on these pictures has died.

        One that was in progress by itself has had one of its tries; of several nobody knows
        which one it was: they will be done again one by one.

        Returns:
            Those that are quarantined, since all their tries are used up.
        """
        quarantined = []
        for id in ids:
            row = self._manifest.one("SELECT crashes FROM pictures WHERE id = ?", id)
            crashes = row["crashes"] + 1 if len(ids) == 1 else max(row["crashes"], 1)
            self._set(id, state="waiting", **_FREE, crashes=crashes)
            if len(ids) == 1 and crashes >= CRASHES:
                self._manifest.db.execute(
                    "UPDATE pictures SET state = 'quarantined', error = ? WHERE id = ?",
                    (QUARANTINED.format(death=death), id),
                )
                quarantined.append(id)
        return quarantined

    def _set(self, id: int, **columns: Any) -> bool:  # noqa: ANN401 - what SQLite takes
        """Change a picture that is still this worker's; returns whether it was."""
        names = ", ".join(f"{name} = ?" for name in columns)
        done = self._manifest.db.execute(
            f"UPDATE pictures SET {names} WHERE id = ? AND worker = ?",
            (*columns.values(), id, self.id),
        )
        return done.rowcount == 1

    def leave(self) -> None:
        """Give back what is not done, and go; nothing is held against these pictures."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(sqlite3.Error), self._manifest.transaction() as db:
            db.execute(
                "UPDATE pictures SET state = 'waiting', worker = NULL"
                " WHERE worker = ? AND state IN ('working', 'finishing')",
                (self.id,),
            )
            db.execute("DELETE FROM workers WHERE id = ?", (self.id,))


def _text(error: str) -> str:
    """As SQLite takes it: bytes of names that are not UTF-8 are written as hexadecimals."""
    return os.fsencode(error).decode("utf-8", "backslashreplace")
