"""A result that, shrunk again, is the picture it was made of: back-projection.

Irani and Peleg, "Improving resolution by image registration", CVGIP 53(3), 1991: what the
shrunken result lacks of the picture is enlarged and added to the result, until it lacks
nothing. Where black and white leave little room that takes hundreds of steps, so each goes on
in the direction of the one before: Nesterov's momentum, as in Beck and Teboulle, "A fast
iterative shrinkage-thresholding algorithm", SIAM J. Imaging Sciences 2(1), 2009, eq. 4.2 and
4.3. Shrinking is MATLAB's antialiased bicubic, as everywhere here. Everything happens row by
row on files, so that memory stays flat; the results of three steps lie on disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
# it, there must be less. What nothing is done about, and what must be reached, in levels: where
# clipping to black and white stands against the first, the second leaves more room.
_BEFORE_ROUNDING = ((0.05, 0.1), (0.3, 0.35))
# Enlarging and shrinking again leaves between 0.22 and 1 of any detail. Steps up to 2 / 1
# converge; with momentum this one needed fewer than 1.0, and where clipping holds things up,
# half to a quarter of those of 1.6 without (pictures of Set5 and Set14, x2 and x4).
_STEP = 1.3
_MOST_STEPS = 300
# So many steps without one that is better by 2%, and no further one helps.
_PATIENCE = 30
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
        lacking: sum of squares of what is made up for, of samples in 0..1.
    """

    worst: float
    column: int
    row: int
    lacking: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it is within the bound."""
        return self.worst <= BOUND


def spools(source: PixelLayout, result: PixelLayout) -> int:
    """Bytes of disk that the steps of a back-projection take meanwhile."""
    samples = 3 * result.width * result.height * result.bands
    return 4 * (samples + source.width * source.height * result.bands)


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
                f", not within {BOUND:g}: at ({reached.column}, {reached.row}) black and white"
                " leave too little room"
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
            files = [stack.enter_context(self._spool(name)) for name in "wxyz"]
            self._keep(files[0], strips, self._source.width)
            self._keep(files[1], bands, self._result.width)
            given = _Rows(files[0], self._source)
            made, other, before = (_Rows(file, self._result) for file in files[1:])
            made, other = self._converge(given, made, other, before)
            if self._rounded:
                made = self._repair(given, made, other)
            for top in range(0, self._result.height, self._rows):
                planes = made.read(top, min(top + self._rows, self._result.height))
                yield self._values.to_samples(planes, self._result.dtype, self._result.has_alpha)

    def _converge(
        self, given: _Rows, made: _Rows, other: _Rows, before: _Rows
    ) -> tuple[_Rows, _Rows]:
        """Step until what is lacking is small; gives the result, and the other file."""
        for above, goal in _BEFORE_ROUNDING if self._rounded else ((0.05, BOUND),):
            least, since = np.inf, 0
            momentum = _Momentum(before)
            while self.steps < _MOST_STEPS:
                self.reached = self._sweep(given, made, other, _STEP, above, momentum=momentum)
                if self.reached.worst <= goal:
                    return made, other
                since = since + 1 if self.reached.worst > 0.98 * least else 0
                least = min(least, self.reached.worst)
                if since >= _PATIENCE:
                    break
                made, other = other, made
                momentum.advance(self.reached.lacking)
                self.steps += 1
        return made, other

    def _repair(self, given: _Rows, made: _Rows, other: _Rows) -> _Rows:
        """Round, and move by whole levels what is then out of bounds."""
        self._sweep(given, made, other, 0.0, 0.0)
        made, other = other, made
        least, since = np.inf, 0
        for repairs in range(_MOST_REPAIRS):
            self.reached = self._sweep(given, made, other, _REPAIR_STEP, _REPAIR_FROM)
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
        momentum: _Momentum | None = None,
    ) -> Reached:
        """One step for the whole result, from one file to another.

        Args:
            given: the picture.
            made: the result so far.
            goal: where the next one goes.
            step: by how much of what is lacking it is moved.
            above: levels up to which nothing is lacking.
            momentum: of the steps; without it the next result is rounded to levels.

        Returns:
            What is lacking in `made`.
        """
        reached, lack = Reached(0.0, 0, 0), 0.0
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
                if momentum is None:
                    lacking[size <= above / self._peak] = 0.0
                else:
                    less = np.maximum(size - np.float32(above) / self._peak, np.float32(0.0))
                    lacking = np.copysign(less, lacking)
                    # Blocks overlap by the kernel's taps: this is only compared with itself.
                    lack += float(np.square(less, dtype=np.float64).sum())
                inner = self._moved(inner, lacking, np.float32(step), (top, end), a)
            if momentum is None:
                inner = np.rint(inner * self._peak) / self._peak
            else:
                inner = momentum.carry_on(top, inner)
            goal.write(top, inner)
        return replace(reached, lacking=lack)

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


class _Momentum:
    """How far a step goes on in the direction of the one before.

    Args:
        before: where the last result of a step lies, before it was carried on.
    """

    def __init__(self, before: _Rows) -> None:
        self._before = before
        self._t = 1.0
        self._factor = 0.0
        self._lacking = np.inf

    def advance(self, lacking: float) -> None:
        """A step has been made, of a result that lacked so much.

        Where that is more than before, the steps have gone too far, and begin anew
        (O'Donoghue and Candes, Found. Comput. Math. 15, 2015, sec. 3.2).
        """
        if lacking > self._lacking:
            self._t = 1.0
        self._lacking = lacking
        t = (1.0 + np.sqrt(1.0 + 4.0 * self._t * self._t)) / 2.0
        self._factor, self._t = (self._t - 1.0) / t, t

    def carry_on(self, top: int, planes: FloatArray) -> FloatArray:
        """Rows from `top` on as a step made them, `[bands, rows, W]`, and further."""
        factor, further = self._factor, planes
        if factor:
            last = self._before.read(top, top + planes.shape[1])
            further = np.clip(planes + np.float32(factor) * (planes - last), 0.0, 1.0)
        self._before.write(top, planes)
        return further


def _visible(planes: FloatArray, alpha: bool) -> FloatArray:
    """Colors premultiplied: what transparent pixels hold is arbitrary."""
    return np.concatenate([planes[:-1] * planes[-1:], planes[-1:]]) if alpha else planes
