"""What a picture file carries beside its pixels, read from whatever it is kept in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyvips

from vdsr.errors import FileError, InputError
from vdsr.imaging.files import (
    exif,
    geotiff,
    jpeg_segments,
    photoshop,
    png_chunks,
    tiff_exif,
    tiff_metadata,
    xmp,
)
from vdsr.imaging.files.png_chunks import Chunk
from vdsr.imaging.files.resolution import Resolution, resolution
from vdsr.imaging.files.tiff_structure import Directory

# The decoders of the others turn the picture themselves.
_STORED_AS_TAKEN = ("jpeg", "png", "webp", "tiff")
_CREDENTIALS = (
    "its content credentials (C2PA) were left out: they vouch for the original file alone"
)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a picture file carries beside its pixels and its ICC profile.

    Attributes:
        exif: the block, as it is, without a prefix.
        xmp: the packet, as it is.
        extension: of the packet, as JPEG keeps it apart.
        resources: Photoshop's, IPTC among them, without thumbnails.
        comments: of JPEG and GIF, as they are.
        chunks: texts and color spaces, as PNG has them.
        geo: tags of TIFF that say where the picture lies on the Earth.
        gdal: tags of TIFF that only GDAL reads.
        resolution: None if the file says none.
        orientation: 1 to 8, for pixels that are not turned yet; 0 while it is not known.
        pictures: in a JPEG file.
        notices: what could not be read, a line each.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    extension: bytes | None = None
    resources: bytes = b""
    comments: tuple[bytes, ...] = ()
    chunks: tuple[Chunk, ...] = ()
    geo: Directory = field(default_factory=dict)
    gdal: Directory = field(default_factory=dict)
    resolution: Resolution | None = None
    orientation: int = 0
    pictures: int = 1
    notices: tuple[str, ...] = ()


def read(path: Path, format: str, image: pyvips.Image, directory: int | None = None) -> Metadata:
    """Read what a file carries.

    Args:
        path: the file.
        format: its name, as in `FORMATS`.
        image: what its decoder gave, not turned yet.
        directory: offset of the page, of TIFF; None for the first.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        match format:
            case "jpeg":
                found = _of_jpeg(path)
            case "png":
                found = _of_png(path)
            case "tiff":
                found = _of_tiff(path, directory)
            case _:
                found = _of_decoder(path, format, image)
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror or error}") from error
    if found.exif is not None and found.resolution is None:
        found = replace(found, resolution=exif.resolution_of(found.exif))
    if format not in _STORED_AS_TAKEN:
        return replace(found, orientation=1)
    # The file's own word counts more than that of XMP, which programs forget to change.
    orientation = found.orientation or xmp.orientation(found.xmp or b"") or 1
    if orientation > 4 and found.resolution is not None:
        found = replace(found, resolution=found.resolution.turned())
    return replace(found, orientation=orientation)


def _of_jpeg(path: Path) -> Metadata:
    found = jpeg_segments.read(path)
    notices = [_CREDENTIALS] if found.credentials else []
    if found.extension_is_cut:
        notices.append("its extended XMP is incomplete and was left out")
    packet = found.xmp
    if packet is not None and found.extension is None:
        packet = xmp.without_extension(packet)
    return Metadata(
        exif=found.exif,
        orientation=exif.orientation(found.exif or b"") or 0,
        xmp=packet,
        extension=found.extension,
        resources=photoshop.without_thumbnails(found.resources),
        comments=found.comments,
        resolution=found.resolution,
        pictures=found.pictures,
        notices=tuple(notices),
    )


def _of_png(path: Path) -> Metadata:
    found = png_chunks.read(path)
    return Metadata(
        exif=found.exif,
        orientation=exif.orientation(found.exif or b"") or 0,
        xmp=found.xmp,
        resources=photoshop.without_thumbnails(found.resources),
        chunks=found.kept,
        resolution=found.resolution,
        notices=(_CREDENTIALS,) if found.credentials else (),
    )


def _of_tiff(path: Path, directory: int | None) -> Metadata:
    notices: list[str] = []
    read = (tiff_exif.read_exif, photoshop.from_tiff, tiff_metadata.read)
    block, resources, tags = (_attempt(one, path, directory, notices) for one in read)
    tags = tags or tiff_metadata.Tags()
    if tags.unknown:
        which = ", ".join(map(str, tags.unknown))
        notices.append(f"its private TIFF tags {which} were left out")
    return Metadata(
        exif=None if block is None else block.removeprefix(exif.PREFIX),
        xmp=tags.xmp,
        resources=resources or b"",
        geo={tag: item for tag, item in tags.kept.items() if tag in geotiff.TAGS},
        gdal={tag: item for tag, item in tags.kept.items() if tag not in geotiff.TAGS},
        resolution=tags.resolution,
        orientation=tags.orientation,
        notices=tuple(notices),
    )


def _attempt(
    read: Callable[[Path, int | None], Any], path: Path, directory: int | None, notices: list[str]
) -> Any:  # noqa: ANN401 - what `read` gives
    """Read a part; None, and a notice, if it is malformed."""
    try:
        return read(path, directory)
    except InputError:
        raise
    except FileError as error:
        notices.append(str(error).removeprefix(f"{path}: "))
        return None


def _of_decoder(path: Path, format: str, image: pyvips.Image) -> Metadata:
    """What the decoder of another format gave with the picture."""
    block, packet = blob(image, "exif-data"), blob(image, "xmp-data")
    resources = blob(image, "photoshop-data") or blob(image, "iptc-data") or b""
    density = None
    if image.xres != 1.0 or image.yres != 1.0:  # which is what libvips makes up
        x, y = (
            Fraction(10 * value).limit_denominator(10_000) for value in (image.xres, image.yres)
        )
        density = resolution(x, y, "cm")
    block = None if block is None else block.removeprefix(exif.PREFIX)
    if block is not None and (said := exif.resolution_of(block)) is not None:
        density = said
    return Metadata(
        exif=block,
        orientation=exif.orientation(block or b"") or 0,
        xmp=packet,
        resources=photoshop.without_thumbnails(resources.removeprefix(photoshop.APP13_PREFIX)),
        comments=_comments(image),
        chunks=png_chunks.of_avif(path) if format == "avif" else (),
        resolution=density,
    )


def _comments(image: pyvips.Image) -> tuple[bytes, ...]:
    try:
        text = str(image.get("gif-comment")) if image.get_typeof("gif-comment") else ""
    except UnicodeDecodeError:  # GIF knows ASCII only
        return ()
    return (text.encode(),) if text else ()


def upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """A picture that is stored in an orientation, 1 to 8, as it is to be seen."""
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


def blob(image: pyvips.Image, name: str) -> bytes | None:
    """The bytes of a field, or None."""
    return bytes(image.get(name)) if image.get_typeof(name) else None


def set_blob(image: pyvips.Image, name: str, data: bytes) -> pyvips.Image:
    """`image` with the bytes `data` as its field `name`."""
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, name, data)
    return image
