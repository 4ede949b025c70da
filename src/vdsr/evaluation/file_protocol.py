"""The protocol `file`: what a user gets, from an 8-bit file to an 8-bit file.

The original is cropped to a multiple of the scale. Its RGB (or gray) samples are
shrunk by MATLAB's bicubic and rounded to 8 bits; that is the file which the whole
program is given; what is measured is the 8-bit file which it writes. `psnr` and `ssim`
are of studio BT.601 luma, not rounded, of both pictures; `psnr_rgb` is over the three
channels together, `ssim_rgb` the mean of theirs. Both shave as many px as the scale,
as BasicSR does (https://github.com/XPixelGroup/BasicSR, `calculate_psnr` and
`calculate_ssim` with `crop_border` = scale, with and without `test_y_channel`).
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vdsr.evaluation.cases import Case, Network, Planes, Reading, rounded
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import enlarge, shrink


def prepare_file(original: NDArray[np.uint8], scale: int) -> Case:
    """Make a picture ready for this protocol.

    Args:
        original: uint8 `[H, W]` or `[H, W, 3]`, both sides multiples of `scale`.
        scale: 2, 3, 4, ...

    Returns:
        A case whose results are uint8 pictures of the shape of `original`.
    """
    low = as_picture(shrink(as_planes(original), scale))
    start = time.perf_counter()
    enlarged = as_picture(enlarge(as_planes(low), scale))
    seconds = time.perf_counter() - start

    def restore(network: Network) -> tuple[NDArray[np.uint8], float]:
        return network.picture(low, scale)

    luma, color = picture_readings(original, low, scale)
    return Case(
        bicubic=enlarged,
        bicubic_seconds=seconds,
        restore=restore,
        reading=luma,
        further={"rgb": color},
    )


def picture_readings(
    original: NDArray[np.uint8], low: NDArray[np.uint8], border: int
) -> tuple[Reading, Reading]:
    """How 8-bit pictures are measured: by their luma, and by all channels together.

    Args:
        original: uint8 `[H, W]` or `[H, W, 3]`.
        low: the picture that was restored, of the same channels.
        border: px that are shaved off every side.
    """
    luma, color = (
        Reading(view=view, original=view(original), low=view(low), border=border)
        for view in (luma_plane, as_planes)
    )
    return luma, color


def as_planes(picture: NDArray[np.uint8]) -> Planes:
    """`[H, W]` or `[H, W, 3]` as float64 `[C, H, W]`."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return np.ascontiguousarray(planes, np.float64)


def as_picture(planes: Planes) -> NDArray[np.uint8]:
    """The inverse of `as_planes`, rounded and clipped."""
    picture = rounded(planes).astype(np.uint8)
    return picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))


def luma_plane(picture: NDArray[np.uint8]) -> Planes:
    """Studio luma of `[H, W, 3]`, `[H, W]` as it is: float64 `[1, H, W]`, not rounded."""
    planes = as_planes(picture)
    return planes if len(planes) == 1 else STUDIO.luma(planes)[None]
