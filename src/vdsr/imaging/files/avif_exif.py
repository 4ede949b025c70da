"""EXIF put into a finished AVIF file, as it is: libvips would rewrite it.

The file is given a stand-in for it by libvips. The real block is appended in a box of its
own, and the table of places (`iloc`) is told so. After ISO/IEC 14496-12 (8.11.3, 8.11.6) and
ISO/IEC 23008-12 (annex A.2.1).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

STAND_IN = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
_MOST_HEAD = 64 << 20


def put_exif(file: BinaryIO, block: bytes) -> None:
    """Let the EXIF of an AVIF file, which it must have, be another.

    Args:
        file: open for reading and writing; the whole file, as libheif writes it.
        block: the EXIF, without a prefix.

    Raises:
        OSError: if it cannot be read or written.
        ValueError: if the file is not built as libheif builds it.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        start, end = _meta(file)
        file.seek(start)
        meta = file.read(end - start)
        boxes = {kind: (a, b) for kind, a, b in _boxes(meta, 4, len(meta))}
        item = _exif_item(meta, *boxes[b"iinf"])
        place, base = _place(meta, *boxes[b"iloc"], item)
    except (KeyError, IndexError, struct.error) as error:
        raise ValueError("it has no place for EXIF") from error
    # The first four bytes say how far the block is from them.
    payload = bytes(4) + block
    file.seek(size)
    file.write(struct.pack(">I4s", len(payload) + 8, b"mdat") + payload)
    # A base of 0, one extent, its offset and length.
    file.seek(start + place)
    file.write(bytes(base) + struct.pack(">HII", 1, size + 8, len(payload)))
    file.flush()


def _meta(file: BinaryIO) -> tuple[int, int]:
    """Where the content of the box `meta` begins and ends."""
    at = 0
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"meta" and 12 <= length <= _MOST_HEAD:
            return at + 8, at + length
        if length < 8:
            break
        at += length
        file.seek(at)
    raise ValueError("it has no box 'meta'")


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box."""
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        if not 8 <= length <= end - at:
            raise ValueError("its boxes are damaged")
        yield kind, at + 8, at + length
        at += length


def _exif_item(data: bytes, start: int, end: int) -> int:
    """The number of the item that is EXIF, from `iinf`."""
    version = data[start]
    for kind, at, _ in _boxes(data, start + (6 if version == 0 else 8), end):
        if kind == b"infe" and data[at] == 2 and data[at + 8 : at + 12] == b"Exif":
            return int(struct.unpack_from(">H", data, at + 4)[0])
    raise ValueError("it has no EXIF")


def _place(data: bytes, start: int, end: int, item: int) -> tuple[int, int]:
    """Where `iloc`, version 0 or 1, says where an item is, and how long its base offset is."""
    version, sizes = data[start], data[start + 4 : start + 6]
    if version not in (0, 1) or sizes[0] != 0x44:
        raise ValueError("its table of places is of another kind")
    base = sizes[1] >> 4
    at = start + 8
    for _ in range(struct.unpack_from(">H", data, start + 6)[0]):
        number = struct.unpack_from(">H", data, at)[0]
        at += 2 + 2 * version + 2 + base
        extents = struct.unpack_from(">H", data, at)[0]
        if number == item and extents == 1 and at + 10 <= end:
            return at - base, base
        at += 2 + 8 * extents
    raise ValueError("it does not say where its EXIF is")
