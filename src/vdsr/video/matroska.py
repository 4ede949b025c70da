"""What Matroska says of a picture's shape, put into a file that FFmpeg wrote without it.

FFmpeg's writer takes the shape of a pixel, and what is to be cut off, from places that PyAV
does not reach. Both go into the description of the track (RFC 9559, 5.1.4.1.28). What is put
in there is taken from the void that FFmpeg leaves before it, so that nothing behind it moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

# As far as the description of the tracks is looked for.
_HEAD = 16 << 20
_SEGMENT, _SEEK_HEAD, _VOID, _CRC = b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\xec", b"\xbf"
_SEEK, _SEEK_POSITION, _TRACKS, _ENTRY = b"\x4d\xbb", b"\x53\xac", b"\x16\x54\xae\x6b", b"\xae"
_VIDEO, _WIDTH, _HEIGHT = b"\xe0", b"\xb0", b"\xba"
_CROP_BOTTOM, _CROP_RIGHT = b"\x54\xaa", b"\x54\xdd"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"


@dataclass(frozen=True)
class _Element:
    id: bytes
    start: int
    body: int
    end: int


def display_size(width: int, height: int, shape: Fraction) -> tuple[int, int]:
    """Size in square px of a picture whose px are `shape` as wide as high.

    Sides grow or shrink to whole px; where neither comes out even, the width is rounded.
    """
    if (width * shape).denominator == 1:
        return int(width * shape), height
    if (height / shape).denominator == 1:
        return width, int(height / shape)
    return round(width * shape), height


def describe(
    file: IO[bytes], coded: tuple[int, int], display: tuple[int, int], crop: tuple[int, int]
) -> bool:
    """Say how large the pictures of a track are to be shown, and what is not to be shown.

    Args:
        file: a whole Matroska or WebM file, open for reading and writing.
        coded: width and height of the track's pictures, px.
        display: width and height at which they are to be shown, px.
        crop: columns at the right and rows at the bottom that are not to be shown.

    Returns:
        Whether there was room for it; the file is as it was if not.
    """
    file.seek(0)
    head = file.read(_HEAD)
    try:
        segment = next(e for e in _elements(head, 0, len(head)) if e.id == _SEGMENT)
        before: list[_Element] = []
        for one in _elements(head, segment.body, len(head)):
            before.append(one)
            if one.id == _TRACKS:
                break
        tracks = before[-1]
        seeks = next(e for e in before if e.id == _SEEK_HEAD)
        void = next(e for e in before if e.id == _VOID)
    except (StopIteration, ValueError, IndexError):
        return False
    new = _tracks(head[: tracks.end], tracks, coded, display, crop)
    growth = len(new) - (tracks.end - tracks.start)
    # A void has two bytes at least.
    if void.end - void.start - 2 < growth or not seeks.end <= void.start < tracks.start:
        return False
    moved = range(void.end - segment.body, tracks.start - segment.body + 1)
    start = _seek_head(head, seeks, moved, growth)
    room = void.end - void.start - growth
    filled = _VOID + _size(room - 9, 8) if room > 9 else _VOID + _size(room - 2, 1)
    start += head[seeks.end : void.start] + filled + bytes(room - len(filled))
    file.seek(seeks.start)
    file.write(start + head[void.end : tracks.start] + new)
    file.seek(0, 2)
    return True


def _tracks(
    head: bytes,
    tracks: _Element,
    coded: tuple[int, int],
    display: tuple[int, int],
    crop: tuple[int, int],
) -> bytes:
    """The description of all tracks; that of the first with pictures of the size is changed."""
    entries, done = b"", False
    for entry in _elements(head, tracks.body, tracks.end):
        children = list(_elements(head, entry.body, entry.end)) if entry.id == _ENTRY else []
        video = next((e for e in children if e.id == _VIDEO), None)
        if done or video is None or _coded(head, video) != coded:
            entries += head[entry.start : entry.end]
            continue
        changed = b"".join(
            _video(head, e, display, crop) if e is video else head[e.start : e.end]
            for e in children
        )
        entries += _made(_ENTRY, changed, entry.body - entry.start - 1)
        done = True
    return _made(_TRACKS, _summed(entries), tracks.body - tracks.start - len(_TRACKS))


def _coded(head: bytes, video: _Element) -> tuple[int, int]:
    found = {
        e.id: int.from_bytes(head[e.body : e.end], "big")
        for e in _elements(head, video.body, video.end)
    }
    return found.get(_WIDTH, 0), found.get(_HEIGHT, 0)


def _video(head: bytes, video: _Element, display: tuple[int, int], crop: tuple[int, int]) -> bytes:
    own = {_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT, _CROP_RIGHT, _CROP_BOTTOM}
    kept = b"".join(
        head[e.start : e.end] for e in _elements(head, video.body, video.end) if e.id not in own
    )
    told = [(_DISPLAY_WIDTH, display[0]), (_DISPLAY_HEIGHT, display[1])]
    told += [(id, n) for id, n in zip((_CROP_RIGHT, _CROP_BOTTOM), crop, strict=True) if n]
    added = b"".join(_made(id, n.to_bytes((n.bit_length() + 7) // 8, "big")) for id, n in told)
    return _made(_VIDEO, kept + added)


def _seek_head(head: bytes, seeks: _Element, moved: range, growth: int) -> bytes:
    """The table of contents, where what lies in `moved` lies `growth` bytes before that."""
    data = bytearray(head[seeks.start : seeks.end])
    for seek in _elements(head, seeks.body, seeks.end):
        if seek.id != _SEEK:
            continue
        for one in _elements(head, seek.body, seek.end):
            place = int.from_bytes(head[one.body : one.end], "big")
            if one.id == _SEEK_POSITION and place in moved:
                new = (place - growth).to_bytes(one.end - one.body, "big")
                data[one.body - seeks.start : one.end - seeks.start] = new
    body = seeks.body - seeks.start
    return bytes(data[:body]) + _summed(bytes(data[body:]))


def _summed(body: bytes) -> bytes:
    """The body of an element, whose checksum is that of the rest if it begins with one."""
    if body[:2] != _CRC + b"\x84":
        return body
    return body[:2] + zlib.crc32(body[6:]).to_bytes(4, "little") + body[6:]


def _made(id: bytes, body: bytes, width: int = 1) -> bytes:
    return id + _size(len(body), width) + body


def _size(length: int, width: int) -> bytes:
    """A length, in `width` bytes or as many as it takes."""
    while length >= (1 << 7 * width) - 1:
        width += 1
    return (length | 1 << 7 * width).to_bytes(width, "big")


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    """The elements that begin there, one after the other.

    Raises:
        ValueError: for what is not an element.
    """
    while start < end:
        wide = _leading(data[start])
        id = data[start : start + wide]
        size = _leading(data[start + wide])
        body = start + wide + size
        length = int.from_bytes(data[start + wide : body], "big") & ((1 << 7 * size) - 1)
        yield _Element(id, start, body, body + length)
        start = body + length


def _leading(first: int) -> int:
    """Bytes of a number that begins with this one."""
    if not first:
        raise ValueError("no length")
    return 9 - first.bit_length()
