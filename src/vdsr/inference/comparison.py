"""Two pictures of one size compared, from top to bottom: how far they differ, and where.

Nothing larger than a block of rows is held, but for the window of pixels that a page shows,
the blocks in which most differs, and maps of cells.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.color import FULL, STUDIO
from vdsr.imaging.files import PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.metrics import ssim_map
from vdsr.inference.pipeline import RowBuffer, ValueRange
from vdsr.inference.shrunken import Agreement, Shrunken, mean_psnr

Levels = NDArray[np.float32]

# Sides of the window that a page shows: what a browser opens at once.
WINDOW = 1600
# Side of the blocks that are shown as crops, and how many.
BLOCK, CROPS = 128, 6
# Maps have at most so many cells a side, of 8 px or more.
_CELLS, _LEAST_CELL = 400, 8
_SSIM_MARGIN = 10


@dataclass(frozen=True)
class Shift:
    """How far one quantity differs, in levels of 0..255.

    Attributes:
        mean: of the differences, with their signs.
        mean_absolute: of their sizes.
        largest: the largest, with its sign.
        column, row: where, px.
    """

    mean: float
    mean_absolute: float
    largest: float
    column: int
    row: int


@dataclass(frozen=True)
class Quality:
    """PSNR (dB; None if equal) and SSIM of the luma against an original, nothing shaved."""

    psnr: float | None
    ssim: float | None


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a comparison found.

    Attributes:
        first, second: what was compared.
        width, height: px.
        psnr: of one against the other over all colors, dB; None if they are equal.
        luma, cb, cr: full-range BT.601, second minus first; no chroma for gray pictures.
        histogram: how many px differ by how many levels of luma, rounded; by level.
        consistency: of the second, and of the first, shrunk to the small picture.
        quality: against the original, of the first and of the second.
        most: left and top of the blocks in which most differs, px, the most first.
    """

    first: str
    second: str
    width: int
    height: int
    psnr: float | None
    luma: Shift
    cb: Shift | None
    cr: Shift | None
    histogram: dict[int, int]
    consistency: tuple[Agreement, Agreement] | None
    quality: tuple[Quality, Quality] | None
    most: tuple[tuple[int, int], ...]

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        found = asdict(self)
        names = ("first", "second")
        for name in ("consistency", "quality"):
            if found[name] is not None:
                found[name] = dict(zip(names, found[name], strict=True))
        return found


@dataclass(order=True)
class Crop:
    """A block of both pictures, uint8 `[h, w, colors]`."""

    score: float
    place: tuple[int, int]
    first: NDArray[np.uint8] = field(compare=False)
    second: NDArray[np.uint8] = field(compare=False)


