"""Several TIFF files of one page each, joined into one file of several pages."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from vdsr.imaging.files.tiff_structure import (
    LONG,
    LONG8,
    SHORT,
    Directory,
    Entry,
    Layout,
    TiffReader,
    Value,
    serialize,
)

# Of classic TIFF, whose offsets have 32 bits; directories need little.
_CLASSIC_LIMIT = (1 << 32) - (64 << 20)
_STRIPS, _TILES = (273, 279), (324, 325)
_POINTERS = (34665, 34853, 40965)  # EXIF, GPS, Interoperability
_KIND_OF_PAGE, _PAGE_NUMBER = 254, 297
_ONE_OF_SEVERAL = 2
_BLOCK = 1 << 20


def join(parts: Sequence[Path], goal: BinaryIO) -> None:
    """Write the first page of each file into one, BigTIFF if 4 GiB do not suffice.

    Args:
        parts: TIFF files; their strips are taken over as they are.
        goal: an empty file, open for writing.

    Raises:
        FileError: if a part is malformed.
        OSError: if something cannot be read or written.
    """
    big = sum(part.stat().st_size for part in parts) > _CLASSIC_LIMIT
    layout = Layout("<", big=big)
    goal.write(b"II" + struct.pack("<HHH", 43, 8, 0) if big else b"II" + struct.pack("<H", 42))
    pointer = goal.tell()
    goal.write(layout.offset(0))
    for number, part in enumerate(parts):
        with part.open("rb") as source:
            reader = TiffReader(source, str(part))
            entries = reader.entries(reader.first)
            directory = _directory(reader, entries)
            _copy_segments(reader, entries, directory, goal, wide=big)
        directory[_KIND_OF_PAGE] = Value(LONG, struct.pack("<I", _ONE_OF_SEVERAL))
        directory[_PAGE_NUMBER] = Value(SHORT, struct.pack("<2H", number, len(parts)))
        at = _even(goal)
        goal.write(serialize(directory, layout, at))
        end = goal.tell()
        goal.seek(pointer)
        goal.write(layout.offset(at))
        goal.seek(end)
        pointer = at + layout.directory_size(len(directory)) - layout.width


def _directory(reader: TiffReader, entries: Sequence[Entry]) -> Directory:
    found: Directory = {}
    for entry in entries:
        if entry.tag in _POINTERS:
            found[entry.tag] = _directory(reader, reader.entries(reader.pointer(entry)))
        elif entry.tag not in (*_STRIPS, *_TILES):
            found[entry.tag] = reader.value(entry)
    return found


def _copy_segments(
    reader: TiffReader, entries: Sequence[Entry], to: Directory, goal: BinaryIO, *, wide: bool
) -> None:
    """Copy the strips or tiles, and tell the directory where they now are."""
    tags = {entry.tag: entry for entry in entries}
    places, lengths = next(pair for pair in (_STRIPS, _TILES) if pair[0] in tags)
    counts = reader.integers(tags[lengths])
    offsets = []
    for offset, count in zip(reader.integers(tags[places]), counts, strict=True):
        offsets.append(_even(goal))
        reader.stream.seek(offset)
        left = count
        while left and (block := reader.stream.read(min(left, _BLOCK))):
            goal.write(block)
            left -= len(block)
    code, kind = ("Q", LONG8) if wide else ("I", LONG)
    to[places] = Value(kind, struct.pack(f"<{len(offsets)}{code}", *offsets))
    to[lengths] = Value(kind, struct.pack(f"<{len(counts)}{code}", *counts))


def _even(goal: BinaryIO) -> int:
    """The place of the next byte, which is even, as TIFF wants it."""
    if goal.tell() % 2:
        goal.write(b"\0")
    return goal.tell()
