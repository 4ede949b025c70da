"""Pictures of folders, to learn or to calibrate from; never those of evaluation sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.data import leaks
from vdsr.data.leaks import Fingerprint
from vdsr.data.packfile import Luma, Picture
from vdsr.errors import InputError
from vdsr.imaging.color import STUDIO
from vdsr.imaging.files import SUFFIXES, PictureReader
from vdsr.inputs import is_folder

File = tuple[Path, Path]
Levels = NDArray[np.float32]


def files_in(folders: Sequence[Path]) -> list[File]:
    """All picture files, each with the folder it was found in, in the order of their names.

    Raises:
        InputError: if a folder is missing.
    """
    found = []
    for folder in folders:
        if not is_folder(folder):
            raise InputError(f"{folder}: there is no such folder")
        found += [(folder, path) for path in sorted(folder.rglob("*")) if _is_picture(path)]
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")


def usable(
    files: Iterable[File],
    *,
    smallest: int,
    known: Mapping[str, Fingerprint],
    left_out: list[str],
    color: bool = False,
) -> Iterator[tuple[File, str, Picture]]:
    """Read pictures, one after the other.

    Args:
        files: which.
        smallest: px that both sides have at least.
        known: fingerprints of pictures that must not be among them, by name.
        left_out: takes a line, with the reason, for each file that cannot be read, is too
            small, shows the same as one before, or is known.
        color: whether pictures are RGB, or luma.

    Yields:
        The file; its name, of its folder and its path there; uint8 `[H, W]`, or in color
        `[H, W, 3]`.
    """
    seen: dict[str, str] = {}
    for file in files:
        folder, path = file
        try:
            picture = read_rgb(path) if color else read_luma(path)
        except InputError as error:
            left_out.append(str(error))
            continue
        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()
        height, width = picture.shape[:2]
        if min(height, width) < smallest:
            reason = (
                f"{width}x{height} px are too small: {smallest} px in both dimensions are needed"
            )
        elif digest in seen:
            reason = f"the same picture as {seen[digest]}"
        elif (evaluated := leaks.find(_luma(picture), known)) is not None:
            reason = f"it is {evaluated}, which results are measured on"
        else:
            seen[digest] = f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
            yield file, seen[digest], picture
            continue
        left_out.append(f"{path}: {reason}")


def read_luma(path: Path) -> Luma:
    """A picture file of any format as luma.

    Color becomes studio-range luma (BT.601), rounded to 8 bits; gray pictures are taken for
    luma as they are.

    Returns:
        uint8 `[H, W]`; transparency is ignored.

    Raises:
        InputError: if it cannot be read.
    """
    rows = []
    for levels in _levels(path):
        color = levels.shape[-1] >= 3
        y = STUDIO.luma(np.moveaxis(levels[..., :3], -1, 0)) if color else levels[..., 0]
        rows.append(_rounded(y))
    return np.concatenate(rows)


def read_rgb(path: Path) -> Picture:
    """A picture file of any format as RGB of 8 bits; gray becomes R = G = B.

    Returns:
        uint8 `[H, W, 3]`; transparency is ignored.

    Raises:
        InputError: if it cannot be read.
    """
    rows = []
    for levels in _levels(path):
        color = levels.shape[-1] >= 3
        rows.append(_rounded(levels[..., :3] if color else np.repeat(levels[..., :1], 3, -1)))
    return np.concatenate(rows)


def _levels(path: Path) -> Iterator[Levels]:
    """Strips of a picture, float32 `[H, W, bands]` in 0..255, transparency too."""
    reader = PictureReader(path)
    peak = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[reader.dtype]
    for strip in reader.strips():
        yield strip.astype(np.float32) * np.float32(255.0 / peak)


def _rounded(levels: Levels) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)
    return rounded


def _luma(picture: Picture) -> Luma:
    if picture.ndim == 2:
        return picture
    y = STUDIO.luma(np.asarray(np.moveaxis(picture, -1, 0), np.float32))
    luma: Luma = np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8)
    return luma


def none_found(folders: Sequence[Path], purpose: str, left_out: Sequence[str]) -> InputError:
    """What to say if not one picture of some folders is usable.

    Args:
        folders: that were searched.
        purpose: what the pictures were wanted for.
        left_out: see `usable`.
    """
    searched = ", ".join(str(folder) for folder in folders)
    why = f" (the first of {len(left_out)} left out: {left_out[0]})" if left_out else ""
    return InputError(f"{searched}: no pictures to {purpose}{why}")
