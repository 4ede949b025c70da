"""How noisy a picture is, told from itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# J. Immerkaer, "Fast Noise Variance Estimation", Computer Vision and Image Understanding
# 64(2), 1996: this mask answers to noise, and neither to slopes nor to straight edges; its
# squares sum to 36. The mean of the absolute values of a normal variable is sqrt(2 / pi) of
# its deviation.
_GAIN = np.sqrt(np.pi / 2.0) / 6.0
_SIDE = 16
# Noise is everywhere, texture is not: the squares with the least of it tell the noise. They
# are chosen by the coarse scale, since choosing by the fine one finds where noise is weak.
_PLAINEST = 0.15
# A square or two are too little to tell from.
_FEWEST = 4
# Part of the samples of a square.
_CUT_OFF = 0.75
# At half the size white noise is half as strong, a quarter in squares; texture grows, in
# squares by this factor or more.
_WHITE, _TEXTURE = 0.25, 2.0


def noise_level(windows: Sequence[NDArray[np.float32]]) -> float:
    """Standard deviation of white noise in windows of one picture.

    Told by the squares of 16x16 px with the least texture, by what is left there of the finest
    scale when it is compared with the next, in which texture is stronger and white noise
    weaker.

    Args:
        windows: luma in 0..255, float32 `[h, w]` each.

    Returns:
        Levels of luma; 0 if nothing can be told, as from fewer than four squares. White noise
        of S levels in each of R, G and B is of 0.67 S in luma.
    """
    fine, coarse = (np.concatenate(found) for found in zip(*map(_levels, windows), strict=True))
    if len(fine) < _FEWEST:
        return 0.0
    plain = coarse <= np.quantile(coarse, _PLAINEST)
    white = (_TEXTURE * fine[plain] ** 2 - coarse[plain] ** 2) / (_TEXTURE - _WHITE)
    return float(np.sqrt(max(0.0, np.median(white))))


def _levels(window: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Immerkaer's estimate by squares of 16 px, at full and half size; plain ones are left out.

    So are squares where nearly all samples are cut off, which hides noise; on white paper it
    is half of them.
    """
    rows, columns = (side // _SIDE * _SIDE for side in window.shape)
    if not (rows and columns):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    window = window[:rows, :columns]
    half = np.float32(0.5) * (window[::2] + window[1::2])
    half = np.float32(0.5) * (half[:, ::2] + half[:, 1::2])
    fine, coarse = _estimates(window, _SIDE), _estimates(half, _SIDE // 2)
    cut_off = _squares((window < 0.5) | (window > 254.5), _SIDE).mean((1, 3))
    told = (cut_off < _CUT_OFF) & (fine > 0)
    return fine[told], coarse[told]


def _estimates(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    lines = plane[:-2] - 2 * plane[1:-1] + plane[2:]
    answer = np.abs(lines[:, :-2] - 2 * lines[:, 1:-1] + lines[:, 2:])
    squares = _squares(np.pad(answer, 1, "edge"), side)
    return np.asarray(squares.mean((1, 3)) * np.float32(_GAIN), np.float32)


def _squares(plane: NDArray[Any], side: int) -> NDArray[Any]:
    rows, columns = plane.shape
    return plane.reshape(rows // side, side, columns // side, side)
