"""Outputs that are whole or not there, and never take the place of what must stay.

What is written grows beside its goal, under a name nobody can foresee, and is renamed when
it is whole. A link is not replaced: the file that it leads to is. Whoever writes holds a lock
on the unfinished file; so what a killed process left behind is told from what is in progress, and
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

from vdsr.errors import OutputError, OutputExists, UsageError, VdsrError

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

_swept: set[Path] = set()
_sweeping = threading.Lock()


@contextlib.contextmanager
def as_output_error(goal: Path) -> Iterator[None]:
    """Let what the system refuses in the block be an error about the goal.

    Raises:
        OutputError: for any `OSError`, and for a name with a null byte.
    """
    try:
        yield
    except VdsrError:  # some are a ValueError, too
        raise
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{goal}: it cannot be written: {text}") from error


def refuse_existing(*goals: Path, overwrite: bool, folder: bool = False) -> None:
    """Refuse goals that cannot be written, or must not be, before any work is done.

    Args:
        goals: files, or folders, that are to be made.
        overwrite: whether what is there may be replaced.
        folder: whether they are folders, whose parents are made where they are missing.

    Raises:
        OutputExists: if one is there, and may not be replaced.
        OutputError: if one cannot be written: its folder is missing, it is of another kind,
            write-protected, or a link that leads nowhere.
    """
    for goal in goals:
        with as_output_error(goal):
            _refuse(goal, overwrite=overwrite, folder=folder)


def refuse_same(source: Path, goal: Path, *, in_place: bool) -> None:
    """Refuse an output that is the input itself, by whatever name, unless that is wanted.

    Args:
        source: the input.
        goal: the output.
        in_place: whether the output is to be the input.

    Raises:
        OutputExists: if they are one file, and are not to be.
        UsageError: if they are two, and are to be one.
    """
    try:
        same = source.samefile(goal)
    except (OSError, ValueError):
        same = False
    if same and not in_place:
        raise OutputExists(
            f"{goal}: it exists already, and it is the input itself: in_place=True replaces it"
        )
    if in_place and not same:
        raise UsageError(f"{goal}: in place means that the output is the input, {source}")


def _refuse(goal: Path, *, overwrite: bool, folder: bool) -> None:
    if not folder and not goal.parent.is_dir():
        raise OutputError(
            f"{goal}: it cannot be written: the folder {goal.parent} does not exist: make it first"
        )
    place = _place(goal)
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode) and not folder:
        raise OutputError(f"{goal}: it cannot be written: it is a folder: name a file in it")
    if folder and not stat.S_ISDIR(mode):
        raise OutputError(f"{goal}: a file is there, and a folder is to be made")
    if not folder and not stat.S_ISREG(mode):
        raise OutputError(f"{goal}: it is a device or the like: name an ordinary file")
    if not overwrite:
        raise _exists(goal)
    if not folder and (not mode & 0o222 or not os.access(place, os.W_OK)):
        raise OutputError(f"{goal}: it is write-protected: allow writing to it, or choose another")


def _place(goal: Path) -> Path:
    """Where the goal really lies: behind links, which stay as they are."""
    if not goal.is_symlink():
        return goal
    place = Path(os.path.realpath(goal))
    if not place.exists():
        raise OutputError(f"{goal}: it is a link that leads nowhere, to {goal.readlink()}")
    return place


class Part:
    """A file in the making, beside its goal.

    Args:
        goal: the file that it is to become.
        overwrite: whether a file that is there may be replaced.

    Attributes:
        goal: as given.
        path: the unfinished file; its mode is that of the file it will replace.
        file: the same, open for writing and reading.

    Raises:
        OutputError: see `refuse_existing`.
    """

    def __init__(self, goal: Path, *, overwrite: bool) -> None:
        self.goal = goal
        self._overwrite = overwrite
        refuse_existing(goal, overwrite=overwrite)
        with as_output_error(goal):
            self._place = _place(goal)
            sweep(self._place.parent)
            self.path, self.file = _create(self._place.parent, _mode(self._place))

    def commit(self) -> None:
        """Make it the goal, which then is on the disk.

        Raises:
            OutputExists: if another has made the goal meanwhile.
            OutputError: if it cannot be written.
        """
        try:
            with as_output_error(self.goal):
                self.file.flush()
                os.fsync(self.file.fileno())
                if (
                    fcntl is None
                ):  # Windows renames no open file; elsewhere closing gives up the lock
                    self.file.close()
                _settle(self.path, self._place, self.goal, overwrite=self._overwrite)
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing of it, if it is not the goal already."""
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


