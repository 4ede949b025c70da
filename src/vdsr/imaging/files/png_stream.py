"""A picture as the bytes of an uncompressed PNG, made strip by strip.

libvips has no way to be handed rows from outside, but it reads a PNG from a pipe
row by row. So rows travel as a PNG with deflate level 0 (PNG specification, ISO/IEC
15948). Floats travel as their four bytes: one RGBA pixel of 8 bits per sample.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.imaging.files.png_chunks import chunk

_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PngStream:
    """Encoder of strips; `decode` undoes what it had to do to floats.

    Args:
        width, height: px.
        bands: 1 to 4.
        dtype: `uint8`, `uint16` or `float32`.
    """

    def __init__(self, width: int, height: int, bands: int, dtype: str) -> None:
        self._bands = bands
        self._dtype = np.dtype(dtype)
        self._float = dtype == "float32"
        bits = 16 if dtype == "uint16" else 8
        shape = (width * bands, 4) if self._float else (width, bands)
        header = struct.pack(">IIBBBBB", shape[0], height, bits, _COLOR_TYPES[shape[1]], 0, 0, 0)
        self.header = _SIGNATURE + chunk(b"IHDR", header)
        self._deflate = zlib.compressobj(0)

    def rows(self, strip: NDArray[np.generic]) -> Iterator[bytes]:
        """Chunks for `[rows, width, bands]` samples."""
        dtype = self._dtype.newbyteorder("<" if self._float else ">")
        data = np.ascontiguousarray(strip, dtype)
        data = data.view(np.uint8).reshape(strip.shape[0], -1)
        # Each row begins with its filter type: 0, none.
        filtered = np.zeros((data.shape[0], data.shape[1] + 1), np.uint8)
        filtered[:, 1:] = data
        if packed := self._deflate.compress(filtered.data):
            yield chunk(b"IDAT", packed)

    def end(self) -> bytes:
        """The last chunks."""
        return chunk(b"IDAT", self._deflate.flush()) + chunk(b"IEND", b"")

    def decode(self, source: pyvips.SourceCustom) -> pyvips.Image:
        """The image of the samples that were put in, to be read once from the top."""
        image = pyvips.Image.pngload_source(source, access="sequential", fail_on="error")
        if not self._float:
            return image
        image = image.copy(format="float", bands=1, interpretation="b-w")
        return image.bandfold(factor=self._bands) if self._bands > 1 else image
