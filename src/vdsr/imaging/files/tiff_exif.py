r"""EXIF in TIFF files, which libvips neither reads nor writes.

TIFF keeps EXIF in directories of its own, to which tags of the first directory point.
JPEG, and libvips in its field `exif-data`, have it as one block: `Exif\0\0`, then a
small classic TIFF structure (Exif 3.0, CIPA DC-008-2023, 4.6 and 4.7). `read_exif` makes
such a block from a TIFF file, `write_exif` puts one into a finished TIFF file.

A MakerNote is copied as opaque bytes. Offsets from the start of the structure, which some
makers store in theirs, are not adapted, as after any other program's edit.
"""

from __future__ import annotations

import io
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from vdsr.errors import FileError, InputError, OutputError
from vdsr.imaging.files.exif import PREFIX
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

# DocumentName, ImageDescription, Make, Model, PageName, XPosition, YPosition, PageNumber,
# Software, DateTime, Artist, HostComputer, TargetPrinter, Copyright; those of Windows: Rating,
# RatingPercent, XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject; PrintIM; and of DNG:
# UniqueCameraModel, CameraSerialNumber, RawDataUniqueID, OriginalRawFileName.
DESCRIPTIVE_TAGS = frozenset(
    {
        *(269, 270, 271, 272, 285, 286, 287, 297, 305, 306, 315, 316, 337, 33432),
        *(18246, 18249, 40091, 40092, 40093, 40094, 40095, 50341),
        *(50708, 50735, 50781, 50827),
    }
)

_BLOCK_HEADER = b"II*\0\x08\0\0\0"
_NEW_SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH = 254, 256, 257
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_PIXEL_X_DIMENSION, _PIXEL_Y_DIMENSION = 40962, 40963

_Tree: TypeAlias = "Mapping[int, _Tree]"
_SUBDIRECTORIES: _Tree = {_EXIF: {_INTEROPERABILITY: {}}, _GPS: {}}


def read_exif(path: Path, at: int | None = None) -> bytes | None:
    r"""The EXIF of a TIFF file, as JPEG and the libvips field `exif-data` have it.

    Args:
        path: a classic TIFF or BigTIFF file of either byte order.
        at: offset of the directory of the page; None for the first.

    Returns:
        `Exif\0\0` and a little-endian TIFF structure with the descriptive tags of the first
        directory (`DESCRIPTIVE_TAGS`; not the orientation) and the directories Exif, GPS and
        Interoperability, all values as they are; None if the file has nothing of the kind.

    Raises:
        InputError: if the file cannot be opened or read.
        FileError: if its structure is malformed, or the metadata is over 16 MiB.
    """
    try:
        with path.open("rb") as stream:
            reader = TiffReader(stream, f"{path}: its EXIF cannot be read")
            first = reader.first if at is None else at
            directory = _gather(reader, first, _SUBDIRECTORIES, DESCRIPTIVE_TAGS)
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
    if not directory:
        return None
    return _block(directory)


def _block(directory: Directory) -> bytes:
    data = serialize(directory, Layout("<", big=False), len(_BLOCK_HEADER))
    return PREFIX + _BLOCK_HEADER + data


def is_preview(path: Path) -> bool:
    """Whether the first picture of a TIFF file calls itself a smaller version of another.

    So do raw photographs (DNG, NEF), whose real picture libvips would not find.

    Raises:
        InputError: if the file cannot be opened or read.
    """
    try:
        with path.open("rb") as stream:
            reader = TiffReader(stream, str(path))
            for entry in reader.entries(reader.first):
                if entry.tag == _NEW_SUBFILE_TYPE:
                    return bool(int.from_bytes(reader.value(entry).data, "little") & 1)
    except FileError:
        return False
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
    return False


def shortened(exif: bytes, limit: int) -> tuple[bytes, tuple[int, ...]]:
    """An EXIF block without its longest tags, so that no more than `limit` bytes are left.

    Args:
        exif: as `write_exif` takes it; of its tags those are left out that it leaves out.
        limit: bytes; at least some hundred.

    Returns:
        The block, and the tags that had to go.

    Raises:
        FileError: if `exif` is malformed.
    """
    block = TiffReader(io.BytesIO(exif.removeprefix(PREFIX)), "the EXIF is damaged")
    directory = _gather(block, block.first, _SUBDIRECTORIES, DESCRIPTIVE_TAGS)
    gone: list[int] = []
    while len(result := _block(directory)) > limit:
        _, tag, owner = max(_lengths(directory), key=lambda item: item[0])
        del owner[tag]
        gone.append(tag)
    return result, tuple(gone)


def _lengths(directory: Directory) -> Iterator[tuple[int, int, Directory]]:
    """Length, tag and directory of every value, those of the directories below included."""
    for tag, item in directory.items():
        if isinstance(item, dict):
            yield from _lengths(item)
        else:
            yield len(item.data), tag, directory


