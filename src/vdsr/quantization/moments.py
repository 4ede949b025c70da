"""How the inputs of a convolution vary together, which rounding its weights has to know."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

from vdsr.model.architecture import FloatArray
from vdsr.quantization.convolution import compiled


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
    channels = x.shape[1]
    places = np.zeros((channels, kernel, kernel) * 2)
    # Over all patches that touch a picture, those around it included, a product of two
    # places depends on their distance alone: 13 products for 3 x 3 places, not 81.
    for (dy, dx), product in _correlations(x, kernel).items():
        for y, column in np.ndindex(kernel - dy, kernel - abs(dx)):
            left = column + max(0, -dx)
            places[:, y, left, :, y + dy, left + dx] = product
            places[:, y + dy, left + dx, :, y, left] = product.T
    second = places.reshape(channels * kernel**2, -1)
    total = np.repeat(x.sum((0, 2, 3), dtype=np.float64), kernel**2)
    around = np.concatenate([_patches_around(picture, kernel) for picture in x], 1)
    second -= around @ around.T
    total -= around.sum(1, dtype=np.float64)
    deviations: NDArray[np.float64] = second - np.outer(total, total) / (x.size // channels)
    return deviations


Distance = tuple[int, int]


def _correlations(x: FloatArray, kernel: int) -> dict[Distance, NDArray[np.float64]]:
    """`[in, in]` for each distance in half the plane: sum over q of x_a(q) x_b(q + distance)."""
    distances = [(0, dx) for dx in range(kernel)]
    distances += [(dy, dx) for dy in range(1, kernel) for dx in range(1 - kernel, kernel)]
    channels, height, width = x.shape[1:]
    # Rows one after the other with zeros between them: a distance is a shift.
    stride = width + kernel - 1
    rows = np.zeros((channels, height + kernel, stride), np.float32)
    shifts = tuple(dy * stride + dx for dy, dx in distances)
    request = _correlator(channels, rows[0].size, height * stride, shifts)
    total = np.zeros((len(distances), channels, channels))
    for picture in x:
        rows[:, :height, :width] = picture
        request.infer([rows.reshape(channels, -1)], share_inputs=True)
        total += request.get_output_tensor().data.reshape(total.shape)
    return dict(zip(distances, total, strict=True))


# A network's layers differ in nothing that counts here.
@lru_cache(maxsize=1)
def _correlator(
    channels: int, size: int, length: int, shifts: tuple[int, ...]
) -> openvino.InferRequest:
    """From `[in, size]` to products of its beginning and shifts of it: `[shifts in, in]`."""
    flat = ops.parameter([channels, size], np.float32)

    def part(start: int) -> openvino.Node:
        return ops.slice(flat, *([n] for n in (start, start + length, 1, 1)))

    beginning = part(0)
    products = [ops.matmul(beginning, part(shift), False, True) for shift in shifts]
    return compiled([ops.concat(products, 0)], [flat])


def _patches_around(picture: FloatArray, kernel: int) -> FloatArray:
    """The patches whose middle lies outside a picture: `[in k k, number]`."""
    pad, (height, width) = kernel // 2, picture.shape[1:]
    padded = np.pad(picture, ((0, 0), (2 * pad,) * 2, (2 * pad,) * 2))
    view = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (1, 2))
    outside = np.ones(view.shape[1:3], np.bool_)
    outside[pad : pad + height, pad : pad + width] = False
    patches = view[:, outside].transpose(0, 2, 3, 1)
    return patches.reshape(len(picture) * kernel**2, -1)
