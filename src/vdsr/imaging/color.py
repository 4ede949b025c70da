"""BT.601 luma and chroma, studio range and full range.

ITU-R BT.601-7: E'Y = 0.299 R + 0.587 G + 0.114 B. `studio` is what MATLAB's
`rgb2ycbcr` gives and what published PSNR is measured on: Y in 16..235, Cb and Cr in
16..240. `full` is JPEG's (JFIF) and OpenCV's YCrCb: all in 0..255. A luma of the
one range is never compared with one of the other.

All arrays are channels first, RGB and YCbCr in units of 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)


@dataclass(frozen=True)
class ColorRange:
    """One way to write BT.601 color as numbers.

    Attributes:
        name: `studio` or `full`.
        luma_offset: Y of black, of 255.
        luma_span: Y of white minus Y of black, of 255.
        matrix: float64 `[3, 3]`, from RGB to YCbCr, both in 0..255.
        offset: float64 `[3]`, added after the matrix.
    """

    name: str
    luma_offset: float
    luma_span: float
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def inverse(self) -> NDArray[np.float64]:
        """float64 `[3, 3]`, from YCbCr (offset taken off) to RGB."""
        return np.asarray(np.linalg.inv(self.matrix), np.float64)

    def to_ycbcr(self, rgb: NDArray[Float]) -> NDArray[Float]:
        """Convert RGB to Y, Cb, Cr.

        Args:
            rgb: float `[3, H, W]`, 0..255.

        Returns:
            Same shape and dtype; nothing rounded or clipped.
        """
        matrix = self.matrix.astype(rgb.dtype)
        return np.tensordot(matrix, rgb, 1) + self.offset.astype(rgb.dtype)[:, None, None]

    def to_rgb(self, ycbcr: NDArray[Float]) -> NDArray[Float]:
        """Convert Y, Cb, Cr to RGB: the exact inverse of `to_ycbcr`.

        Args:
            ycbcr: float `[3, H, W]` as `to_ycbcr` gives it.

        Returns:
            Same shape and dtype, 0..255 for colors that exist; nothing rounded or clipped.
        """
        centered = ycbcr - self.offset.astype(ycbcr.dtype)[:, None, None]
        return np.tensordot(self.inverse.astype(ycbcr.dtype), centered, 1)

    def luma(self, rgb: NDArray[Float]) -> NDArray[Float]:
        """Y alone.

        Args:
            rgb: float `[3, H, W]`, 0..255.

        Returns:
            `[H, W]` in 0..255: 16..235 for studio range.
        """
        row = self.matrix[0].astype(rgb.dtype)
        return np.tensordot(row, rgb, 1) + rgb.dtype.type(self.luma_offset)


# MATLAB's rgb2ycbcr, of 255: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.
STUDIO = ColorRange(
    "studio",
    16.0,
    219.0,
    np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    / 255.0,
    np.array([16.0, 128.0, 128.0]),
)

# JFIF: Cb = (B - Y) / 1.772 + 128, Cr = (R - Y) / 1.402 + 128.
FULL = ColorRange(
    "full",
    0.0,
    255.0,
    np.array(
        [
            [0.299, 0.587, 0.114],
            [-0.299 / 1.772, -0.587 / 1.772, 0.886 / 1.772],
            [0.701 / 1.402, -0.587 / 1.402, -0.114 / 1.402],
        ]
    ),
    np.array([0.0, 128.0, 128.0]),
)

RANGES = {color_range.name: color_range for color_range in (STUDIO, FULL)}
