"""A result that, shrunk again, is the picture it was made of: back-projection.

Irani and Peleg, "Improving resolution by image registration", CVGIP 53(3), 1991: what the
shrunken result lacks of the picture is enlarged and added to the result, until it lacks
nothing. Shrinking is MATLAB's antialiased bicubic, as everywhere here. Everything happens
row by row on files, so that memory stays flat; the results of two steps lie on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import OutputError
from vdsr.imaging.files import PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.resample import Axis, Bicubic
from vdsr.inference.pipeline import INVISIBLE, ValueRange
from vdsr.model.architecture import FloatArray

# Largest difference of the shrunken result from the picture, in levels of 0..255 for 8 bits
# and of 0..65535 for more: rounded, it is the picture.
BOUND = 0.5
# Rounding the result to levels moves the shrunken one by a few tenths of a level; so before
# it, there must be less.
_BEFORE_ROUNDING = 0.1
# Enlarging and shrinking again leaves between 0.22 and 1 of any detail, so that this step
# converges fastest: 2 / (1 + 0.22).
_STEP = 1.6
_MOST_STEPS = 60
# Where clipping to black and white stands against it, no further step helps.
_PATIENCE = 6
# After rounding only what is out of bounds is moved, by whole levels.
_MOST_REPAIRS = 40
_REPAIR_FROM, _REPAIR_STEP = 0.48, 1.7
_BLOCK_PIXELS, _MOST_ROWS, _LEAST_ROWS = 1 << 20, 256, 16


@dataclass(frozen=True)
class Reached:
    """How well a shrunken result agrees with the picture.

    Attributes:
        worst: largest difference of a sample, in levels (see `BOUND`).
        column, row: where, px of the picture.
    """

    worst: float
    column: int
    row: int

    @property
    def holds(self) -> bool:
        """Whether it is within the bound."""
        return self.worst <= BOUND


class Consistency:
    """Makes a result consistent with its picture.

    Args:
        source: layout of the picture.
        result: of the result.
        values: what is black and white in both.
        folder: where the results of two steps are kept meanwhile, in files without a name.

    Attributes:
        reached: how well the last result that was made agrees, as it is written; None before.
        steps: how many steps it took.
    """

    def __init__(
        self, source: PixelLayout, result: PixelLayout, values: ValueRange, folder: Path
    ) -> None:
        shape_in, shape_out = (source.height, source.width), (result.height, result.width)
        self._source, self._result, self._values, self._folder = source, result, values, folder
        self._enlarge = Bicubic(
            *(Axis.by_size(a, b) for a, b in zip(shape_in, shape_out, strict=True))
        )
        self._shrink = Bicubic(
            *(Axis.by_size(b, a) for a, b in zip(shape_in, shape_out, strict=True))
        )
        integers = np.dtype(result.dtype).kind == "u"
        self._peak = np.float32(np.iinfo(result.dtype).max if integers else 65535)
        self._rounded = integers
        rows = _BLOCK_PIXELS // result.width
        self._rows = max(_LEAST_ROWS, min(_MOST_ROWS, rows))
        self.reached: Reached | None = None
        self.steps = 0

    @property
    def notices(self) -> tuple[str, ...]:
        """How well the result agrees, in a line."""
        reached = self.reached
        if reached is None:
            return ()
        said = (
            f"shrunk again, the result agrees with the picture within {reached.worst:.2f} levels"
            f" of 0..{self._peak:.0f} ({self.steps} steps)"
        )
        if not reached.holds:
            said += (
                f", not within {BOUND:g}: at ({reached.column}, {reached.row}) it would have to be"
                " brighter than white or darker than black"
            )
        return (said,)

    def bands(self, bands: Iterable[Samples], strips: Iterable[Samples]) -> Iterator[Samples]:
        """The bands of the consistent result.

        Args:
            bands: of the result, float32 in the picture's own range, not rounded.
            strips: the picture.

        Yields:
            `[rows, width, bands]` of the result's dtype, from top to bottom.

        Raises:
            OutputError: if the disk has no room for the steps.
        """
        with ExitStack() as stack:
            source, old, new = (stack.enter_context(self._spool(name)) for name in "xyz")
            wide = self._source.width
            self._keep(source, strips, wide)
            self._keep(old, bands, self._result.width)
            spools = _Rows(source, self._source), _Rows(old, self._result)
            other = _Rows(new, self._result)
            given, made = spools
            made, other = self._converge(given, made, other)
            if self._rounded:
                made = self._repair(given, made, other)
            for top in range(0, self._result.height, self._rows):
                planes = made.read(top, min(top + self._rows, self._result.height))
                yield self._values.to_samples(planes, self._result.dtype, self._result.has_alpha)

    def _converge(self, given: _Rows, made: _Rows, other: _Rows) -> tuple[_Rows, _Rows]:
        """Step until what is lacking is small; gives the result, and the other file."""
        goal = _BEFORE_ROUNDING if self._rounded else BOUND
        least, since = np.inf, 0
        while self.steps < _MOST_STEPS:
            self.reached = self._sweep(given, made, other, _STEP, 0.0, round_off=False)
            if self.reached.worst <= goal:
                break
            since = since + 1 if self.reached.worst > 0.98 * least else 0
            least = min(least, self.reached.worst)
            if since >= _PATIENCE:
                break
            made, other = other, made
            self.steps += 1
        return made, other

    def _repair(self, given: _Rows, made: _Rows, other: _Rows) -> _Rows:
        """Round, and move by whole levels what is then out of bounds."""
        self._sweep(given, made, other, 0.0, 0.0, round_off=True)
        made, other = other, made
        least, since = np.inf, 0
        for repairs in range(_MOST_REPAIRS):
            self.reached = self._sweep(
                given, made, other, _REPAIR_STEP, _REPAIR_FROM, round_off=True
            )
            since = since + 1 if self.reached.worst >= least else 0
            least = min(least, self.reached.worst)
            if self.reached.holds or since >= _PATIENCE or repairs == _MOST_REPAIRS - 1:
                break
            made, other = other, made
        return made

    def _sweep(
        self,
        given: _Rows,
        made: _Rows,
        goal: _Rows,
        step: float,
        above: float,
        *,
        round_off: bool,
    ) -> Reached:
        """One step for the whole result, from one file to another.

        Args:
            given: the picture.
            made: the result so far.
            goal: where the next one goes.
            step: by how much of what is lacking it is moved.
            above: levels up to which nothing is lacking.
            round_off: whether the next one is rounded to levels.

        Returns:
            What is lacking in `made`.
        """
        reached = Reached(0.0, 0, 0)
        up, down = self._enlarge.rows, self._shrink.rows
        alpha = self._result.has_alpha
        for top in range(0, self._result.height, self._rows):
            end = min(top + self._rows, self._result.height)
            a, b = up.needed(top, end)
            first, last = down.needed(a, b)
            first, last = min(first, top), max(last, end)
            planes = made.read(first, last)
            shrunk = self._shrink.window(_visible(planes, alpha), rows=(a, b), first_row=first)
            source = given.read(a, b)
            # Opacity is left as it is: between clear and opaque there may be no gentler way.
            lacking = source[:-1] * shrunk[-1:] - shrunk[:-1] if alpha else source - shrunk
            size = np.abs(lacking)
            worst = float(size.max()) * float(self._peak)
            if worst > reached.worst:
                _, row, column = np.unravel_index(int(size.argmax()), size.shape)
                reached = Reached(worst, int(column), a + int(row))
            inner = planes[:, top - first : end - first]
            if step:
                lacking[size <= above / self._peak] = 0.0
                inner = self._moved(inner, lacking, np.float32(step), (top, end), a)
            if round_off:
                inner = np.rint(inner * self._peak) / self._peak
            goal.write(top, inner)
        return reached

    def _moved(
        self,
        planes: FloatArray,
        lacking: FloatArray,
        step: np.float32,
        rows: tuple[int, int],
        a: int,
    ) -> FloatArray:
        """`planes` with what they lack, within black and white."""
        if not lacking.any():
            return planes
        added = step * self._enlarge.window(lacking, rows=rows, first_row=a)
        if not self._result.has_alpha:
            return np.clip(planes + added, 0.0, 1.0)
        opacity = planes[-1:]
        colors = np.clip(planes[:-1] * opacity + added, 0.0, opacity)
        visible = opacity > INVISIBLE
        divided = colors / np.where(visible, opacity, np.float32(1.0))
        return np.concatenate([np.where(visible, divided, planes[:-1]), opacity])

    def _keep(self, file: IO[bytes], strips: Iterable[Samples], width: int) -> None:
        rows = _Rows(file, PixelLayout(width=width, height=0, bands=self._result.bands, dtype=""))
        top = 0
        for strip in strips:
            rows.write(top, self._values.to_planes(strip, self._result.has_alpha))
            top += len(strip)

    def _spool(self, name: str) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._folder, prefix=f".vdsr-{name}-")
        except OSError as error:
            raise OutputError(f"{self._folder}: it cannot be written: {error.strerror}") from error


class _Rows:
    """Planes in a file, row by row: float32 `[H, bands, W]`."""

    def __init__(self, file: IO[bytes], layout: PixelLayout) -> None:
        self._file, self._shape = file, (layout.bands, layout.width)
        self._bytes = 4 * layout.bands * layout.width

    def read(self, top: int, end: int) -> NDArray[np.float32]:
        """Rows `top..end` as `[bands, rows, W]`."""
        self._file.seek(top * self._bytes)
        data = self._file.read((end - top) * self._bytes)
        rows = np.frombuffer(data, np.float32).reshape(end - top, *self._shape)
        return np.ascontiguousarray(rows.transpose(1, 0, 2))

    def write(self, top: int, planes: NDArray[np.float32]) -> None:
        """`[bands, rows, W]` from row `top` on."""
        try:
            self._file.seek(top * self._bytes)
            self._file.write(planes.transpose(1, 0, 2).astype(np.float32).tobytes())
        except OSError as error:
            raise OutputError(
                f"the steps of the back-projection cannot be kept: {error.strerror}"
            ) from error


def _visible(planes: FloatArray, alpha: bool) -> FloatArray:
    """Colors premultiplied: what transparent pixels hold is arbitrary."""
    return np.concatenate([planes[:-1] * planes[-1:], planes[-1:]]) if alpha else planes
