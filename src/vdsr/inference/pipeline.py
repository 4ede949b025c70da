"""Enlarging a picture band by band: bicubic, network, and back to samples.

One pass reads strips of samples from top to bottom and gives bands of samples from
top to bottom; a pass can read what another one gives. Only the rows in use are held.

Pictures stay in RGB, and what a network adds is added there. A network of one plane
restores luma: adding dY to Y and leaving Cb and Cr alone adds (255 / span) dY to R, G and
B (BT.601, span 219 for studio and 255 for full range), and chroma is bicubic to the last
bit. A network of three planes restores Y, Cb and Cr: its three differences go through the
inverse of BT.601's matrix. A gray picture has the chroma of gray, and takes the difference
of its luma alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.color import ColorRange
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.encode import quantize
from vdsr.imaging.resample import Bicubic
from vdsr.inference.tiling import Band, Run, Span, run_window
from vdsr.model.architecture import FloatArray

Progress = Callable[[int], None]
# Whether a band of the result is wanted, by its number.
Wanted = Callable[[int], bool]

# Below this opacity a color says nothing: half a step of 8 bits.
INVISIBLE = 0.5 / 255.0
_OPAQUE = 0.999


@dataclass(frozen=True)
class ValueRange:
    """The values that are black and white in the samples of a picture.

    Floats between two passes are in the same range as the picture's own samples.

    Attributes:
        low: becomes 0.
        high: becomes 1.
    """

    low: float
    high: float

    @classmethod
    def of(cls, dtype: str, strips: Iterable[Samples], alpha: bool) -> ValueRange:
        """The whole range of integers; 0..1 for floats, or wider where they go beyond.

        Args:
            dtype: `uint8`, `uint16` or `float32`.
            strips: the picture, `[rows, width, bands]`; read for floats only.
            alpha: whether the last band is alpha, which is always 0..1.

        Raises:
            InputError: for values that are not finite, or lie too far apart for float32.
        """
        if dtype != "float32":
            return cls(0.0, float(np.iinfo(dtype).max))
        low, high = 0.0, 1.0
        for strip in strips:
            bad = int(np.count_nonzero(~np.isfinite(strip)))
            if bad:
                raise InputError(f"{bad} or more samples are NaN or infinite: replace them first")
            colors = strip[..., :-1] if alpha else strip
            low, high = min(low, float(colors.min())), max(high, float(colors.max()))
        if high - low > float(np.finfo(np.float32).max):
            raise InputError(f"samples from {low:g} to {high:g} are too far apart: scale them")
        return cls(low, high)

    @property
    def is_unit(self) -> bool:
        """Whether it is 0..1."""
        return (self.low, self.high) == (0.0, 1.0)

    def to_planes(self, samples: Samples, alpha: bool) -> FloatArray:
        """`[rows, width, bands]` samples as float32 `[bands, rows, width]`, 0..1."""
        # Always a copy: gray floats would otherwise be changed where they came from.
        planes = np.array(samples.transpose(2, 0, 1), np.float32, order="C")
        colors = planes[:-1] if alpha else planes
        if samples.dtype == np.float32:
            if not self.is_unit:
                colors -= np.float32(self.low)
                colors /= np.float32(self.high - self.low)
        else:
            planes /= np.float32(self.high)
        return planes

    def to_samples(self, planes: FloatArray, dtype: str, alpha: bool) -> Samples:
        """The inverse of `to_planes`; `planes` may be overwritten."""
        if dtype == "float32" and not self.is_unit:
            colors = planes[:-1] if alpha else planes
            colors *= np.float32(self.high - self.low)
            colors += np.float32(self.low)
        return quantize(planes, dtype)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One enlargement of a picture, by at most 4.

    Attributes:
        bicubic: from which size to which.
        bands: tiles that cover the output.
        halo: margin that the network needs, px.
        fold, planes: of the network, see `vdsr.model.architecture.Architecture`.
        color: luma range of the network.
        alpha: whether the last band is alpha.
        run: the network.
        values: what is black and white in the samples.
        dtype_out: sample type of the result.
    """

    bicubic: Bicubic
    bands: tuple[Band, ...]
    halo: int
    color: ColorRange
    alpha: bool
    run: Run
    values: ValueRange
    dtype_out: str
    fold: int = 1
    planes: int = 1

    def enlarge(
        self,
        strips: Iterable[Samples],
        progress: Progress,
        *,
        skip: int = 0,
        top: int = 0,
        wanted: Wanted = lambda _: True,
    ) -> Iterator[Samples]:
        """Enlarge a picture.

        Args:
            strips: the picture from top to bottom, `[rows, width, bands]` each.
            progress: called with the number of px that were finished, after every tile.
            skip: bands of the result that are not wanted, from the top.
            top: row at which `strips` begin; not below `first_row(skip)`.
            wanted: whether a band is, by its number: asked before each is made.

        Yields:
            The bands of the result, `[rows, width, bands]` of `dtype_out`.
        """
        rows = RowBuffer(strips, self.bicubic.rows.length_in, top)
        reach = self._reach()
        for number, band in enumerate(self.bands[skip:], skip):
            if not wanted(number):
                continue
            low, high = self._needed(band)
            planes = self.values.to_planes(rows.take(low, high), self.alpha)
            if self.alpha:
                planes = _premultiplied(planes, reach)
            yield self._band(band, planes, low, progress)

    def first_row(self, band: int) -> int:
        """The first row of the picture that a band of the result, and those below it, need."""
        return self._needed(self.bands[band])[0]

    def _needed(self, band: Band) -> tuple[int, int]:
        low, high = self.bicubic.rows.needed(*band.rows.outer)
        reach = self._reach()
        return max(0, low - reach), min(self.bicubic.rows.length_in, high + reach)

    def _reach(self) -> int:
        """How far into transparent areas color must be continued, in input px."""
        if not self.alpha:
            return 0
        scale = min(self.bicubic.rows.scale, self.bicubic.columns.scale)
        return math.ceil(self.halo / scale) + 3

    def _band(self, band: Band, planes: FloatArray, low: int, progress: Progress) -> Samples:
        tiles: list[NDArray[Any]] = []
        for columns in band.columns:
            tiles.append(self._tile(band.rows, columns, planes, low))
            progress((band.rows.stop - band.rows.start) * (columns.stop - columns.start))
        return tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=1)

    def _tile(self, rows: Span, columns: Span, planes: FloatArray, low: int) -> Samples:
        large = self._interpolate(rows, columns, planes, low)
        given = self._given(large[:-1] if self.alpha else large)
        restored = run_window(self.run, given, rows, columns, self.halo, self.fold)
        inner = (
            slice(rows.before, rows.before + rows.stop - rows.start),
            slice(columns.before, columns.before + columns.stop - columns.start),
        )
        result = np.array(large[:, *inner])
        colors = result[:-1] if self.alpha else result
        colors += self._added(restored - given[..., *inner], gray=len(colors) == 1)
        np.clip(result, 0.0, 1.0, out=result)
        return self.values.to_samples(result, self.dtype_out, self.alpha)

    def _interpolate(self, rows: Span, columns: Span, planes: FloatArray, low: int) -> FloatArray:
        """Bicubic `[bands, ...]` of what a tile reads, color not premultiplied."""
        if self.bicubic.shape_in == self.bicubic.shape_out:
            a, b = rows.outer
            large = planes[:, a - low : b - low, slice(*columns.outer)]
        else:
            large = self.bicubic.window(
                planes, rows=rows.outer, columns=columns.outer, first_row=low
            )
        return _unpremultiplied(large) if self.alpha else large

    def _given(self, colors: FloatArray) -> FloatArray:
        """What the network takes, / 255 in its range, from gray or RGB in 0..1.

        A gray picture gives what the same picture saved as RGB gives.

        Returns:
            `[H, W]` of luma, or `[3, H, W]` of Y, Cb and Cr.
        """
        matrix = self.color.matrix.astype(np.float32)
        if len(colors) == 1:
            matrix = matrix.sum(1, keepdims=True)
        matrix, offset = matrix[: self.planes], self.color.offset[: self.planes]
        given: FloatArray = np.tensordot(matrix, colors, 1)
        given += (offset / 255.0).astype(np.float32)[:, None, None]
        return given[0] if self.planes == 1 else given

    def _added(self, difference: FloatArray, *, gray: bool) -> FloatArray:
        """What is to be added to gray or RGB in 0..1: `[H, W]`, or `[3, H, W]`."""
        if self.planes == 1 or gray:
            luma = difference if self.planes == 1 else difference[0]
            return luma * np.float32(255.0 / self.color.luma_span)
        added: FloatArray = np.tensordot(self.color.inverse.astype(np.float32), difference, 1)
        return added


