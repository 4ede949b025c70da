"""The protocol `fixed256`: a network compiled for one input of 1x1x256x256.

So an accelerator vendor measured it (VastModelZOO, cv/super_resolution/vdsr). Original
and enlarged picture are converted to OpenCV's YCrCb, which is full-range BT.601 with 8
bits, and resized to 256x256 px by its bilinear filter; the network gets Y / 255 as it
is, whatever range it was trained for; its output is clipped to 0..255. 4 px are shaved
at every scale. `psnr` is of the output as it is, `psnr_rounded` of the output rounded to
8 bits.

The enlarged picture is given; without one it is the original, shrunk and enlarged by
MATLAB's bicubic in RGB, 8 bits at both steps.
"""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import MissingExtra
from vdsr.evaluation.cases import Case, Network, Plane, Reading, clipped, rounded
from vdsr.evaluation.file_protocol import prepare_file
from vdsr.imaging.degrade import crop_to_multiple

SIDE = 256
BORDER = 4


def prepare_fixed(
    image: NDArray[np.uint8], scale: int, given: NDArray[np.uint8] | None = None
) -> Case:
    """Make a picture ready for this protocol.

    Args:
        image: the original, uint8 `[H, W]` or `[H, W, 3]` RGB.
        scale: 2, 3, 4, ...: for the enlarged picture, if none is given.
        given: the enlarged picture, uint8, of any size.

    Raises:
        MissingExtra: without OpenCV.
        ValueError: for a picture that is too small.
    """
    cv2 = _opencv()
    start = time.perf_counter()
    if given is None:
        height, width = crop_to_multiple(image[..., 0] if image.ndim == 3 else image, scale).shape
        given = prepare_file(image[:height, :width], scale).bicubic
    enlarged = _luma(cv2, given)
    seconds = time.perf_counter() - start
    original = _luma(cv2, image)

    def restore(network: Network) -> tuple[Plane, float]:
        start = time.perf_counter()
        result = network.luma((enlarged / 255.0).astype(np.float32)).astype(np.float64) * 255.0
        return result, time.perf_counter() - start

    plain = Reading(
        view=lambda plane: clipped(plane)[None], original=original[None], low=None, border=BORDER
    )
    in_bytes = Reading(
        view=lambda plane: rounded(plane)[None], original=original[None], low=None, border=BORDER
    )
    return Case(
        bicubic=enlarged,
        bicubic_seconds=seconds,
        restore=restore,
        reading=plain,
        further={"rounded": in_bytes},
    )


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", "evaluate") from error
    return cv2


def _luma(cv2: ModuleType, picture: NDArray[np.uint8]) -> Plane:
    """Y of OpenCV's YCrCb, resized after the conversion, float64 `[256, 256]`."""
    picture = np.ascontiguousarray(picture)
    ycrcb = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    small = cv2.resize(ycrcb, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    plane: Plane = (small if small.ndim == 2 else small[..., 0]).astype(np.float64)
    return plane
