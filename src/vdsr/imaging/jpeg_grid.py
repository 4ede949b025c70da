"""The traces that JPEG compression leaves in pixels: blocks of 8x8 whose finest DCT is idle.

Coarse steps make the finest coefficients of a block zero. In the blocks of any other offset
they are not: there lie edges of blocks. So the share of coefficients that are zero, but for
rounding, tells compression and its offset, whatever the file says of itself (compare Z. Fan
and R. de Queiroz, "Identification of Bitmap Compression History", IEEE TIP 12(2), 2003, who
look at the differences across borders).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 8
# Of the DCT, the frequencies that are looked at, in both directions.
_FREQUENCIES = (6, 7)
# Coefficients below are idle: rounding samples to 8 bits gives them a deviation of 0.3.
_IDLE = 0.9
# Half the least range of samples in a block that says anything: plain areas are idle anyway.
_PLAIN = 4.0
# Coefficients that count as busy at any offset, so that a few of them prove nothing; and
# deviations by which the best of 64 offsets may be so by chance.
_DOUBT, _CHANCE = 0.004, 3.0


def dct_matrix() -> NDArray[np.float32]:
    """The orthonormal DCT-II of 8 samples, float32 `[8, 8]`, rows by frequency (T.81, A.3.3)."""
    k = np.arange(BLOCK)
    basis = np.cos((2 * k[None] + 1) * k[:, None] * np.pi / (2 * BLOCK))
    basis *= np.where(k[:, None] == 0, np.sqrt(1 / BLOCK), np.sqrt(2 / BLOCK))
    return basis.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class GridTrace:
    """How clearly blocks stand in a picture.

    Attributes:
        strength: busy fine coefficients at the other offsets for each at the best offset, at
            least; about 1, or less, where there are no blocks.
        offset: rows and columns above and left of the first whole block, 0..7.
    """

    strength: float
    offset: tuple[int, int]


def grid_trace(
    windows: Sequence[NDArray[np.float32]], corners: Sequence[tuple[int, int]]
) -> GridTrace:
    """Look for blocks of 8x8 in windows of one picture.

    Args:
        windows: luma in 0..255, float32 `[h, w]` each.
        corners: the row and column of each in the picture.
    """
    busy, seen = np.zeros((BLOCK, BLOCK)), np.zeros((BLOCK, BLOCK))
    for window, (top, left) in zip(windows, corners, strict=True):
        if min(window.shape) < 2 * BLOCK:
            continue
        found = np.roll(_busy(window), (top, left), (1, 2))
        busy += found[0]
        seen += found[1]
    if seen.min() < 1:
        return GridTrace(strength=1.0, offset=(0, 0))
    share = busy / seen
    best = np.unravel_index(int(np.argmin(share)), share.shape)
    least = share[best]
    blocks = seen[best] / len(_FREQUENCIES) ** 2
    chance = _CHANCE * np.sqrt(least * (1 - least) / blocks)
    strength = float((np.median(share) + _DOUBT) / (least + chance + _DOUBT))
    return GridTrace(strength=strength, offset=(int(best[0]), int(best[1])))


def _busy(window: NDArray[np.float32]) -> NDArray[np.float64]:
    """Fine coefficients that are busy, and all, by the offset of blocks, `[2, 8, 8]`."""
    lively = _lively(window)
    basis = dct_matrix()
    busy = np.zeros(lively.shape, np.int16)
    for row in _FREQUENCIES:
        filtered = _filtered(window, basis[row])
        for column in _FREQUENCIES:
            busy += np.abs(_filtered(filtered.T, basis[column]).T) > _IDLE
    busy *= lively
    counts = np.zeros((2, BLOCK, BLOCK))
    for i in range(BLOCK):
        for j in range(BLOCK):
            counts[0, i, j] = busy[i::BLOCK, j::BLOCK].sum()
            counts[1, i, j] = lively[i::BLOCK, j::BLOCK].sum() * len(_FREQUENCIES) ** 2
    return counts


def _filtered(plane: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over 8 neighboring rows by their weights, `[h, w]` to `[h - 7, w]`."""
    rows = plane.shape[0] - BLOCK + 1
    total: NDArray[np.float32] = taps[0] * plane[:rows]
    for i in range(1, BLOCK):
        total += taps[i] * plane[i : i + rows]
    return total


def _lively(window: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the 8x8 px from each px on hold more than a plain area does, and nothing cut off."""
    high = _extreme(window, np.maximum)
    low = _extreme(window, np.minimum)
    return (high - low > 2 * _PLAIN) & (low > 0.5) & (high < 254.5)


def _extreme(window: NDArray[np.float32], take: np.ufunc) -> NDArray[np.float32]:
    for _ in range(2):
        for step in (1, 2, 4):
            window = take(window[:-step], window[step:])
        window = window.T
    return window
