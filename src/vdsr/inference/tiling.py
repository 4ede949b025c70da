"""A network of limited sight, run piece by piece, with the result of the whole.

An output pixel depends on `halo` px on every side. A tile is therefore read with
that margin, and the margin of the result is cut off. Where a tile touches the edge of
the image it has no margin there: the network pads with zeros at the image's edge, and
nowhere else may it do so.

A folded network works on squares of `fold` x `fold` px. Tiles begin and end on them, so
that every tile sees the squares of the whole image; where the image ends within a square,
mirrored px fill it (`filled`), in a tile as in the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vdsr.errors import OutOfMemory
from vdsr.model.architecture import FloatArray

Run = Callable[[FloatArray], FloatArray]

# Larger tiles gain nothing: the halo is then below a few per cent of the work.
MAX_TILE_PIXELS = 1_200_000
# The first tile of a large picture is small, so that speed is known and progress seen at once.
LEAD_PIXELS = 60_000
_LEAD_FROM = 8 * LEAD_PIXELS
# A tile that does not fit in memory is halved until its longer side is this short.
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Span:
    """Part of one axis: what a tile is to give, and what it reads for that.

    Attributes:
        start, stop: output range, px.
        before, after: margin that is read on either side, px; 0 at the image's edge.
    """

    start: int
    stop: int
    before: int
    after: int

    @classmethod
    def with_halo(cls, start: int, stop: int, length: int, halo: int) -> Span:
        """The range `start..stop` of an axis of `length` px, with its margins."""
        return cls(start, stop, min(halo, start), min(halo, length - stop))

    @property
    def outer(self) -> tuple[int, int]:
        """The range that is read."""
        return self.start - self.before, self.stop + self.after

    @property
    def outer_length(self) -> int:
        """Number of px that are read."""
        return self.stop + self.after - self.start + self.before


@dataclass(frozen=True)
class Band:
    """A row of tiles over the whole width of the image.

    Attributes:
        rows: vertical span of all its tiles.
        columns: horizontal span of each tile, from left to right.
    """

    rows: Span
    columns: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class TileLimits:
    """What a tile, and a band of tiles, may cost.

    Attributes:
        max_pixels: largest number of px that a tile reads, halo included.
        max_side: largest side of what a tile gives; None for no limit.
        max_band_rows: largest number of rows of a band; None for no limit.
        lead: whether the first tile of a large image is small, so that speed is soon known.
    """

    max_pixels: int = MAX_TILE_PIXELS
    max_side: int | None = None
    max_band_rows: int | None = None
    lead: bool = True


def plan_tiles(
    height: int, width: int, halo: int, limits: TileLimits, fold: int = 1
) -> tuple[Band, ...]:
    """Cover an image with tiles, exactly once, at the least cost in halo.

    Args:
        height, width: of the image, px.
        halo: margin that the network needs, px.
        limits: what tiles may cost. Where even one pixel and its halo is over the limit,
            tiles are as small as they can be.
        fold: of the network: all tiles begin at multiples of it, px.

    Returns:
        Bands from top to bottom.
    """
    if fold > 1:
        cells = _plan_cells(-(-height // fold), -(-width // fold), halo // fold, limits, fold)
        return tuple(
            Band(
                _in_pixels(band.rows, height, halo, fold),
                tuple(_in_pixels(columns, width, halo, fold) for columns in band.columns),
            )
            for band in cells
        )
    best: tuple[int, int, int] | None = None
    lowest = _at_least(height, limits.max_side, limits.max_band_rows)
    for bands in range(lowest, height + 1):
        rows = min(height, -(-height // bands) + 2 * halo)
        columns = _columns(width, halo, limits.max_pixels // rows, limits.max_side)
        cost = (height + 2 * halo * (bands - 1)) * (width + 2 * halo * (columns - 1))
        if columns and (best is None or cost < best[0]):
            best = (cost, bands, columns)
        if best is not None and (height + 2 * halo * (bands - 1)) * width > best[0]:
            break
    _, bands, columns = best or (0, height, width)
    spans = _spans(width, columns, halo, limits.max_side)
    first, *others = _spans(height, bands, halo, limits.max_side, limits.max_band_rows)
    lead = LEAD_PIXELS // first.outer_length - halo
    small = height * width < _LEAD_FROM or lead < halo or lead + halo >= spans[0].stop
    if small or not limits.lead:
        return tuple(Band(rows, spans) for rows in (first, *others))
    after = _spans(width, columns, halo, limits.max_side, start=lead)
    led = Band(first, (Span.with_halo(0, lead, width, halo), *after))
    return (led, *(Band(rows, spans) for rows in others))


def _plan_cells(
    height: int, width: int, halo: int, limits: TileLimits, fold: int
) -> tuple[Band, ...]:
    """`plan_tiles` in units of squares of `fold` x `fold` px."""

    def sides(limit: int | None) -> int | None:
        return None if limit is None else max(1, limit // fold)

    inner = TileLimits(
        max_pixels=max(1, limits.max_pixels // fold**2),
        max_side=sides(limits.max_side),
        max_band_rows=sides(limits.max_band_rows),
        lead=limits.lead,
    )
    return plan_tiles(height, width, halo, inner)


def _in_pixels(cells: Span, length: int, halo: int, fold: int) -> Span:
    return Span.with_halo(cells.start * fold, min(cells.stop * fold, length), length, halo)


def _at_least(length: int, *limits: int | None) -> int:
    return max([1, *(-(-length // limit) for limit in limits if limit is not None)])


def _columns(width: int, halo: int, max_outer: int, max_side: int | None) -> int:
    """Fewest columns of tiles that read at most `max_outer` px across; 0 if there is none."""
    least = _at_least(width, max_side)
    if width <= max_outer:
        return least
    inner = max_outer - 2 * halo
    return max(least, -(-width // inner)) if inner > 0 else 0


def _spans(
    length: int, count: int, halo: int, *limits: int | None, start: int = 0
) -> tuple[Span, ...]:
    """Cut an axis, or what lies behind `start`, into `count` parts.

    They read as much as each other, and none more than the first, so that a runtime's
    buffers fit them all. If one would give more than a limit allows, or nothing, they
    give as much as each other.
    """
    before = min(halo, start)
    read = length - start + before + 2 * halo * (count - 1)
    shares = [-(-read * i // count) for i in range(1, count)]
    inner = [start + share - before - halo * (2 * i + 1) for i, share in enumerate(shares)]
    cuts = [start, *inner, length]
    parts = [b - a for a, b in pairwise(cuts)]
    if min(parts) < 1 or max(parts) > min([length, *(x for x in limits if x is not None)]):
        cuts = [start + (length - start) * i // count for i in range(count + 1)]
    return tuple(Span.with_halo(a, b, length, halo) for a, b in pairwise(cuts))


def filled(y: FloatArray, fold: int) -> FloatArray:
    """Mirror the last rows and columns, until both sides are multiples of `fold`.

    Args:
        y: `[..., H, W]`.
        fold: px.

    Returns:
        `[..., H + h, W + w]`, h and w below `fold`; the outermost px comes twice.
    """
    down, right = -y.shape[-2] % fold, -y.shape[-1] % fold
    if not down and not right:
        return y
    return np.pad(y, [*[(0, 0)] * (y.ndim - 2), (0, down), (0, right)], "symmetric")


def run_window(
    run: Run, y: FloatArray, rows: Span, columns: Span, halo: int, fold: int = 1
) -> FloatArray:
    """Run the network on one tile; where memory does not suffice, on smaller and smaller ones.

    Args:
        run: the network, float32 `[1, planes, h, w]` to the same.
        y: float32 `[rows.outer_length, columns.outer_length]` for a network of one plane,
            else `[planes, ...]`: what the tile reads.
        rows, columns: the tile.
        halo: margin that the network needs, px.
        fold: of the network.

    Returns:
        float32 `[..., rows.stop - rows.start, columns.stop - columns.start]`.

    Raises:
        OutOfMemory: if the smallest tile does not fit either.
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start
    try:
        result: FloatArray = run(y.reshape(1, -1, *y.shape[-2:])).reshape(y.shape)
        top, left = rows.before, columns.before
        return result[..., top : top + height, left : left + width]
    except MemoryError as error:
        if max(height, width) <= _SMALLEST_SIDE:
            raise OutOfMemory(f"not even a tile of {width}x{height} px fits in memory") from error
    if height >= width:
        halves = [
            (y[..., slice(*part), :], span, columns) for part, span in _halves(rows, halo, fold)
        ]
        return np.concatenate([run_window(run, *half, halo, fold) for half in halves], axis=-2)
    halves = [(y[..., slice(*part)], rows, span) for part, span in _halves(columns, halo, fold)]
    return np.concatenate([run_window(run, *half, halo, fold) for half in halves], axis=-1)


