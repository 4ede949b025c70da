"""Ways in which pictures are made smaller, as matrices, for training on more than one of them.

MATLAB's bicubic is `vdsr.imaging.resample`'s; the others are what other programs do:
Lanczos with three lobes and area, both stretched by the scale; and bicubic after a slight
blur, as lenses and scalers leave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.resample import Axis

KERNELS = ("bicubic", "lanczos", "area", "blur")
# Standard deviation of the blur, in px of the small picture.
_BLUR = 0.45

Matrix = NDArray[np.float64]


def shrinking(kind: str, length: int, scale: float) -> Matrix:
    """A matrix that shrinks one axis.

    Args:
        kind: one of `KERNELS`.
        length: px of the axis: a multiple of the scale.
        scale: 1 or more; at 1 every kind but `blur` changes nothing.

    Returns:
        `[length / scale, length]`; every row sums to 1, borders are mirrored.

    Raises:
        ValueError: for an unknown kind.
    """
    small = round(length / scale)
    if kind == "bicubic":
        return _dense(Axis.by_scale(length, 1.0 / scale).matrix(0, small), length)
    if kind == "blur":
        deviation = _BLUR * scale
        blurred = _resampling(
            lambda x: np.exp(-0.5 * (x / deviation) ** 2), 4.0 * deviation, length, length
        )
        return shrinking("bicubic", length, scale) @ blurred
    if kind == "lanczos":
        return _resampling(lambda x: _lanczos(x / scale), 3.0 * scale, length, small)
    if kind == "area":
        return _resampling(lambda x: _overlap(x, scale), 0.5 * scale + 0.5, length, small)
    raise ValueError(f"unknown kernel {kind!r}: {', '.join(KERNELS)}")


def enlarging(length: int, scale: float) -> Matrix:
    """MATLAB's bicubic enlargement of one axis: `[scale x length, length]`."""
    large = round(length * scale)
    return _dense(Axis.by_scale(length, scale).matrix(0, large), length)


def _dense(part: tuple[int, Matrix], length: int) -> Matrix:
    first, weights = part
    return np.pad(weights, ((0, 0), (first, length - first - weights.shape[1])))


def _lanczos(x: Matrix) -> Matrix:
    """sinc(x) sinc(x / 3), for |x| < 3."""
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


def _overlap(x: Matrix, scale: float) -> Matrix:
    """How much of a px at distance `x` lies within a square of side `scale`."""
    return np.clip(0.5 * scale + 0.5 - np.abs(x), 0.0, 1.0)


def _resampling(
    kernel: Callable[[Matrix], Matrix], reach: float, length: int, small: int
) -> Matrix:
    """Normalized weights of a kernel, from `length` to `small` px, borders mirrored."""
    scale = length / small
    center = (np.arange(small) + 0.5) * scale - 0.5
    taps = 2 * math.ceil(reach) + 1
    index = np.rint(center).astype(np.int64)[:, None] + np.arange(taps) - taps // 2
    weight = kernel(center[:, None] - index)
    weight /= weight.sum(1, keepdims=True)
    dense = np.zeros((small, length))
    np.add.at(dense, (np.arange(small)[:, None], mirrored(index, length)), weight)
    return dense


def mirrored(index: NDArray[np.int64], length: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices outside of an axis, mirrored into it: the outermost px comes twice."""
    folded = np.mod(index, 2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)