def write_exif(
    path: Path, exif: bytes, *, more: Directory | None = None, less: Container[int] = ()
) -> None:
    r"""Add EXIF to a finished TIFF file, whose pixels and other metadata stay as they are.

    A new first directory is appended, with all entries of the old one, the descriptive tags
    of `exif` that it lacks, and pointers to new Exif and GPS directories; a file that has
    such a directory keeps its own. PixelXDimension and PixelYDimension, where present, become
    those of the file. The thumbnail and all other tags of the block's first directory are
    left out. Only the last write, of the offset in the header, puts it all into effect; the
    old directory stays behind as a few unused bytes.

    Args:
        path: a classic TIFF or BigTIFF file of either byte order; changed in place.
        exif: a TIFF structure of either byte order, with or without `Exif\0\0` before it;
            empty for none.
        more: further tags for its first directory.
        less: tags of its first directory that are taken out of it.

    Raises:
        OutputError: if the file cannot be opened, read or written.
        FileError: if `exif` or the file is malformed, the metadata is over 16 MiB, or a
            classic TIFF would grow past 4 GiB. The file is then as it was.
    """
    where = f"{path}: EXIF cannot be added"
    directory: Directory = dict(more or {})
    if exif:
        data = io.BytesIO(exif.removeprefix(PREFIX))
        block = TiffReader(data, f"{where}: the EXIF is damaged")
        directory |= _gather(block, block.first, _SUBDIRECTORIES, DESCRIPTIVE_TAGS)
    try:
        # Unbuffered, so that no write can be left pending after an error.
        with path.open("r+b", buffering=0) as stream:
            _append(TiffReader(stream, where), directory, less)
    except OSError as error:
        raise OutputError(f"{path}: it cannot be written: {error.strerror or error}") from error


def _gather(
    reader: TiffReader, offset: int, below: _Tree, tags: Container[int] | None = None
) -> Directory:
    """Read the directory at `offset` and those `below` it; of its other tags `tags`, or all."""
    found: Directory = {}
    for entry in reader.entries(offset):
        if entry.tag in found:  # TIFF forbids it; the first one counts, as in libtiff
            continue
        if entry.tag in below:
            directory = _gather(reader, reader.pointer(entry), below[entry.tag])
            if directory:
                found[entry.tag] = directory
        elif entry.tag in (_EXIF, _GPS, _INTEROPERABILITY):
            continue  # a pointer where none belongs would lead nowhere in the copy
        elif tags is None or entry.tag in tags:
            found[entry.tag] = reader.value(entry)
    return found


def _append(reader: TiffReader, directory: Directory, less: Container[int]) -> None:
    """Write a new first directory that also holds what the old one lacks of `directory`."""
    layout = reader.layout
    before = reader.entries(reader.first)
    kept = [entry for entry in before if entry.tag not in less]
    present = {entry.tag for entry in kept}
    fresh = {tag: item for tag, item in directory.items() if tag not in present}
    if not fresh and kept == before:
        return
    exif = fresh.get(_EXIF)
    if isinstance(exif, dict):
        fresh[_EXIF] = exif | _dimensions(reader, kept, exif)
    following = reader.following(reader.first, len(before))
    start = reader.size + reader.size % 2
    try:
        data = serialize(fresh, layout, start, kept=kept, following=following)
        layout.offset(start + len(data))
    except OverflowError:
        raise reader.error("the file would grow past 4 GiB; BigTIFF has room") from None
    _commit(reader, bytes(start - reader.size) + data, layout.offset(start))


def _dimensions(reader: TiffReader, kept: Sequence[Entry], exif: Directory) -> Directory:
    """The size of the file's picture, under those of the tags for it that `exif` has."""
    sources = {_PIXEL_X_DIMENSION: _IMAGE_WIDTH, _PIXEL_Y_DIMENSION: _IMAGE_LENGTH}
    found: Directory = {}
    for tag in sources.keys() & exif.keys():
        entry = next((entry for entry in kept if entry.tag == sources[tag]), None)
        if entry is None or entry.count != 1 or entry.kind not in (SHORT, LONG, LONG8):
            raise reader.error("the file does not say how large its picture is")
        found[tag] = Value(LONG, reader.value(entry).data.ljust(4, b"\0"))
    return found


def _commit(reader: TiffReader, data: bytes, first: bytes) -> None:
    """Append `data`, then repoint the header; cut the file back if the appending fails."""
    stream = reader.stream
    stream.seek(reader.size)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[stream.write(rest) :]
        # Without this the header could reach the disk before what it points to.
        os.fsync(stream.fileno())
    except OSError:
        stream.truncate(reader.size)
        raise
    stream.seek(reader.layout.width)
    stream.write(first)
