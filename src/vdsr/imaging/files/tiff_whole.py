"""TIFF pages that libvips cannot read: by tifffile and imagecodecs, or by Pillow.

Whole in memory, and as samples only: what they mean is `tiff_pixels.py`'s matter.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.files import whole
from vdsr.imaging.files.tiff_tags import PALETTE, Page, TiffFile

_VIPS_TYPES = {
    "uint8": "uchar",
    "int8": "char",
    "uint16": "ushort",
    "int16": "short",
    "uint32": "uint",
    "int32": "int",
    "float32": "float",
    "float64": "double",
}


def by_tifffile(tiff: TiffFile, page: Page, why: str) -> pyvips.Image:
    """The samples of a page, as they are stored; a palette is expanded.

    Args:
        tiff: the file.
        page: one of its pages.
        why: what is unusual about it, in words.

    Raises:
        InputError: if it is damaged, too large, or tifffile does not take it either.
    """
    path = tiff.path
    if find_spec("imagecodecs") is None or find_spec("tifffile") is None:
        raise InputError(
            f"{path}: {why} is not supported without the extra '{whole.EXTRA}':"
            f" pip install 'vdsr[{whole.EXTRA}]', or convert it to a plain TIFF or PNG"
        )
    whole.check_size(path, page.width * page.height * page.samples * -(-page.bits[0] // 8))
    try:
        pixels = _decoded(tiff, page)
    except InputError:
        raise
    except Exception as error:  # strangers' decoders raise whatever they like
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: {why} cannot be decoded ({detail}): convert it to a plain TIFF or PNG"
        ) from error
    if page.planar == 2 and page.samples > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(page.height, page.width, -1)
    if page.photometric == PALETTE:
        colors = np.array(tiff.values(page, 320).get(320, ()), np.uint16).reshape(3, -1)
        pixels = (colors.T >> 8).astype(np.uint8)[pixels[..., 0]]
    return as_samples(pixels, tiff)


def _decoded(tiff: TiffFile, page: Page) -> NDArray[Any]:
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with tifffile.TiffFile(tiff.path) as file:
        found = file.pages[tiff.pages.index(page)]
        if not all(found.databytecounts):
            raise InputError(f"{tiff.path}: parts of it are not stored (a sparse file)")
        return np.asarray(found.asarray())


def by_pillow(tiff: TiffFile, page: Page) -> pyvips.Image:
    """A page as RGB or gray, as libtiff's own RGBA interface shows it.

    Raises:
        InputError: if it is too large.
        Exception: whatever Pillow raises for damaged files.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    whole.check_size(tiff.path, page.width * page.height * 4)
    with tiff.path.open("rb") as file:
        image = TiffImageFile(file)
        image.seek(tiff.pages.index(page))
        image.load()
        rgb = image.convert("RGB") if image.mode == "YCbCr" else image
        return as_samples(whole.pillow_pixels(rgb), tiff)


def as_samples(pixels: NDArray[Any], tiff: TiffFile) -> pyvips.Image:
    """`[H, W, bands]` as libvips' picture."""
    if pixels.dtype in (np.float16, np.bool_):
        pixels = pixels.astype(np.float32 if pixels.dtype == np.float16 else np.uint8)
    if (kind := _VIPS_TYPES.get(pixels.dtype.name)) is None:
        raise InputError(f"{tiff.path}: samples of type {pixels.dtype} cannot be enlarged")
    pixels = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("=")))
    height, width, bands = pixels.shape
    return pyvips.Image.new_from_memory(pixels.data, width, height, bands, kind)
