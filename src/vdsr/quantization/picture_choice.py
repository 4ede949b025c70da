"""A few pictures, evenly from all that some folders hold; never those of evaluation sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vdsr.data import leaks
from vdsr.data.folders import files_in, none_found, usable
from vdsr.data.packfile import Picture
from vdsr.quantization.spread import spread


@dataclass(frozen=True, kw_only=True)
class PictureChoice:
    """Pictures that were read.

    Attributes:
        pictures: uint8 `[H, W]`, studio-range luma, or RGB `[H, W, 3]`; in the order of their
            names.
        names: folder and path of each.
        files: how many picture files the folders hold.
        left_out: those that were read and not taken: a line each, with the reason.
    """

    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    files: int
    left_out: tuple[str, ...]


def choose_pictures(
    folders: Sequence[Path], count: int, *, smallest: int, color: bool = False
) -> PictureChoice:
    """Read pictures of some folders, and no more than are needed.

    Left out, and replaced by others, are files that cannot be read, pictures that are too
    small, second copies, and pictures of evaluation sets.

    Args:
        folders: searched with all folders below them.
        count: how many pictures, 1 or more; fewer if there are no more.
        smallest: px that both sides have at least.
        color: whether they are to be RGB, or luma.

    Raises:
        InputError: if a folder is missing, or no picture is left.
    """
    files = files_in(folders)
    order = {file: i for i, file in enumerate(files)}
    left_out: list[str] = []
    read = usable(
        (files[i] for i in spread(len(files))),
        smallest=smallest,
        color=color,
        known=leaks.published(),
        left_out=left_out,
    )
    found = sorted(islice(read, count), key=lambda one: order[one[0]])
    if not found:
        raise none_found(folders, "calibrate or validate on", left_out)
    _, names, pictures = zip(*found, strict=True)
    return PictureChoice(pictures=pictures, names=names, files=len(files), left_out=tuple(left_out))
