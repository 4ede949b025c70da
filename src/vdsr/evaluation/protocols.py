"""The protocols by which PSNR and SSIM are measured.

`paper` (Kim et al. 2016 and the literature before and after: MATLAB scripts): the
    luma of the original is rounded to 8 bits, as MATLAB's `rgb2ycbcr` of a uint8
    image does; everything after it is in float, and output and bicubic are rounded to
    8 bits before they are measured.
`float` (the public implementation pytorch-vdsr, https://github.com/twtygqyy/pytorch-vdsr):
    nothing is ever rounded. The output is clipped to 0..255; bicubic, in its script, is not.
`file`: see `vdsr.evaluation.file_protocol`.
`fixed256`, `fixed:HxW`: see `vdsr.evaluation.opencv_protocol`.
`jpeg:Q`, `noise:S`, `restore-jpeg:Q`: see `vdsr.evaluation.damaged_protocols`.

The first two work on studio-range BT.601 luma, shrink and enlarge it with MATLAB's
bicubic, and shave as many px as the scale. Figures of different protocols must never
stand side by side. A grayscale file is its own luma.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError, among
from vdsr.evaluation.cases import Case, Network, Plane, Planes, Reading, Score, clipped, rounded
from vdsr.evaluation.damaged_protocols import DAMAGED, DamagedProtocol, prepare_damaged
from vdsr.evaluation.opencv_protocol import FIXED, FIXED256, fixed_size, prepare_fixed
from vdsr.imaging.color import RANGES, STUDIO, ColorRange
from vdsr.imaging.degrade import Any_, crop_to_multiple, enlarge, shrink
from vdsr.model.architecture import FloatArray

PROTOCOLS = ("paper", "float", "file", FIXED256, FIXED, *DAMAGED)
CROPS = ("single", "cumulative")
_LUMA_PROTOCOLS = PROTOCOLS[:2]

Restore = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One picture, restored and merely enlarged, against the original.

    Attributes:
        bicubic: the score of bicubic interpolation.
        restored: the score of the network.
    """

    bicubic: Score
    restored: Score


def prepare(
    image: NDArray[np.uint8],
    scale: int,
    protocol: str,
    *,
    crop: str = "single",
    given: NDArray[np.uint8] | None = None,
) -> Case:
    """Make a picture ready: shrink and enlarge it as the protocol says.

    Args:
        image: the original, uint8 `[H, W]` or `[H, W, 3]` RGB.
        scale: 2, 3, 4, ...
        protocol: one of `PROTOCOLS`, with numbers for its capitals.
        crop: see `cropped`.
        given: the picture to be restored, already enlarged, uint8, for `fixed256` and
            `fixed:HxW` alone.

    Raises:
        UsageError: for another protocol or crop, or a given picture that has no place in it.
        MissingExtra: for these without OpenCV.
        ValueError: for a picture that is too small.
    """
    damaged = check_protocol(protocol)
    size = fixed_size(protocol)
    if size is not None:
        return prepare_fixed(image, scale, given, size)
    if given is not None:
        raise UsageError(f"the protocol {protocol} makes its own low-resolution pictures")
    if damaged is not None:
        if damaged.keeps_size != (scale == 1):
            raise UsageError(f"the protocol {protocol} is not for x{scale}")
        return prepare_damaged(cropped(image, scale, crop, channels_last=True), scale, damaged)
    if protocol == "file":
        from vdsr.evaluation.file_protocol import prepare_file

        return prepare_file(cropped(image, scale, crop, channels_last=True), scale)
    return _prepare_luma(
        cropped(luma(image, protocol), scale, crop),
        scale,
        protocol,
        cropped(_chroma(image, protocol), scale, crop),
    )


def check_protocol(name: str) -> DamagedProtocol | None:
    """Check that there is such a protocol.

    Returns:
        What is done to pictures; None for a protocol of clean ones.

    Raises:
        UsageError: if there is none.
    """
    damaged = DamagedProtocol.parse(name)
    named = name in PROTOCOLS and name not in (FIXED, *DAMAGED)
    if damaged is None and not named and fixed_size(name) is None:
        raise UsageError(f"unknown protocol {name!r}: {among(name, PROTOCOLS)}")
    return damaged


def _chroma(image: NDArray[np.uint8], protocol: str) -> Planes:
    """Cb and Cr beside `luma`, for networks that take them: float64 `[2, H, W]`, 16..240."""
    if image.ndim == 2:
        return np.full((2, *image.shape), 128.0)
    planes = STUDIO.to_ycbcr(np.ascontiguousarray(image.transpose(2, 0, 1), np.float64))[1:]
    return rounded(planes) if protocol == "paper" else planes


