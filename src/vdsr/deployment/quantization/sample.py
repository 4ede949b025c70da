"""A few pictures, evenly from all that some folders hold; never those of evaluation sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdsr.deployment.quantization.spread import spread
from vdsr.errors import InputError
from vdsr.imaging.files import FORMATS
from vdsr.training import leaks
from vdsr.training.pack import read_luma
from vdsr.training.packfile import Luma

_SUFFIXES = frozenset(suffix for format in FORMATS.values() for suffix in format.suffixes)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Pictures that were read.

    Attributes:
        pictures: uint8 `[H, W]`, studio-range luma, in the order of their names.
        names: folder and path of each.
        files: how many picture files the folders hold.
        left_out: those that were read and not taken: a line each, with the reason.
    """

    pictures: tuple[Luma, ...]
    names: tuple[str, ...]
    files: int
    left_out: tuple[str, ...]


def sample(folders: Sequence[Path], count: int, *, smallest: int) -> Sample:
    """Read pictures of some folders, and no more than are needed.

    Left out, and replaced by others, are files that cannot be read, pictures that are too
    small, second copies, and pictures of evaluation sets.

    Args:
        folders: searched with all folders below them.
        count: how many pictures; fewer if there are no more.
        smallest: px that both sides have at least.

    Raises:
        InputError: if a folder is missing, or no picture is left.
    """
    files = [(folder, path) for folder in folders for path in _files(folder)]
    found: dict[int, tuple[str, Luma]] = {}
    left_out: list[str] = []
    seen: dict[str, str] = {}
    for i in spread(len(files)):
        folder, path = files[i]
        name = f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
        try:
            picture = read_luma(path)
        except InputError as error:
            left_out.append(str(error))
            continue
        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()
        reason = _reason(picture, smallest, seen.get(digest))
        if reason:
            left_out.append(f"{path}: {reason}")
            continue
        seen[digest] = name
        found[i] = name, picture
        if len(found) == count:
            break
    if not found:
        searched = ", ".join(str(folder) for folder in folders)
        why = f" (the first of {len(left_out)} left out: {left_out[0]})" if left_out else ""
        raise InputError(f"{searched}: no pictures to calibrate or validate on{why}")
    names, pictures = zip(*(found[i] for i in sorted(found)), strict=True)
    return Sample(pictures=pictures, names=names, files=len(files), left_out=tuple(left_out))


def _reason(picture: Luma, smallest: int, copy_of: str | None) -> str | None:
    """Why a picture is not taken, or None."""
    if min(picture.shape) < smallest:
        height, width = picture.shape
        return f"{width}x{height} px are too small: {smallest} px to both sides are needed"
    if copy_of is not None:
        return f"the same picture as {copy_of}"
    evaluated = leaks.find(picture, leaks.published())
    if evaluated is not None:
        return f"it is {evaluated}, which results are measured on"
    return None


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    yield from sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
