"""Which tags of a TIFF file say something that no other tag or program can say again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vdsr.errors import InputError
from vdsr.imaging.files import exif, geotiff
from vdsr.imaging.files.resolution import Resolution
from vdsr.imaging.files.tiff_exif import DESCRIPTIVE_TAGS
from vdsr.imaging.files.tiff_structure import Directory, TiffReader

GDAL_TAGS = frozenset({42112, 42113})
"""Metadata and no-data value of GDAL."""

_XMP = 700
# How the pixels are stored, or what a program needs to read them: written anew for the result.
_STORAGE = frozenset(
    {
        *range(254, 260),
        *(262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289),
        *(290, 291, 292, 293, 296, 301, 317, 318, 319, 320, 321, *range(322, 329), 330, 332),
        *(334, 336, 338, 339, 340, 341, 342, 343, 347, *range(512, 522), 529, 530, 531, 532, 559),
        *(32995, 32996, 32997, 32998, 34232, 37439),
        # With readers of their own: XMP, IPTC, Photoshop, ICC, Exif, GPS, Interoperability.
        *(700, 33723, 34377, 34675, 34665, 34853, 40965),
        # Padding of Windows.
        *(59932, 59933),
    }
)


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The tags of a page that are neither EXIF nor about its storage.

    Attributes:
        kept: those of GeoTIFF and GDAL.
        unknown: numbers of those that nobody here knows.
        xmp: the packet.
        resolution: None if there is none.
        orientation: 1 to 8; 0 if there is none.
    """

    kept: Directory = field(default_factory=dict)
    unknown: tuple[int, ...] = ()
    xmp: bytes | None = None
    resolution: Resolution | None = None
    orientation: int = 0


def read(path: Path, at: int | None = None) -> Tags:
    """Read the tags of a page.

    Args:
        path: the file.
        at: offset of its directory; None for the first.

    Raises:
        InputError: if the file cannot be read.
        FileError: if its structure is malformed.
    """
    try:
        with path.open("rb") as stream:
            reader = TiffReader(stream, f"{path}: its tags cannot be read")
            entries = reader.entries(reader.first if at is None else at)
            kept: Directory = {}
            orientation, packet = 0, None
            for entry in entries:
                if entry.tag in geotiff.TAGS | GDAL_TAGS:
                    kept.setdefault(entry.tag, reader.value(entry))
                elif entry.tag == exif.ORIENTATION:
                    orientation = int.from_bytes(reader.value(entry).data[:4], "little")
                elif entry.tag == _XMP:
                    packet = reader.value(entry).data
            density = exif.read_resolution(reader, entries)
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
    known = _STORAGE | DESCRIPTIVE_TAGS | kept.keys()
    return Tags(
        kept=kept,
        unknown=tuple(sorted({entry.tag for entry in entries} - known)),
        xmp=packet,
        resolution=density,
        orientation=orientation if 1 <= orientation <= 8 else 0,
    )
