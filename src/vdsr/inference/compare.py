"""Two picture files compared: a picture and its enlargement, or any two results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.files import PictureReader, PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.images import AnyPath
from vdsr.imaging.resample import Axis, Bicubic
from vdsr.inference.comparison import Comparison, Measures
from vdsr.inference.comparison_page import comparison_page
from vdsr.inference.pipeline import RowBuffer, ValueRange
from vdsr.outputs import refuse_existing, write_whole

_ROWS = 64
# Everything is compared as floats in 0..1.
_UNIT = ValueRange(0.0, 1.0)


def compare(
    first: AnyPath,
    second: AnyPath,
    *,
    original: AnyPath | None = None,
    output: AnyPath | None = None,
    overwrite: bool = False,
) -> Measures:
    """Compare two picture files.

    Args:
        first, second: a picture and its enlargement: the smaller one is enlarged by bicubic
            interpolation, and the other is also shrunk again and compared with it. Or two
            pictures of one size.
        original: a picture file of the size of the larger one: what it should be.
        output: HTML file of the page, which needs no other; None for none.
        overwrite: whether an existing page may be replaced.

    Returns:
        What was found.

    Raises:
        InputError: if one cannot be read, or they cannot be compared.
        OutputError: if the page cannot be written.
    """
    goal = None if output is None else Path(output)
    if goal is not None:
        refuse_existing(goal, overwrite=overwrite)
    a, b = _Side(Path(first)), _Side(Path(second))
    sides = [a, b] if original is None else [a, b, _Side(Path(original))]
    largest = max(sides[:2], key=lambda side: (side.reader.height, side.reader.width))
    shape = largest.shape
    for side in sides[:2]:
        if side.shape[0] > shape[0] or side.shape[1] > shape[1]:
            raise InputError(
                f"{first} has {a.size} px and {second} {b.size}: neither is an enlargement of"
                " the other"
            )
    if original is not None and sides[2].shape != shape:
        raise InputError(
            f"{original}: the original has {sides[2].size} px, and what is compared with it"
            f" {largest.size}"
        )
    colors = max(side.colors for side in sides)
    alpha = all(side.reader.has_alpha for side in sides[:2])
    layout = PixelLayout(width=shape[1], height=shape[0], bands=colors + alpha, dtype="float32")
    smaller = next((side for side in (a, b) if side.shape != shape), None)
    names = _names(a, b, smaller)
    small = None
    if smaller is not None:
        source = smaller
        inner = replace(layout, width=source.shape[1], height=source.shape[0])
        small = (inner, lambda: source.strips(colors, alpha))
    comparison = Comparison(
        layout,
        _UNIT,
        names,
        small=small,
        original=None if original is None else sides[2].strips(colors, alpha),
    )
    rows = [RowBuffer(side.enlarged(shape, colors, alpha), shape[0]) for side in (a, b)]
    for top in range(0, shape[0], _ROWS):
        end = min(top + _ROWS, shape[0])
        comparison.take(rows[0].take(top, end), rows[1].take(top, end))
    if goal is not None:
        title = f"{Path(first).name} and {Path(second).name}"
        write_whole(goal, comparison_page(title, comparison), overwrite=overwrite)
    return comparison.measures()


class _Side:
    """One of the pictures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = PictureReader(path)
        reader = self.reader
        self.shape = (reader.height, reader.width)
        self.size = f"{reader.width}x{reader.height}"
        self.colors = reader.bands - reader.has_alpha
        self._values = ValueRange.of(reader.dtype, reader.strips(), reader.has_alpha)

    def strips(self, colors: int, alpha: bool) -> Iterator[Samples]:
        """Floats in 0..1 with as many bands as all the pictures have."""
        for strip in self.reader.strips():
            planes = self._values.to_planes(strip, self.reader.has_alpha)
            parts = planes[: self.colors]
            if self.colors < colors:
                parts = np.repeat(parts, colors, axis=0)
            if alpha:
                parts = np.concatenate([parts, planes[-1:]])
            yield np.ascontiguousarray(parts.transpose(1, 2, 0))

    def enlarged(self, shape: tuple[int, int], colors: int, alpha: bool) -> Iterable[Samples]:
        """The same by bicubic interpolation; as it is, if it has this size."""
        if self.shape == shape:
            yield from self.strips(colors, alpha)
            return
        bicubic = Bicubic(*(Axis.by_size(a, b) for a, b in zip(self.shape, shape, strict=True)))
        rows = RowBuffer(self.strips(colors, alpha), self.shape[0])
        for top in range(0, shape[0], _ROWS):
            end = min(top + _ROWS, shape[0])
            low, high = bicubic.rows.needed(top, end)
            planes = np.array(rows.take(low, high).transpose(2, 0, 1), np.float32, order="C")
            large = bicubic.window(_visible(planes, alpha), rows=(top, end), first_row=low)
            if alpha:
                opacity = np.clip(large[-1:], 0.0, 1.0)
                divided = large[:-1] / np.where(opacity > 0, opacity, np.float32(1.0))
                large = np.concatenate([divided, opacity])
            yield np.ascontiguousarray(np.clip(large, 0.0, 1.0).transpose(1, 2, 0))


def _visible(planes: NDArray[np.float32], alpha: bool) -> NDArray[np.float32]:
    return np.concatenate([planes[:-1] * planes[-1:], planes[-1:]]) if alpha else planes


def _names(a: _Side, b: _Side, smaller: _Side | None) -> tuple[str, str]:
    """What the two are called: by their files, and by bicubic where that is what is shown."""
    names = [a.path.name, b.path.name]
    if names[0] == names[1]:
        names = [str(a.path), str(b.path)]
    found = [
        "bicubic" if side is smaller else name for side, name in zip((a, b), names, strict=True)
    ]
    return found[0], found[1]
