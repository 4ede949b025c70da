"""What JPEG 2000 and JPEG XL files say beside their pixels, in boxes.

After ISO/IEC 15444-1, annexes A (codestream) and I (JP2), and ISO/IEC 18181-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_MAX_BOXES = 10_000
_CONTAINERS = (b"jp2h", b"res ")


@dataclass(frozen=True, kw_only=True)
class Jpeg2000Head:
    """The start of a JPEG 2000 file.

    Attributes:
        width, height: px.
        bands: components.
        bits: of the first one.
        icc, xmp: profile and packet, if there are any.
        per_mm: resolution in px per mm.
    """

    width: int
    height: int
    bands: int
    bits: int
    icc: bytes | None
    xmp: bytes | None
    per_mm: tuple[float, float] | None

    @property
    def sample_bytes(self) -> int:
        """Bytes of a decoded sample."""
        return -(-self.bits // 8)


def jpeg2000(data: bytes) -> Jpeg2000Head:
    """Read the head of a JP2 file or a bare codestream.

    Raises:
        ValueError: if there is no codestream, or it has no size.
    """
    icc = xmp = per_mm = None
    at = 0
    if not data.startswith(b"\xff\x4f\xff\x51"):
        for kind, start, end in _boxes(data, 0, len(data)):
            if kind == b"colr" and data[start : start + 1] == b"\2":
                icc = data[start + 3 : end]
            elif kind in (b"resc", b"resd") and end - start >= 10:
                per_mm = _resolution(data[start : start + 10])
            elif kind == b"uuid" and data[start : start + 16] == _XMP_UUID:
                xmp = data[start + 16 : end]
            elif kind == b"jp2c":
                at = start
    size = data[at + 4 : at + 43]  # SIZ: after SOC and the marker
    if data[at : at + 4] != b"\xff\x4f\xff\x51" or len(size) < 39:
        raise ValueError("it has no codestream")
    right, bottom, left, top = (int.from_bytes(size[i : i + 4], "big") for i in (4, 8, 12, 16))
    bands, depth = int.from_bytes(size[36:38], "big"), (size[38] & 0x7F) + 1
    width, height = right - left, bottom - top
    if width <= 0 or height <= 0:
        raise ValueError(f"its size is {width}x{height} px")
    return Jpeg2000Head(
        width=width, height=height, bands=bands, bits=depth, icc=icc, xmp=xmp, per_mm=per_mm
    )


@dataclass(frozen=True, kw_only=True)
class JpegXlBoxes:
    """EXIF (with its JPEG prefix) and XMP of a JPEG XL file, if they are not compressed."""

    exif: bytes | None
    xmp: bytes | None


def jpeg_xl(data: bytes) -> JpegXlBoxes:
    """Read the boxes of a JPEG XL file; a bare codestream has none."""
    exif = xmp = None
    if data.startswith(b"\0\0\0\x0cJXL "):
        for kind, start, end in _boxes(data, 0, len(data)):
            if kind == b"Exif":
                skip = int.from_bytes(data[start : start + 4], "big")
                exif = b"Exif\0\0" + data[start + 4 + skip : end]
            elif kind == b"xml ":
                xmp = data[start:end]
    return JpegXlBoxes(exif=exif, xmp=xmp)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of what is in each box, those inside others included."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        close = end if length == 0 else at + length
        if close < start or close > end:
            close = end  # cut short: the decoder will say so
        if kind in _CONTAINERS:
            yield from _boxes(data, start, close)
        else:
            yield kind, start, close
        at = close


def _resolution(box: bytes) -> tuple[float, float] | None:
    """Horizontal and vertical, px per mm, of a resolution box (15444-1, I.5.3.7)."""
    numbers = [int.from_bytes(box[i : i + 2], "big") for i in (0, 2, 4, 6)]
    exponents = [int.from_bytes(box[i : i + 1], "big", signed=True) for i in (8, 9)]
    if 0 in numbers:
        return None
    vertical = numbers[0] / numbers[1] * 10.0 ** exponents[0] / 1000
    return numbers[2] / numbers[3] * 10.0 ** exponents[1] / 1000, vertical