def _halves(span: Span, halo: int, fold: int) -> list[tuple[tuple[int, int], Span]]:
    """Two halves of a span, and where each lies within what the span reads."""
    origin, end = span.outer
    middle = (span.start + span.stop) // 2 // fold * fold
    first = Span(span.start, middle, span.before, min(halo, end - middle))
    second = Span(middle, span.stop, min(halo, middle - origin), span.after)
    return [((s.outer[0] - origin, s.outer[1] - origin), s) for s in (first, second)]


def run_tiled(
    run: Run, y: FloatArray, halo: int, limits: TileLimits | None = None, *, fold: int = 1
) -> FloatArray:
    """Run the network on a whole picture, tile by tile.

    Args:
        run: the network, float32 `[1, planes, h, w]` to the same.
        y: float32 `[H, W]` for a network of one plane, else `[planes, H, W]`.
        halo: margin that the network needs, px.
        limits: what tiles may cost.
        fold: of the network.

    Returns:
        The same shape, equal to the network on the whole picture up to rounding.
    """
    result = np.empty_like(y)
    height, width = y.shape[-2:]
    for band in plan_tiles(height, width, halo, limits or TileLimits(), fold):
        for columns in band.columns:
            window = y[..., slice(*band.rows.outer), slice(*columns.outer)]
            inner = (slice(band.rows.start, band.rows.stop), slice(columns.start, columns.stop))
            result[..., *inner] = run_window(run, window, band.rows, columns, halo, fold)
    return result
