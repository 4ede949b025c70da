"""What the page shows of a picture and its result: windows as PNG, and how well both agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.files import PictureReader
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.resample import Axis, Bicubic
from vdsr.inference.comparison_page import GAIN, MIDDLE
from vdsr.inference.pipeline import ValueRange

KINDS = ("before", "after", "residual")
# Longest side of what is shown at once, px.
MAX_SIDE = 2048
_ROWS = 64

Box = tuple[int, int, int, int]


def view(source: str, result: str, page: int | None, kind: str, box: list[int] | None) -> bytes:
    """A window of a result, of bicubic interpolation alone, or of the difference.

    Args:
        source, result: files of the picture and of the result.
        page: of the source.
        kind: one of `KINDS`; `residual` is gray where nothing was added.
        box: left, top, width and height in the result, px; None for all of it, shrunk
            by a whole number where it is larger than `MAX_SIDE`.

    Returns:
        A PNG of 8 bits.

    Raises:
        UsageError: for a window that lies outside.
        InputError: if a file cannot be read.
    """
    small, large = PictureReader(Path(source), page), PictureReader(Path(result))
    whole = (0, 0, large.width, large.height)
    if box is None:
        factor = math.ceil(max(large.width, large.height) / MAX_SIDE)
        if factor == 1:
            return view(source, result, page, kind, list(whole))
        if kind == "residual":
            raise UsageError("what was added to a picture as large as this is shown in windows")
        reader = small if kind == "before" else large
        factor = math.ceil(max(reader.width, reader.height) / MAX_SIDE)
        return _png(_mean(reader.strips(), _range(reader), reader.has_alpha, factor), reader)
    left, top, width, height = _inside((box[0], box[1], box[2], box[3]), whole)
    if kind == "after":
        return _png(_window(large, left, top, width, height), large)
    before = _bicubic(small, large, (left, top, width, height))
    if kind == "before":
        return _png(before, small)
    after = _window(large, left, top, width, height)
    colors = min(len(before), len(after))
    added = (after[:colors] - before[:colors]) * 255.0
    if colors in (2, 4):
        added = added[:-1]
    return _png((MIDDLE + GAIN * added) / 255.0, None)


def figures(source: str, result: str, page: int | None) -> dict[str, Any]:
    """How well a result, shrunk again, agrees with its picture.

    Returns:
        `psnr` in dB over all samples, with the range of the picture as peak (None where they
        are equal), and `largest`, the largest difference, in levels of 255.
    """
    small, large = PictureReader(Path(source), page), PictureReader(Path(result))
    shrink = Bicubic(
        Axis.by_size(large.height, small.height), Axis.by_size(large.width, small.width)
    )
    squares, worst, count = 0.0, 0.0, 0
    given = _planes(small.strips(), _range(small), small.has_alpha)
    made = _planes(large.strips(), _range(large), large.has_alpha)
    held, first, top = next(made), 0, 0
    for strip in given:
        rows = (top, top + strip.shape[1])
        low, high = shrink.rows.needed(*rows)
        while first + held.shape[1] < high:
            held = np.concatenate([held, next(made)], axis=1)
        held, first = held[:, low - first :], low
        shrunk = shrink.window(held, rows=rows, first_row=first)
        bands = min(len(shrunk), len(strip))
        difference = np.clip(shrunk[:bands], 0.0, 1.0) - strip[:bands]
        squares += float(np.square(difference, dtype=np.float64).sum())
        worst = max(worst, float(np.abs(difference).max()))
        count += difference.size
        top = rows[1]
    psnr = None if squares == 0.0 else -10.0 * math.log10(squares / count)
    return {"psnr": psnr, "largest": 255.0 * worst}


def _inside(box: Box, whole: Box) -> Box:
    left, top, width, height = box
    if not (0 <= left < whole[2] and 0 <= top < whole[3] and width > 0 and height > 0):
        raise UsageError(f"no window {box} in a result of {whole[2]}x{whole[3]} px")
    return left, top, min(width, whole[2] - left, MAX_SIDE), min(height, whole[3] - top, MAX_SIDE)


def _range(reader: PictureReader) -> ValueRange:
    return ValueRange.of(reader.dtype, reader.strips(), reader.has_alpha)


def _planes(
    strips: Iterable[Samples], values: ValueRange, alpha: bool
) -> Iterator[NDArray[np.float32]]:
    for strip in strips:
        yield values.to_planes(strip, alpha)


def _window(
    reader: PictureReader, left: int, top: int, width: int, height: int
) -> NDArray[np.float32]:
    samples = reader.crop(left, top, width, height)
    return _range(reader).to_planes(samples, reader.has_alpha)


def _bicubic(small: PictureReader, large: PictureReader, box: Box) -> NDArray[np.float32]:
    """A window of the picture, enlarged by bicubic interpolation to the size of the result."""
    left, top, width, height = box
    bicubic = Bicubic(
        Axis.by_size(small.height, large.height), Axis.by_size(small.width, large.width)
    )
    low, high = bicubic.rows.needed(top, top + height)
    samples = small.crop(0, low, small.width, high - low)
    planes = _range(small).to_planes(samples, small.has_alpha)
    return bicubic.window(
        planes, rows=(top, top + height), columns=(left, left + width), first_row=low
    )


def _mean(
    strips: Iterable[Samples], values: ValueRange, alpha: bool, factor: int
) -> NDArray[np.float32]:
    """All of a picture, each square of `factor` px as its mean; what is left over is cut off."""
    rows, held = [], None
    for strip in _planes(strips, values, alpha):
        held = strip if held is None else np.concatenate([held, strip], axis=1)
        high, wide = held.shape[1] // factor, held.shape[2] // factor
        used = held[:, : high * factor, : wide * factor]
        rows.append(used.reshape(len(held), high, factor, wide, factor).mean((2, 4)))
        held = held[:, high * factor :]
    return np.concatenate(rows, axis=1)


def _png(planes: NDArray[np.float32], reader: PictureReader | None) -> bytes:
    """`[bands, H, W]` in 0..1 as a PNG, with the profile of its picture."""
    levels = np.clip(np.rint(planes * 255.0), 0, 255).astype(np.uint8)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    profile = "icc-profile-data"
    if reader is not None and reader.header.get_typeof(profile):
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, profile, reader.header.get(profile))
    data: bytes = image.write_to_buffer(".png", compression=1)
    return data
