"""MATLAB's bicubic `imresize`: the only interpolation in the program.

Keys' cubic convolution with a = -0.5 (R. Keys, "Cubic Convolution Interpolation
for Digital Image Processing", IEEE ASSP 29(6), 1981), stretched by the scale when
shrinking (antialiasing), pixel centers aligned, borders mirrored. OpenCV
(a = -0.75, no antialiasing), Pillow and torch all differ from it.

Resizing is two matrix products, rows then columns, with banded matrices. They are
applied in blocks of outputs, each a small dense product, so that any window of the
output can be computed from the few input rows and columns that it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UnsupportedType, UsageError

Float = TypeVar("Float", np.float32, np.float64)

# Outputs per dense product: small enough to waste few zeros, large enough for BLAS.
_BLOCK = 64
_LEAST_BLOCK = 8
# Multiplications in one product: OpenBLAS divides larger ones among its threads
# (`interface/gemm.c`) and rounds them otherwise, so that results would depend on the
# number of cores.
_LARGEST_PRODUCT = 65536 * 4


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5, support [-2, 2].

    1.5|x|^3 - 2.5|x|^2 + 1 for |x| <= 1; -0.5|x|^3 + 2.5|x|^2 - 4|x| + 2 for 1 < |x| <= 2.
    """
    t = np.abs(x)
    near = (1.5 * t - 2.5) * t * t + 1.0
    far = ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t <= 1.0, near, np.where(t <= 2.0, far, 0.0))


def output_length(length: int, scale: float) -> int:
    """ceil(scale x length), as MATLAB; at least 1.

    A product within 1e-9 (relative) of a whole number counts as that number: 49 x (1/49) is 1.

    Raises:
        UsageError: unless the scale is a finite number above 0.
    """
    if not 0.0 < scale < math.inf:
        raise UsageError(f"a scale is a finite number above 0, not {scale}")
    exact = length * scale
    nearest = round(exact)
    if math.isclose(exact, nearest, rel_tol=1e-9):
        return max(1, nearest)
    return max(1, math.ceil(exact))


@dataclass(frozen=True)
class Axis:
    """How one axis is resized.

    Attributes:
        length_in: number of input samples, at least 1.
        length_out: number of output samples, at least 1.
        scale: the scale that sets kernel and sample positions. MATLAB takes the given
            scale where there is one, and length_out / length_in where a size is given.
        shift: input px by which all positions are moved: for planes whose samples do not lie
            where pixel centers do, as chroma often does.
    """

    length_in: int
    length_out: int
    scale: float
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.length_in < 1 or self.length_out < 1 or not 0.0 < self.scale < math.inf:
            raise UsageError(
                f"cannot resize {self.length_in} to {self.length_out} px by {self.scale}"
            )

    @classmethod
    def by_scale(cls, length: int, scale: float) -> Axis:
        """The axis of `imresize(image, scale)`."""
        return cls(length, output_length(length, scale), scale)

    @classmethod
    def by_size(cls, length: int, size: int) -> Axis:
        """The axis of `imresize(image, [rows columns])`."""
        return cls(length, size, size / length)

    @property
    def block(self) -> int:
        """Outputs per matrix product: fewer when shrinking, where each reads more inputs."""
        return max(_LEAST_BLOCK, round(_BLOCK * min(self.scale, 1.0)))

    @property
    def support(self) -> float:
        """Width of the kernel in input samples: 4, or 4 / scale when shrinking."""
        return 4.0 / min(self.scale, 1.0)

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Range of input samples that outputs `start..stop` depend on."""
        index, _ = _taps(self, start, stop)
        return int(index.min()), int(index.max()) + 1

    def matrix(self, start: int, stop: int) -> tuple[int, NDArray[np.float64]]:
        """Weights of the outputs `start..stop`.

        Returns:
            First input sample, and float64 `[stop - start, inputs]`; every row sums to 1.
        """
        index, weight = _taps(self, start, stop)
        first, last = int(index.min()), int(index.max()) + 1
        dense = np.zeros((stop - start, last - first))
        np.add.at(dense, (np.arange(stop - start)[:, None], index - first), weight)
        return first, dense


def _taps(axis: Axis, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Input indices, mirrored at the borders, and normalized weights of some outputs."""
    x = np.arange(start + 1, stop + 1, dtype=np.float64)  # 1-based, as in MATLAB
    u = x / axis.scale + 0.5 * (1.0 - 1.0 / axis.scale) + axis.shift
    left = np.floor(u - axis.support / 2.0)
    taps = math.ceil(axis.support) + 2
    index = left[:, None] + np.arange(taps)
    distance = u[:, None] - index
    shrink = min(axis.scale, 1.0)
    weight = shrink * cubic(shrink * distance)
    weight /= weight.sum(axis=1, keepdims=True)
    # Taps that never count must not widen the range of inputs that is asked for.
    index = np.where(weight == 0.0, np.clip(np.rint(u), 1, axis.length_in)[:, None], index)
    zero_based = index.astype(np.intp) - 1
    period = 2 * axis.length_in
    folded = np.mod(zero_based, period)
    return np.where(folded < axis.length_in, folded, period - 1 - folded), weight


@lru_cache(maxsize=512)
def _block(axis: Axis, start: int, stop: int, dtype: str) -> tuple[int, NDArray[np.float64]]:
    first, dense = axis.matrix(start, stop)
    dense = np.ascontiguousarray(dense, dtype=dtype)
    dense.setflags(write=False)
    return first, dense


