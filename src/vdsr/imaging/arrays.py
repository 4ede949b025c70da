"""Pictures in memory: NumPy arrays and Pillow images, as samples and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Floats are computed in float32; what is given in halves is returned in halves.
_COMPUTED_AS = {"float16": "float32", "float64": "float32"}
_DTYPES = ("uint8", "uint16", "float32")
TAKEN_ARRAYS = "[H, W] or [H, W, 1..4], or a batch [N, H, W, 1..4], channels last"

# Pillow's modes that are taken as they are, and what others become without any loss.
_PLAIN_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "F")
_MODES = {
    "1": "L",
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "I;16L": "I;16",
    "I;16B": "I;16",
    "I;16N": "I;16",
}
# What of a Pillow image's `info` still holds for the enlarged one.
_KEPT_INFO = ("icc_profile", "exif", "xmp", "dpi")


def as_samples(image: NDArray[Any]) -> NDArray[Any]:
    """One picture as `[H, W, bands]` of a sample type that files have.

    Args:
        image: `[H, W]` or `[H, W, 1..4]`; uint8, uint16, float16, float32 or float64.

    Returns:
        uint8, uint16 or float32, in the byte order of this machine; not copied if it is so.

    Raises:
        InputError: for another shape or dtype.
    """
    name = _COMPUTED_AS.get(image.dtype.name, image.dtype.name)
    if name not in _DTYPES:
        raise InputError(
            f"an array of {image.dtype}: uint8, uint16, float16, float32 or float64 is taken"
        )
    samples = image[..., None] if image.ndim == 2 else image
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        raise InputError(f"an array of shape {list(image.shape)}: {TAKEN_ARRAYS}, is taken")
    return samples.astype(name, copy=False)


def as_pixels(samples: NDArray[Any]) -> NDArray[Any]:
    """`[H, W, bands]` as pictures are returned: gray without its last axis."""
    return samples[..., 0] if samples.shape[2] == 1 else samples


def is_pillow(image: object) -> TypeGuard[PillowImage]:
    """Whether it is a Pillow image; Pillow itself is never imported."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def from_pillow(image: PillowImage) -> NDArray[Any]:
    """The pixels of a Pillow image (of its current frame), neither turned nor converted.

    Returns:
        `[H, W]` or `[H, W, 2..4]`: uint8, uint16 for `I;16` and `I`, float32 for `F`.
        Palettes are expanded, with their transparency.

    Raises:
        InputError: if it cannot be decoded, or its mode has no certain meaning as RGB.
    """
    try:
        image.load()
        if image.mode in ("CMYK", "LAB"):
            raise InputError(
                f"a Pillow image of mode {image.mode}: what it is in RGB depends on its profile:"
                " convert it with PIL.ImageCms, or give the file itself"
            )
        if image.mode == "I":
            return _as_uint16(np.asarray(image))
        if "transparency" in image.info and image.mode in ("1", "L"):
            image = image.convert("LA")
        elif "transparency" in image.info or image.mode == "P":
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        image = image.convert(_MODES.get(image.mode, image.mode))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"a Pillow image that cannot be decoded: {error}") from error
    if image.mode not in _PLAIN_MODES:
        raise InputError(f"a Pillow image of mode {image.mode}: convert it to RGB or L first")
    return np.asarray(image)


def _as_uint16(integers: NDArray[Any]) -> NDArray[np.uint16]:
    """Pillow's 32-bit integers, which are how it holds some 16-bit files."""
    if integers.size and (integers.min() < 0 or integers.max() > 65535):
        raise InputError("a Pillow image of mode I beyond 0..65535: scale it to 16 bits first")
    return integers.astype(np.uint16)


def to_pillow(pixels: NDArray[Any], source: PillowImage) -> PillowImage:
    """Pixels as a Pillow image with profile, EXIF, XMP and resolution of `source`.

    Args:
        pixels: `[H, W]` or `[H, W, 2..4]` as `from_pillow` gives them.
        source: what they were made of.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.info = {key: source.info[key] for key in _KEPT_INFO if key in source.info}
    return image