class RowBuffer:
    """Rows of a picture that come in strips and are asked for in overlapping ranges."""

    def __init__(self, strips: Iterable[Samples], height: int, top: int = 0) -> None:
        self._strips = iter(strips)
        self._height = height
        self._held: list[NDArray[Any]] = []
        self._first = self._end = top

    def take(self, low: int, high: int) -> Samples:
        """Rows `low..high`; no row above `low` can be asked for again."""
        while self._end < high:
            strip = next(self._strips, None)
            if strip is None:
                raise InputError(f"the picture ends after {self._end} of {self._height} rows")
            self._end += len(strip)
            if self._end <= low:  # nobody asks for what lies above the first band wanted
                self._first = self._end
                self._held.clear()
                continue
            self._held.append(strip)
        done, self._first = low - self._first, low
        while len(self._held[0]) <= done:
            done -= len(self._held.pop(0))
        self._held[0] = self._held[0][done:]
        if len(self._held) > 1:
            # A new array, so that the rows that are done with are given back.
            self._held = [np.concatenate(self._held)]
        return self._held[0][: high - low]


def _premultiplied(planes: FloatArray, reach: int) -> FloatArray:
    """`[colors, alpha]` to `[colors x alpha, continued colors, alpha]`."""
    colors, alpha = planes[:-1], planes[-1:]
    return np.concatenate([colors * alpha, _continued(colors, alpha[0], reach), alpha])


