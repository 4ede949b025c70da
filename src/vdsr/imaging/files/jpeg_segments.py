"""What JPEG files carry in segments before their pixels.

After ITU-T T.81 (markers), T.871 (JFIF), the Exif standard, the XMP specification part 3,
and CIPA DC-007 (several pictures in a file). libvips reads the first of each kind and
rewrites EXIF as it understands it; here all are read and written as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vdsr.imaging.files import exif, photoshop, xmp
from vdsr.imaging.files.resolution import CM_PER_INCH, Resolution, Unit, resolution, whole

MOST = 65533
"""Bytes that fit into one segment."""

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
MOST_XMP = MOST - len(_XMP)
_EXTENSION_PIECE = 65_000
_JFIF = b"JFIF\0"
_MPF = b"MPF\0"
_APP0, _APP1, _APP2, _APP11, _APP13, _COM = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xFE
_SOI = b"\xff\xd8"
_START_OF_SCAN, _END = 0xDA, 0xD9
# More than real files have; hostile ones can have millions.
_MAX_SEGMENTS = 20_000
_MAX_BYTES = 64 << 20
_DENSITY = 65535


@dataclass(frozen=True, kw_only=True)
class Segments:
    """What the segments of a JPEG file say.

    Attributes:
        exif: the block, without its prefix.
        xmp: the packet.
        extension: of the packet, whole; None if it has none.
        extension_is_cut: whether parts of one are missing.
        resources: Photoshop's, without their prefix.
        comments: as they are.
        resolution: of JFIF.
        pictures: in the file; above 1 for MPO.
        credentials: whether it has content credentials (C2PA).
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    extension: bytes | None = None
    extension_is_cut: bool = False
    resources: bytes = b""
    comments: tuple[bytes, ...] = ()
    resolution: Resolution | None = None
    pictures: int = 1
    credentials: bool = False


def read(path: Path) -> Segments:
    """Read the segments of a file; a malformed one has fewer, that is all.

    Raises:
        OSError: if it cannot be read.
    """
    block = packet = None
    resources, comments, pieces = b"", [], []
    density, pictures, credentials = None, 1, False
    with path.open("rb") as file:
        for marker, data in segments(file):
            if marker == _APP0 and data.startswith(_JFIF) and density is None:
                density = _density(data)
            elif marker == _APP1 and data.startswith(exif.PREFIX[:5]) and block is None:
                block = data[6:]
            elif marker == _APP1 and data.startswith(_XMP) and packet is None:
                packet = data[len(_XMP) :]
            elif marker == _APP1 and data.startswith(_EXTENSION):
                pieces.append(data[len(_EXTENSION) :])
            elif marker == _APP13 and data.startswith(photoshop.APP13_PREFIX):
                resources += data[len(photoshop.APP13_PREFIX) :]
            elif marker == _APP2 and data.startswith(_MPF):
                pictures = max(pictures, _pictures(data[len(_MPF) :]))
            elif marker == _APP11 and b"jumb" in data[:64]:
                credentials = True
            elif marker == _COM:
                comments.append(data)
    name = None if packet is None else xmp.extension_named(packet)
    extension = _joined(pieces, name)
    return Segments(
        exif=block,
        xmp=packet,
        extension=extension,
        extension_is_cut=extension is None and (name is not None or bool(pieces)),
        resources=resources,
        comments=tuple(comments),
        resolution=density,
        pictures=pictures,
        credentials=credentials,
    )


def segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and data of the segments up to the first scan."""
    if file.read(2) != _SOI:
        return
    allowance = _MAX_BYTES
    for _ in range(_MAX_SEGMENTS):
        head = file.read(2)
        while len(head) == 2 and head == b"\xff\xff":  # fill bytes
            head = head[1:] + file.read(1)
        if len(head) < 2 or head[0] != 0xFF or head[1] in (_START_OF_SCAN, _END):
            return
        length = int.from_bytes(file.read(2), "big") - 2
        if not 0 <= length <= allowance:
            return
        allowance -= length
        data = file.read(length)
        if len(data) < length:
            return
        yield head[1], data


def _density(data: bytes) -> Resolution | None:
    x, y = (Fraction(int.from_bytes(data[i : i + 2], "big")) for i in (8, 10))
    unit: Unit = "aspect"
    if data[7:8] in (b"\1", b"\2"):
        unit = "inch" if data[7] == 1 else "cm"
    return resolution(x, y, unit)


def _pictures(index: bytes) -> int:
    """How many pictures an MP index lists (tag 45057)."""
    order = "little" if index.startswith(b"II") else "big"
    at = int.from_bytes(index[4:8], order) + 2  # type: ignore[arg-type]
    for place in range(at, min(at + 12 * 16, len(index) - 11), 12):
        if int.from_bytes(index[place : place + 2], order) == 45057:  # type: ignore[arg-type]
            return int.from_bytes(index[place + 8 : place + 12], order)  # type: ignore[arg-type]
    return 1


def _joined(pieces: Sequence[bytes], name: str | None) -> bytes | None:
    """The extension of a packet, if all its pieces are there."""
    if name is None:
        return None
    found: dict[int, bytes] = {}
    total = 0
    for piece in pieces:
        if piece[:32].decode("latin-1").upper() == name.upper() and len(piece) >= 40:
            total = int.from_bytes(piece[32:36], "big")
            found.setdefault(int.from_bytes(piece[36:40], "big"), piece[40:])
    result = bytearray()
    while len(result) < total and (data := found.get(len(result))):
        result += data
    return bytes(result) if total and len(result) == total else None


def jfif(found: Resolution | None) -> bytes:
    """The segment that says what the picture is, and its resolution, if it is known."""
    units, x, y = 0, 1, 1
    if found is not None and found.unit in ("inch", "cm"):
        units, x, y = _whole_density(found)
    elif found is not None and found.unit == "aspect":
        x, y = whole(found.x, found.y, _DENSITY) or (1, 1)
    if not (0 < x <= _DENSITY and 0 < y <= _DENSITY):
        units, x, y = 0, 1, 1
    numbers = bytes([1, 2, units]) + x.to_bytes(2, "big") + y.to_bytes(2, "big")
    return segment(_APP0, _JFIF + numbers + b"\0\0")


def _whole_density(found: Resolution) -> tuple[int, int, int]:
    """Unit, and whole pixels per inch or centimeter, whichever are nearer."""
    per_cm = 1 if found.unit == "cm" else Fraction(100, 254)
    exact = [(1, found.x * per_cm * CM_PER_INCH, found.y * per_cm * CM_PER_INCH)]
    exact.append((2, found.x * per_cm, found.y * per_cm))

    def error(one: tuple[int, Fraction, Fraction]) -> Fraction:
        return max(abs(round(value) - value) / value for value in one[1:])

    units, x, y = min(exact, key=error)
    return units, round(x), round(y)


def with_segments(start: bytes, segments: bytes) -> bytes | None:
    """The start of a file by libvips, with further segments right after its first marker.

    Args:
        start: all that there is up to now.
        segments: what `write` gave; the JFIF segment of libvips goes.

    Returns:
        What stands there instead; None if it is too short to tell.
    """
    if len(start) < 6:
        return None
    end = 2
    if start[3] == _APP0:
        end = 4 + int.from_bytes(start[4:6], "big")
    return _SOI + segments + start[end:] if len(start) >= end else None


def segment(marker: int, data: bytes) -> bytes:
    """One segment as it stands in a file."""
    return b"\xff" + bytes([marker]) + (len(data) + 2).to_bytes(2, "big") + data


def write(
    *,
    resolution: Resolution | None,
    exif_block: bytes | None,
    packet: bytes | None,
    extension: tuple[bytes, str] | None,
    resources: bytes,
    comments: Sequence[bytes],
) -> bytes:
    """The segments for a new file.

    Args:
        resolution: for JFIF.
        exif_block, packet: that fit into a segment each.
        extension: of the packet, and its name.
        resources: Photoshop's, that fit into a segment.
        comments: that fit into a segment each.
    """
    parts = [jfif(resolution)]
    if exif_block is not None:
        parts.append(segment(_APP1, exif.PREFIX + exif_block))
    if packet is not None:
        parts.append(segment(_APP1, _XMP + packet))
    if extension is not None:
        data, name = extension
        for at in range(0, len(data), _EXTENSION_PIECE):
            place = len(data).to_bytes(4, "big") + at.to_bytes(4, "big")
            piece = data[at : at + _EXTENSION_PIECE]
            parts.append(segment(_APP1, _EXTENSION + name.encode() + place + piece))
    if resources:
        parts.append(segment(_APP13, photoshop.APP13_PREFIX + resources))
    parts += [segment(_COM, comment) for comment in comments]
    return b"".join(parts)
