"""Pictures that exports are checked on: real ones, or one that is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.files import SUFFIXES, PictureReader

RGB = NDArray[np.uint8]

MOST = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures to check on.

    Attributes:
        source: where they are from, for people.
        pictures: uint8 `[H, W, 3]`, of several shapes.
    """

    source: str
    pictures: tuple[RGB, ...]


def check_pictures(folder: Path | None, *, side: int) -> Pictures:
    """Pictures to check an export on.

    Args:
        folder: of picture files; the first `MOST` by name are taken. None draws two.
        side: longest side of what is taken, px. Every other picture is taken less wide, so
            that an export that takes but one size is found out.

    Raises:
        InputError: if there are none, or one cannot be read.
    """
    if folder is None:
        whole = [drawn(side), drawn(side)]
        source = "generated"
    else:
        whole = [_read(path) for path in _paths(folder)]
        source = str(folder)
    return Pictures(
        source,
        tuple(
            _middle(rgb, side, side if i % 2 == 0 else max(1, side * 3 // 4))
            for i, rgb in enumerate(whole)
        ),
    )


def drawn(side: int) -> RGB:
    """A picture with edges, gradients and texture: uint8 `[side, side, 3]`, always the same."""
    y, x = np.mgrid[:side, :side] / float(side)
    rng = np.random.default_rng(0)
    rings = np.sin(120.0 * ((x - 0.3) ** 2 + (y - 0.7) ** 2))
    stripes = np.where((40.0 * (x + 0.6 * y)) % 2.0 < 1.0, 1.0, -1.0)
    noise = rng.normal(size=(side, side))
    planes = [
        0.5 + 0.45 * np.where(x + y < 0.9, rings, stripes) * (0.4 + 0.6 * y),
        x * y + 0.15 * noise * (x > 0.6),
        np.where((x - 0.6) ** 2 + (y - 0.3) ** 2 < 0.04, 0.95, 0.2 + 0.6 * x),
    ]
    rgb: RGB = np.clip(np.stack(planes, -1) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return rgb


def _paths(folder: Path) -> list[Path]:
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{folder}: the pictures cannot be read: {text}") from error
    if not paths:
        raise InputError(f"{folder}: there are no pictures directly in this folder")
    return paths[:MOST]


def _read(path: Path) -> RGB:
    reader = PictureReader(path)
    samples = np.concatenate(list(reader.strips()))
    colors = samples[..., :-1] if reader.has_alpha else samples
    unit = 1.0 if samples.dtype == np.float32 else np.iinfo(samples.dtype).max / 255.0
    peak = 255.0 if samples.dtype == np.float32 else 1.0
    levels = np.clip(np.rint(colors / unit * peak), 0, 255).astype(np.uint8)
    rgb: RGB = np.broadcast_to(levels, (*levels.shape[:2], 3))
    return rgb


def _middle(rgb: RGB, height: int, width: int) -> RGB:
    top, left = (max(0, (n - m) // 2) for n, m in zip(rgb.shape, (height, width), strict=False))
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])
