r"""EXIF blocks: what in them is about the pixels is read and changed, all else stays.

A block is a small TIFF structure (Exif 3.0, CIPA DC-008-2023, 4.6). It is changed in place:
maker notes hold offsets from its start that only their maker knows, so nothing may move.
What it lacks comes in a new first directory at its end.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

from vdsr.errors import FileError
from vdsr.imaging.files.resolution import Resolution, Unit, resolution
from vdsr.imaging.files.tiff_structure import (
    LONG,
    SHORT,
    Directory,
    Entry,
    Layout,
    TiffReader,
    Value,
    serialize,
)

PREFIX = b"Exif\0\0"
DESCRIPTION, ORIENTATION = 270, 274
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296

_RATIONAL = 5
_WIDTH, _HEIGHT = 256, 257
_EXIF, _PIXEL_X_DIMENSION, _PIXEL_Y_DIMENSION = 34665, 40962, 40963
_THUMBNAIL, _THUMBNAIL_BYTES = 513, 514
_SIZES = {1: 1, SHORT: 2, LONG: 4}
_UNITS: dict[int, Unit] = {1: "own", 2: "inch", 3: "cm"}
_LONG = 2**32 - 1
_WHERE = "the EXIF is damaged"


def _open(block: bytes) -> TiffReader:
    return TiffReader(io.BytesIO(block), _WHERE)


def orientation(block: bytes) -> int | None:
    """The orientation, 1 to 8, that a block names; None if it names none."""
    try:
        reader = _open(block)
        for entry in reader.entries(reader.first):
            if entry.tag == ORIENTATION:
                value = int.from_bytes(reader.value(entry).data[:4], "little")
                return value if 1 <= value <= 8 else None
    except FileError:
        pass
    return None


def resolution_of(block: bytes) -> Resolution | None:
    """The resolution that a block names, if it has a unit of length."""
    try:
        reader = _open(block)
        found = read_resolution(reader, reader.entries(reader.first))
    except FileError:
        return None
    return found if found and found.unit in ("inch", "cm") else None


def read_resolution(reader: TiffReader, entries: Sequence[Entry]) -> Resolution | None:
    """The resolution in a directory of EXIF or TIFF, where inches are what is not said.

    Raises:
        FileError: if it is malformed.
    """
    tags = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
    data = {e.tag: reader.value(e).data for e in entries if e.tag in tags}
    x, y = (_fraction(data.get(tag, b"")) for tag in tags[:2])
    unit = _UNITS.get(int.from_bytes(data.get(RESOLUTION_UNIT, b"\2")[:2], "little"), "inch")
    return resolution(x, y, unit)


def _fraction(data: bytes) -> Fraction:
    below = int.from_bytes(data[4:8], "little")
    return Fraction(int.from_bytes(data[:4], "little"), below) if below else Fraction(0)


def resolution_tags(found: Resolution) -> Directory:
    """Tags for a resolution, as EXIF and TIFF have them; none if it cannot be told."""
    x, y = found.x.limit_denominator(10_000), found.y.limit_denominator(10_000)
    if max(x.numerator, y.numerator) > _LONG or not min(x.numerator, y.numerator):
        return {}
    unit = {"inch": 2, "cm": 3}.get(found.unit, 1)
    return {
        X_RESOLUTION: Value(_RATIONAL, _words(x.numerator, x.denominator)),
        Y_RESOLUTION: Value(_RATIONAL, _words(y.numerator, y.denominator)),
        RESOLUTION_UNIT: Value(SHORT, unit.to_bytes(2, "little")),
    }


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def description(block: bytes) -> bytes | None:
    """ImageDescription, as it is; None if there is none."""
    try:
        reader = _open(block)
        for entry in reader.entries(reader.first):
            if entry.tag == DESCRIPTION:
                return reader.value(entry).data
    except FileError:
        pass
    return None


def adjusted(
    block: bytes | None, width: int, height: int, fresh: Directory, replaced: Directory
) -> bytes | None:
    """A block for the picture upright and of another size, without its thumbnail.

    Args:
        block: that of the source, or None.
        width, height: of the new picture, px.
        fresh: tags to be added to its first directory, where it lacks them.
        replaced: tags that take the place of those it has.

    Returns:
        The new block; None if there is nothing to be said.

    Raises:
        FileError: if the block is malformed.
    """
    if block is None:
        return b"II*\0\x08\0\0\0" + serialize(fresh, Layout("<", big=False), 8) if fresh else None
    editor = _Editor(block)
    present = editor.adjust(width, height)
    added = {tag: item for tag, item in fresh.items() if tag not in present}
    if any(tag in present for tag in (X_RESOLUTION, Y_RESOLUTION)):
        for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT):
            added.pop(tag, None)
    return editor.result({**added, **replaced})


class _Editor:
    """Changes a block in place."""

    def __init__(self, block: bytes) -> None:
        self._data = bytearray(block)
        self._reader = _open(block)
        self._layout = self._reader.layout

    def adjust(self, width: int, height: int) -> set[int]:
        """Say that it is upright and of a size; gives the tags of the first directory."""
        reader = self._reader
        entries = reader.entries(reader.first)
        self._set(reader.first, entries, {ORIENTATION: 1, _WIDTH: width, _HEIGHT: height})
        for entry in entries:
            if entry.tag == _EXIF:
                sizes = {_PIXEL_X_DIMENSION: width, _PIXEL_Y_DIMENSION: height}
                try:
                    at = reader.pointer(entry)
                    self._set(at, reader.entries(at), sizes)
                except FileError:  # what is damaged further down stays as it is
                    break
        self._drop_thumbnail(len(entries))
        return {entry.tag for entry in entries}

    def _set(self, at: int, entries: Sequence[Entry], values: dict[int, int]) -> None:
        """Change numbers of the directory at a place, where it has them."""
        layout = self._layout
        for i, entry in enumerate(entries):
            if entry.tag not in values or entry.count != 1 or entry.kind not in _SIZES:
                continue
            value, kind = values[entry.tag], entry.kind
            if value >= 1 << (8 * _SIZES[kind]):
                kind = LONG
            field = value.to_bytes(_SIZES[kind], layout.endian).ljust(layout.width, b"\0")
            place = at + layout.count.size + i * layout.entry.size
            packed = layout.entry.pack(entry.tag, kind, 1, field)
            self._data[place : place + layout.entry.size] = packed

    def _drop_thumbnail(self, entries: int) -> None:
        """Cut off the second directory and the small picture that it is about."""
        reader, layout = self._reader, self._layout
        try:
            at = reader.following(reader.first, entries)
        except FileError:  # cut short there, as some programs do
            return
        if not at:
            return
        end = reader.first + layout.directory_size(entries)
        self._data[end - layout.width : end] = bytes(layout.width)
        try:
            tags = (_THUMBNAIL, _THUMBNAIL_BYTES)
            found = {e.tag: e for e in reader.entries(at) if e.tag in tags}
            start, length = (
                int.from_bytes(reader.value(found[tag]).data[:4], "little") for tag in tags
            )
        except (FileError, KeyError):
            return
        if self._data[start : start + 2] != b"\xff\xd8":  # not what it is said to be
            return
        if start + length >= len(self._data):
            del self._data[start:]
        else:
            self._data[start : start + length] = bytes(length)

    def result(self, fresh: Directory) -> bytes:
        """The block, with further tags in its first directory."""
        if not fresh:
            return bytes(self._data)
        data = bytes(self._data)
        layout = self._layout
        reader = _open(data)
        kept = [entry for entry in reader.entries(reader.first) if entry.tag not in fresh]
        data += bytes(len(data) % 2)
        start = len(data)
        try:
            added = serialize(fresh, layout, start, kept=kept)
        except OverflowError:
            raise FileError(f"{_WHERE}: it is too large") from None
        header = data[: layout.width] + layout.offset(start)
        return header + data[len(header) :] + added
