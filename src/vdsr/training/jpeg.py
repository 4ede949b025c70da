"""JPEG without its entropy coding, on the device that trains: what a picture loses by it.

Follows libjpeg-turbo step by step, with its roundings, so that the result is that of a file
saved and loaded: color conversion (jccolor.c), 2x2 averages of chroma with alternating bias
(jcsample.c), the accurate integer DCT with two passes (jfdctint.c, jidctint.c), division by
the table with halves away from zero (jcdctmgr.c), triangular enlargement of chroma
(jdsample.c), and back (jdcolor.c).

References:
    ITU-T T.81, Annex K: the tables, and the DCT.
    N. Robidoux's table, the default of mozjpeg for luma and chroma (jcparam.c, table 3).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdsr.training.transfer import to_device

BLOCK = 8
# With chroma of half the size, a block of it covers as many px to each side.
UNIT = 2 * BLOCK
TABLES = ("libjpeg", "mozjpeg")

_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip
_ROBIDOUX = (
    16, 16, 16, 18, 25, 37, 56, 85, 16, 17, 20, 27, 34, 40, 53, 75,
    16, 20, 24, 31, 43, 62, 91, 135, 18, 27, 31, 40, 53, 74, 106, 156,
    25, 34, 43, 53, 69, 94, 131, 189, 37, 40, 62, 74, 94, 124, 169, 238,
    56, 53, 91, 106, 131, 169, 226, 311, 85, 75, 135, 156, 189, 238, 311, 418,
)  # fmt: skip
_BASES = {"libjpeg": (_LUMA, _CHROMA), "mozjpeg": (_ROBIDOUX, _ROBIDOUX)}

# Cosines and sums of cosines, as jfdctint.c has them.
_CONSTANTS = {
    "a": 0.541196100, "b": 0.765366865, "c": 1.847759065, "d": 1.175875602,
    "e": 0.298631336, "f": 2.053119869, "g": 3.072711026, "h": 1.501321110,
    "i": 0.899976223, "j": 2.562915447, "k": 1.961570560, "l": 0.390180644,
}  # fmt: skip
# Fixed point of 16 bits, as jccolor.c has it.
_BITS = 16
_HALF = 1 << (_BITS - 1)
_TO_YCC = (
    (19595, 38470, 7471, _HALF),
    (-11059, -21709, 32768, (128 << _BITS) + _HALF - 1),
    (32768, -27439, -5329, (128 << _BITS) + _HALF - 1),
)


def quantization_tables(quality: int, kind: str = "libjpeg") -> NDArray[np.float32]:
    """The tables of luma and chroma, scaled as libjpeg does (`jpeg_quality_scaling`).

    Args:
        quality: 1..100.
        kind: one of `TABLES`.

    Returns:
        float32 `[2, 8, 8]`, whole numbers in 1..255, rows by vertical frequency.
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled = (np.array(_BASES[kind], np.int64) * percent + 50) // 100
    tables: NDArray[np.float32] = np.clip(scaled, 1, 255).astype(np.float32)
    return tables.reshape(2, BLOCK, BLOCK)


def compressed(pictures: Tensor, tables: Tensor, halved: NDArray[np.bool_]) -> Tensor:
    """Pictures as they come back from a JPEG file.

    Args:
        pictures: float `[N, 3, H, W]` RGB, or `[N, 1, H, W]` gray: whole numbers in 0..255;
            H and W are multiples of 16. The first block begins in the first pixel.
        tables: float `[N, 2, 8, 8]`, see `quantization_tables`.
        halved: `[N]`: whether chroma is stored at half the size (4:2:0), or whole (4:4:4).

    Returns:
        The same shape, whole numbers in 0..255.

    Raises:
        ValueError: for sides that are not multiples of 16.
    """
    if pictures.shape[-1] % UNIT or pictures.shape[-2] % UNIT:
        raise ValueError(f"sides are multiples of {UNIT} px, not {list(pictures.shape[-2:])}")
    if pictures.shape[1] == 1:
        return _through_blocks(pictures, tables[:, :1])
    ycc = _to_ycc(pictures)
    y = _through_blocks(ycc[:, :1], tables[:, :1])
    chroma = torch.empty_like(ycc[:, 1:])
    for half in (False, True):
        chosen = np.flatnonzero(halved == half)
        if not len(chosen):
            continue
        index = to_device(chosen, pictures.device)
        part = ycc[index, 1:]
        part = _through_blocks(_shrunk(part) if half else part, tables[index, 1:])
        chroma[index] = _enlarged(part) if half else part
    return _to_rgb(y[:, 0], chroma[:, 0] - 128.0, chroma[:, 1] - 128.0)


