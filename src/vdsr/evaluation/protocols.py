"""The protocols by which PSNR and SSIM are printed in the field.

Both work on studio-range BT.601 luma, shrink and enlarge it with MATLAB's bicubic,
and shave as many px as the scale. Their figures must never stand side by side.

`paper` (Kim et al. 2016 and the literature before and after: MATLAB scripts): the
    luma of the original is rounded to 8 bits, as MATLAB's `rgb2ycbcr` of a uint8
    image does; everything after it is in float, and output and bicubic are rounded to
    8 bits before they are measured.
`float` (the public implementation pytorch-vdsr, https://github.com/twtygqyy/pytorch-vdsr):
    nothing is ever rounded.

A grayscale file is its own luma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.color import RANGES, STUDIO, ColorRange
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.metrics import psnr, ssim
from vdsr.inference.architecture import FloatArray

PROTOCOLS = ("paper", "float")

Plane = NDArray[np.float64]
Restore = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Score:
    """PSNR in dB and SSIM of one picture."""

    psnr: float
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One picture, restored and merely enlarged, against the original.

    Attributes:
        bicubic: the score of bicubic interpolation.
        restored: the score of the network.
    """

    bicubic: Score
    restored: Score


def luma(image: NDArray[np.uint8], protocol: str) -> Plane:
    """The luma that `protocol` measures.

    Args:
        image: uint8 `[H, W]`, or `[H, W, 3]` RGB.
        protocol: `paper` or `float`.

    Returns:
        float64 `[H, W]`, 16..235 for colour pictures; whole numbers for `paper`.

    Raises:
        UsageError: for another protocol.
        ValueError: for another shape.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}: {', '.join(PROTOCOLS)}")
    if image.ndim == 2:
        return image.astype(np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is [H, W] or [H, W, 3], not {list(image.shape)}")
    y = STUDIO.luma(np.ascontiguousarray(image.transpose(2, 0, 1), np.float64))
    return _rounded(y) if protocol == "paper" else y


def compare(
    image: NDArray[np.uint8], scale: int, protocol: str, restore: Restore, *, model_luma: str
) -> Comparison:
    """Shrink a picture, restore it, and measure the result and bicubic against it.

    Args:
        image: the original, uint8 `[H, W]` or `[H, W, 3]` RGB.
        scale: 2, 3, 4, ...
        protocol: `paper` or `float`.
        restore: the network, float32 `[H, W]` luma / 255 to the same.
        model_luma: range of the luma that the network takes, `studio` or `full`.

    Raises:
        UsageError: for another protocol.
        ValueError: for a picture that is too small to be measured.
    """
    original = crop_to_multiple(luma(image, protocol), scale)
    enlarged = degrade(original, scale)
    restored = _through(restore, enlarged, RANGES[model_luma])
    if protocol == "paper":
        enlarged, restored = _rounded(enlarged), _rounded(restored)
    return Comparison(
        bicubic=_score(np.clip(enlarged, 0.0, 255.0), original, scale),
        restored=_score(np.clip(restored, 0.0, 255.0), original, scale),
    )


def _through(restore: Restore, y: Plane, color: ColorRange) -> Plane:
    """Run the network on studio luma in 0..255, whatever range it takes itself."""
    gain = color.luma_span / STUDIO.luma_span
    into = (y - STUDIO.luma_offset) * gain + color.luma_offset
    result = restore((into / 255.0).astype(np.float32)).astype(np.float64) * 255.0
    return (result - color.luma_offset) / gain + STUDIO.luma_offset


def _rounded(plane: Plane) -> Plane:
    """As MATLAB's uint8(): to nearest, halves up, clipped."""
    return np.clip(np.floor(plane + 0.5), 0.0, 255.0)


def _score(plane: Plane, original: Plane, scale: int) -> Score:
    return Score(
        psnr=psnr(plane, original, data_range=255.0, border=scale),
        ssim=ssim(plane, original, data_range=255.0, border=scale),
    )
