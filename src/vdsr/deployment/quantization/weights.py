"""Weights as integers, with a scale per output channel.

References:
    E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers", ICLR 2023, https://arxiv.org/abs/2210.17323: rounding weights one after the
    other, each time moving those that are still free so that the layer's output changes
    least; here for the k x k x in numbers of every output channel of a convolution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vdsr.inference.architecture import FloatArray

_DAMPING = 0.01


def channel_scales(weight: FloatArray, bits: int) -> FloatArray:
    """float32 `[out]`: the largest weight of every channel becomes 127, or 63 with 7 bits.

    Args:
        weight: float32 `[out, in, k, k]`.
        bits: 8, or 7.
    """
    top = np.abs(weight).reshape(len(weight), -1).max(1)
    limit = 2 ** (bits - 1) - 1
    # A channel of zeros needs a scale, too.
    found: FloatArray = np.where(top > 0, top / limit, 1.0 / limit).astype(np.float32)
    return found


def nearest(weight: FloatArray, scale: FloatArray, bits: int) -> NDArray[np.int8]:
    """Every weight to its nearest integer: int8 `[out, in, k, k]`."""
    limit = 2 ** (bits - 1) - 1
    units = np.rint(weight / scale[:, None, None, None])
    found: NDArray[np.int8] = np.clip(units, -limit, limit).astype(np.int8)
    return found


def compensated(
    weight: FloatArray, scale: FloatArray, bits: int, second: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Integers whose errors cancel, for inputs like those that were seen.

    Args:
        weight: float32 `[out, in, k, k]`.
        scale: float32 `[out]`.
        bits: 8, or 7.
        second: float64 `[in k k, in k k]`; see `second_moment`.

    Returns:
        int8 `[out, in, k, k]`.
    """
    limit = 2 ** (bits - 1) - 1
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    # The upper Cholesky factor of the inverse holds all that the rounding needs, in order.
    upper = np.linalg.cholesky(np.linalg.inv(_damped(second))).T
    integers = np.empty_like(rows)
    for j in range(rows.shape[1]):
        integers[:, j] = np.clip(np.rint(rows[:, j] / scale), -limit, limit)
        error = (rows[:, j] - integers[:, j] * scale) / upper[j, j]
        rows[:, j + 1 :] -= error[:, None] * upper[j, j + 1 :]
    found: NDArray[np.int8] = integers.astype(np.int8).reshape(weight.shape)
    return found


def _damped(second: NDArray[np.float64]) -> NDArray[np.float64]:
    load = _DAMPING * np.trace(second) / len(second) + 1e-12
    found: NDArray[np.float64] = second + np.eye(len(second)) * load
    return found


def second_moment(x: FloatArray, kernel: int) -> NDArray[np.float64]:
    """Sum over all k x k patches p of a layer's input of (p - mean) (p - mean)^T.

    Deviations from the mean, since biases take care of means. Zero padding is part of the
    patches.

    Args:
        x: float32 `[N, in, H, W]`.
        kernel: k, odd.

    Returns:
        float64 `[in k k, in k k]`, in the order of a weight `[in, k, k]`.
    """
    size, pad = x.shape[1] * kernel**2, kernel // 2
    second, total, count = np.zeros((size, size)), np.zeros(size), 0
    for picture in x:
        padded = np.pad(picture, ((0, 0), (pad, pad), (pad, pad)))
        view = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
        patches = view.transpose(0, 3, 4, 1, 2).reshape(size, -1)
        second += patches @ patches.T
        total += patches.sum(1)
        count += patches.shape[1]
    return second - np.outer(total, total) / count
