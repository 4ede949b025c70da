"""Picture files made byte by byte, and taken apart: independent of the package and of libvips."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

EXIF, GPS = 34665, 34853
_CODES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 9: "i", 10: "i"}
_CODES |= {11: "f", 12: "d", 13: "I", 16: "Q", 18: "Q"}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png_file(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    color: int = 2,
    chunks: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG file; `rows` are packed samples without filter bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    length = len(rows) // height
    filtered = b"".join(b"\0" + rows[i : i + length] for i in range(0, len(rows), length))
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(filtered)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in body)


def palette_png(
    indices: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    *,
    depth: int = 8,
    alpha: bytes = b"",
) -> bytes:
    """A PNG file with a palette `[colors, 3]`; `alpha` is that of its first colors."""
    bits = np.unpackbits(indices[..., None], axis=2)[..., 8 - depth :]
    rows = np.packbits(bits.reshape(len(indices), -1), axis=1).tobytes()
    chunks = [(b"PLTE", palette.tobytes()), *([(b"tRNS", alpha)] if alpha else [])]
    height, width = indices.shape
    return png_file(width, height, rows, depth=depth, color=3, chunks=chunks)


def tiff_block(
    tree: Mapping[int, Any], order: str = "<", *, big: bool = False, pixels: bytes = b""
) -> bytes:
    """A TIFF structure, with `pixels` right after the header (at byte 8, or 16 if big).

    `tree` maps tags to (field type, values), or to a tree for a directory of its own.
    """
    width, word = (8, "Q") if big else (4, "I")
    pixels += b"\0" * (len(pixels) % 2)
    start = 2 * width + len(pixels)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HH", 8, 0) if big else b""
    return head + struct.pack(order + word, start) + pixels + _directory(tree, order, big, start)


def _directory(tree: Mapping[int, Any], order: str, big: bool, start: int) -> bytes:
    word, width, counter = ("Q", 8, "Q") if big else ("I", 4, "H")
    entries, tail = b"", b""
    tail_start = start + struct.calcsize(counter) + len(tree) * (4 + 2 * width) + width
    for tag, item in sorted(tree.items()):
        at = tail_start + len(tail)
        if isinstance(item, Mapping):
            kind, count, field = 4, 1, struct.pack(order + "I", at)
            tail += _directory(item, order, big, at)
        else:
            kind, values = item
            field = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
            count = len(values) // (2 if kind in (5, 10) else 1)
            if len(field) > width:
                tail += field + b"\0" * (len(field) % 2)
                field = struct.pack(order + word, at)
        entries += struct.pack(order + "HH" + word, tag, kind, count) + field.ljust(width, b"\0")
    return struct.pack(order + counter, len(tree)) + entries + bytes(width) + tail


def tiff_tags(data: bytes, at: int | None = None) -> dict[int, Any]:
    """The tags of a TIFF structure: bytes, tuples of numbers, or dicts for EXIF and GPS."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word, width, counter = ("Q", 8, "Q") if big else ("I", 4, "H")
    if at is None:
        (at,) = struct.unpack_from(order + word, data, width)
    (entries,) = struct.unpack_from(order + counter, data, at)
    found: dict[int, Any] = {}
    for i in range(entries):
        place = at + struct.calcsize(order + counter) + i * (4 + 2 * width)
        tag, kind, count = struct.unpack_from(order + "HH" + word, data, place)
        place += 4 + width
        code = f"{order}{count * (2 if kind in (5, 10) else 1)}{_CODES[kind]}"
        if struct.calcsize(code) > width:
            (place,) = struct.unpack_from(order + word, data, place)
        values = struct.unpack_from(code, data, place)
        if tag in (EXIF, GPS):
            found[tag] = tiff_tags(data, values[0])
        else:
            found[tag] = bytes(values) if code.endswith("B") else values
    return found


def xmp_properties(packet: bytes) -> dict[str, str]:
    """Attributes and leaf elements of an XMP packet, by `{namespace}name`."""
    root = ElementTree.fromstring(packet.rstrip(b"\0"))
    found = {}
    for element in root.iter():
        found.update(element.attrib)
        if element.text and element.text.strip():
            found[element.tag] = element.text
    return found
