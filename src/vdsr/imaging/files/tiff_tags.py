"""What a TIFF file says of its pictures: the tags that decide how samples are stored.

After TIFF 6.0 (Adobe, 1992), the Photoshop TIFF technical notes (2002) and the private
compressions that libtiff, GDAL and tifffile name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vdsr.errors import FileError, InputError
from vdsr.imaging.files.tiff_structure import Entry, Layout, TiffReader

COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT fax G3",
    4: "CCITT fax G4",
    5: "LZW",
    6: "old-style JPEG",
    7: "JPEG",
    8: "deflate",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32773: "PackBits",
    32809: "ThunderScan",
    32909: "PixarLog",
    32946: "deflate",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34926: "ZSTD",
    34927: "WebP",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Compressions by their numbers."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, SEPARATED, YCBCR = range(7)
CIELAB, ICCLAB, ITULAB = 8, 9, 10
PHOTOMETRICS = {
    ITULAB: "ITU L*a*b*",
    32803: "the raw data of a sensor (CFA)",
    32844: "SGI LogL",
    32845: "SGI LogLuv",
    34892: "linear raw data of a camera",
    51177: "a depth map",
    52527: "a semantic mask",
}
"""Photometric interpretations that do not make a picture yet."""

UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4

_MAX_PAGES = 65_535
_REDUCED, _MASKS = 1, 4  # bits of NewSubfileType


@dataclass(frozen=True, kw_only=True)
class Page:
    """One directory of a TIFF file, its tags understood.

    Attributes:
        offset: of the directory in the file.
        entries: all of them, as they stand there; the first of each tag.
        width, height: px.
        bits: per sample, of each.
        sample_format: 1 unsigned, 2 signed, 3 float, 4 undefined, 5 and 6 complex.
        photometric, compression, predictor, planar, inks: numbers of the specification.
        samples: per pixel.
        extra: meanings of the samples beyond the colors; None where the file is silent.
        tile: width and height of the tiles in px; None for strips.
        rows_per_strip: px.
        segments: how many strips or tiles the file lists; -1 where it lists none.
        subsampling: of the chroma, horizontal and vertical.
        kind: bits of NewSubfileType.
        previews: directories below this one (SubIFDs).
    """

    offset: int
    entries: tuple[Entry, ...]
    width: int
    height: int
    bits: tuple[int, ...]
    sample_format: int
    photometric: int
    compression: int
    predictor: int
    planar: int
    inks: int
    samples: int
    extra: tuple[int, ...] | None
    tile: tuple[int, int] | None
    rows_per_strip: int
    segments: int
    subsampling: tuple[int, int]
    kind: int
    previews: int

    @property
    def is_reduced(self) -> bool:
        """Whether it calls itself a smaller version of another picture."""
        return bool(self.kind & _REDUCED)

    @property
    def is_mask(self) -> bool:
        """Whether it calls itself the transparency of another picture."""
        return bool(self.kind & _MASKS)

    def segment_bytes(self, index: int) -> int:
        """Bytes of the strip or tile with this number, from 0, when it is decompressed."""
        width, length = self.tile or (self.width, min(self.rows_per_strip, self.height))
        samples = 1 if self.planar == 2 else self.samples
        if not self.tile:
            strips = -(-self.height // length)
            length = min(length, self.height - index % strips * length)
        return -(-width * samples * self.bits[0] // 8) * length

    @property
    def compression_name(self) -> str:
        """The compression in words."""
        return COMPRESSIONS.get(self.compression, f"number {self.compression}")


class TiffFile:
    """A TIFF file whose directories are looked at.

    Attributes:
        path: the file.
        layout: byte order and flavor.
        size: bytes.
        pages: directories of the main chain, in order.

    Raises:
        InputError: if the structure is malformed, or has more than 65,535 pages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._look(stream)
        except OSError as error:
            raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
        except InputError:
            raise
        except FileError as error:
            raise InputError(str(error)) from error

    def _look(self, stream: BinaryIO) -> None:
        reader = TiffReader(stream, f"{self.path}: damaged or cut short")
        self.layout: Layout = reader.layout
        self.size = reader.size
        self.pages: tuple[Page, ...] = tuple(_chain(reader))

    def values(self, page: Page, *tags: int) -> dict[int, tuple[int, ...]]:
        """Whole numbers of some tags of a page; those that it lacks are left out.

        Raises:
            InputError: if they are malformed.
        """
        try:
            with self.path.open("rb") as stream:
                reader = TiffReader(stream, f"{self.path}: damaged or cut short")
                found = [entry for entry in page.entries if entry.tag in tags]
                return {entry.tag: reader.integers(entry) for entry in found}
        except OSError as error:
            raise InputError(f"{self.path}: it cannot be read: {error.strerror}") from error
        except InputError:
            raise
        except FileError as error:
            raise InputError(str(error)) from error

    def fractions(self, page: Page, tag: int) -> tuple[Fraction, ...]:
        """The fractions of a tag (RATIONAL); none where it is missing or malformed."""
        numbers = self.values(page, tag).get(tag, ())
        pairs = zip(numbers[::2], numbers[1::2], strict=False)
        return tuple(Fraction(a, b) if b else Fraction(0) for a, b in pairs)


def _chain(reader: TiffReader) -> Iterator[Page]:
    """The pages in order; what a chain comes to after the first may be damaged."""
    offset = reader.first
    for number in range(_MAX_PAGES):
        try:
            entries = reader.entries(offset)
            following = reader.following(offset, len(entries))
        except FileError:
            if number == 0:
                raise
            return  # a chain that leads back, or nowhere: libtiff stops there, too
        yield _page(reader, offset, entries)
        if not following:
            return
        offset = following
    raise reader.error(f"it has more than {_MAX_PAGES} pages")


_READ = (254, 256, 257, 258, 259, 262, 277, 278, 284, 317, 322, 323, 332, 338, 339, 530)


def _page(reader: TiffReader, offset: int, entries: list[Entry]) -> Page:
    first: dict[int, Entry] = {}
    for entry in entries:
        first.setdefault(entry.tag, entry)
    found = {tag: reader.integers(first[tag]) for tag in _READ if tag in first}

    def one(tag: int, otherwise: int) -> int:
        return found[tag][0] if found.get(tag) else otherwise

    samples = one(277, 1)
    bits = found.get(258) or (1,)
    tiled = 322 in found or 323 in found
    subsampling = (*found.get(530, ()), 2, 2)
    offsets = first.get(324 if tiled else 273)
    below = first.get(330)
    return Page(
        offset=offset,
        entries=tuple(first.values()),
        width=one(256, 0),
        height=one(257, 0),
        bits=bits if len(bits) > 1 else bits * max(1, min(samples, 64)),
        sample_format=one(339, UNSIGNED),
        photometric=one(262, BLACK_IS_ZERO),
        compression=one(259, 1),
        predictor=one(317, 1),
        planar=one(284, 1),
        inks=one(332, 1),
        samples=samples,
        extra=found.get(338),
        tile=(one(322, 0), one(323, 0)) if tiled else None,
        rows_per_strip=one(278, 2**32 - 1),
        segments=-1 if offsets is None else offsets.count,
        subsampling=(subsampling[0], subsampling[1]),
        kind=one(254, 0),
        previews=0 if below is None else below.count,
    )
