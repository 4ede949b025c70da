"""Files in the making: their names, the locks on them, and what dead processes left of them.

They lie beside their goals under names that nobody can foresee. Whoever writes holds a lock on
the unfinished file; so what a killed process left behind is told from what is in progress, and
is cleared away by the next one that writes into the same folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that another holds open
    fcntl = None  # type: ignore[assignment]

# Not of the goal's own name, which may be as long as names can be.
_PART = re.compile(r"\.vdsr-[0-9a-f]{32}\.part")
_OWNER = "owner"
# Between making a folder and locking it there is an instant in which it looks abandoned.
_GRACE_SECONDS = 60.0
# Without these, the flags of Windows: binary, and not handed on to other programs.
_FLAGS = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)

# Windows does not; elsewhere who closes a file first gives up its lock too early.
RENAMES_OPEN_FILES = fcntl is not None

_swept: set[Path] = set()
_sweeping = threading.Lock()


def sweep(folder: Path) -> None:
    """Clear away what processes that are dead left unfinished in a folder; once per folder."""
    folder = folder.absolute()
    with _sweeping:
        if folder in _swept:
            return
        _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _sweep_one(entry)


def _sweep_one(entry: os.DirEntry[str]) -> None:
    found = entry.stat(follow_symlinks=False)
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return
    path = Path(entry.path)
    if stat.S_ISREG(found.st_mode):
        with _abandoned(path) as abandoned:
            if abandoned:
                path.unlink()
    elif stat.S_ISDIR(found.st_mode):
        owner = path / _OWNER
        if owner.exists():
            with _abandoned(owner) as abandoned:
                if not abandoned:
                    return
                # First the sign that it is somebody's: see `work_folder`.
                owner.unlink()
        elif time.time() - found.st_mtime < _GRACE_SECONDS:
            return
        shutil.rmtree(path, ignore_errors=True)


def claim(path: Path) -> BinaryIO | None:
    """Open a file, made if it is missing, and lock it for as long as it is open.

    Returns:
        The file; None if somebody alive has it.

    Raises:
        OSError: if it cannot be opened.
    """
    file = path.open("a+b")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:  # a file system without locks
        pass
    return file


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Whether nobody alive holds the lock of an unfinished file; nobody gets it meanwhile."""
    if fcntl is None:
        yield True  # removing it fails where it is in use
        return
    with os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _lock(file: IO[bytes], path: Path) -> bool:
    """Lock a file that was just made; False if it was taken for abandoned before that."""
    if fcntl is not None:
        # File systems without locks: nothing of theirs is ever taken for abandoned. Whoever
        # else has the lock is about to remove the file, and is waited for.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
    return path.exists()


def _part_name() -> str:
    return f".vdsr-{secrets.token_hex(16)}.part"


def create(folder: Path, mode: int | None) -> tuple[Path, BinaryIO]:
    """Make an unfinished file, and lock it.

    Args:
        folder: where.
        mode: permissions of what it will replace, until then its owner's alone; None for
            what the umask leaves.

    Returns:
        Its path, and the file, open for writing and reading. Who closes it gives it up.

    Raises:
        OSError: if it cannot be made.
    """
    for _ in range(10):
        path = folder / _part_name()
        # By default what the umask leaves; a private file has no public draft.
        file = os.fdopen(os.open(path, _FLAGS, 0o666 if mode is None else 0o600), "w+b")
        if _lock(file, path):
            return path, file
        file.close()
    raise _removed()


def create_folder(parent: Path) -> tuple[Path, BinaryIO]:
    """Make a folder for unfinished files, for its owner alone, and lock it.

    Returns:
        Its path, and an open file in it. Who closes that gives it up.

    Raises:
        OSError: if it cannot be made.
    """
    for _ in range(10):
        work = parent / _part_name()
        work.mkdir(mode=0o700)  # copies of private pictures may lie in it
        owner = (work / _OWNER).open("wb")
        if _lock(owner, work / _OWNER):
            return work, owner
        owner.close()
    raise _removed()


def _removed() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "what is begun there is removed at once")
