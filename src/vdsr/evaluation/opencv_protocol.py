"""The protocols `fixed256` and `fixed:HxW`: a network compiled for one input size.

`fixed256`: an accelerator vendor's own (VastModelZOO, cv/super_resolution/vdsr). Original
and enlarged picture are converted to OpenCV's YCrCb, which is full-range BT.601 with 8
bits, and resized to 256x256 px by its bilinear filter; the network gets Y / 255 as it
is, whatever range it was trained for; its output is clipped to 0..255. 4 px are shaved
at every scale. `psnr` is of the output as it is, `psnr_rounded` of the output rounded to
8 bits. `fixed:HxW` is the same at another size: its figures are not comparable.

The enlarged picture is given; without one it is the original, shrunk and enlarged by
MATLAB's bicubic in RGB, 8 bits at both steps.
"""

from __future__ import annotations

import re
import time
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import MissingExtra, UsageError
from vdsr.evaluation.cases import Case, Network, Plane, Reading, clipped, rounded
from vdsr.evaluation.file_protocol import prepare_file
from vdsr.imaging.degrade import crop_to_multiple

FIXED256, FIXED = "fixed256", "fixed:HxW"
Size = tuple[int, int]
"""Height and width, px."""
SIZE: Size = (256, 256)
BORDER = 4
# In one array of floats this is 64 MiB, and what is read of the card ends at 256.
MAX_PIXELS = 1 << 24


def fixed_size(protocol: str) -> Size | None:
    """The input size in the name of a protocol; None for other protocols.

    Raises:
        UsageError: for `fixed:` without a size.
    """
    if protocol == FIXED256:
        return SIZE
    kind, colon, size = protocol.partition(":")
    if not colon or kind != "fixed":
        return None
    found = re.fullmatch(r"([1-9]\d{0,7})x([1-9]\d{0,7})", size)
    if found is None or int(found[1]) * int(found[2]) > MAX_PIXELS:
        raise UsageError(f"{protocol!r}: fixed: is followed by height and width, as fixed:256x256")
    return int(found[1]), int(found[2])


def fixed_protocol(size: Size) -> str:
    """The protocol of an input size: `fixed256` for 256x256, else `fixed:HxW`."""
    return FIXED256 if size == SIZE else f"fixed:{size[0]}x{size[1]}"


def prepare_fixed(
    image: NDArray[np.uint8],
    scale: int,
    given: NDArray[np.uint8] | None = None,
    size: Size = SIZE,
) -> Case:
    """Make a picture ready for this protocol.

    Args:
        image: the original, uint8 `[H, W]` or `[H, W, 3]` RGB.
        scale: 2, 3, 4, ...: for the enlarged picture, if none is given.
        given: the enlarged picture, uint8, of any size.
        size: that the network takes.

    Raises:
        MissingExtra: without OpenCV.
        ValueError: for a picture that is too small.
    """
    start = time.perf_counter()
    given = shrunk_and_enlarged(image, scale) if given is None else given
    enlarged = resized_luma(given, size).astype(np.float64)
    seconds = time.perf_counter() - start
    original = resized_luma(image, size).astype(np.float64)

    def restore(network: Network) -> tuple[Plane, float]:
        if getattr(network, "planes", 1) > 1:
            raise UsageError(
                f"the protocol {fixed_protocol(size)} is of luma alone: it has no chroma for a"
                " network of Y, Cb, Cr"
            )
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


def shrunk_and_enlarged(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The enlarged picture where none is given: uint8, of the size of the original, cropped.

    Raises:
        ValueError: for a picture that is too small.
    """
    height, width = crop_to_multiple(image[..., 0] if image.ndim == 3 else image, scale).shape
    enlarged: NDArray[np.uint8] = prepare_file(image[:height, :width], scale).bicubic
    return enlarged


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", "evaluate") from error
    return cv2


def resized_ycrcb(picture: NDArray[np.uint8], size: Size = SIZE) -> NDArray[np.uint8]:
    """OpenCV's YCrCb, resized after the conversion.

    Args:
        picture: uint8 `[H, W]` or `[H, W, 3]` RGB.
        size: of the result.

    Returns:
        uint8 `[height, width]` for gray, else `[height, width, 3]`.

    Raises:
        MissingExtra: without OpenCV.
    """
    cv2 = _opencv()
    picture = np.ascontiguousarray(picture)
    ycrcb = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    small: NDArray[np.uint8] = cv2.resize(ycrcb, size[::-1], interpolation=cv2.INTER_LINEAR)
    return small


def resized_luma(picture: NDArray[np.uint8], size: Size = SIZE) -> NDArray[np.uint8]:
    """Y of `resized_ycrcb`: uint8 `[height, width]`, what the network sees times 255."""
    small = resized_ycrcb(picture, size)
    return small if small.ndim == 2 else np.ascontiguousarray(small[..., 0])


def rgb_of(ycrcb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV's way back: uint8 `[H, W, 3]` YCrCb to uint8 `[H, W, 3]` RGB."""
    cv2 = _opencv()
    rgb: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(ycrcb), cv2.COLOR_YCrCb2RGB)
    return rgb