def _to_ycc(rgb: Tensor) -> Tensor:
    red, green, blue = rgb.to(torch.int32).unbind(1)
    planes = [(a * red + b * green + c * blue + d) >> _BITS for a, b, c, d in _TO_YCC]
    return torch.stack(planes, 1).to(rgb.dtype)


def _to_rgb(y: Tensor, cb: Tensor, cr: Tensor) -> Tensor:
    red = y + _rounded(1.402 * cr)
    green = y + _rounded(-0.344136286 * cb - 0.714136286 * cr)
    blue = y + _rounded(1.772 * cb)
    return torch.stack([red, green, blue], 1).clamp_(0.0, 255.0)


def _rounded(x: Tensor) -> Tensor:
    """To nearest, halves up, as a shift of integers does; in place."""
    return x.add_(0.5).floor_()


@cache
def _matrix() -> NDArray[np.float64]:
    """The DCT's matrix times sqrt(8), with libjpeg's constants of 13 bits.

    jfdctint.c factors it into sums and products (Loeffler, Ligtenberg, Moschytz, ICASSP
    1989); these are its steps, applied to the identity. jidctint.c applies the transpose.
    """
    x = np.eye(BLOCK)
    sums, differences = x[:4] + x[:3:-1], x[:4] - x[:3:-1]
    c = {name: math.floor(value * 8192 + 0.5) / 8192 for name, value in _CONSTANTS.items()}
    outer, inner = sums[0] - sums[3], sums[1] - sums[2]
    turned = (outer + inner) * c["a"]
    d7, d6, d5, d4 = differences
    both = (d4 + d6 + d5 + d7) * c["d"]
    z1, z2 = (d4 + d7) * -c["i"], (d5 + d6) * -c["j"]
    z3, z4 = (d4 + d6) * -c["k"] + both, (d5 + d7) * -c["l"] + both
    return np.stack(
        [
            sums.sum(0),
            d7 * c["h"] + z1 + z4,
            turned + outer * c["b"],
            d6 * c["g"] + z2 + z3,
            sums[0] + sums[3] - sums[1] - sums[2],
            d5 * c["f"] + z2 + z4,
            turned - inner * c["c"],
            d4 * c["e"] + z1 + z3,
        ]
    )


def _through_blocks(planes: Tensor, tables: Tensor) -> Tensor:
    """DCT, quantization, and back: `[N, C, H, W]`; tables `[N, 1, 8, 8]`."""
    shape, basis = planes.shape, to_device(_matrix(), planes.device).to(planes.dtype)
    width = shape[-1]
    blocks = (*shape[:2], shape[2] // BLOCK, BLOCK, width // BLOCK, BLOCK)
    steps = tables[:, :, None, :, None, :]
    # Rows and then columns; between them two bits behind the point are kept.
    rows = _rounded((planes - 128.0).reshape(-1, BLOCK) @ (4.0 * basis.T)).mul_(0.25)
    found = _rounded(basis @ rows.view(-1, BLOCK, width)).view(blocks)
    # The coefficients are 8 times those of the standard.
    count = found.abs().add_(4.0 * steps).div_(8.0 * steps).floor_()
    held = count.mul_(found.sign_()).mul_(steps)
    columns = _rounded((4.0 * basis.T) @ held.view(-1, BLOCK, width)).mul_(0.25)
    back = _rounded(columns.view(-1, BLOCK) @ (0.125 * basis))
    return back.add_(128.0).clamp_(0.0, 255.0).view(shape)


def _shrunk(planes: Tensor) -> Tensor:
    """Means of 2x2 px; halves go down and up by turns, from column to column."""
    sums = planes[..., ::2, ::2] + planes[..., ::2, 1::2]
    sums = sums + planes[..., 1::2, ::2] + planes[..., 1::2, 1::2]
    bias = torch.arange(sums.shape[-1], device=planes.device) % 2 + 1
    return (sums + bias).mul_(0.25).floor_()


def _enlarged(planes: Tensor) -> Tensor:
    """Twice as large: 3/4 of the nearer and 1/4 of the farther px, down and across."""
    rows = torch.stack(_thirds(planes, -2), -2).flatten(-3, -2)
    sides = zip(_thirds(rows, -1), (8.0, 7.0), strict=True)
    return torch.stack(
        [side.add_(bias).mul_(1.0 / 16.0).floor_() for side, bias in sides], -1
    ).flatten(-2)


def _thirds(planes: Tensor, axis: int) -> list[Tensor]:
    """Three parts of each px and one of that before, and of that behind it."""
    length = planes.shape[axis]
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, length - 1, 1)
    before = torch.cat([first, planes.narrow(axis, 0, length - 1)], axis)
    behind = torch.cat([planes.narrow(axis, 1, length - 1), last], axis)
    return [3.0 * planes + before, 3.0 * planes + behind]
