"""The manifest of a job: an SQLite file in the output folder that knows every picture.

It is the only memory of a job: what a run has not written here has not happened. Several
processes may have it open. `docs/folders.md` describes the tables for others to read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vdsr.errors import InputError, OutputError, UsageError
from vdsr.inputs import is_file, is_folder

MANIFEST = ".vdsr-manifest.sqlite"
# A folder with this is the goal of a job from storage, see `vdsr.cluster.stored_state`.
STORED_JOB = ".vdsr/job~"
# Of a job that makes previews alone, which is no obstacle to the real one.
PREVIEW_MANIFEST = ".vdsr-preview-manifest.sqlite"
# "vdsr" in ASCII, and the version of the tables.
_APPLICATION_ID = 0x76647372
_VERSION = 1
# Seconds to wait for another process that is writing: it never takes long.
_PATIENCE = 120.0

_TABLES = """
CREATE TABLE job (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    beats INTEGER NOT NULL DEFAULT 0,
    beat_at REAL NOT NULL,
    folder BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    source BLOB NOT NULL UNIQUE,
    relative BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    scan INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('skipped', 'waiting', 'working', 'finishing',
                                         'done', 'failed', 'quarantined')),
    output BLOB,
    key BLOB,
    digest TEXT,
    width INTEGER,
    height INTEGER,
    scale REAL,
    model TEXT,
    made BLOB,
    beside TEXT,
    output_size INTEGER,
    output_mtime_ns INTEGER,
    output_digest TEXT,
    error TEXT,
    notices TEXT,
    seconds REAL,
    worker TEXT,
    alone INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    cut_short INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX pictures_by_state ON pictures (state, crashes, source);
CREATE INDEX pictures_by_key ON pictures (key);
"""


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. Here SQLite does not wait for other processes by itself."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


class Manifest:
    """An open manifest. Each thread has a connection of its own.

    Args:
        path: the file; None for one that is kept nowhere.
        create: whether to make it where it is missing.

    Attributes:
        path: as given.

    Raises:
        InputError: if it is missing, no manifest, damaged, or of a later version.
        OutputError: if it cannot be written.
    """

    def __init__(self, path: Path | None, *, create: bool = True) -> None:
        self.path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        if path is not None and not create and not is_file(path):
            raise InputError(f"{path.parent}: no job has run there: it has no {MANIFEST}")
        with self.errors(), self.transaction() as db:
            self._prepare(db)

    def _prepare(self, db: sqlite3.Connection) -> None:
        (identity,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        elif identity != _APPLICATION_ID:
            raise InputError(f"{self.path}: it is an SQLite file, but not a manifest of vdsr")
        elif version != _VERSION:
            raise InputError(
                f"{self.path}: its tables are of version {version}, and this program knows"
                f" {_VERSION}: use the program that made it, or another output folder"
            )

    @property
    def folder(self) -> Path:
        """The folder of the outputs."""
        return Path() if self.path is None else self.path.parent

    @property
    def db(self) -> sqlite3.Connection:
        """The connection of this thread."""
        found: sqlite3.Connection | None = getattr(self._local, "db", None)
        if found is None:
            found = self._local.db = self._connect()
        return found

    def _connect(self) -> sqlite3.Connection:
        # An empty name is a temporary file that SQLite spills to the disk where it is large.
        name = "" if self.path is None else os.fspath(self.path)
        db = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        with self._lock:
            self._open.append(db)
        db.row_factory = sqlite3.Row
        if self.path is not None:
            _write_ahead(db)
            # A rename must never reach the disk before what the manifest says of it.
            db.execute("PRAGMA synchronous = FULL")
        return db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done to the connection in the block, or nothing of it."""
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Make errors of SQLite errors of this package."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"{self.path}: the manifest cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path}: it is damaged, or no manifest ({error}): move it away to start over"
            ) from error

    def copy(self) -> Manifest:
        """A copy that is kept nowhere."""
        other = Manifest(None)
        self.db.backup(other.db)
        return other

    def value(self, key: str) -> str | None:
        """What is written about the job as a whole; None if nothing is."""
        found = self.db.execute("SELECT value FROM job WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def set_value(self, key: str, value: str) -> None:
        """Write something about the job as a whole."""
        self.db.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (key, value))

    def one(self, query: str, *values: Any) -> sqlite3.Row:  # noqa: ANN401 - what SQLite takes
        """The only row of a query."""
        row: sqlite3.Row = self.db.execute(query, values).fetchone()
        return row

    def pages(self, query: str, *values: Any, page: int = 500) -> Iterator[sqlite3.Row]:  # noqa: ANN401
        """Rows in pages, so that the table may be changed between two of them.

        Args:
            query: with a `{after}` where the id must be larger than the last one; it gives
                `id`, and is in its order.
            values: for its `?`, before that of `{after}`.
            page: rows read at once.
        """
        last = -1
        while True:
            text = query.format(after="id > ?") + " ORDER BY id LIMIT ?"
            rows = self.db.execute(text, (*values, last, page)).fetchall()
            if not rows:
                return
            yield from rows
            last = rows[-1]["id"]

    def close(self) -> None:
        """Close all connections; the last process to do so leaves a single file."""
        with self._lock:
            for db in self._open:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
            self._open.clear()


def open_manifest(folder: Path) -> Manifest:
    """The manifest of a job that has run.

    Raises:
        InputError: if there is none.
        UsageError: if it is not a folder.
    """
    if not is_folder(folder):
        raise UsageError(f"{folder}: there is no such folder")
    return Manifest(folder / MANIFEST, create=False)
