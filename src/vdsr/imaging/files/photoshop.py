r"""IPTC and the other image resources of Photoshop, which JPEG and TIFF hold differently.

JPEG has the resources in APP13, after `Photoshop 3.0\0`; TIFF has them in tag 34377, and
IPTC alone in tag 33723, too. libvips takes both fields as they are, but cuts the latter to a
quarter. In this program a picture has one block of resources. (Adobe Photoshop File
Formats Specification, "Image Resources"; XMP specification part 3, 1.1.3 and 3.3.3.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vdsr.errors import InputError
from vdsr.imaging.files.tiff_structure import Entry, TiffReader

APP13_PREFIX = b"Photoshop 3.0\0"
MAX_APP13 = 65533

_IPTC = 0x0404
# Small pictures of what the large one was before.
_THUMBNAILS = (0x0409, 0x040C)
_TIFF_IPTC, _TIFF_RESOURCES = 33723, 34377


def from_tiff(path: Path, at: int | None = None) -> bytes:
    """The resources in a TIFF file, IPTC among them, without thumbnails; empty if there are none.

    Args:
        path: the file.
        at: offset of the directory of the page; None for the first.

    Raises:
        InputError: if the file cannot be read.
        FileError: if its structure is malformed.
    """
    try:
        with path.open("rb") as stream:
            reader = TiffReader(stream, f"{path}: its IPTC cannot be read")
            found = reader.entries(reader.first if at is None else at)
            entries = {entry.tag: entry for entry in found}
            resources, iptc = (
                _bytes(reader, entries.get(tag)) for tag in (_TIFF_RESOURCES, _TIFF_IPTC)
            )
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
    kept = without_thumbnails(resources)
    return kept if has_iptc(kept) or not iptc else kept + _resource(_IPTC, iptc)


def has_iptc(resources: bytes) -> bool:
    """Whether there is IPTC among the resources."""
    return any(number == _IPTC for number, _ in _parts(resources))


def _bytes(reader: TiffReader, entry: Entry | None) -> bytes:
    if entry is None:
        return b""
    value = reader.value(entry)
    # IPTC is often labeled as 32-bit numbers, and is bytes in file order all the same.
    return reader.layout.ordered(value.data, value.kind)


def without_thumbnails(resources: bytes) -> bytes:
    """Resources without small pictures of what the large one was; empty if malformed."""
    return b"".join(part for number, part in _parts(resources) if number not in _THUMBNAILS)


def _parts(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each resource, up to the first that is malformed."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and len(resources) >= at + 12:
        name = resources[at + 6] + 1  # a Pascal string, of even length as a whole
        size_at = at + 6 + name + name % 2
        size = int.from_bytes(resources[size_at : size_at + 4], "big")
        end = size_at + 4 + size
        if end > len(resources):
            return
        part = resources[at:end] + bytes(size % 2)
        yield int.from_bytes(resources[at + 4 : at + 6], "big"), part
        at = end + size % 2


def _resource(number: int, data: bytes) -> bytes:
    header = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big")
    return header + data + bytes(len(data) % 2)
