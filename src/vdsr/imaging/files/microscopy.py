"""Image descriptions of microscopes that say how large a pixel is: OME-XML and ImageJ.

After the OME data model (https://docs.openmicroscopy.org/ome-model/) and ImageJ's TIFF
encoder, which has the scale in the resolution tags and its unit in the description.
"""

from __future__ import annotations

import re

_PIXELS = re.compile(rb"<(?:[A-Za-z]\w*:)?Pixels\s[^<>]*>")
_PHYSICAL = re.compile(rb"\b(PhysicalSize[XY])(\s*=\s*[\"'])([-+.\deE]{1,40})(?=[\"'])")
_SIZE = re.compile(rb"\b(Size[XY])(\s*=\s*[\"'])(\d{1,10})(?=[\"'])")


def is_calibrated(description: bytes) -> bool:
    """Whether the resolution beside this description is that of the object, not of a print."""
    return description.startswith(b"ImageJ=") or _is_ome(description)


def _is_ome(description: bytes) -> bool:
    return b"<OME" in description[:1000] or b":OME" in description[:1000]


def adjusted(description: bytes, *, scale: tuple[float, float], size: tuple[int, int]) -> bytes:
    """A description for the same picture with more pixels.

    Args:
        description: ImageDescription, as it is.
        scale: by how much its sides grew, horizontally and vertically.
        size: width and height in px.
    """
    if not _is_ome(description):
        return description

    def physical(found: re.Match[bytes]) -> bytes:
        try:
            value = float(found[3]) / scale[found[1].endswith(b"Y")]
        except ValueError:
            return found[0]
        return found[1] + found[2] + repr(value).encode()

    def number(found: re.Match[bytes]) -> bytes:
        return found[1] + found[2] + str(size[found[1].endswith(b"Y")]).encode()

    def pixels(found: re.Match[bytes]) -> bytes:
        return _SIZE.sub(number, _PHYSICAL.sub(physical, found[0]))

    return _PIXELS.sub(pixels, description)
