"""Outputs that are whole or not there, and never take the place of what must stay.

What is written grows beside its goal (`vdsr.unfinished`), and is renamed when it is whole. A
link is not replaced: the file that it leads to is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vdsr.errors import OutputError, OutputExists, UsageError, VdsrError
from vdsr.unfinished import RENAMES_OPEN_FILES, create, create_folder, sweep


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
            self.path, self.file = create(self._place.parent, _mode(self._place))

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
                if not RENAMES_OPEN_FILES:  # else it stays locked until it has its name
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
        work, owner = create_folder(parent)
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