@contextlib.contextmanager
def write_atomic(goal: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Write a file that is whole when the block ends; an exception inside leaves none.

    Args:
        goal: the file.
        overwrite: whether a file that is there may be replaced; it keeps its mode.

    Yields:
        An open binary file.

    Raises:
        OutputExists: if it is there, and may not be replaced.
        OutputError: if it cannot be written; for any `OSError` in the block, too.
    """
    part = Part(goal, overwrite=overwrite)
    try:
        with as_output_error(goal):
            yield part.file
        part.commit()
    finally:
        part.discard()


def write_whole(goal: Path, data: bytes | str, *, overwrite: bool = True) -> None:
    """Write a file of bytes, or of text as UTF-8; see `write_atomic`.

    Raises:
        OutputError: see `write_atomic`.
    """
    with write_atomic(goal, overwrite=overwrite) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A folder of one's own for unfinished files; it goes at the end, or at the next run.

    Args:
        parent: where to make it, so that files can be moved to their goals there; made
            where it is missing.

    Raises:
        OutputError: if it cannot be made; for any `OSError` in the block, too.
    """
    with as_output_error(parent):
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        work, owner = _create_folder(parent)
        try:
            with owner:
                made = work / "made"
                made.mkdir()
                yield made
        finally:
            shutil.rmtree(work, ignore_errors=True)


def put(made: Path, goal: Path, *, overwrite: bool = True) -> None:
    """Move a finished file or folder out of a `work_folder` to its goal.

    A folder that is there is replaced as a whole; where that fails it stays.

    Raises:
        OutputExists: if the goal is there, and may not be replaced.
        OutputError: if it cannot be written.
    """
    folder = made.is_dir()
    refuse_existing(goal, overwrite=overwrite, folder=folder)
    with as_output_error(goal):
        place = _place(goal)
        if not folder:
            if (mode := _mode(place)) is not None:
                made.chmod(mode)
            _settle(made, place, goal, overwrite=overwrite)
        elif not place.is_dir():
            made.rename(place)
        else:
            # A folder that is not empty cannot be renamed onto: the old one steps aside.
            old = place.rename(made.parent / f"{secrets.token_hex(8)}.old")
            try:
                made.rename(place)
            except OSError:
                old.rename(place)
                raise


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


def _create(folder: Path, mode: int | None) -> tuple[Path, BinaryIO]:
    for _ in range(10):
        path = folder / _part_name()
        # By default what the umask leaves; a private file has no public draft.
        file = os.fdopen(os.open(path, _FLAGS, 0o666 if mode is None else 0o600), "w+b")
        if _lock(file, path):
            return path, file
        file.close()
    raise _removed()


def _create_folder(parent: Path) -> tuple[Path, BinaryIO]:
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


def _exists(goal: Path) -> OutputExists:
    return OutputExists(f"{goal}: it exists already: overwrite=True replaces it")


def _mode(place: Path) -> int | None:
    """The permissions of a file that is there, or None."""
    try:
        return stat.S_IMODE(place.stat().st_mode)
    except FileNotFoundError:
        return None


def _settle(path: Path, place: Path, goal: Path, *, overwrite: bool) -> None:
    """Rename an unfinished file to its place, with the mode and owner of what was there."""
    if overwrite:
        with contextlib.suppress(FileNotFoundError):
            before = place.stat()
            if hasattr(os, "chown"):
                with contextlib.suppress(OSError):
                    os.chown(path, before.st_uid, before.st_gid)
            path.chmod(stat.S_IMODE(before.st_mode))
        path.replace(place)
        return
    try:
        # Unlike renaming, linking never replaces what has come there meanwhile.
        os.link(path, place)
    except FileExistsError:
        raise _exists(goal) from None
    except (OSError, NotImplementedError, AttributeError):  # a file system without links
        if os.path.lexists(place):
            raise _exists(goal) from None
        path.rename(place)
