"""What a picture carries, brought from the file it came from into the one it becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import pyvips

from vdsr.errors import FileError, OutputError
from vdsr.imaging.files import (
    avif_exif,
    exif,
    geotiff,
    jpeg_segments,
    microscopy,
    photoshop,
    png_chunks,
    tiff_exif,
    webp_exif,
    xmp,
)
from vdsr.imaging.files.decode import PictureReader
from vdsr.imaging.files.formats import Format, PixelLayout
from vdsr.imaging.files.geotiff import Placement
from vdsr.imaging.files.metadata import Metadata, blob, set_blob
from vdsr.imaging.files.resolution import Resolution
from vdsr.imaging.files.tiff_structure import Directory, Value

# With the prefix, what fits into one segment of a JPEG file.
_MOST_EXIF_OF_JPEG = jpeg_segments.MOST - len(exif.PREFIX)
_MOST_EXTENSION_OF_JPEG = 32 << 20
_LONG_TAGS = {270: "ImageDescription", 37500: "MakerNote", 37510: "UserComment"}
_RESOLUTION = (exif.X_RESOLUTION, exif.Y_RESOLUTION, exif.RESOLUTION_UNIT)
_ASCII = 2


class Carrier:
    """Brings profile, EXIF, XMP, IPTC, texts, places and resolution of a file into another.

    Args:
        source: the file that they come from; None for none.
        layout: of the new picture.
        format: of the new file.
        provenance: properties to be added to the XMP packet.
        placement: where the new picture lies in the old one; None if it is the whole.

    Attributes:
        notices: what the format could not hold, a line each.
    """

    def __init__(
        self,
        source: PictureReader | None,
        layout: PixelLayout,
        format: Format,
        provenance: Mapping[str, str],
        placement: Placement | None = None,
    ) -> None:
        self.notices: tuple[str, ...] = ()
        self._source = source
        self._metadata = Metadata() if source is None else source.metadata
        self._layout = layout
        self._format = format
        self._provenance = dict(provenance)
        if placement is None and source is not None:
            placement = Placement(x=layout.width / source.width, y=layout.height / source.height)
        self._placement = placement or Placement(x=1.0, y=1.0)
        self._has_profile = False
        self._exif: bytes | None = None
        self._xmp: bytes | None = None
        self._resolution: Resolution | None = None

    def onto(self, image: pyvips.Image) -> pyvips.Image:
        """`image` with what libvips itself can write: the profile, and XMP where it is whole."""
        if not self._format.metadata:
            name = self._format.name
            self._note(f"{name} holds neither profile nor EXIF, XMP or resolution")
            return image
        if self._source is not None:
            image = self._with_profile(image, self._source)
        self._resolution = self._new_resolution()
        self._xmp = self._new_xmp()
        self._exif = self._new_exif()
        self._say_what_is_lost()
        name = self._format.name
        if name == "dz" and (self._exif or self._metadata.xmp or self._resolution):
            self._note("dz holds no EXIF, XMP or resolution: they were left out")
        if name in ("tiff", "webp", "avif") and self._xmp is not None:
            image = set_blob(image, "xmp-data", self._xmp)
        if name == "tiff" and self._metadata.resources:
            image = set_blob(image, "photoshop-data", self._metadata.resources)
        if name == "avif" and self._exif is not None:
            image = set_blob(image, "exif-data", avif_exif.STAND_IN)
        return image

    def _with_profile(self, image: pyvips.Image, source: PictureReader) -> pyvips.Image:
        profile = blob(source.header, "icc-profile-data")
        if profile is None:
            return image
        wanted = b"GRAY" if self._layout.bands < 3 and self._format.gray else b"RGB "
        if profile[16:20] == wanted:
            self._has_profile = True
            return set_blob(image, "icc-profile-data", profile)
        kind = "gray" if wanted == b"GRAY" else "RGB"
        self._note(f"its ICC profile is not for a {kind} picture, as it is now, and was left out")
        return image

    def _new_resolution(self) -> Resolution | None:
        """That of a print stays, as the print grows; that of an object grows."""
        found, block = self._metadata.resolution, self._metadata.exif
        if found is None:
            return None
        text = exif.description(block) if block is not None else None
        if found.unit == "own" or microscopy.is_calibrated(text or b""):
            place = self._placement
            found = found.scaled(
                *(Fraction(v).limit_denominator(10**6) for v in (place.x, place.y))
            )
        if found.unit == "own" and self._format.name != "tiff":
            self._note(f"{self._format.name} holds no resolution without a unit: it was left out")
            return None
        return found

    def _new_xmp(self) -> bytes | None:
        packet, extension = self._metadata.xmp, self._metadata.extension
        jpeg = self._format.name == "jpeg"
        if packet is not None and extension is not None and not jpeg:
            joined = xmp.merged(packet, extension)
            if joined is None:
                self._note("its extended XMP is malformed and was left out")
            packet = xmp.without_extension(packet) if joined is None else joined
        if packet is not None:
            packet = xmp.adjusted(packet, self._layout.width, self._layout.height)
        added = xmp.add_provenance(packet, self._provenance) if self._provenance else packet
        if added is None and packet is not None:
            self._note("its XMP is malformed: it was kept as it is, without provenance")
            added = packet
        return added

    def _new_exif(self) -> bytes | None:
        fresh: Directory = {}
        # Only where the format has no place of its own for it.
        if self._format.name in ("webp", "avif") and self._resolution is not None:
            fresh = exif.resolution_tags(self._resolution)
        block, width, height = self._metadata.exif, self._layout.width, self._layout.height
        try:
            replaced = {} if block is None else self._new_description(block)
            block = exif.adjusted(block, width, height, fresh, replaced)
            if block is not None and self._format.name == "jpeg":
                return self._shortened(block)
            return block
        except FileError as error:
            self._note(f"its EXIF was not kept: {error}")
            return None

    def _new_description(self, block: bytes) -> Directory:
        """ImageDescription, where it speaks of the pixels."""
        text = exif.description(block)
        if text is None:
            return {}
        size = (self._layout.width, self._layout.height)
        scale = (self._placement.x, self._placement.y)
        found = microscopy.adjusted(text, scale=scale, size=size)
        return {} if found == text else {exif.DESCRIPTION: Value(_ASCII, found)}

    def _shortened(self, block: bytes) -> bytes:
        if len(block) <= _MOST_EXIF_OF_JPEG:
            return block
        block, tags = tiff_exif.shortened(block, _MOST_EXIF_OF_JPEG)
        which = ", ".join(_LONG_TAGS.get(tag, f"tag {tag}") for tag in tags)
        if which:
            self._note(f"its EXIF is too long for jpeg: {which} was left out")
        return block.removeprefix(exif.PREFIX)

    def _say_what_is_lost(self) -> None:
        """What the format has no place for."""
        found, name = self._metadata, self._format.name
        resources = len(found.resources) + len(photoshop.APP13_PREFIX)
        fits = name == "tiff" or (name == "jpeg" and resources <= photoshop.MAX_APP13)
        if photoshop.has_iptc(found.resources) and not fits:
            much = "so much" if name == "jpeg" else "no"
            self._note(f"{name} holds {much} IPTC: it was left out")
        if name != "png" and any(kind in png_chunks.TEXTS for kind, _ in found.chunks):
            self._note(f"{name} holds no PNG texts: they were left out")
        color = png_chunks.unlike_srgb(found.chunks)
        if name != "png" and color is not None and not self._has_profile:
            self._note(f"its color space ({color}) was not kept: it will be taken for sRGB")
        if found.comments and name not in ("jpeg", "png", "tiff"):
            self._note(f"{name} holds no comments: its comment was left out")
        if name == "tiff" and found.comments and self._described():
            self._note("tiff holds one description: its comment was left out")
        if name != "tiff" and found.geo:
            self._note(f"{name} holds no GeoTIFF tags: its place on the Earth was left out")
        if name != "tiff" and found.gdal:
            self._note(f"{name} holds no tags of GDAL: its metadata or no-data value was left out")

    def _described(self) -> bool:
        return self._exif is not None and exif.description(self._exif) is not None

    @property
    def edit(self) -> Callable[[bytes], bytes | None] | None:
        """What is to be done to the start of the file while it is written; see `Saver.save`."""
        match self._format.name:
            case "png":
                return functools.partial(png_chunks.with_chunks, chunks=self._chunks())
            case "jpeg":
                return functools.partial(jpeg_segments.with_segments, segments=self._segments())
        return None

    def _chunks(self) -> tuple[png_chunks.Chunk, ...]:
        comments = tuple(png_chunks.comment(text) for text in self._metadata.comments)
        described = png_chunks.described(self._exif, self._xmp, self._resolution)
        return (*self._metadata.chunks, *comments, *described)

    def _segments(self) -> bytes:
        packet, extension = self._xmp, None
        kept = self._metadata.extension
        if packet is not None and kept is not None:
            name = xmp.extension_named(packet)
            extension = None if name is None else (kept, name)
        if packet is not None and len(packet) > jpeg_segments.MOST_XMP:
            if kept is not None or len(packet) > _MOST_EXTENSION_OF_JPEG:
                self._note(
                    "its XMP was not kept: jpeg holds no more than 64 KiB of it, or 32 MiB apart"
                )
                packet, extension = xmp.add_provenance(None, self._provenance), None
            else:
                packet, data, name = xmp.split(packet, self._provenance)
                extension = (data, name)
        resources = self._metadata.resources
        if len(resources) + len(photoshop.APP13_PREFIX) > photoshop.MAX_APP13:
            resources = b""
        return jpeg_segments.write(
            resolution=self._resolution,
            exif_block=self._exif,
            packet=packet,
            extension=extension,
            resources=resources,
            comments=self._metadata.comments,
        )

    def add_to(self, path: Path, file: BinaryIO) -> None:
        """Add to a finished file what libvips cannot write as it is.

        Raises:
            OSError, OutputError: if the file cannot be written.
        """
        name = self._format.name
        try:
            if name == "tiff":
                self._add_tags(path)
            elif name == "webp" and self._exif is not None:
                webp_exif.add_exif(file, self._exif)
            elif name == "avif" and self._exif is not None:
                avif_exif.put_exif(file, self._exif)
        except OutputError:
            raise
        except (FileError, ValueError) as error:
            self._note(f"its EXIF was not kept: {str(error).removeprefix(f'{path}: ')}")

    def _add_tags(self, path: Path) -> None:
        """Everything that TIFF holds in tags, and no resolution where none is known."""
        found = self._metadata
        more: Directory = dict(found.gdal)
        if found.geo and found.orientation != 1:
            self._note("its place on the Earth was left out, since the picture was turned")
        elif found.geo:
            geo = geotiff.placed(found.geo, self._placement)
            if geo is None:
                self._note("its GeoTIFF tags are malformed and were left out")
            more |= geo or {}
        if self._resolution is not None:
            more |= exif.resolution_tags(self._resolution)
        if found.comments and not self._described():
            more[exif.DESCRIPTION] = Value(_ASCII, b"\n".join(found.comments).rstrip(b"\0") + b"\0")
        tiff_exif.write_exif(path, self._exif or b"", more=more, less=_RESOLUTION)

    def _note(self, text: str) -> None:
        self.notices = (*self.notices, text)
