"""Damage in PNG files that libpng does not look at: behind the last pixel."""

from __future__ import annotations

import zlib
from pathlib import Path

_MAX_CHUNKS = 1_000_000
_BLOCK = 1 << 20


def damaged_end(path: Path) -> str | None:
    """What is wrong with the chunks of a PNG file from its last pixels on, if anything.

    Args:
        path: a PNG file whose pixels libpng can decode.

    Returns:
        A notice; None if the file is whole.

    Raises:
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 8
        for _ in range(_MAX_CHUNKS):
            file.seek(at)
            header = file.read(8)
            length, kind = int.from_bytes(header[:4], "big"), header[4:]
            if len(header) < 8:
                return "its end is missing (there is no IEND): it was cut short"
            name = kind.decode("latin-1")
            if not name.isalpha() or at + 12 + length > size:
                return f"it is damaged, or cut short, at byte {at}"
            crc, left = zlib.crc32(kind), length
            while left:
                block = file.read(min(_BLOCK, left))
                crc, left = zlib.crc32(block, crc), left - len(block)
            if file.read(4) != crc.to_bytes(4, "big"):
                return f"its chunk {name} at byte {at} is damaged (wrong checksum)"
            if kind == b"IEND":
                return None
            at += 12 + length
    return None
