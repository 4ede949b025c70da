"""EXIF added to a finished WebP file, as it is: libvips would rewrite it.

After RFC 9649 (WebP): a RIFF file whose chunk VP8X says what the others are.
"""

from __future__ import annotations

import io
from typing import BinaryIO

_HAS_EXIF = 0x08


def add_exif(file: BinaryIO, block: bytes) -> None:
    """Add EXIF to a WebP file that has metadata already, an XMP packet say.

    Args:
        file: open for reading and writing; the whole file.
        block: the EXIF, without a prefix.

    Raises:
        OSError: if it cannot be read or written.
        ValueError: if the file has no chunk VP8X.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(12)
    head = file.read(9)
    if head[:4] != b"VP8X":
        raise ValueError("it has no place for EXIF")
    flags, at = head[8], 12
    # EXIF goes before XMP, which libwebp writes last.
    while at + 8 <= size:
        file.seek(at)
        kind = file.read(8)
        if kind[:4] == b"XMP ":
            break
        length = int.from_bytes(kind[4:], "little")
        at += 8 + length + length % 2
    at = min(at, size)
    file.seek(at)
    rest = file.read()
    added = b"EXIF" + len(block).to_bytes(4, "little") + block + bytes(len(block) % 2)
    file.seek(at)
    file.write(added + rest)
    file.seek(4)
    file.write((size + len(added) - 8).to_bytes(4, "little"))
    file.seek(20)
    file.write(bytes([flags | _HAS_EXIF]))
    file.flush()
