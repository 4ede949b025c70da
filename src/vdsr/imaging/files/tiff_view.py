"""A TIFF page as libtiff reads it most reliably: in strips of whole bytes, one band or few.

libvips paints a damaged tile black and goes on; a damaged strip it reports. Tiles of one
column, one below the other, are the strips of a narrow picture; so are the strips of one
plane. Such pictures are shown to libvips as files of their own: the bytes of the real file,
with a new directory behind them that the header points to. Nothing is copied.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyvips

from vdsr.errors import InputError
from vdsr.imaging.files.tiff_structure import LONG, LONG8, SHORT, Layout, Value, serialize
from vdsr.imaging.files.tiff_tags import BLACK_IS_ZERO, FLOAT, RGB, UNSIGNED, Page, TiffFile

# Every column of tiles is a picture in its own right, which takes some 100 kB.
_MAX_PARTS = 8192
_TILING = (254, 255, 322, 323, 324, 325, 330, 338)
# What decides how strips are decoded; all else is metadata, which is needed only once.
_DECODING = (259, 262, 266, 278, 292, 293, 317, 320, 347, 529, 530, 531, 532)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How the samples of a page are shown to libtiff.

    Attributes:
        bits, sample_format, samples, photometric: of the strips that it sees.
        packed: whether a strip is shown as rows of mere bytes, since libvips does not take
            samples of this size.
    """

    bits: int
    sample_format: int
    samples: int
    photometric: int
    packed: bool = False


class _SharedFile:
    """Reading at any place from several threads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Up to so many bytes; none when the file cannot be read, which ends the decoding."""
        try:
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.read(self._descriptor, length)
        except OSError:
            return b""


