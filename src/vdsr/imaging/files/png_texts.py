"""Texts of PNG files that hold what has a place of its own elsewhere: XMP, and EXIF as hex.

XMP is in `iTXt` by the XMP specification (part 3, 1.1.5). ImageMagick and older programs
write EXIF, IPTC and XMP as texts named `Raw profile type ...`: a line with a name, one with
the number of bytes, then hexadecimal digits.
"""

from __future__ import annotations

import zlib

from vdsr.imaging.files.exif import PREFIX

XMP = b"XML:com.adobe.xmp\0"

_RAW = b"Raw profile type "
_APP1_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MAX_BYTES = 16 << 20


def profile(kind: bytes, data: bytes) -> tuple[str, bytes] | None:
    """What a text chunk holds, if it is none for people.

    Args:
        kind: `tEXt`, `zTXt` or `iTXt`.
        data: of the chunk.

    Returns:
        `xmp`, `raw exif`, `raw xmp` or `raw resources`, and the bytes.
    """
    keyword, _, _ = data[:80].partition(b"\0")
    if data.startswith(XMP):
        text = _text(kind, data)
        return None if text is None else ("xmp", text)
    if not keyword.startswith(_RAW):
        return None
    held = _unhexed(_text(kind, data) or b"")
    return None if held is None else _named(keyword.removeprefix(_RAW).lower(), held)


def _named(kind: bytes, held: bytes) -> tuple[str, bytes] | None:
    """What an unpacked profile is."""
    if kind in (b"exif", b"app1") and not held.startswith(_APP1_XMP):
        return "raw exif", held.removeprefix(PREFIX)
    if kind in (b"exif", b"app1", b"xmp"):
        return "raw xmp", held.removeprefix(_APP1_XMP)
    if kind in (b"iptc", b"8bim") and held.startswith(b"8BIM"):
        return "raw resources", held
    return None


def _text(kind: bytes, data: bytes) -> bytes | None:
    """The text itself, not compressed any more; None if it is malformed."""
    _, _, rest = data.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        parts = rest[2:].split(b"\0", 2)
        if len(rest) < 2 or len(parts) < 3:
            return None
        rest = parts[2]
    elif packed:
        rest = rest[1:]
    if not packed:
        return rest
    try:
        return zlib.decompressobj().decompress(rest, _MAX_BYTES)
    except zlib.error:
        return None


def _unhexed(text: bytes) -> bytes | None:
    lines = text.lstrip(b"\n").split(b"\n", 2)
    try:
        length = int(lines[1])
        held = bytes.fromhex(lines[2].decode("ascii"))
    except (IndexError, ValueError):
        return None
    return held[:length] if 0 < length <= len(held) else None
