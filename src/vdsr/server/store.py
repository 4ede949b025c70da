"""The pictures that a server has accepted, on disk: a folder, and the manifest of a job in it.

The manifest is that of `vdsr.jobs.manifest`, with a table more for what the requests said. A
picture is in it before its request is answered; so whatever happens to the server, it goes on
with the picture, or says that it has to be sent again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from vdsr.errors import OutputError, UsageError
from vdsr.jobs.manifest import MANIFEST, Manifest
from vdsr.jobs.picture import Outcome

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TABLE = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    picture INTEGER NOT NULL,
    client TEXT NOT NULL,
    name TEXT NOT NULL,
    options TEXT NOT NULL,
    looked TEXT NOT NULL,
    created REAL NOT NULL,
    ended REAL
) WITHOUT ROWID
"""
# Of a picture that the server was ended at so often.
_CUT_SHORT = 3
AGAIN = f"the server was ended {_CUT_SHORT} times while it was at work on it: send it again"
_PICTURES = "pictures"


@dataclass(kw_only=True)
class Kept:
    """A picture that was sent.

    Attributes:
        id: unguessable.
        client: whose it is.
        name: what the client calls its file; shown, never used as a path.
        options: what is asked for: see `Upscaler.upscale`.
        looked: what was found: size, format and size of the result.
        folder: where its files are.
        created, ended: seconds since 1970.
        state: `waiting`, `working`, `done` or `failed`.
        error: why it failed.
        outcome: figures of the result.
        row: its number in the manifest; None if it is not in it.
    """

    id: str
    client: str
    name: str
    options: dict[str, Any]
    folder: Path
    looked: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    ended: float | None = None
    state: str = "waiting"
    error: str | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    row: int | None = None

    @property
    def source(self) -> Path:
        """The picture, under a name of ours."""
        return self.folder / "picture"

    @property
    def result(self) -> Path:
        """The result."""
        return self.folder / f"result{self.looked.get('suffix', '')}"

    @property
    def pixels(self) -> int:
        """Of the result."""
        width, height = self.looked.get("result", (0, 0))
        return int(width * height)