class _View:
    """A file with another header and something behind its end, read like a file."""

    def __init__(self, file: _SharedFile, size: int, head: bytes, at: int, tail: bytes) -> None:
        self._file, self._size, self._head = file, size, head
        self._at, self._tail = at, tail
        self._position = 0

    def read(self, length: int) -> bytes:
        """The next bytes; fewer at a seam, none at the end."""
        at = self._position
        if at < len(self._head):
            data = self._head[at : at + length]
        elif at < self._size:
            data = self._file.read(at, min(length, self._size - at))
        else:
            data = (bytes(self._at - self._size) + self._tail)[at - self._size :][:length]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place, as `io.IOBase.seek`; -1 if it lies before the start."""
        base = (0, self._position, self._at + len(self._tail))[whence]
        if base + offset < 0:
            return -1
        self._position = base + offset
        return self._position

    def load(self, **options: str) -> pyvips.Image:
        """What libvips makes of it."""
        source = pyvips.SourceCustom()
        source.on_read(self.read)
        source.on_seek(self.seek)
        image = pyvips.Image.tiffload_source(source, **options)
        # As Image.new_from_source does it: the callbacks must live as long as the image.
        image._references.append(source)
        return image


class PageParts:
    """The narrow pictures, or planes, that a page is made of.

    Args:
        tiff: the file.
        page: one of its pages.
        stored: how its samples are shown.

    Attributes:
        planes, columns: how many.
        width: of a part, px; parts at the right edge may reach over it, and all below.

    Raises:
        InputError: if fewer strips or tiles are listed than the picture needs.
    """

    def __init__(self, tiff: TiffFile, page: Page, stored: Stored) -> None:
        self._tiff, self._page, self._stored = tiff, page, stored
        self._separate = page.planar == 2 and page.samples > 1
        self.planes = page.samples if self._separate else 1
        self.width, self._length = page.tile or (page.width, page.rows_per_strip)
        if page.tile and 0 in page.tile:
            raise InputError(f"{tiff.path}: damaged: its tiles are {self.width}x{self._length} px")
        self._length = max(1, min(self._length, page.height)) if not page.tile else self._length
        self.columns = -(-page.width // self.width)
        self._rows = -(-page.height // self._length)
        if self.planes * self.columns > _MAX_PARTS:
            raise InputError(
                f"{tiff.path}: {self.columns} tiles stand side by side, which is too many"
            )
        needed = self.planes * self.columns * self._rows
        what = "tiles" if page.tile else "strips"
        if page.segments < needed:
            found = max(0, page.segments)
            raise InputError(
                f"{tiff.path}: damaged: {needed} {what} are needed, {found} are listed"
            )
        self._offsets, self._counts = self._segments(what)
        self._file = _SharedFile(tiff.path)

    def _segments(self, what: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets and lengths; none where those of the file are good as they stand."""
        if not (self._page.tile or self._separate):
            return (), ()
        tags = (324, 325) if self._page.tile else (273, 279)
        found = self._tiff.values(self._page, *tags)
        offsets, counts = (found.get(tag, ()) for tag in tags)
        if len(counts) < len(offsets):
            raise InputError(f"{self._tiff.path}: damaged: the lengths of its {what} are missing")
        if holes := sum(not count for count in counts[: self.planes * self.columns * self._rows]):
            raise InputError(
                f"{self._tiff.path}: {holes} of its {what} are not stored (a sparse file):"
                " rewrite it with all of them"
            )
        return offsets, counts

    def images(self, plane: int, **options: str) -> Iterator[pyvips.Image]:
        """The parts of a plane from left to right, as libvips decodes them.

        Args:
            plane: 0 for the first, which alone carries the metadata, in its first part.
            options: of `tiffload_source`.

        Raises:
            pyvips.Error: if libvips does not take them.
            InputError: if the file leaves no room for a directory behind its end.
        """
        for column in range(self.columns):
            yield self._view(plane, column).load(**options)

    def _view(self, plane: int, column: int) -> _View:
        layout, size = self._tiff.layout, self._tiff.size
        at = size + size % 2
        tags = self._tags(plane, column)
        whole = plane == column == 0
        kept = [
            entry
            for entry in self._page.entries
            if entry.tag not in tags
            and entry.tag not in _TILING
            and (whole or entry.tag in _DECODING)
        ]
        try:
            tail = serialize(dict(tags), layout, at, kept=kept)
            head = _header(layout, at)
        except OverflowError as error:
            raise InputError(
                f"{self._tiff.path}: it is larger than a classic TIFF can be"
            ) from error
        return _View(self._file, size, head, at, tail)

    def _tags(self, plane: int, column: int) -> dict[int, Value]:
        page, stored = self._page, self._stored
        width = self.width
        if stored.packed:
            samples = 1 if self._separate else page.samples
            width = -(-width * samples * page.bits[0] // 8)
        tags = {
            256: _longs(width),
            257: _longs(self._rows * self._length if page.tile else page.height),
            258: _shorts(*[stored.bits] * stored.samples),
            262: _shorts(stored.photometric),
            277: _shorts(stored.samples),
            278: _longs(self._length),
            284: _shorts(1),
            339: _shorts(*[stored.sample_format] * stored.samples),
        }
        colors = {BLACK_IS_ZERO: 1, RGB: 3}.get(stored.photometric, stored.samples)
        if stored.samples > colors:  # of no kind, so that libvips leaves them alone
            tags[338] = _shorts(*[0] * (stored.samples - colors))
        if self._offsets:
            step = self.columns
            first = plane * self._rows * step + column
            chosen = slice(first, first + self._rows * step, step)
            wide = self._tiff.layout.big
            tags[273] = _longs(*self._offsets[chosen], wide=wide)
            tags[279] = _longs(*self._counts[chosen], wide=wide)
        return tags


def metadata_view(tiff: TiffFile, page: Page) -> pyvips.Image:
    """A picture of one px that carries the metadata of a page, whatever its pixels are.

    Raises:
        pyvips.Error: if libvips does not take it.
    """
    layout, size = tiff.layout, tiff.size
    at = size + size % 2
    one = {tag: _longs(1) for tag in (256, 257, 278, 279)}
    one |= {273: _longs(0), **{tag: _shorts(1) for tag in (259, 262, 277, 284, 339)}}
    one[258] = _shorts(8)
    decoding = (*_TILING, *_DECODING)
    kept = [e for e in page.entries if e.tag not in one and e.tag not in decoding]
    tail = serialize(dict(one), layout, at, kept=kept)
    view = _View(_SharedFile(tiff.path), size, _header(layout, at), at, tail)
    return view.load()


def plain(page: Page) -> Stored:
    """Samples as they are, gray or RGB to libtiff, whatever they mean."""
    samples = 1 if page.planar == 2 else page.samples
    return Stored(
        bits=page.bits[0],
        sample_format=FLOAT if page.sample_format == FLOAT else _integer(page.sample_format),
        samples=samples,
        photometric=RGB if samples >= 3 else BLACK_IS_ZERO,
    )


def packed() -> Stored:
    """Rows of bytes."""
    return Stored(bits=8, sample_format=1, samples=1, photometric=BLACK_IS_ZERO, packed=True)


def _integer(sample_format: int) -> int:
    # "Undefined" is what old programs wrote for unsigned.
    return UNSIGNED if sample_format == 4 else sample_format


def _header(layout: Layout, first: int) -> bytes:
    order = b"II" if layout.order == "<" else b"MM"
    magic = struct.pack(layout.order + "H", 43 if layout.big else 42)
    width = struct.pack(layout.order + "HH", 8, 0) if layout.big else b""
    return order + magic + width + layout.offset(first)


def _shorts(*values: int) -> Value:
    return Value(SHORT, struct.pack(f"<{len(values)}H", *values))


def _longs(*values: int, wide: bool = False) -> Value:
    return Value(
        LONG8 if wide else LONG, struct.pack(f"<{len(values)}{'Q' if wide else 'I'}", *values)
    )
