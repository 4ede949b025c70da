"""What PNG files carry in chunks that libvips drops or garbles: texts and colour spaces.

After the PNG specification, third edition (W3C, 2025). Texts are copied as they are, since
libvips takes Latin-1 for UTF-8. The colour space of AVIF (`colr` box, ISO/IEC 14496-12,
12.1.5) has the same numbers (ITU-T H.273), and is brought into the form of PNG here.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pyvips

Chunk: TypeAlias = tuple[bytes, bytes]
"""Name and data."""

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COLOURS = (b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB")
_XMP = b"XML:com.adobe.xmp\0"
_SIGNATURE_AND_HEADER = 8 + 25

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


def xmp_chunk(packet: bytes) -> Chunk:
    """An XMP packet as XMP readers expect it: as a text that is not compressed."""
    return b"iTXt", _XMP + bytes(4) + packet


def frames(path: Path) -> int:
    """Number of frames of a PNG file: above 1 for an animation.

    Raises:
        OSError: if it cannot be read.
    """
    for kind, data in _chunks(path, (b"acTL", b"IDAT")):
        return int.from_bytes(data[:4], "big") if kind == b"acTL" and len(data) == 8 else 1
    return 1


def of_png(path: Path) -> tuple[Chunk, ...]:
    """The texts of a PNG file, XMP excepted, and what it says of its colours.

    Raises:
        OSError: if it cannot be read. A malformed file has fewer chunks, that is all.
    """
    found = _chunks(path, (*TEXTS, *_COLOURS))
    return tuple(item for item in found if not item[1].startswith(_XMP))


def of_avif(path: Path) -> tuple[Chunk, ...]:
    """What an AVIF file says of its colours, if not by an ICC profile.

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
    """Which colour space the chunks tell of; None if it is sRGB, or near it, or unknown."""
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


def save(image: pyvips.Image, file: BinaryIO, chunks: Sequence[Chunk], **options: int) -> None:
    """Write a PNG file with further chunks right after its header.

    Args:
        image: the picture.
        file: open for writing.
        chunks: what to add; in this order.
        options: of libvips' `pngsave`.

    Raises:
        OSError: if the file cannot be written.
        pyvips.Error: if the picture cannot be made.
    """
    extra = b"".join(chunk(*item) for item in chunks)
    held, failure = b"", None

    def write(data: bytes) -> int:
        nonlocal held, extra, failure
        try:
            if extra and len(held) + len(data) < _SIGNATURE_AND_HEADER:
                held += data
                return len(data)
            if extra:
                start, held = held + data, b""
                file.write(start[:_SIGNATURE_AND_HEADER] + extra + start[_SIGNATURE_AND_HEADER:])
                extra = b""
            else:
                file.write(data)
        except OSError as error:  # must not leave a function that C calls
            failure = error
            return -1
        return len(data)

    target = pyvips.TargetCustom()
    target.on_write(write)
    try:
        image.pngsave_target(target, **options)
        file.flush()
    except pyvips.Error:
        if failure is not None:
            raise failure from None
        raise


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
