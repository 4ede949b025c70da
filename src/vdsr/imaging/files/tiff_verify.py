"""Damage in TIFF files that libtiff passes over: in deflate, JPEG, fax lines and PackBits.

libtiff stops inflating when it has enough samples, before the checksum (RFC 1950), and it
fills up what a JPEG lacks with gray: these strips and tiles are decoded here once more, by
zlib and by libvips, which complain. Runs of PackBits that are too long it cuts, and of fax
lines that are too long or short it only warns.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyvips

from vdsr.errors import InputError
from vdsr.imaging.files.tiff_kinds import CCITT, JPEG
from vdsr.imaging.files.tiff_tags import Page, TiffFile
from vdsr.imaging.files.tiff_view import PageParts

_DEFLATE = (8, 32946)
_JPEG_TABLES = 347
_PACKBITS = 32773
_CHUNK = 1 << 20
_ROWS = 64
_listening = threading.Lock()
# What libtiff's warnings about damage say, those of tif_fax3.c.
_WARNINGS = ("Line length mismatch", "Premature E", "Bad code word")


def verify(tiff: TiffFile, page: Page, parts: PageParts) -> None:
    """Look at all strips or tiles of a page whose compression hides damage.

    Raises:
        InputError: if one is damaged, or reaches beyond the end of the file.
    """
    if page.compression in CCITT:
        _decode_watched(tiff, parts)
    elif page.compression in (*_DEFLATE, JPEG, _PACKBITS):
        _decode_segments(tiff, page)


def _decode_segments(tiff: TiffFile, page: Page) -> None:
    tags = (324, 325) if page.tile else (273, 279)
    what = "tile" if page.tile else "strip"
    found = tiff.values(page, *tags, _JPEG_TABLES)
    tables = bytes(found.get(_JPEG_TABLES, ()))
    pairs = zip(found.get(tags[0], ()), found.get(tags[1], ()), strict=False)
    with tiff.path.open("rb") as file:
        for number, (offset, length) in enumerate(pairs, 1):
            if offset + length > tiff.size:
                raise _error(tiff.path, what, number, "it reaches beyond the end of the file")
            file.seek(offset)
            data = file.read(length)
            if page.compression == JPEG:
                problem = _jpeg(data, tables)
            elif page.compression == _PACKBITS:
                problem = _packbits(data, page.segment_bytes(number - 1))
            else:
                problem = _deflate(data)
            if problem:
                raise _error(tiff.path, what, number, problem)


def _deflate(data: bytes) -> str | None:
    stream = zlib.decompressobj()
    try:
        while data and not stream.eof:
            stream.decompress(data, _CHUNK)
            data = stream.unconsumed_tail
    except zlib.error as error:
        return str(error)
    return None if stream.eof else "its data has no end"


def _packbits(data: bytes, expected: int) -> str | None:
    """TIFF 6.0, section 9."""
    at = made = 0
    while at < len(data) and made < expected:
        head = data[at]
        if head < 128:
            at, made = at + 2 + head, made + 1 + head
        elif head > 128:
            at, made = at + 2, made + 257 - head
        else:
            at += 1
    if made == expected and len(data) - 1 <= at <= len(data):
        return None
    return f"its runs do not make {expected} bytes"


def _jpeg(data: bytes, tables: bytes) -> str | None:
    if len(tables) > 4:  # between SOI and EOI
        data = data[:2] + tables[2:-2] + data[2:]
    try:
        pyvips.Image.jpegload_buffer(data, fail_on="warning").avg()
    except pyvips.Error as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[-1] if lines else "libjpeg does not take it"
    return None


def _error(path: Path, what: str, number: int, problem: str) -> InputError:
    return InputError(f"{path}: damaged or cut short: {what} {number}: {problem}")


def _decode_watched(tiff: TiffFile, parts: PageParts) -> None:
    with _warnings() as found:
        try:
            for plane in range(parts.planes):
                for image in parts.images(plane, access="sequential", fail_on="error"):
                    region = pyvips.Region.new(image)
                    for top in range(0, image.height, _ROWS):
                        region.fetch(0, top, image.width, min(_ROWS, image.height - top))
        except pyvips.Error:
            return  # whoever decodes it for its samples will say so
    if found:
        raise InputError(f"{tiff.path}: damaged or cut short: {found[0]}")


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What libtiff warns of in this thread, through libvips."""
    logger, thread, found = logging.getLogger("pyvips"), threading.get_ident(), list[str]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage().removeprefix("VIPS: ")
            if threading.get_ident() == thread and text.startswith(_WARNINGS):
                found.append(text)

    listener = Listener()
    with _listening:
        level = logger.level
        if logger.getEffectiveLevel() > logging.WARNING:  # else nothing would be told
            logger.setLevel(logging.WARNING)
        logger.addHandler(listener)
        try:
            yield found
        finally:
            logger.removeHandler(listener)
            logger.setLevel(level)
