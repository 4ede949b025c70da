"""What libvips does not tell of a file: frames of APNG, and colour spaces that are no ICC profile.

PNG chunks after the PNG specification, third edition (W3C, 2025); the `colr` box of AVIF
after ISO/IEC 14496-12, 12.1.5, with code points of ITU-T H.273.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

# More than any real file has before its pixels; hostile ones can have millions.
_MAX_CHUNKS = 4096
_CHUNK_BYTES = 64
# What is sRGB, or says nothing: primaries, and transfer functions near sRGB's.
_SRGB_PRIMARIES, _SRGB_TRANSFERS = (1, 2), (1, 2, 6, 13, 14, 15)
_SRGB_GAMMA = 45455
# The boxes before the pixels of AVIF are much shorter, unless they hold a long profile.
_HEAD_BYTES = 1 << 20


def png_chunks(path: Path) -> dict[bytes, bytes]:
    """The chunks of a PNG file that come before its pixels.

    Returns:
        Names, and the first 64 bytes of what the first chunk of each name holds.

    Raises:
        OSError: if it cannot be read. A malformed file has fewer chunks, that is all.
    """
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_MAX_CHUNKS):
            header = file.read(8)
            if len(header) < 8 or header[4:] == b"IDAT":
                break
            length = int.from_bytes(header[:4], "big")
            data = file.read(min(length, _CHUNK_BYTES))
            found.setdefault(header[4:], data)
            file.seek(length - len(data) + 4, os.SEEK_CUR)
    return found


def png_frames(path: Path) -> int:
    """Number of frames of a PNG file: above 1 for an animation.

    Raises:
        OSError: if it cannot be read.
    """
    control = png_chunks(path).get(b"acTL", b"")
    return int.from_bytes(control[:4], "big") if len(control) == 8 else 1


def png_colour(path: Path) -> str | None:
    """What a PNG file says of its colours, without an ICC profile, if that is not sRGB.

    Raises:
        OSError: if it cannot be read.
    """
    chunks = png_chunks(path)
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4:
        return _unlike_srgb(coded[0], coded[1])
    if b"sRGB" in chunks or b"iCCP" in chunks or len(chunks.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(chunks[b"gAMA"], "big")
    return f"gamma {gamma / 1e5:g}" if abs(gamma - _SRGB_GAMMA) > 500 else None


def avif_colour(path: Path) -> str | None:
    """What an AVIF file says of its colours, without an ICC profile, if that is not sRGB.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    at = head.find(b"colrnclx")
    if at < 0 or b"colrprof" in head or b"colrrICC" in head or len(head) < at + 12:
        return None
    return _unlike_srgb(*struct.unpack_from(">HH", head, at + 8))


def _unlike_srgb(primaries: int, transfer: int) -> str | None:
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return None
    return f"primaries {primaries}, transfer {transfer} of H.273"