def _blocks(axis: Axis, start: int, stop: int) -> list[tuple[int, int]]:
    """Cut `start..stop` at multiples of the block size, wherever it begins."""
    size = axis.block
    cuts = [start, *range((start // size + 1) * size, stop, size), stop]
    return list(pairwise(cuts))


def _pieces(length: int, cost: int) -> list[tuple[int, int]]:
    """Cut a side of a product, each part of which takes `cost`, into products of one thread."""
    step = max(1, _LARGEST_PRODUCT // cost)
    return [(start, min(start + step, length)) for start in range(0, length, step)]


@dataclass(frozen=True)
class Bicubic:
    """Resizing of planes `[..., rows.length_in, columns.length_in]`, or of windows of it.

    Attributes:
        rows: the vertical axis.
        columns: the horizontal axis.
    """

    rows: Axis
    columns: Axis

    @classmethod
    def by_scale(cls, height: int, width: int, scale: float) -> Bicubic:
        """As `imresize(image, scale)`: sizes are ceil(scale x n)."""
        return cls(Axis.by_scale(height, scale), Axis.by_scale(width, scale))

    @classmethod
    def by_size(cls, height: int, width: int, size: tuple[int, int]) -> Bicubic:
        """As `imresize(image, [rows columns])`; `size` is (height, width)."""
        return cls(Axis.by_size(height, size[0]), Axis.by_size(width, size[1]))

    @property
    def shape_in(self) -> tuple[int, int]:
        """(height, width) of the input."""
        return self.rows.length_in, self.columns.length_in

    @property
    def shape_out(self) -> tuple[int, int]:
        """(height, width) of the output."""
        return self.rows.length_out, self.columns.length_out

    def window(
        self,
        planes: NDArray[Float],
        *,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        first_row: int = 0,
    ) -> NDArray[Float]:
        """Compute a window of the output.

        Args:
            planes: float32 or float64 `[..., H, W]`: all input rows, or those from
                `first_row` on that `self.rows.needed` names. W is the whole width.
            rows: output rows (r0, r1); all by default.
            columns: output columns (c0, c1); all by default.
            first_row: which input row `planes[..., 0, :]` is.

        Returns:
            `[..., r1 - r0, c1 - c0]` of the same dtype; any range, nothing is clipped.

        Raises:
            UsageError: if the window lies outside of the output, or rows are missing.
        """
        r0, r1 = rows or (0, self.rows.length_out)
        c0, c1 = columns or (0, self.columns.length_out)
        if not (0 <= r0 < r1 <= self.rows.length_out and 0 <= c0 < c1 <= self.columns.length_out):
            raise UsageError(f"no window {(r0, r1)} x {(c0, c1)} in an output of {self.shape_out}")
        if planes.shape[-1] != self.columns.length_in:
            raise UsageError(f"{planes.shape[-1]} columns given, {self.columns.length_in} expected")
        low, high = self.rows.needed(r0, r1)
        if low < first_row or high > first_row + planes.shape[-2]:
            raise UsageError(f"rows {(r0, r1)} need input rows {(low, high)}")
        dtype = planes.dtype
        left, right = self.columns.needed(c0, c1)
        lead: tuple[int, ...] = planes.shape[:-2]

        tall = np.empty((*lead, r1 - r0, right - left), dtype)
        for a, b in _blocks(self.rows, r0, r1):
            first, weight = _block(self.rows, a, b, dtype.str)
            top = first - first_row
            for c, d in _pieces(right - left, weight.size):
                source = planes[..., top : top + weight.shape[1], left + c : left + d]
                np.matmul(weight, source, out=tall[..., a - r0 : b - r0, c:d])
        out = np.empty((*lead, r1 - r0, c1 - c0), dtype)
        for a, b in _blocks(self.columns, c0, c1):
            first, weight = _block(self.columns, a, b, dtype.str)
            for c, d in _pieces(r1 - r0, weight.size):
                source = tall[..., c:d, first - left : first - left + weight.shape[1]]
                np.matmul(source, weight.T, out=out[..., c:d, a - c0 : b - c0])
        return out


def imresize(
    planes: NDArray[Float],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
) -> NDArray[Float]:
    """MATLAB's `imresize(image, scale)` or `imresize(image, size)`, bicubic.

    Args:
        planes: float32 or float64 `[..., H, W]`, channels first; any range.
        scale: factor for both axes; the result is ceil(scale x n) long.
        size: (height, width) of the result, instead of a scale.
        rows: only these output rows (r0, r1).
        columns: only these output columns (c0, c1).

    Returns:
        `[..., height, width]`, or the window of it, in the same dtype. Nothing is
        rounded or clipped: cubic interpolation overshoots at edges.

    Raises:
        UsageError: unless exactly one of scale and size is given, or for an empty window.
        UnsupportedType: for another dtype.
    """
    if planes.dtype not in (np.float32, np.float64):
        raise UnsupportedType(f"imresize takes float32 or float64, not {planes.dtype}")
    height, width = planes.shape[-2:]
    if scale is not None and size is None:
        bicubic = Bicubic.by_scale(height, width, scale)
    elif size is not None and scale is None:
        bicubic = Bicubic.by_size(height, width, size)
    else:
        raise UsageError("give either a scale or a size")
    return bicubic.window(planes, rows=rows, columns=columns)
