"""The structure of TIFF files: directories of tags, read with distrust and written.

Classic TIFF (TIFF 6.0, section 2) has offsets of 4 bytes, BigTIFF
(https://www.awaresystems.be/imaging/tiff/bigtiff.html) of 8; either comes in both byte
orders. EXIF blocks are classic TIFFs without a picture. What a file claims decides
neither how much is allocated nor how long anything runs.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeAlias

from vdsr.errors import FileError

SHORT, LONG, SLONG, IFD, LONG8, SLONG8, IFD8 = 3, 4, 9, 13, 16, 17, 18

# Field type: bytes of one value, and of the words in it that have a byte order.
# Those without a name here: BYTE, ASCII, SBYTE, UNDEFINED and UTF-8 (129, of Exif 3.0);
# SSHORT; FLOAT; RATIONAL and SRATIONAL; DOUBLE.
_TYPES = {
    **dict.fromkeys((1, 2, 6, 7, 129), (1, 1)),
    **dict.fromkeys((SHORT, 8), (2, 2)),
    **dict.fromkeys((LONG, SLONG, 11), (4, 4)),
    **dict.fromkeys((5, 10), (8, 4)),
    **dict.fromkeys((12, LONG8, SLONG8), (8, 8)),
}
_SIGNED = (6, 8, SLONG, 10, SLONG8)
_POINTER_SIZES = {LONG: 4, IFD: 4, LONG8: 8, IFD8: 8}
# Classic TIFF counts the entries of a directory in 16 bits; nothing real has more.
_MAX_ENTRIES = 65535
# Far more than EXIF needs, and little to allocate when a damaged file asks for it.
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Value:
    """What a tag holds.

    Attributes:
        kind: the field type, a number of the TIFF specification.
        data: the values, little-endian.
    """

    kind: int
    data: bytes


Directory: TypeAlias = "dict[int, Value | Directory]"
"""Tags with their values; a tag that points to a directory has that one in its place."""


@dataclass(frozen=True)
class Entry:
    """One entry of a directory as it stands in the file.

    Attributes:
        tag: number of the tag.
        kind: the field type.
        count: number of values.
        field: the values, or their offset where they do not fit; 4 or 8 bytes.
    """

    tag: int
    kind: int
    count: int
    field: bytes


@dataclass(frozen=True)
class Layout:
    """Byte order and flavour of a TIFF structure.

    Attributes:
        order: `<` little-endian or `>` big-endian.
        big: whether it is a BigTIFF.
    """

    order: Literal["<", ">"]
    big: bool

    @property
    def endian(self) -> Literal["little", "big"]:
        """The byte order by name."""
        return "little" if self.order == "<" else "big"

    @property
    def width(self) -> int:
        """Bytes of an offset; the header keeps the first one at this place, too."""
        return 8 if self.big else 4

    @property
    def count(self) -> struct.Struct:
        """Number of entries, at the start of a directory."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        """The four parts of an `Entry`."""
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    def number(self, data: bytes) -> int:
        """Read an unsigned number."""
        return int.from_bytes(data, self.endian)

    def offset(self, value: int) -> bytes:
        """Write an offset; an OverflowError means that it is too large for the flavour."""
        return value.to_bytes(self.width, self.endian)

    def directory_size(self, entries: int) -> int:
        """Bytes of a directory, the offset of the next one included."""
        return self.count.size + entries * self.entry.size + self.width

    def ordered(self, data: bytes, kind: int) -> bytes:
        """Turn little-endian values into this byte order, or back."""
        word = _TYPES[kind][1]
        if self.order == "<" or word == 1:
            return data
        swapped = bytearray(len(data))
        for i in range(word):
            swapped[i::word] = data[word - 1 - i :: word]
        return bytes(swapped)


_HEADERS = {
    b"II*\0": Layout("<", big=False),
    b"MM\0*": Layout(">", big=False),
    b"II+\0": Layout("<", big=True),
    b"MM\0+": Layout(">", big=True),
}


class TiffReader:
    """Checked access to a TIFF structure.

    Attributes:
        stream: what it is read from.
        where: how every message begins.
        size: bytes in the stream.
        layout: byte order and flavour.
        first: offset of the first directory.

    Raises:
        FileError: here and in every method, if the structure is malformed, or asks for
            more than 16 MiB in all.
    """

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self.stream = stream
        self.where = where
        self.size = stream.seek(0, io.SEEK_END)
        self._allowance = _MAX_BYTES
        self._visited: set[int] = set()
        layout = _HEADERS.get(self._take(0, 4, "the header"))
        if layout is None:
            raise self.error("it does not begin like a TIFF")
        self.layout = layout
        if layout.big and self._take(4, 4, "the header") != struct.pack(layout.order + "HH", 8, 0):
            raise self.error("its BigTIFF header is damaged")
        self.first = layout.number(self._take(layout.width, layout.width, "the header"))

    def error(self, what: str) -> FileError:
        """The error to raise for `what`."""
        return FileError(f"{self.where}: {what}")

    def _take(self, offset: int, length: int, what: str) -> bytes:
        if offset + length > self.size:
            raise self.error(
                f"{what} reaches to byte {offset + length}, but it ends at {self.size}"
            )
        if length > self._allowance:
            raise self.error(f"{what} makes the metadata larger than {_MAX_BYTES >> 20} MiB")
        self._allowance -= length
        self.stream.seek(offset)
        data = self.stream.read(length)
        if len(data) != length:
            raise self.error(f"{what} cannot be read in full")
        return data

    def entries(self, offset: int) -> list[Entry]:
        """The entries of the directory at `offset`; every directory can be read once."""
        what = f"the directory at byte {offset}"
        if offset == 0:
            raise self.error("a directory is missing")
        if offset in self._visited:
            raise self.error(f"{what} is pointed to twice")
        self._visited.add(offset)
        head, entry = self.layout.count, self.layout.entry
        (count,) = head.unpack(self._take(offset, head.size, what))
        if count > _MAX_ENTRIES:
            raise self.error(f"{what} claims {count} entries")
        data = self._take(offset + head.size, count * entry.size, what)
        return [Entry(*fields) for fields in entry.iter_unpack(data)]

    def following(self, offset: int, entries: int) -> int:
        """Offset of the directory after that at `offset` with so many entries; 0 for none."""
        width = self.layout.width
        at = offset + self.layout.directory_size(entries) - width
        return self.layout.number(self._take(at, width, f"the directory at byte {offset}"))

    def pointer(self, entry: Entry) -> int:
        """The offset of the directory that an entry points to."""
        size = _POINTER_SIZES.get(entry.kind)
        if size is None or size > self.layout.width or entry.count != 1:
            raise self.error(f"tag {entry.tag} is not a pointer to a directory")
        return self.layout.number(entry.field[:size])

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """The values of an entry as whole numbers; a fraction is two of them."""
        data = self._data(entry)
        word = _TYPES[entry.kind][1]
        signed = entry.kind in _SIGNED
        return tuple(
            int.from_bytes(data[i : i + word], "little", signed=signed)
            for i in range(0, len(data), word)
        )

    def value(self, entry: Entry) -> Value:
        """The values of an entry; 64-bit integers, which EXIF lacks, become 32-bit ones."""
        what = f"tag {entry.tag}"
        data = self._data(entry)
        if entry.kind not in (LONG8, SLONG8):
            return Value(entry.kind, data)
        wide, narrow, kind = ("Q", "I", LONG) if entry.kind == LONG8 else ("q", "i", SLONG)
        values = struct.unpack(f"<{entry.count}{wide}", data)
        try:
            return Value(kind, struct.pack(f"<{entry.count}{narrow}", *values))
        except struct.error:
            raise self.error(f"{what} holds a number of more than 32 bits") from None

    def _data(self, entry: Entry) -> bytes:
        """The values of an entry, little-endian."""
        what = f"tag {entry.tag}"
        if entry.kind not in _TYPES:
            raise self.error(f"{what} has the unknown field type {entry.kind}")
        size = entry.count * _TYPES[entry.kind][0]
        if size <= self.layout.width:
            data = entry.field[:size]
        else:
            data = self._take(self.layout.number(entry.field), size, what)
        return self.layout.ordered(data, entry.kind)


def serialize(
    directory: Directory,
    layout: Layout,
    start: int,
    *,
    kept: Sequence[Entry] = (),
    following: int = 0,
) -> bytes:
    """Lay out a directory, then its values and the directories below it.

    Args:
        directory: what is to be written.
        layout: byte order and flavour.
        start: the even offset at which the result will stand; all others are even, too.
        kept: entries of the same file that are to stand among the new ones.
        following: offset of the next directory; 0 for none.

    Returns:
        An even number of bytes, the directory first, its entries in ascending order.

    Raises:
        OverflowError: if an offset would be too large for the flavour.
    """
    entries = list(kept)
    tail = bytearray()
    tail_start = start + layout.directory_size(len(kept) + len(directory))
    for tag, item in directory.items():
        at = tail_start + len(tail)
        if isinstance(item, dict):
            # Exif names LONG for its pointers; BigTIFF has a type of its own for them.
            entries.append(Entry(tag, IFD8 if layout.big else LONG, 1, layout.offset(at)))
            tail += serialize(item, layout, at)
            continue
        field = layout.ordered(item.data, item.kind)
        if len(field) > layout.width:
            tail += field + bytes(len(field) % 2)
            field = layout.offset(at)
        entries.append(Entry(tag, item.kind, len(item.data) // _TYPES[item.kind][0], field))
    entries.sort(key=lambda entry: entry.tag)
    body = b"".join(layout.entry.pack(e.tag, e.kind, e.count, e.field) for e in entries)
    return layout.count.pack(len(entries)) + body + layout.offset(following) + tail
