"""A network compiled for one input size, run on pictures of any size.

Windows of that size cover the picture, lie within it and overlap by twice the halo; the
halo is cut off where another window goes on, as `vdsr.inference.tiling` does. At the
picture's edges lie those of a window, so that the network pads there and nowhere else.
A side that is shorter than the window is filled with mirrored px, which are cut off again:
within the halo of them the result is not that of a network that pads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vdsr.errors import UsageError
from vdsr.inference.tiling import Span
from vdsr.model.architecture import FloatArray

RunMany = Callable[[Iterable[FloatArray]], Iterator[FloatArray]]


def windows(length: int, side: int, halo: int) -> tuple[Span, ...]:
    """Cover an axis with windows of one length, each px given exactly once.

    Args:
        length: of the axis, px; at least `side`.
        side: what each window reads, px.
        halo: margin that the network needs, px.

    Raises:
        UsageError: if a window is all halo, and there must be more than one.
    """
    inner = side - 2 * halo
    if length > side and inner < 1:
        raise UsageError(
            f"a picture of {length} px cannot be run in windows of {side} px: the network needs"
            f" {halo} px around each of its px: compile it for more than {2 * halo} px"
        )
    spans, start = [], 0
    while start < length:
        first = min(max(0, start - halo), length - side)
        stop = length if first + side == length else first + side - halo
        spans.append(Span(start, stop, start - first, first + side - stop))
        start = stop
    return tuple(spans)


def run_fixed(run: RunMany, y: FloatArray, size: tuple[int, int], halo: int) -> FloatArray:
    """Run the network on a picture, window by window.

    Args:
        run: the network on many windows, float32 `[height, width]` each, to the same, in order.
        y: float32 `[H, W]`.
        size: height and width of a window, px.
        halo: margin that the network needs, px.

    Returns:
        float32 `[H, W]`.

    Raises:
        UsageError: if the picture is larger than a window, and a window is all halo.
    """
    height, width = y.shape
    missing = [(0, max(0, side - own)) for side, own in zip(size, y.shape, strict=True)]
    whole = np.pad(y, missing, "symmetric")
    rows, columns = (
        windows(length, side, halo) for length, side in zip(whole.shape, size, strict=True)
    )
    places = [(row, column) for row in rows for column in columns]
    result = np.empty_like(whole)
    given = run(whole[slice(*row.outer), slice(*column.outer)] for row, column in places)
    for (row, column), plane in zip(places, given, strict=True):
        result[row.start : row.stop, column.start : column.stop] = plane[
            row.before : row.before + row.stop - row.start,
            column.before : column.before + column.stop - column.start,
        ]
    return result[:height, :width]