def cropped(
    image: NDArray[Any_], scale: int, crop: str, *, channels_last: bool = False
) -> NDArray[Any_]:
    """Cut right and bottom to multiples of the scale.

    Args:
        image: `[H, W]`, or with `channels_last` also `[H, W, 3]`.
        scale: 2, 3, 4, ...
        crop: `single` cuts to a multiple of the scale; `cumulative` to a multiple of 2,
            what is left to a multiple of 3, and so on up to the scale, as the script of
            pytorch-vdsr does by evaluating all scales of the same variable in turn.
        channels_last: whether there may be an axis of channels at the end.

    Raises:
        UsageError: for another crop.
        ValueError: for a picture that is too small.
    """
    if crop not in CROPS:
        raise UsageError(f"unknown crop {crop!r}: {', '.join(CROPS)}")
    if channels_last and image.ndim == 3:
        return cropped(image.transpose(2, 0, 1), scale, crop).transpose(1, 2, 0)
    for step in range(2 if crop == "cumulative" else scale, scale + 1):
        image = crop_to_multiple(image, step)
    return image


def luma(image: NDArray[np.uint8], protocol: str) -> Plane:
    """The luma that `paper` or `float` measures.

    Args:
        image: uint8 `[H, W]`, or `[H, W, 3]` RGB.
        protocol: `paper` or `float`.

    Returns:
        float64 `[H, W]`, 16..235 for color pictures; whole numbers for `paper`.

    Raises:
        UsageError: for another protocol.
        ValueError: for another shape.
    """
    if protocol not in _LUMA_PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}: {', '.join(_LUMA_PROTOCOLS)}")
    if image.ndim == 2:
        return image.astype(np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is [H, W] or [H, W, 3], not {list(image.shape)}")
    y = STUDIO.luma(np.ascontiguousarray(image.transpose(2, 0, 1), np.float64))
    return rounded(y) if protocol == "paper" else y


def compare(
    image: NDArray[np.uint8],
    scale: int,
    protocol: str,
    restore: Restore,
    *,
    model_luma: str,
    crop: str = "single",
) -> Comparison:
    """Shrink a picture, restore it, and measure the result and bicubic against it.

    Args:
        image: the original, uint8 `[H, W]` or `[H, W, 3]` RGB.
        scale: 2, 3, 4, ...
        protocol: `paper` or `float`.
        restore: the network, float32 `[H, W]` luma / 255 to the same.
        model_luma: range of the luma that the network takes, `studio` or `full`.
        crop: see `cropped`.

    Raises:
        UsageError: for another protocol.
        ValueError: for a picture that is too small to be measured.
    """
    case = _prepare_luma(cropped(luma(image, protocol), scale, crop), scale, protocol)
    restored = clipped(_through(restore, case.bicubic, RANGES[model_luma]))
    return Comparison(
        bicubic=case.reading.score(case.bicubic), restored=case.reading.score(restored)
    )


def _prepare_luma(original: Plane, scale: int, protocol: str, chroma: Planes | None = None) -> Case:
    low = shrink(original, scale)
    start = time.perf_counter()
    enlarged = enlarge(low, scale)
    seconds = time.perf_counter() - start

    def view(plane: Plane) -> Planes:
        return rounded(plane)[None] if protocol == "paper" else plane[None]

    def restore(network: Network) -> tuple[Plane, float]:
        start = time.perf_counter()
        given = enlarged
        if chroma is not None and getattr(network, "planes", 1) > 1:
            given = np.stack([enlarged, *enlarge(shrink(chroma, scale), scale)])
        result = _through(network.luma, given, RANGES[network.model_luma])
        return clipped(result), time.perf_counter() - start

    return Case(
        bicubic=enlarged,
        bicubic_seconds=seconds,
        restore=restore,
        reading=Reading(
            view=view,
            original=original[None],
            low=low[None],
            border=scale,
        ),
    )


def _through(restore: Restore, y: Plane, color: ColorRange) -> Plane:
    """Run the network on studio luma (or Y, Cb, Cr) in 0..255, whatever range it takes itself.

    Args:
        restore: from `[H, W]`, or `[3, H, W]`, to `[H, W]`.
        y: float64, the same.
        color: what the network takes.

    Returns:
        Luma, float64 `[H, W]`.
    """
    gain = color.luma_span / STUDIO.luma_span
    if y.ndim == 2:
        into = (y - STUDIO.luma_offset) * gain + color.luma_offset
    else:
        into = y if color is STUDIO else color.to_ycbcr(STUDIO.to_rgb(y))
    result = restore((into / 255.0).astype(np.float32)).astype(np.float64) * 255.0
    return (result - color.luma_offset) / gain + STUDIO.luma_offset
