"""Weights as integers, with a scale per output channel.

References:
    E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
    Transformers", ICLR 2023, https://arxiv.org/abs/2210.17323: rounding weights one after the
    other, each time moving those that are still free so that the layer's output changes
    least; here for the k x k x in numbers of every output channel of a convolution.
    Y. Li et al., "GPTAQ: Efficient Finetuning-Free Quantization for Asymmetric Calibration",
    ICML 2025, https://arxiv.org/abs/2504.02692: fitting to quantized inputs first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vdsr.model.architecture import FloatArray

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
        second: float64 `[in k k, in k k]`; see `moments.second_moment`.

    Returns:
        int8 `[out, in, k, k]`.
    """
    limit = 2 ** (bits - 1) - 1
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    upper = _upper_factor(_damped(second))
    integers, errors = np.empty_like(rows), np.zeros_like(rows)
    for j in range(rows.shape[1]):
        # With second = U U^T, an output errs by the length of errors U. Its entry j holds no
        # error of a later weight: the best that weight j can do is to bring it to 0.
        wanted = rows[:, j] + errors[:, :j] @ (upper[:j, j] / upper[j, j])
        integers[:, j] = np.clip(np.rint(wanted / scale), -limit, limit)
        errors[:, j] = rows[:, j] - integers[:, j] * scale
    found: NDArray[np.int8] = integers.astype(np.int8).reshape(weight.shape)
    return found


def refitted(
    weight: FloatArray, second: NDArray[np.float64], cross: NDArray[np.float64]
) -> FloatArray:
    """The weight that gives of a quantized input what it gave of the exact one, or almost.

    Least squares: with x the exact input and x' the quantized one, W' minimizes the mean of
    |W x - W' x'|^2, so W' = W + W E[(x - x') x'^T] (E[x' x'^T] + load)^-1. Errors of the layers
    before are made up for as far as they can be told from the input.

    Args:
        weight: float32 `[out, in, k, k]`.
        second: float64 `[in k k, in k k]`, of x'.
        cross: float64 `[in k k, in k k]`, of x - x' (rows) with x' (columns).
    """
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    moved = np.linalg.solve(_damped(second), (rows @ cross).T).T
    found: FloatArray = (rows + moved).astype(np.float32).reshape(weight.shape)
    return found


def _upper_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The upper triangular U with U U^T = matrix: Cholesky's, of both orders reversed."""
    factor = np.linalg.cholesky(matrix[::-1, ::-1])
    found: NDArray[np.float64] = np.ascontiguousarray(factor[::-1, ::-1])
    return found


def _damped(second: NDArray[np.float64]) -> NDArray[np.float64]:
    load = _DAMPING * np.trace(second) / len(second) + 1e-12
    found: NDArray[np.float64] = second + np.eye(len(second)) * load
    return found