class Comparison:
    """Takes two pictures band by band.

    Args:
        layout: of both.
        values: what is black and white in both.
        names: what they are.
        small: layout of the picture that they were made of, and what gives its strips; None
            for none.
        original: strips of what they should be, of their size and kind; None for none.

    Attributes:
        window: uint8 `[h, w, 2 colors]`: first and second, as a page shows them.
        corner: left and top of the window, px.
        maps: by name, float32 `[cells, cells]`: `added` (mean difference of luma), and of the
            squared error (`error 1`, `error 2`) and SSIM (`ssim 1`, `ssim 2`) against the original.
        cell: side of a cell, px.
    """

    def __init__(
        self,
        layout: PixelLayout,
        values: ValueRange,
        names: tuple[str, str],
        *,
        small: tuple[PixelLayout, Callable[[], Iterable[Samples]]] | None = None,
        original: Iterable[Samples] | None = None,
    ) -> None:
        self.layout, self.names = layout, names
        self._values, self._colors = values, layout.bands - layout.has_alpha
        high, wide = min(layout.height, WINDOW), min(layout.width, WINDOW)
        self.corner = ((layout.width - wide) // 2, (layout.height - high) // 2)
        self.window = np.zeros((high, wide, 2 * self._colors), np.uint8)
        cell = _LEAST_CELL
        while cell < BLOCK and max(layout.width, layout.height) > cell * _CELLS:
            cell *= 2
        self.cell = cell
        self.maps: dict[str, list[NDArray[np.float32]]] = {}
        self._original = None if original is None else RowBuffer(original, layout.height)
        self._shrunken = []
        if small is not None:
            # Each of the two reads the small picture for itself.
            self._shrunken = [Shrunken(layout, small[0], small[1](), values) for _ in names]
        self._shifts = [_ShiftSum() for _ in range(1 if self._colors == 1 else 3)]
        self._squares = 0.0
        self._histogram = np.zeros(511, np.int64)
        self._crops: list[Crop] = []
        self._luma: list[list[Levels]] = []
        self._ssim, self._errors = np.zeros(2), np.zeros(2)
        self._held: list[tuple[Samples, Samples]] = []
        self._row = self._waiting = 0

    def take(self, first: Samples, second: Samples) -> None:
        """The next band of both, `[rows, width, bands]` in their own range."""
        while len(first):
            room = BLOCK - self._waiting
            self._held.append((first[:room], second[:room]))
            self._waiting += len(first[:room])
            first, second = first[room:], second[room:]
            end = self._row + self._waiting == self.layout.height
            if self._waiting == BLOCK or end:
                a, b = (np.concatenate(part) for part in zip(*self._held, strict=True))
                self._held, self._waiting = [], 0
                self._block(a, b)
                self._row += len(a)

    def levels(self, band: Samples) -> Levels:
        """The colors of samples, black as 0 and white as 255."""
        colors = band[..., : self._colors].astype(np.float32)
        span = 255.0 / (self._values.high - self._values.low)
        levels: Levels = (colors - np.float32(self._values.low)) * np.float32(span)
        return levels

    def _block(self, first: Samples, second: Samples) -> None:
        for one, band in zip(self._shrunken, (first, second), strict=False):
            one.take(band)
        a, b = self.levels(first), self.levels(second)
        if self.layout.has_alpha:
            # What stands in transparent pixels is arbitrary, and nobody sees it.
            a[second[..., -1] == 0] = b[second[..., -1] == 0]
        added = b - a
        self._squares += float(np.square(added, dtype=np.float64).sum())
        planes = (
            FULL.matrix.astype(np.float32) @ added.reshape(-1, self._colors).T
            if (self._colors == 3)
            else added.reshape(1, -1)
        )
        planes = planes.reshape(-1, *added.shape[:2])
        for shift, plane in zip(self._shifts, planes, strict=True):
            shift.take(plane, self._row)
        rounded = np.clip(np.rint(planes[0]), -255, 255).astype(np.int64) + 255
        self._histogram += np.bincount(rounded.ravel(), minlength=511)
        self._map("added", planes[0])
        shown = (_rounded(a), _rounded(b))
        self._keep(planes[0], *shown)
        self._show(np.concatenate(shown, axis=2))
        if self._original is not None:
            self._judge(a, b, self.levels(self._original.take(self._row, self._row + len(a))))

    def _map(self, name: str, plane: NDArray[np.floating]) -> None:
        rows = np.arange(0, len(plane), self.cell)
        columns = np.arange(0, plane.shape[1], self.cell)
        total = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
        high = np.diff([*rows, len(plane)])[:, None]
        wide = np.diff([*columns, plane.shape[1]])
        self.maps.setdefault(name, []).append((total / (high * wide)).astype(np.float32))

    def _keep(self, added: Levels, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
        """Keep the blocks in which most differs."""
        for left in range(0, added.shape[1], BLOCK):
            part = slice(left, left + BLOCK)
            score = float(np.abs(added[:, part]).sum())
            if score == 0.0 or (len(self._crops) == CROPS and score <= self._crops[0].score):
                continue
            place = (left, self._row)
            crop = Crop(score, place, first[:, part].copy(), second[:, part].copy())
            heapq.heappush(self._crops, crop)
            if len(self._crops) > CROPS:
                heapq.heappop(self._crops)

    def _show(self, both: NDArray[np.uint8]) -> None:
        left, top = self.corner
        high, wide = self.window.shape[:2]
        first, last = max(top, self._row), min(top + high, self._row + len(both))
        if first < last:
            part = both[first - self._row : last - self._row, left : left + wide]
            self.window[first - top : last - top] = part

    def _judge(self, a: Levels, b: Levels, original: Levels) -> None:
        lumas = [_studio(one) for one in (a, b, original)]
        for i, luma in enumerate(lumas[:2]):
            squared = np.square(luma - lumas[2], dtype=np.float64)
            self._errors[i] += float(squared.sum())
            self._map(f"error {i + 1}", squared)
        # Windows of SSIM reach over into the block before.
        self._luma.append(lumas)
        joined = [np.concatenate(part) for part in zip(*self._luma, strict=True)]
        self._luma = [[one[-_SSIM_MARGIN:] for one in joined]]
        if len(joined[0]) > _SSIM_MARGIN and self.layout.width > _SSIM_MARGIN:
            for i in range(2):
                found = ssim_map(joined[i], joined[2], data_range=255.0)
                self._ssim[i] += float(found.sum())
                self._map(f"ssim {i + 1}", found)

    def measures(self) -> Measures:
        """What was found, when all has been taken."""
        pixels = self.layout.width * self.layout.height
        histogram = {int(i) - 255: int(self._histogram[i]) for i in self._histogram.nonzero()[0]}
        luma, *chroma = (shift.result(pixels) for shift in self._shifts)
        cb, cr = chroma or (None, None)
        first, second = self.names
        return Measures(
            first=first,
            second=second,
            width=self.layout.width,
            height=self.layout.height,
            psnr=mean_psnr(self._squares / (pixels * self._colors)),
            luma=luma,
            cb=cb,
            cr=cr,
            histogram=histogram,
            consistency=self._agreements(),
            quality=self._qualities(pixels),
            most=tuple(crop.place for crop in self.crops),
        )

    @property
    def is_part(self) -> bool:
        """Whether the window is less than the picture."""
        return self.window.shape[:2] != (self.layout.height, self.layout.width)

    @property
    def crops(self) -> list[Crop]:
        """The blocks in which most differs, the most first."""
        return sorted(self._crops, reverse=True)

    def _agreements(self) -> tuple[Agreement, Agreement] | None:
        if not self._shrunken:
            return None
        first, second = (one.result() for one in self._shrunken)
        return first, second

    def _qualities(self, pixels: int) -> tuple[Quality, Quality] | None:
        if self._original is None:
            return None
        windows = (self.layout.height - _SSIM_MARGIN) * (self.layout.width - _SSIM_MARGIN)
        small = min(self.layout.height, self.layout.width) <= _SSIM_MARGIN
        first, second = (
            Quality(mean_psnr(error / pixels), None if small else float(total / windows))
            for error, total in zip(self._errors, self._ssim, strict=True)
        )
        return first, second


class _ShiftSum:
    """Adds up differences."""

    def __init__(self) -> None:
        self._sum = self._absolute = 0.0
        self._largest = (0.0, 0, 0)

    def take(self, plane: Levels, top: int) -> None:
        sizes = np.abs(plane)
        self._sum += float(plane.sum(dtype=np.float64))
        self._absolute += float(sizes.sum(dtype=np.float64))
        row, column = np.unravel_index(int(sizes.argmax()), sizes.shape)
        if sizes[row, column] > abs(self._largest[0]):
            self._largest = (float(plane[row, column]), int(column), top + int(row))

    def result(self, pixels: int) -> Shift:
        return Shift(self._sum / pixels, self._absolute / pixels, *self._largest)


def _studio(colors: Levels) -> Levels:
    """Luma as published PSNR is measured on; a gray picture is its own."""
    if colors.shape[2] == 1:
        return colors[..., 0]
    return STUDIO.luma(colors.transpose(2, 0, 1))


def _rounded(levels: Levels) -> NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
