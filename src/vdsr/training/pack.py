"""From folders of photographs to a pack: the one part of training that reads any format.

It needs libvips, and so is no part of the way that trains: that reads packs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vdsr.errors import InputError
from vdsr.imaging.color import STUDIO
from vdsr.training import leaks
from vdsr.training.leaks import Fingerprint
from vdsr.training.packfile import Luma, Pack, make_pack

# Less than the smallest patch that anybody trains on.
SMALLEST = 32
_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What became of some folders.

    Attributes:
        pack: the pictures.
        left_out: the others: a line each, with the reason.
    """

    pack: Pack
    left_out: tuple[str, ...]


def pack_folders(
    folders: Sequence[Path],
    *,
    licence: str = "unknown",
    evaluation: Sequence[Path] = (),
    keep_evaluation: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Packed:
    """Read all pictures of some folders as luma.

    Colour becomes studio-range luma (BT.601), rounded to 8 bits; gray pictures are
    taken for luma as they are. Left out are files that cannot be read, pictures smaller
    than 32 px, second copies, and pictures of evaluation sets.

    Args:
        folders: searched with all folders below them, files in the order of their names.
        licence: terms of the pictures, for the card of what is trained on them.
        evaluation: folders of further pictures that must not be trained on, beside those
            of Set5 and Set14, which are known.
        keep_evaluation: keep pictures of evaluation sets: for experiments only.
        progress: called with files done and files in all.

    Raises:
        InputError: if a folder is missing, or no picture is left.
    """
    known = {} if keep_evaluation else {**leaks.published(), **_fingerprints(evaluation)}
    files = [(folder, path) for folder in folders for path in _files(folder)]
    pictures, names, left_out = [], [], []
    seen: dict[str, str] = {}
    for done, (folder, path) in enumerate(files):
        progress(done, len(files))
        name = f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
        try:
            picture = read_luma(path)
        except InputError as error:
            left_out.append(str(error))
            continue
        digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).hexdigest()
        reason = _reason(picture, seen.get(digest), known)
        if reason:
            left_out.append(f"{path}: {reason}")
            continue
        seen[digest] = name
        pictures.append(picture)
        names.append(name)
    progress(len(files), len(files))
    if not pictures:
        searched = ", ".join(str(folder) for folder in folders)
        why = f" (the first of {len(left_out)}: {left_out[0]})" if left_out else ""
        raise InputError(f"{searched}: no pictures to train on{why}")
    data = " + ".join(folder.resolve().name for folder in folders)
    return Packed(
        pack=make_pack(pictures, names, data=data, licence=licence), left_out=tuple(left_out)
    )


def read_luma(path: Path) -> Luma:
    """A picture file of any format as luma.

    Returns:
        uint8 `[H, W]`; transparency is ignored.

    Raises:
        InputError: if it cannot be read.
    """
    from vdsr.imaging.files import PictureReader

    reader = PictureReader(path)
    peak = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[reader.dtype]
    rows = []
    for strip in reader.strips():
        samples = np.moveaxis(strip, -1, 0).astype(np.float32) * np.float32(255.0 / peak)
        y = STUDIO.luma(samples[:3]) if reader.bands >= 3 else samples[0]
        rows.append(np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8))
    return np.concatenate(rows)


def _reason(picture: Luma, copy_of: str | None, known: dict[str, Fingerprint]) -> str | None:
    """Why a picture is not trained on, or None."""
    if min(picture.shape) < SMALLEST:
        height, width = picture.shape
        return f"{width}x{height} px are too small to train on"
    if copy_of is not None:
        return f"the same picture as {copy_of}"
    evaluated = leaks.find(picture, known)
    if evaluated is not None:
        return f"it is {evaluated}, which results are measured on"
    return None


def _fingerprints(folders: Sequence[Path]) -> dict[str, Fingerprint]:
    return {
        f"{folder.resolve().name}/{path.stem}": leaks.fingerprint(read_luma(path))
        for folder in folders
        for path in _files(folder)
    }


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    yield from sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
