"""One picture of a film after the other, enlarged: luma by the network, chroma by bicubic.

What a network adds is added to luma in the film's own range and depth; there is no RGB in
between. Regions that are what they were in the picture before, exactly, and as far as the
network sees, are not computed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.color import ColorRange
from vdsr.imaging.resample import Bicubic
from vdsr.inference.tiling import Run, Span, TileLimits, plan_tiles, run_window
from vdsr.model.architecture import FloatArray
from vdsr.video.planes import FULL_RANGE, Plane, PlaneFormat, chroma_axes

# Side of the regions that are compared, px of the result; whole squares of every fold.
_CELL = 96
# Side of the part that tells how long a picture takes, px of the result.
_PROBE = 192


@dataclass(frozen=True, kw_only=True)
class Luma:
    """The network, and how luma goes through it.

    Attributes:
        passes: bicubic enlargements, one after the other.
        run: the network.
        halo, fold: of it.
        color: its luma range.
        max_pixels: most px that a tile may read.
    """

    passes: tuple[Bicubic, ...]
    run: Run
    halo: int
    fold: int
    color: ColorRange
    max_pixels: int


@dataclass(kw_only=True)
class Work:
    """Pixels of luma that the network gave, and those that stayed as they were."""

    computed: int = 0
    kept: int = 0


@dataclass(kw_only=True)
class FrameEnlarger:
    """Enlarges the pictures of a film in order.

    Attributes:
        luma: the network.
        source, goal: formats of the planes, before and after.
        color_range: of the film, as FFmpeg counts: 2 is full range, all else studio range.
        siting: of chroma, see `vdsr.video.planes.chroma_axes`.
        side_by_side: whether each picture is bicubic at the left, and the result at the right.
        work: what was done.
    """

    luma: Luma
    source: PlaneFormat
    goal: PlaneFormat
    color_range: int
    siting: str | None
    side_by_side: bool = False
    work: Work = field(default_factory=Work)
    _before: list[Plane] = field(default_factory=list)
    _after: list[Plane] = field(default_factory=list)

    def forget(self) -> None:
        """Compute the next picture whole, so that it does not depend on those before."""
        self._before, self._after = [], []

    def seconds(self) -> float:
        """Seconds that the network takes for a whole picture, measured on a small part of it."""
        last = self.luma.passes[-1]
        values = np.random.default_rng(0).random(last.shape_in, np.float32)
        rows, columns = (
            Span.with_halo(0, min(_PROBE, side), side, self.luma.halo) for side in last.shape_out
        )
        taken = 0.0
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            self._region(values, last, rows, columns)
            taken = time.perf_counter() - start
        pixels = sum(_cost(self._tiles(bicubic)) for bicubic in self.luma.passes)
        return taken * pixels / (rows.outer_length * columns.outer_length)

    def enlarge(self, planes: list[Plane]) -> list[Plane]:
        """The planes of the next picture, enlarged.

        Args:
            planes: `[rows, columns]` of uint8 or uint16 samples: luma; Cb, Cr; alpha, as
                `source` has them.

        Returns:
            As `goal` has them. They are held for the next picture: not to be changed.
        """
        full = self.color_range == FULL_RANGE
        after = [self._luma(planes[0], full)]
        if self.goal.chroma:
            for i in (1, 2):
                colored = self.source.chroma
                after.append(self._chroma(planes[i], i, full) if colored else _gray(self))
        if self.goal.alpha:
            after.append(self._alpha(planes[-1]))
        self._before = [np.array(plane) for plane in planes]
        self._after = after
        return [self._beside(plane, i, planes, full) for i, plane in enumerate(after)]

    def _luma(self, y: Plane, full: bool) -> Plane:
        low, high = self.source.luma_range(full=full)
        values: FloatArray = (y.astype(np.float32) - np.float32(low)) / np.float32(high - low)
        shape = self.luma.passes[-1].shape_out
        if len(self.luma.passes) > 1:
            if self._same(y, 0):
                self.work.kept += shape[0] * shape[1]
                return self._after[0]
            for bicubic in self.luma.passes:
                values = self._whole(values, bicubic)
            self.work.computed += shape[0] * shape[1]
            return self._samples(values, full)
        bicubic = self.luma.passes[0]
        regions = self._changed(y, bicubic)
        if regions is None:
            self.work.computed += shape[0] * shape[1]
            return self._samples(self._whole(values, bicubic), full)
        result = self._after[0].copy() if regions else self._after[0]
        fresh = 0
        for rows, columns in regions:
            part = self._region(values, bicubic, rows, columns)
            result[rows.start : rows.stop, columns.start : columns.stop] = self._samples(part, full)
            fresh += part.size
        self.work.computed += fresh
        self.work.kept += shape[0] * shape[1] - fresh
        return result

    def _whole(self, values: FloatArray, bicubic: Bicubic) -> FloatArray:
        result = np.empty(bicubic.shape_out, np.float32)
        for rows, columns in self._tiles(bicubic):
            part = self._region(values, bicubic, rows, columns)
            result[rows.start : rows.stop, columns.start : columns.stop] = part
        return result

    def _tiles(self, bicubic: Bicubic) -> Iterator[tuple[Span, Span]]:
        limits = TileLimits(max_pixels=self.luma.max_pixels, lead=False)
        for band in plan_tiles(*bicubic.shape_out, self.luma.halo, limits, self.luma.fold):
            for columns in band.columns:
                yield band.rows, columns

    def _region(
        self, values: FloatArray, bicubic: Bicubic, rows: Span, columns: Span
    ) -> FloatArray:
        """Luma in 0..1 of one region of the result: bicubic, and what the network adds."""
        large = _interpolated(values, bicubic, rows.outer, columns.outer)
        span = np.float32(self.luma.color.luma_span / 255.0)
        given: FloatArray = large * span + np.float32(self.luma.color.luma_offset / 255.0)
        restored = run_window(self.luma.run, given, rows, columns, self.luma.halo, self.luma.fold)
        inner = (
            slice(rows.before, rows.before + rows.stop - rows.start),
            slice(columns.before, columns.before + columns.stop - columns.start),
        )
        result: FloatArray = large[inner] + (restored - given[inner]) / span
        return result

    def _changed(self, y: Plane, bicubic: Bicubic) -> list[tuple[Span, Span]] | None:
        """Regions that differ from the picture before; None if that is best done whole."""
        if not self._before or self._before[0].shape != y.shape:
            return None
        differs = y != self._before[0]
        if not differs.any():
            return []
        if differs.mean() > 0.5:
            return None
        height, width = bicubic.shape_out
        halo = self.luma.halo
        down = [Span.with_halo(a, min(a + _CELL, height), height, halo) for a in _starts(height)]
        across = [Span.with_halo(a, min(a + _CELL, width), width, halo) for a in _starts(width)]
        cells = np.zeros((len(down), len(across)), bool)
        for i, rows in enumerate(down):
            line = differs[slice(*bicubic.rows.needed(*rows.outer))].any(0)
            for j, columns in enumerate(across):
                cells[i, j] = line[slice(*bicubic.columns.needed(*columns.outer))].any()
        regions = [
            (
                Span.with_halo(a * _CELL, min(b * _CELL, height), height, halo),
                Span.with_halo(c * _CELL, min(d * _CELL, width), width, halo),
            )
            for a, b, c, d in _rectangles(cells)
        ]
        largest = max(r.outer_length * c.outer_length for r, c in regions)
        if largest > self.luma.max_pixels or _cost(regions) >= _cost(self._tiles(bicubic)):
            return None
        return regions

    def _samples(self, values: FloatArray, full: bool) -> Plane:
        low, high = self.goal.luma_range(full=full)
        return self._rounded(values * np.float32(high - low) + np.float32(low))

    def _rounded(self, samples: FloatArray) -> Plane:
        return np.clip(np.rint(samples), 0, self.goal.top).astype(self.goal.dtype)

    def _chroma(self, plane: Plane, index: int, full: bool) -> Plane:
        if self._same(plane, index):
            return self._after[index]
        first, last = self.luma.passes[0], self.luma.passes[-1]
        scales = [1.0, 1.0]
        for one in self.luma.passes:
            scales = [scales[0] * one.rows.scale, scales[1] * one.columns.scale]
        siting = self.siting or ("center" if self.source.full else None)
        bicubic = Bicubic(
            *chroma_axes(
                first.shape_in,
                last.shape_out,
                (self.source, self.goal),
                (scales[0], scales[1]),
                siting,
            )
        )
        zero, span = self.source.chroma_range(full=full)
        zero_out, span_out = self.goal.chroma_range(full=full)
        large = bicubic.window(plane.astype(np.float32) - np.float32(zero))
        return self._rounded(large * np.float32(span_out / span) + np.float32(zero_out))

    def _alpha(self, plane: Plane) -> Plane:
        last = len(self._after) - 1
        if self.source.alpha and self._after and np.array_equal(plane, self._before[-1]):
            return self._after[last]
        if not self.source.alpha:
            return np.full(self.luma.passes[-1].shape_out, self.goal.top, self.goal.dtype)
        values = plane.astype(np.float32) / np.float32(self.source.top)
        for bicubic in self.luma.passes:
            values = bicubic.window(values)
        return self._rounded(values * np.float32(self.goal.top))

    def _same(self, plane: Plane, index: int) -> bool:
        return bool(self._after) and np.array_equal(plane, self._before[index])

    def _beside(self, plane: Plane, index: int, planes: list[Plane], full: bool) -> Plane:
        """The plane, or for a comparison the plane of bicubic interpolation and it."""
        if not self.side_by_side:
            return plane
        left = plane
        if index == 0:
            low, high = self.source.luma_range(full=full)
            values = (planes[0].astype(np.float32) - np.float32(low)) / np.float32(high - low)
            for bicubic in self.luma.passes:
                shape = bicubic.shape_out
                values = _interpolated(values, bicubic, (0, shape[0]), (0, shape[1]))
            left = self._samples(values, full)
        even = self.luma.passes[-1].shape_out[1] // 4 * 4
        step = self.goal.sub_x if self.goal.chroma and index in (1, 2) else 1
        keep = even // step
        return np.concatenate([left[:, :keep], plane[:, :keep]], axis=1)


def side_by_side_width(width: int) -> int:
    """Width in px of two pictures beside each other, each cut to a multiple of 4."""
    return 2 * (width // 4 * 4)


def _interpolated(
    values: FloatArray, bicubic: Bicubic, rows: tuple[int, int], columns: tuple[int, int]
) -> FloatArray:
    if bicubic.shape_in == bicubic.shape_out:
        return values[slice(*rows), slice(*columns)]
    low, high = bicubic.rows.needed(*rows)
    return bicubic.window(values[low:high], rows=rows, columns=columns, first_row=low)


def _gray(enlarger: FrameEnlarger) -> Plane:
    height, width = enlarger.luma.passes[-1].shape_out
    goal = enlarger.goal
    shape = (-(-height // goal.sub_y), -(-width // goal.sub_x))
    return np.full(shape, 2 ** (goal.bits - 1), goal.dtype)


def _starts(length: int) -> range:
    return range(0, length, _CELL)


def _cost(regions: Iterator[tuple[Span, Span]] | list[tuple[Span, Span]]) -> int:
    return sum(rows.outer_length * columns.outer_length for rows, columns in regions)


def _rectangles(cells: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Rectangles (top, bottom, left, right) that cover exactly the cells that are true."""
    found: list[tuple[int, int, int, int]] = []
    open_ones: dict[tuple[int, int], int] = {}
    for i in range(len(cells) + 1):
        line = cells[i] if i < len(cells) else np.zeros(cells.shape[1], bool)
        edges = np.flatnonzero(np.diff(np.pad(line.astype(np.int8), 1)))
        runs = {(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)}
        ended = [run for run in open_ones if run not in runs]
        found.extend((open_ones.pop(run), i, *run) for run in ended)
        for run in runs:
            open_ones.setdefault(run, i)
    return sorted(found)
