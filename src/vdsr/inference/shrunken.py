"""A result shrunk again as it comes, and compared with the picture it was made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.files import PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.resample import Axis, Bicubic
from vdsr.inference.pipeline import RowBuffer, ValueRange


@dataclass(frozen=True)
class Agreement:
    """How well a result, shrunk again, agrees with the picture it was made of.

    Attributes:
        psnr: over all samples, dB; None if they are equal.
        largest: largest difference, in levels of 0..255.
        column, row: where, px of the small picture.
    """

    psnr: float | None
    largest: float
    column: int
    row: int


class Shrunken:
    """A picture shrunk again as it comes, and compared with the small one."""

    def __init__(
        self, layout: PixelLayout, small: PixelLayout, strips: Iterable[Samples], values: ValueRange
    ) -> None:
        self._bicubic = Bicubic(
            Axis.by_size(layout.height, small.height), Axis.by_size(layout.width, small.width)
        )
        self._small = RowBuffer(strips, small.height)
        self._values, self._alpha, self._height = values, layout.has_alpha, layout.height
        self._planes: NDArray[np.float32] | None = None
        self._first = self._next = 0
        self._squares, self._samples = 0.0, 0
        self._worst = (0.0, 0, 0)

    def take(self, band: Samples) -> None:
        """The next rows."""
        planes = self._colors(band)
        held = planes if self._planes is None else np.concatenate([self._planes, planes], axis=1)
        there = self._first + held.shape[1]
        rows = self._bicubic.rows
        end = self._next
        while end < rows.length_out and rows.needed(end, end + 1)[1] <= there:
            end += 1
        if end > self._next:
            shrunk = self._bicubic.window(held, rows=(self._next, end), first_row=self._first)
            self._compare(shrunk, self._colors(self._small.take(self._next, end)))
            self._next = end
        low = there if end == rows.length_out else min(rows.needed(end, end + 1)[0], there)
        self._planes, self._first = held[:, low - self._first :], low

    def _colors(self, band: Samples) -> NDArray[np.float32]:
        """Planes in 0..255; premultiplied, then the opacity."""
        planes = self._values.to_planes(band, self._alpha) * np.float32(255.0)
        if self._alpha:
            planes[:-1] *= planes[-1:] / np.float32(255.0)
        return planes

    def _compare(self, shrunk: NDArray[np.float32], small: NDArray[np.float32]) -> None:
        if self._alpha:
            # Colors alone, by the opacity that there is then.
            opaque = np.maximum(small[-1:], np.float32(1e-6))
            small = (small[:-1] * (shrunk[-1:] / opaque)).astype(np.float32)
            shrunk = shrunk[:-1]
        apart = np.abs(shrunk - small)
        self._squares += float(np.square(apart, dtype=np.float64).sum())
        self._samples += apart.size
        worst = float(apart.max())
        if worst > self._worst[0]:
            _, row, column = np.unravel_index(int(apart.argmax()), apart.shape)
            self._worst = (worst, int(column), self._next + int(row))

    def result(self) -> Agreement:
        """How well they agree."""
        return Agreement(mean_psnr(self._squares / max(1, self._samples)), *self._worst)


def mean_psnr(mean_square: float) -> float | None:
    """PSNR in dB of a mean squared error in levels of 0..255; None for no error."""
    return None if mean_square == 0.0 else 10.0 * math.log10(255.0**2 / mean_square)
