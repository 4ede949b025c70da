"""The other workers of a job: whether they live, and taking back what the dead ones held."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from vdsr.errors import OutputError
from vdsr.inference.strips import folder_of
from vdsr.inputs import file_digest
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.placing import place

# A worker of another system that has not been seen to beat for so long is taken for dead.
SILENT_SECONDS = 60.0
# A picture during which the program was ended so often, with nothing else in progress, is not
# tried again by itself: the system may end all of it where the memory runs out.
CUT_SHORT = 5
ENDED = (
    f"the program was ended {CUT_SHORT} times while it was at work on it alone:"
    " retry_failed=True tries it again"
)


def host() -> str:
    """Where process numbers mean the same: a system since its start, and a namespace in it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - no file
    return f"{platform.node()} {uuid.getnode():x}"


def started(pid: int) -> str | None:
    """When a process was started, in ticks (man 5 proc); None if it is dead or unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    state, *numbers = text.rpartition(")")[2].split()
    return None if state in "ZX" else numbers[18]


@dataclass
class Others:
    """The other workers of a job, as they are seen from here.

    Attributes:
        manifest: of the job.
        output: the folder of the outputs.
    """

    manifest: Manifest
    output: Path
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def take_back(self, me: str | None = None) -> int:
        """Take back what dead workers held.

        Returns:
            How many workers were found dead.

        Raises:
            sqlite3.Error: if the manifest cannot be written.
        """
        workers = self.manifest.db.execute("SELECT * FROM workers").fetchall()
        dead = [row for row in workers if row["id"] != me and not self._alive(row)]
        for row in dead:
            self._bury(row["id"], self.output / os.fsdecode(row["folder"]))
        return len(dead)

    def alive(self) -> list[sqlite3.Row]:
        """The workers that are not known to be dead."""
        rows = self.manifest.db.execute("SELECT * FROM workers").fetchall()
        return [row for row in rows if self._alive(row)]

    def _alive(self, row: sqlite3.Row) -> bool:
        if row["host"] == host() and row["started"]:
            # It may be paused: that is not a death, however long it takes.
            return bool(started(row["pid"]) == row["started"])
        # Clocks of two systems may differ: what counts is whether it is seen to beat.
        now = time.monotonic()
        beats, since = self._seen.get(row["id"], (-1, now))
        if beats != row["beats"]:
            self._seen[row["id"]] = (row["beats"], now)
            return True
        return now - since < SILENT_SECONDS

    def _bury(self, worker: str, folder: Path) -> None:
        self._finish(worker)
        with self.manifest.transaction() as db:
            db.execute(
                "UPDATE pictures SET state = 'waiting', worker = NULL, crashes = max(crashes, 1),"
                " cut_short = cut_short + alone WHERE worker = ? AND state = 'working'",
                (worker,),
            )
            for row in db.execute(
                "SELECT id, output FROM pictures WHERE state = 'waiting' AND cut_short >= ?",
                (CUT_SHORT,),
            ).fetchall():
                # One whose strips are kept comes to its end all the same.
                if not folder_of(self.output / os.fsdecode(row["output"])).is_dir():
                    db.execute(
                        "UPDATE pictures SET state = 'quarantined', error = ? WHERE id = ?",
                        (ENDED, row["id"]),
                    )
            db.execute("DELETE FROM workers WHERE id = ?", (worker,))
        # With the mark of who owned it, around it.
        owned = folder if folder.parent == self.output else folder.parent
        shutil.rmtree(owned, ignore_errors=True)

    def _finish(self, worker: str) -> None:
        """Put what a dead worker had finished into its place."""
        rows = self.manifest.db.execute(
            "SELECT id, output, made, beside, output_size, output_digest FROM pictures"
            " WHERE worker = ? AND state = 'finishing'",
            (worker,),
        ).fetchall()
        for row in rows:
            goal = self.output / os.fsdecode(row["output"])
            made = self.output / os.fsdecode(row["made"])
            if _is(made, row["output_digest"]):
                with contextlib.suppress(OutputError):
                    for draft, other in json.loads(row["beside"] or "[]"):
                        if (self.output / draft).exists():
                            place(self.output / draft, Path(other), overwrite=True)
                    place(made, goal, overwrite=True)
            mtime = goal.stat().st_mtime_ns if _is(goal, row["output_digest"]) else None
            with self.manifest.transaction() as db:
                db.execute(
                    "UPDATE pictures SET state = ?, output_mtime_ns = ?, worker = NULL,"
                    " made = NULL, beside = NULL"
                    " WHERE id = ? AND worker = ?",
                    ("waiting" if mtime is None else "done", mtime, row["id"], worker),
                )


def _is(path: Path, digest: str) -> bool:
    try:
        return file_digest(path) == digest
    except OSError:
        return False
