"""What a picture carries, brought from the file it came from into the one it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyvips

from vdsr.errors import FileError, OutputError
from vdsr.imaging.files import metadata, photoshop, png_chunks, tiff_exif
from vdsr.imaging.files.decode import PictureReader
from vdsr.imaging.files.formats import Format, PixelLayout

_LONG_TAGS = {270: "ImageDescription", 37500: "MakerNote", 37510: "UserComment"}


class Carrier:
    """Brings profile, EXIF, XMP, IPTC, texts and resolution of a file into another.

    Args:
        source: the file that they come from; None for none.
        layout: of the new picture.
        format: of the new file.
        provenance: properties to be added to the XMP packet.

    Attributes:
        notices: what the format could not hold, a line each.
        chunks: what is to be added to a PNG file; known after `onto`.
    """

    def __init__(
        self,
        source: PictureReader | None,
        layout: PixelLayout,
        format: Format,
        provenance: Mapping[str, str],
    ) -> None:
        self.notices: tuple[str, ...] = ()
        self.chunks: tuple[png_chunks.Chunk, ...] = ()
        self._source = source
        self._layout = layout
        self._format = format
        self._provenance = dict(provenance)

    def onto(self, image: pyvips.Image) -> pyvips.Image:
        """`image` with all that the source has and the format holds.

        Raises:
            pyvips.Error: if the metadata is malformed in a way that was not foreseen.
        """
        source, name = self._source, self._format.name
        if not self._format.metadata:
            self._note(f"{name} holds neither profile nor EXIF, XMP or resolution")
            return image
        if source is not None:
            image = metadata.copy_metadata(source.header, image)
            image = self._with_resources(self._with_exif(image, source), source.resources)
        image = self._with_xmp(self._with_profile(image))
        if source is not None:
            self._carry_chunks(source, has_profile=bool(image.get_typeof("icc-profile-data")))
        if name == "png" and (xmp := metadata.blob(image, "xmp-data")) is not None:
            self.chunks = (*self.chunks, png_chunks.xmp_chunk(xmp))
            image = metadata.remove(image, "xmp-data")
        return image

    def _carry_chunks(self, source: PictureReader, *, has_profile: bool) -> None:
        name = self._format.name
        if name == "png":
            self.chunks = source.chunks
            return
        if any(kind in png_chunks.TEXTS for kind, _ in source.chunks):
            self._note(f"{name} holds no PNG texts: they were left out")
        colour = png_chunks.unlike_srgb(source.chunks)
        if colour is not None and not has_profile:
            self._note(f"its colour space ({colour}) was not kept: it will be taken for sRGB")

    def _with_profile(self, image: pyvips.Image) -> pyvips.Image:
        profile = metadata.blob(image, "icc-profile-data")
        wanted = b"GRAY" if self._layout.bands < 3 and self._format.gray else b"RGB "
        if profile is None or profile[16:20] == wanted:
            return image
        kind = "gray" if wanted == b"GRAY" else "RGB"
        self._note(f"its ICC profile is not for a {kind} picture, as it is now, and was left out")
        return metadata.remove(image, "icc-profile-data")

    def _with_exif(self, image: pyvips.Image, source: PictureReader) -> pyvips.Image:
        name, exif = self._format.name, source.exif
        if exif is None:
            return image
        if name == "tiff":  # added to the finished file, the description in its own encoding
            return metadata.remove(image, "image-description")
        long = len(exif) > metadata.MAX_EXIF
        if source.format.name != "tiff" and not long:  # libvips has read it
            return image
        image = metadata.remove(image, "exif-")
        try:
            if long:
                exif, tags = tiff_exif.shortened(exif, metadata.MAX_EXIF)
                which = ", ".join(_LONG_TAGS.get(tag, f"tag {tag}") for tag in tags)
                if which:
                    self._note(f"its EXIF is too long for {name}: {which} was left out")
            return metadata.with_exif(image, exif)
        except (FileError, ValueError, pyvips.Error) as error:
            self._note(f"its EXIF was not kept: {error}")
            return image

    def _with_resources(self, image: pyvips.Image, resources: bytes) -> pyvips.Image:
        name = self._format.name
        if name == "tiff" and resources:
            return metadata.set_blob(image, "photoshop-data", resources)
        block = photoshop.APP13_PREFIX + resources
        if name == "jpeg" and resources and len(block) <= photoshop.MAX_APP13:
            return metadata.set_blob(image, "iptc-data", block)
        if photoshop.has_iptc(resources):
            much = "so much" if name == "jpeg" else "no"
            self._note(f"{name} holds {much} IPTC: it was left out")
        return image

    def _with_xmp(self, image: pyvips.Image) -> pyvips.Image:
        xmp = metadata.blob(image, "xmp-data")
        if xmp is not None:
            xmp = metadata.upright_xmp(xmp)
        added = metadata.add_provenance(xmp, self._provenance) if self._provenance else xmp
        if added is None and xmp is not None:
            self._note("its XMP is malformed: it was kept as it is, without provenance")
            added = xmp
        if added is not None and self._format.name == "jpeg" and len(added) > metadata.MAX_XMP:
            self._note("its XMP was not kept: jpeg holds at most 64 KiB of it")
            image = metadata.remove(image, "xmp-data")
            added = metadata.add_provenance(None, self._provenance) if self._provenance else None
        return image if added is None else metadata.set_blob(image, "xmp-data", added)

    def add_to(self, path: Path) -> None:
        """Add to a finished file what libvips cannot write: EXIF in TIFF.

        Raises:
            OutputError: if the file cannot be written.
        """
        if self._format.name != "tiff" or self._source is None or not self._source.exif:
            return
        try:
            tiff_exif.write_exif(path, self._source.exif)
        except OutputError:
            raise
        except FileError as error:
            self._note(f"its EXIF was not kept: {str(error).removeprefix(f'{path}: ')}")

    def _note(self, text: str) -> None:
        self.notices = (*self.notices, text)
