"""What PNG files carry in chunks: EXIF, XMP, resolution, texts, color spaces.

After the PNG specification, third edition (W3C, 2025). libvips overlooks what follows the
pixels, takes Latin-1 texts for UTF-8, and makes up a resolution. The color space of AVIF
(`colr` box, ISO/IEC 14496-12, 12.1.5) has the same numbers (ITU-T H.273), and is brought
into the form of PNG here.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from vdsr.imaging.files import exif, png_texts
from vdsr.imaging.files.resolution import Resolution, resolution, whole

Chunk: TypeAlias = tuple[bytes, bytes]
"""Name and data."""

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COLORS = (b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB")
_SIGNATURE_AND_HEADER = 8 + 25
_LONG = 2**31 - 1

# More than real files have; hostile ones can have millions, and gigabytes of texts.
_MAX_CHUNKS = 100_000
_MAX_BYTES = 16 << 20
# The boxes before the pixels of AVIF are much shorter, unless they hold a long profile.
_AVIF_HEAD = 1 << 20

# What is sRGB, or says nothing: primaries, and transfer functions near sRGB's.
_SRGB_PRIMARIES, _SRGB_TRANSFERS = (1, 2), (1, 2, 6, 13, 14, 15)
_SRGB_GAMMA = 45455


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk as it stands in a file."""
    crc = zlib.crc32(data, zlib.crc32(kind))
    return len(data).to_bytes(4, "big") + kind + data + crc.to_bytes(4, "big")


def frames(path: Path) -> int:
    """Number of frames of a PNG file: above 1 for an animation.

    Raises:
        OSError: if it cannot be read.
    """
    for kind, data in _chunks(path, (b"acTL", b"IDAT")):
        return int.from_bytes(data[:4], "big") if kind == b"acTL" and len(data) == 8 else 1
    return 1


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """What the chunks of a PNG file say beside its pixels.

    Attributes:
        exif: the block, of `eXIf` or of a text that ImageMagick keeps one in.
        xmp: the packet.
        resources: Photoshop's, out of such a text.
        resolution: of `pHYs`.
        credentials: whether it has content credentials (C2PA).
        kept: the other texts, and what it says of its colors.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    resources: bytes = b""
    resolution: Resolution | None = None
    credentials: bool = False
    kept: tuple[Chunk, ...] = ()


def read(path: Path) -> Chunks:
    """Read the chunks of a file, those after its pixels too.

    Raises:
        OSError: if it cannot be read. A malformed file has fewer chunks, that is all.
    """
    found: dict[str, bytes] = {}
    kept: list[Chunk] = []
    density, credentials = None, False
    for kind, data in _chunks(path, (*TEXTS, *_COLORS, b"eXIf", b"pHYs", b"caBX")):
        if kind == b"eXIf":
            found.setdefault("exif", data.removeprefix(exif.PREFIX))
        elif kind == b"pHYs" and len(data) == 9:
            x, y = (Fraction(int.from_bytes(data[i : i + 4], "big"), 100) for i in (0, 4))
            density = resolution(x, y, "cm" if data[8] == 1 else "aspect")
        elif kind == b"caBX":
            credentials = True
        elif kind in TEXTS and (profile := png_texts.profile(kind, data)) is not None:
            found.setdefault(*profile)
        else:
            kept.append((kind, data))
    # What a chunk says counts more than what a text does.
    return Chunks(
        exif=found.get("exif", found.get("raw exif")),
        xmp=found.get("xmp", found.get("raw xmp")),
        resources=found.get("raw resources", b""),
        resolution=density,
        credentials=credentials,
        kept=tuple(kept),
    )


def comment(text: bytes) -> Chunk:
    """A comment of another format as a text."""
    text = text.replace(b"\0", b"")
    try:
        return b"iTXt", b"Comment\0\0\0\0\0" + text.decode("utf-8").encode()
    except UnicodeDecodeError:
        return b"tEXt", b"Comment\0" + text  # Latin-1, or taken for it


def described(block: bytes | None, packet: bytes | None, found: Resolution | None) -> list[Chunk]:
    """Chunks for EXIF, XMP and resolution of a new file."""
    chunks: list[Chunk] = []
    if block is not None:
        chunks.append((b"eXIf", block))
    density = None if found is None else found.per_meter()
    ratio = whole(found.x, found.y, _LONG) if found and found.unit == "aspect" else None
    if (pair := density or ratio) is not None:
        numbers = b"".join(number.to_bytes(4, "big") for number in pair)
        chunks.append((b"pHYs", numbers + bytes([density is not None])))
    if packet is not None:
        # Not compressed, as XMP readers expect it.
        chunks.append((b"iTXt", png_texts.XMP + bytes(4) + packet))
    return chunks


def of_avif(path: Path) -> tuple[Chunk, ...]:
    """What an AVIF file says of its colors, if not by an ICC profile.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_AVIF_HEAD)
    at = head.find(b"colrnclx") + 8
    if at < 8 or len(head) < at + 4:
        return ()
    primaries, transfer = head[at + 1], head[at + 3]
    # Decoded, they are RGB (0) of full range (1).
    return ((b"cICP", bytes([primaries, transfer, 0, 1])),)


def unlike_srgb(chunks: Sequence[Chunk]) -> str | None:
    """Which color space the chunks tell of; None if it is sRGB, or near it, or unknown."""
    said = dict(chunks)
    coded, gamma = said.get(b"cICP", b""), said.get(b"gAMA", b"")
    if len(coded) == 4:
        if coded[0] in _SRGB_PRIMARIES and coded[1] in _SRGB_TRANSFERS:
            return None
        return f"primaries {coded[0]}, transfer {coded[1]} of H.273"
    value = int.from_bytes(gamma, "big")
    if b"sRGB" in said or len(gamma) != 4 or abs(value - _SRGB_GAMMA) <= 500:
        return None
    return f"gamma {value / 1e5:g}"


def with_chunks(start: bytes, chunks: Sequence[Chunk]) -> bytes | None:
    """The start of a file by libvips, with further chunks right after its header.

    Args:
        start: all that there is up to now.
        chunks: what to add, in this order; the resolution that libvips makes up goes.

    Returns:
        What stands there instead; None if it does not reach to the pixels yet.
    """
    before = _before_pixels(start)
    if before is None:
        return None
    extra = b"".join(chunk(*item) for item in chunks)
    return before[:_SIGNATURE_AND_HEADER] + extra + before[_SIGNATURE_AND_HEADER:]


def _before_pixels(data: bytes) -> bytes | None:
    """The start of a file, less its resolution; None if it does not reach to the pixels."""
    kept, at = data[:8], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            return kept + data[at:]
        if end > len(data):
            return None
        if kind != b"pHYs":
            kept += data[at:end]
        at = end
    return None


def _chunks(path: Path, wanted: Sequence[bytes]) -> Iterator[Chunk]:
    """The chunks of a file that have one of the names that are wanted."""
    allowance = _MAX_BYTES
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_MAX_CHUNKS):
            header = file.read(8)
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if len(header) < 8 or kind == b"IEND":
                return
            if kind not in wanted:
                file.seek(length + 4, os.SEEK_CUR)
                continue
            # The pixels are only looked for, not at.
            data = b"" if kind == b"IDAT" else file.read(min(length, allowance))
            if kind != b"IDAT" and len(data) < length:
                return
            allowance -= len(data)
            yield kind, data
            file.seek(length - len(data) + 4, os.SEEK_CUR)
