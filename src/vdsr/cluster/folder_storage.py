"""A folder as one side of a job from storage to storage: the same requests, on files.

All machines of the cluster see it under the same path. What object storage keeps at an object,
its marks, is kept here in files below `.vdsr/marks`, with size and time of the output that they
belong to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vdsr.cluster.storage import HOME, Object, Place, Storage
from vdsr.errors import InputError, OutputError, OutputExists, UsageError
from vdsr.outputs import as_output_error, write_atomic, write_whole

SCHEME = "file://"
_UNFINISHED = re.compile(r"\.vdsr-[0-9a-f]{32}\.part")
# A file and a folder may be of one name in object storage: records of the state end in this.
_RECORD = "~"
_LONGEST = 255
# How often a file is written, or a folder deleted, where others do the contrary.
_TRIES = 20

_Marks = list[dict[str, Any]]


def local_path(text: str) -> str:
    """The path of a `file://` address; anything else as it is.

    Raises:
        UsageError: if it is of another machine.
    """
    if not text.startswith(SCHEME):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UsageError(f"{text}: a file of this machine is file:///, and its path")
    return unquote(text.removeprefix(f"{SCHEME}{parts.netloc}"), errors="surrogateescape")


def place_at(text: str) -> Place:
    """What lies at an address of object storage, or in the folder at a path.

    Raises:
        MissingExtra, UsageError: see `Storage`.
    """
    if text.startswith(SCHEME):
        return FolderStorage(Path(text.removeprefix(SCHEME)))
    return Storage(text)


class FolderStorage:
    """What lies in a folder; see `vdsr.cluster.storage.Place`.

    Links to folders are not followed. An object was changed when its content or its name was,
    whatever time it bears.

    Args:
        folder: which one.
    """

    def __init__(self, folder: Path) -> None:
        whole = os.path.abspath(folder)  # noqa: PTH100 - links stay as they are
        # POSIX keeps two slashes at the beginning, which here divide a folder from a name in it.
        self._folder = Path(re.sub("^//+", "/", whole))
        self.address = f"{SCHEME}{self._folder}"

    def at(self, name: str) -> str:
        """The path of a file."""
        return str(self._folder / name)

    def refusal(self, name: str) -> str | None:
        """Why no file can be of this name; None if one can."""
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            return "no name of a file"
        longest = max(len(os.fsencode(part)) for part in parts)
        return "name too long for a file" if longest >= _LONGEST else None

    def list(self, below: str | None = None, after: str | None = None) -> Iterator[Object]:
        """See `Place.list`; folder by folder, as they are asked for."""
        top = self._folder if below is None else self._folder / below
        records = below is not None and below.split("/")[0] == HOME
        try:
            yield from _walk(top, "", after, records=records)
        except FileNotFoundError as error:
            if below is None and not self._folder.is_dir():
                raise InputError(f"{self._folder}: there is no such folder") from error
        except OSError as error:
            raise InputError(f"{error.filename}: it cannot be listed: {error.strerror}") from error

    def create(self, name: str, data: bytes) -> bool:
        """See `Place.create`."""
        try:
            self._write(name, data, overwrite=False)
        except OutputExists:
            return False
        return True

    def write(self, name: str, data: bytes) -> None:
        """See `Place.write`."""
        self._write(name, data, overwrite=True)

    def _write(self, name: str, data: bytes, *, overwrite: bool) -> None:
        path = self._path(name)
        for i in range(_TRIES):
            try:
                with as_output_error(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, data, overwrite=overwrite)
                return
            except OutputExists:
                raise
            except OutputError as error:
                # `delete_all` of somebody else may have taken the folder away.
                gone = isinstance(error.__cause__, (FileNotFoundError, FileExistsError))
                if i == _TRIES - 1 or not (gone or not path.parent.is_dir()):
                    raise

    def read(self, name: str) -> bytes | None:
        """See `Place.read`."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{self.at(name)}: it cannot be read: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """See `Place.delete`."""
        path = self._path(name)
        with as_output_error(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def delete_all(self, below: str) -> None:
        """See `Place.delete_all`."""
        folder = self._folder / below
        with as_output_error(folder):
            for _ in range(_TRIES):
                # Others may write there meanwhile.
                shutil.rmtree(folder, ignore_errors=True)
                if not folder.exists():
                    return
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)

    def marks(self, name: str) -> dict[str, str] | None:
        """See `Place.marks`."""
        try:
            state = _state(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(f"{self.at(name)}: it cannot be read: {error.strerror}") from error
        return next((one["marks"] for one in self._marked(name) if one["state"] == state), {})

    def _still_needed(self, name: str) -> _Marks:
        """Marks of the output that is there; and the last ones, whose output may yet come."""
        known = self._marked(name)
        try:
            state = _state(self._path(name))
        except FileNotFoundError:
            return known[:1]
        return [one for i, one in enumerate(known) if i == 0 or one["state"] == state]

    def _marked(self, name: str) -> _Marks:
        """The marks of an output, and of those that it may replace, each with its state."""
        found = self.read(f"{HOME}/marks/{name}")
        known: _Marks = [] if found is None else json.loads(found)
        return known

    def fetch(self, name: str, goal: Path) -> Object:
        """See `Place.fetch`; a link, where there are links."""
        source = self._path(name)
        try:
            found = _object(source, name)
            try:
                goal.symlink_to(source)
            except (OSError, NotImplementedError):  # Windows, without the right to
                shutil.copyfile(source, goal)
        except FileNotFoundError as error:
            raise InputError("there is no such file") from error
        except OSError as error:
            raise InputError(f"it cannot be read: {error.strerror}") from error
        return found

    def upload(self, name: str, source: Path, marks: Mapping[str, str]) -> None:
        """See `Place.upload`."""
        path = self._path(name)
        with as_output_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomic(path) as file:
            with source.open("rb") as made:
                shutil.copyfileobj(made, file)
            file.flush()
            found = os.fstat(file.fileno())
            # Before it is in its place: whoever dies in between leaves the old one its marks.
            new = {"state": [found.st_size, found.st_mtime_ns], "marks": dict(marks)}
            known = [new, *self._still_needed(name)]
            self.write(f"{HOME}/marks/{name}", json.dumps(known).encode())

    def _path(self, name: str) -> Path:
        refusal = self.refusal(name)
        if refusal is not None:
            raise OutputError(f"{self.at(name)}: {refusal}")
        is_record = name.split("/", maxsplit=1)[0] == HOME
        return self._folder / (f"{name}{_RECORD}" if is_record else name)


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _object(path: Path, name: str) -> Object:
    found = path.stat()
    # A file may be replaced by one that bears an older time.
    changed = max(found.st_mtime, found.st_ctime)
    tag = f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
    return Object(name, found.st_size, datetime.fromtimestamp(changed, UTC), tag)


def _walk(folder: Path, prefix: str, after: str | None, *, records: bool) -> Iterator[Object]:
    """Files below a folder, in the order of their names' bytes."""
    with os.scandir(folder) as entries:
        found = sorted((_key(entry, records=records), entry.name) for entry in entries)
    for key, name in found:
        is_folder = key.endswith(b"/")
        full = f"{prefix}{os.fsdecode(key)}"
        if _UNFINISHED.fullmatch(name):
            continue
        if is_folder:
            if after is None or not _all_before(full, after):
                # It may be gone by now.
                with contextlib.suppress(FileNotFoundError):
                    yield from _walk(folder / name, full, after, records=records)
        elif after is None or os.fsencode(full) > os.fsencode(after):
            with contextlib.suppress(FileNotFoundError):
                yield _object(folder / name, full)


def _all_before(folder: str, after: str) -> bool:
    """Whether all names in a folder, which ends in `/`, come before this one."""
    first, last = os.fsencode(folder), os.fsencode(after)
    return first < last and not last.startswith(first)


def _key(entry: os.DirEntry[str], *, records: bool) -> bytes:
    if entry.is_dir(follow_symlinks=False):
        return os.fsencode(entry.name) + b"/"
    name = entry.name.removesuffix(_RECORD) if records else entry.name
    return os.fsencode(name)