def _continued(colors: FloatArray, alpha: FloatArray, reach: int) -> FloatArray:
    """Continue the visible colors into invisible areas, by `reach` px.

    What stands in transparent pixels is arbitrary, often black. The network sees as far
    as `reach`, and must see no edge there. Further away the file's own values stay.
    """
    known = alpha > 0.0
    if known.all() or not known.any():
        return colors
    result = colors.copy()
    for _ in range(reach):
        weight = _sum3(known.astype(np.float32))
        reached = ~known & (weight > 0.0)
        if not reached.any():
            break
        total = np.stack([_sum3(plane * known) for plane in result])
        result[:, reached] = total[:, reached] / weight[reached]
        known |= reached
    return result


def _sum3(plane: FloatArray) -> FloatArray:
    """Sum over 3x3 neighbors, zeros outside."""
    padded = np.pad(plane, 1)
    tall = padded[:-2] + padded[1:-1] + padded[2:]
    total: FloatArray = tall[:, :-2] + tall[:, 1:-1] + tall[:, 2:]
    return total


def _unpremultiplied(planes: FloatArray) -> FloatArray:
    """Undo `_premultiplied` after the interpolation: `[colors, alpha]`."""
    count = len(planes) // 2
    alpha = planes[-1]
    visible = alpha > INVISIBLE
    divided = planes[:count] / np.where(visible, alpha, np.float32(1.0))
    colors = np.where(visible, divided, planes[count:-1])
    # Dividing by little makes much of rounding; opaque colors overshoot as bicubic does.
    opaque = alpha > _OPAQUE
    colors = np.where(opaque, colors, np.clip(colors, 0.0, 1.0))
    return np.concatenate([colors, planes[-1:]])
