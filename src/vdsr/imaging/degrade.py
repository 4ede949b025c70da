"""Low-resolution versions of pictures, as the field makes them: MATLAB's bicubic.

Evaluation, training and the demonstration all shrink pictures here and nowhere else.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.resample import imresize

Float = TypeVar("Float", np.float32, np.float64)
Any_ = TypeVar("Any_", bound=np.generic)


def crop_to_multiple(planes: NDArray[Any_], scale: int) -> NDArray[Any_]:
    """Cut right and bottom so that both sides are multiples of `scale` ("modcrop").

    Args:
        planes: `[..., H, W]` of any dtype.
        scale: px.

    Raises:
        UsageError: if a side is shorter than `scale`.
    """
    height, width = planes.shape[-2:]
    if min(height, width) < scale:
        raise UsageError(f"{height}x{width} px cannot be shrunk by {scale}")
    return planes[..., : height - height % scale, : width - width % scale]


def shrink(planes: NDArray[Float], scale: float) -> NDArray[Float]:
    """MATLAB's `imresize(image, 1 / scale)`: bicubic, antialiased.

    Args:
        planes: float `[..., H, W]`, any range, both sides multiples of `scale`.
        scale: 1 or more.

    Returns:
        `[..., H / scale, W / scale]`, same dtype, not rounded.
    """
    return imresize(planes, scale=1.0 / scale)


def enlarge(planes: NDArray[Float], scale: float) -> NDArray[Float]:
    """MATLAB's `imresize(image, scale)`: the network's input, and the baseline.

    Args:
        planes: float `[..., H, W]`, any range.
        scale: 1 or more.

    Returns:
        `[..., H x scale, W x scale]`, same dtype, not rounded.
    """
    return imresize(planes, scale=float(scale))


def degrade(planes: NDArray[Float], scale: float) -> NDArray[Float]:
    """Shrink and enlarge again: the luma that the network is trained to restore.

    Args:
        planes: float `[..., H, W]`, any range, both sides multiples of `scale`.
        scale: 1 or more.

    Returns:
        Same shape and dtype; rounding it to 8 bits would cost the network 0.3 dB.

    Raises:
        UsageError: if a side is not a multiple of `scale`: see `crop_to_multiple`.
        UnsupportedType: for another dtype.
    """
    if scale < 1 or any(side % scale for side in planes.shape[-2:]):
        height, width = planes.shape[-2:]
        raise UsageError(f"{height}x{width} px are not multiples of {scale}: crop them first")
    return enlarge(shrink(planes, scale), scale)