class Store:
    """The folder of a server; one server at a time has it.

    Args:
        folder: made where it is missing.

    Raises:
        UsageError: if another server has it.
        OutputError: if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            (folder / _PICTURES).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / ".lock").open("w")
        except OSError as error:
            raise OutputError(f"{folder}: it cannot be written: {error.strerror}") from error
        self._hold(self._lock)
        self._manifest = Manifest(folder / MANIFEST)
        with self._manifest.errors():
            self._manifest.db.execute(_TABLE)

    def _hold(self, file: IO[str]) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise UsageError(
                f"{self._folder}: another server has this folder: give each its own"
            ) from error

    def new(self, client: str, name: str, options: dict[str, Any]) -> Kept:
        """A place for a picture that is being sent; in the manifest only once it is accepted."""
        id = secrets.token_urlsafe(18)
        folder = self._folder / _PICTURES / id
        folder.mkdir(mode=0o700)
        return Kept(
            id=id, client=client, name=name, options=options, folder=folder, created=time.time()
        )

    def accept(self, kept: Kept) -> None:
        """Write a picture down, for good: from here on it is not lost.

        Raises:
            OutputError: if that cannot be done.
        """
        with kept.source.open("rb") as file:
            os.fsync(file.fileno())
        status = kept.source.stat()
        with self._manifest.errors(), self._manifest.transaction() as db:
            row = db.execute(
                "INSERT INTO pictures (source, relative, size, mtime_ns, scan, state, output)"
                " VALUES (?, ?, ?, ?, 0, 'waiting', ?) RETURNING id",
                (
                    os.fsencode(kept.source),
                    os.fsencode(kept.source.relative_to(self._folder)),
                    status.st_size,
                    status.st_mtime_ns,
                    os.fsencode(kept.result.relative_to(self._folder)),
                ),
            ).fetchone()
            db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    kept.id,
                    row["id"],
                    kept.client,
                    kept.name,
                    json.dumps(kept.options),
                    json.dumps(kept.looked),
                    kept.created,
                ),
            )
            kept.row = row["id"]

    def working(self, kept: Kept) -> None:
        """Its work begins."""
        self._set(kept, state="working")

    def waiting(self, kept: Kept) -> None:
        """It is handed back; nothing is held against it."""
        kept.state = "waiting"
        self._set(kept, state="waiting")

    def done(self, kept: Kept, outcome: Outcome) -> None:
        """The result is whole, and on the disk; it is put in its place.

        Raises:
            OutputError: if that cannot be done.
        """
        made_of(kept).replace(kept.result)
        kept.ended = time.time()
        kept.outcome = {
            "width": outcome.width,
            "height": outcome.height,
            "scale": outcome.scale,
            "model": outcome.model,
            "bytes": outcome.output_size,
            "digest": outcome.output_digest,
            "seconds": outcome.seconds,
            "notices": [note.removeprefix(f"{kept.source}: ") for note in outcome.notices],
        }
        self._set(
            kept,
            state="done",
            width=outcome.width,
            height=outcome.height,
            scale=outcome.scale,
            model=outcome.model,
            output_size=outcome.output_size,
            output_digest=outcome.output_digest,
            seconds=outcome.seconds,
            notices=json.dumps(kept.outcome["notices"]),
            cut_short=0,
        )
        kept.state = "done"

    def failed(self, kept: Kept, error: str) -> None:
        """It cannot be done."""
        kept.ended, kept.error = time.time(), error
        self._set(kept, state="failed", error=error)
        kept.state = "failed"
        with contextlib.suppress(OSError):
            kept.source.unlink(missing_ok=True)

    def _set(self, kept: Kept, **columns: Any) -> None:  # noqa: ANN401 - what SQLite takes
        if kept.row is None:
            return
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._manifest.errors(), self._manifest.transaction() as db:
            db.execute(f"UPDATE pictures SET {names} WHERE id = ?", (*columns.values(), kept.row))
            db.execute("UPDATE requests SET ended = ? WHERE id = ?", (kept.ended, kept.id))

    def delete(self, kept: Kept) -> None:
        """Forget a picture, with its files."""
        if kept.row is not None:
            with self._manifest.errors(), self._manifest.transaction() as db:
                db.execute("DELETE FROM requests WHERE id = ?", (kept.id,))
                db.execute("DELETE FROM pictures WHERE id = ?", (kept.row,))
        shutil.rmtree(kept.folder, ignore_errors=True)

    def recover(self) -> list[Kept]:
        """What an earlier server left: what it had in work waits again.

        Files that belong to nothing, of uploads and of requests whose clients waited for the
        answer, are deleted.
        """
        with self._manifest.errors(), self._manifest.transaction() as db:
            db.execute(
                "UPDATE pictures SET cut_short = cut_short + 1, state = 'waiting'"
                " WHERE state IN ('working', 'finishing')"
            )
            rows = db.execute(
                "SELECT * FROM requests JOIN pictures ON pictures.id = requests.picture"
                " ORDER BY created"
            ).fetchall()
        found = [self._kept(row) for row in rows]
        known = {kept.id for kept in found}
        for folder in (self._folder / _PICTURES).iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        for kept, row in zip(found, rows, strict=True):
            self._check(kept, row["cut_short"])
        return found

    def _kept(self, row: Any) -> Kept:  # noqa: ANN401 - a row of SQLite
        names = ("width", "height", "scale", "model", "seconds")
        outcome = {name: row[name] for name in names}
        outcome |= {"bytes": row["output_size"], "digest": row["output_digest"]}
        outcome["notices"] = json.loads(row["notices"] or "[]")
        id = row[0]
        return Kept(
            id=id,
            client=row["client"],
            name=row["name"],
            options=json.loads(row["options"]),
            looked=json.loads(row["looked"]),
            folder=self._folder / _PICTURES / id,
            created=row["created"],
            ended=row["ended"],
            state=row["state"],
            error=row["error"],
            outcome=outcome if row["state"] == "done" else {},
            row=row["picture"],
        )

    def _check(self, kept: Kept, cut_short: int) -> None:
        """Whether what was left can be gone on with."""
        if kept.state == "waiting" and cut_short >= _CUT_SHORT:
            self.failed(kept, AGAIN)
        elif kept.state == "waiting" and not kept.source.is_file():
            self.failed(kept, "its file is gone: send it again")
        elif kept.state == "done" and not kept.result.is_file():
            self.failed(kept, "its result is gone: send it again")

    def close(self) -> None:
        """Let go of the folder."""
        self._manifest.close()
        self._lock.close()


def made_of(kept: Kept) -> Path:
    """Where a result grows."""
    return kept.folder / f"made{kept.looked['suffix']}"


def folder_bytes(folder: Path) -> int:
    """What the files of a picture take."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                total += entry.stat().st_size
    return total
