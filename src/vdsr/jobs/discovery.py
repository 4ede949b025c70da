"""Finding the pictures of a job: streamed, so that any number takes no more memory than one."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vdsr.errors import InputError, UsageError
from vdsr.imaging.files.formats import SUFFIXES
from vdsr.imaging.files.signatures import SNIFFED_BYTES, sniff

# Pictures of kinds that may not be readable: tried, and reported, rather than passed over.
OTHER_SUFFIXES = frozenset(
    f".{name}"
    for names in (
        "bmp dib pbm pgm ppm pnm pam pfm tga jp2 j2k jpf jpx jxl heic heif hif avifs jpe jfif",
        "apng psd psb exr hdr dcm dng cr2 cr3 nef arw raf orf rw2 pef srw svs ndpi",
    )
    for name in names.split()
)
# Formats whose first bytes a text may have, too: known by their suffix alone.
_WEAKLY_MARKED = frozenset(["bmp", "pnm", "tga"])
# Previews that cameras lay beside the picture: JPEG inside.
_SIDECARS = frozenset([".thm"])
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Found:
    """One file (or folder) that was come across.

    Attributes:
        source: absolute path; undecodable bytes as surrogates.
        relative: where its output belongs, as a path with `/`, with the input's own name.
        size: bytes; -1 if the file is not there.
        mtime_ns: time of the last change, nanoseconds.
        skipped: why it is not worked on; None for a picture.
        unreadable: why it could not even be looked at; else None.
    """

    source: str
    relative: str
    size: int = -1
    mtime_ns: int = 0
    skipped: str | None = None
    unreadable: str | None = None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which files of a folder are meant.

    Patterns without a `/` are of the file's name, or, to exclude, of any folder's above it;
    with one, of the path below the input. Capitals do not matter.

    Attributes:
        include: at least one of these must match, if there are any.
        exclude: none of these may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, relative: str) -> bool:
        """Whether a file is meant."""
        if self.include and not any(_matches(relative, pattern) for pattern in self.include):
            return False
        return not self.leaves_out(relative)

    def leaves_out(self, relative: str) -> bool:
        """Whether a file, or a folder with all that is in it, is excluded."""
        return any(_matches(relative, pattern) for pattern in self.exclude)


def _matches(relative: str, pattern: str) -> bool:
    relative, pattern = relative.casefold(), pattern.casefold()
    if "/" not in pattern.rstrip("/"):
        return fnmatch.fnmatchcase(PurePosixPath(relative).name, pattern.rstrip("/"))
    return fnmatch.fnmatchcase(relative, pattern.strip("/"))


def find(
    inputs: Sequence[str | os.PathLike[str]],
    output: Path,
    selection: Selection,
    made: Callable[[str], bool],
) -> Iterator[Found]:
    """Everything that the inputs of a job stand for, in no certain order.

    A file stands for itself, whatever it is. A folder stands for the pictures in it and in
    the folders below, hidden ones left out; links to folders are not followed. What does not
    exist and has wildcards is a pattern (`photos/**/*.tif`). The folders of one input are
    mirrored; those of several are kept apart by their names.

    Args:
        inputs: files, folders and patterns.
        output: the folder of the outputs, which is never looked into.
        selection: which files of folders and patterns are meant.
        made: tells whether a path, relative to the output folder, is an output of this job.

    Yields:
        Pictures, and what was passed over.

    Raises:
        UsageError: if there are no inputs, or one is the output folder.
        InputError: if an input does not exist, or a pattern matches nothing.
    """
    goal = os.path.realpath(output)
    walk = _Walk(goal, selection, made)
    for path, prefix in _prefixes(inputs):
        if os.path.isdir(path):  # noqa: PTH112
            if os.path.realpath(path) == goal:
                raise UsageError(f"{path}: it is the output folder, too: name another for either")
            yield from walk.folder(os.path.abspath(path), prefix)  # noqa: PTH100
        elif os.path.lexists(path):
            # Named one by one, it is taken for a picture whatever it is.
            yield _found(os.path.abspath(path), os.path.basename(path))  # noqa: PTH100, PTH119
        elif _MAGIC.search(path):
            yield from walk.pattern(path)
        else:
            raise InputError(f"{path}: there is no such file or folder")


def _prefixes(inputs: Sequence[str | os.PathLike[str]]) -> Iterator[tuple[str, str]]:
    """Each input, and the folder that its outputs go to, if it is one of several folders."""
    if not inputs:
        raise UsageError("no inputs: name files, folders or patterns")
    used: set[str] = set()
    for given in inputs:
        path = os.fspath(given)
        prefix = ""
        if len(inputs) > 1 and os.path.isdir(path):  # noqa: PTH112
            name = prefix = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119
            number = 2
            while prefix.casefold() in used:
                prefix, number = f"{name}-{number}", number + 1
            used.add(prefix.casefold())
        yield path, prefix


@dataclass(frozen=True)
class _Walk:
    """Goes through folders.

    Attributes:
        goal: real path of the output folder.
        selection, made: see `find`.
    """

    goal: str
    selection: Selection
    made: Callable[[str], bool]

    def folder(self, root: str, prefix: str) -> Iterator[Found]:
        """The pictures below a folder, and what is passed over."""
        # Whether outputs of this job may lie among the inputs.
        watched = self.goal == os.path.sep or f"{os.path.realpath(root)}{os.sep}".startswith(
            f"{self.goal}{os.sep}"
        )
        waiting = [(root, prefix)]
        while waiting:
            folder, relative = waiting.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        below = f"{relative}/{entry.name}" if relative else entry.name
                        if entry.is_dir():
                            skipped = self._folder_skipped(entry, below)
                            if skipped is None:
                                waiting.append((entry.path, below))
                            elif skipped:
                                yield Found(entry.path, below, skipped=skipped)
                        elif not (watched and self._is_output(entry.path)):
                            yield self._entry(entry, below)
            except OSError as error:
                reason = f"the folder cannot be read: {error.strerror}"
                yield Found(folder, relative, unreadable=reason)

    def pattern(self, pattern: str) -> Iterator[Found]:
        """What a pattern matches, mirrored from its part without wildcards on."""
        wild = _MAGIC.search(pattern)
        fixed = os.path.dirname(pattern[: wild.start()] if wild else pattern)  # noqa: PTH120
        base = os.path.abspath(fixed or ".")  # noqa: PTH100
        matched = False
        for found in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - names of any bytes
            matched = True
            path = os.path.abspath(found)  # noqa: PTH100
            relative = os.path.relpath(path, base).replace(os.sep, "/")
            if os.path.realpath(path) == self.goal:
                continue
            if os.path.isdir(path):  # noqa: PTH112
                yield from self.folder(path, "" if relative == "." else relative)
            elif not self._is_output(path):
                yield self._file(path, relative)
        if not matched:
            raise InputError(f"{pattern}: nothing matches it")

    def _folder_skipped(self, entry: os.DirEntry[str], relative: str) -> str | None:
        """Why a folder is passed over; empty for the output folder, None if it is not."""
        if entry.is_symlink():
            return "a link to a folder"
        if entry.name.startswith("."):
            return "hidden"
        if self.selection.leaves_out(relative):
            return "excluded"
        return "" if os.path.realpath(entry.path) == self.goal else None

    def _is_output(self, path: str) -> bool:
        real = os.path.realpath(path)
        if not real.startswith(f"{self.goal}{os.sep}"):
            return False
        return self.made(real[len(self.goal) + 1 :].replace(os.sep, "/"))

    def _entry(self, entry: os.DirEntry[str], relative: str) -> Found:
        skipped = self._skipped(entry.path, relative)
        if skipped is not None:
            return Found(entry.path, relative, skipped=skipped)
        try:
            return _stated(entry.path, relative, entry.stat())
        except OSError:  # gone meanwhile, or a link that leads nowhere
            return Found(entry.path, relative)

    def _file(self, path: str, relative: str) -> Found:
        skipped = self._skipped(path, relative)
        return _found(path, relative) if skipped is None else Found(path, relative, skipped=skipped)

    def _skipped(self, path: str, relative: str) -> str | None:
        name = PurePosixPath(relative).name
        if name.startswith("."):
            return "hidden"
        if not self.selection.takes(relative):
            return "excluded"
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        if suffix in SUFFIXES or suffix in OTHER_SUFFIXES:
            return None
        return "no picture" if suffix in _SIDECARS or not _begins_as_picture(path) else None


def _begins_as_picture(path: str) -> bool:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # opening a pipe would wait
            return False
        with Path(path).open("rb") as file:
            format = sniff(file.read(SNIFFED_BYTES), Path(path))
            return format is not None and format.name not in _WEAKLY_MARKED
    except OSError:
        return False


def _found(path: str, relative: str) -> Found:
    try:
        return _stated(path, relative, Path(path).stat())
    except OSError:
        return Found(path, relative)


def _stated(path: str, relative: str, status: os.stat_result) -> Found:
    return Found(path, relative, status.st_size, status.st_mtime_ns)
