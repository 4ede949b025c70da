"""Decoding: a picture file as strips of the samples it holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr import forks
from vdsr.errors import InputError
from vdsr.imaging.files import metadata, png_check, png_chunks, tiff_load, whole
from vdsr.imaging.files.formats import READABLE, Format
from vdsr.imaging.files.signatures import SNIFFED_BYTES, describe, sniff
from vdsr.imaging.files.tiff_load import TiffPage
from vdsr.imaging.files.vips_errors import own_reason

Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]

_DTYPES = {"uchar": "uint8", "ushort": "uint16", "float": "float32"}
_GRAY = ("b-w", "grey16")
_RGB = ("srgb", "rgb", "rgb16", "scrgb")
_STRIP = 64
_FOOTER = 18  # of TGA


class PictureReader:
    """A picture file, opened: header read and understood, samples decoded on demand.

    The orientation tag is already applied, CMYK and CIELAB are already sRGB, palettes
    are already expanded.

    Attributes:
        path: the file.
        page: that was asked for.
        format: what it is, by content; the suffix does not matter.
        width, height: px, after orientation.
        bands: samples per pixel: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
        has_alpha: whether the last band is alpha (not premultiplied).
        dtype: `uint8`, `uint16` or `float32`: as stored.
        bits: significant bits per sample as the file names them: 10 or 12 in some AVIF,
            whose samples are stretched to the whole range of `dtype`.
        header: the picture without samples, for its ICC profile.
        metadata: what else the file carries.
        notices: what had to be changed or could not be kept, a line each.

    Args:
        path: the file.
        page: which of the pictures in a TIFF file, from 1; None for the only one.

    Raises:
        InputError: if the file is missing, unreadable, no picture, or of a kind that
            cannot be enlarged; if it has several pages and none is chosen. Damage further
            down is found by `strips`.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        forks.starting("libvips")
        self.path = path
        self.page = page
        self.notices: tuple[str, ...] = ()
        self.format = _format(path)
        self._tiff = TiffPage(path, page) if self.format.name == "tiff" else None
        if self._tiff is None and page not in (None, 1):
            raise InputError(
                f"{path}: there is no page {page}: {self.format.name} holds one picture"
            )
        self._whole = None
        if self.format.reader != "libvips":
            self._whole = whole.decode(path, self.format.reader)
        header = self._load("random")
        self._check_kind(header)
        directory = None if self._tiff is None else self._tiff.page.offset
        self.metadata = metadata.read(path, self.format.name, header, directory)
        self.notices += self.metadata.notices
        # Sequential decoding needs little memory, but cannot turn a picture round.
        self._access = "random" if self.metadata.orientation > 1 else "sequential"
        self.bits = _number(header, "bits-per-sample", 8)
        self._note_losses(header)
        self.header = self._convert(header)
        self.width: int = self.header.width
        self.height: int = self.header.height
        self.bands: int = self.header.bands
        self.has_alpha = bool(self.header.hasalpha())
        self.dtype = _DTYPES[self.header.format]
        if self._whole is not None:
            self.bits = self._whole.bits

    def strips(self) -> Iterator[Samples]:
        """Decode the file from top to bottom, afresh each time.

        Yields:
            `[rows, width, bands]` of `self.dtype`, in order, without gaps.

        Raises:
            InputError: when the data is damaged or ends early.
        """
        if self._tiff is not None:
            self._tiff.verify()
        image = self._convert(self._load(self._access))
        try:
            region = pyvips.Region.new(image)
            for top in range(0, self.height, _STRIP):
                rows = min(_STRIP, self.height - top)
                data = region.fetch(0, top, self.width, rows)
                yield np.frombuffer(data, self.dtype).reshape(rows, self.width, self.bands)
        except pyvips.Error as error:
            raise self._error("damaged or cut short", error) from error

    def crop(self, left: int, top: int, width: int, height: int) -> Samples:
        """Decode a part of the picture.

        Returns:
            `[height, width, bands]` of `self.dtype`.

        Raises:
            InputError: when the data is damaged.
        """
        image = self._convert(self._load("random"))
        try:
            data = pyvips.Region.new(image).fetch(left, top, width, height)
        except pyvips.Error as error:
            raise self._error("damaged or cut short", error) from error
        return np.frombuffer(data, self.dtype).reshape(height, width, self.bands)

    def _load(self, access: str, **options: int) -> pyvips.Image:
        try:
            return self._open(access, **options)
        except pyvips.Error as error:
            raise self._error("damaged, cut short or of a rare kind", error) from error

    def _open(self, access: str, **options: int) -> pyvips.Image:
        if self._tiff is not None:
            return self._tiff.image(access)
        if self._whole is not None:
            return whole.as_image(self._whole)
        source = open_source(self.path)
        load = getattr(pyvips.Image, self.format.loader)
        return load(source, access=access, fail_on="error", **options)

    def _check_kind(self, image: pyvips.Image) -> None:
        pages, name = _number(image, "n-pages", 1), self.format.name
        if name == "png":
            pages = png_chunks.frames(self.path)
        if pages > 1 and name != "tiff":
            raise InputError(
                f"{self.path}: it has {pages} frames: animations cannot be enlarged as pictures,"
                " but by vdsr video"
            )
        if image.format not in (*_DTYPES, "double") and image.interpretation != "labs":
            raise InputError(
                f"{self.path}: samples of type {image.format} cannot be enlarged:"
                " convert to 8 or 16 bit unsigned, or to float"
            )

    def _convert(self, image: pyvips.Image) -> pyvips.Image:
        """Upright, gray or RGB, and in the whole range of the sample type."""
        kind = image.interpretation
        try:
            if kind == "cmyk":
                depth = 16 if image.format == "ushort" else 8
                image = image.icc_transform(
                    "srgb", embedded=True, input_profile="cmyk", depth=depth
                )
            elif kind in ("lab", "labs", "xyz", "yxy", "lch"):
                image = image.colourspace("rgb16")
            if image.format == "double":
                image = image.cast("float")
            if image.format == "ushort" and self.bits in (10, 12) and self.format.name == "avif":
                # libvips only shifts them up, so that white would become a gray.
                highest = 65536 - (1 << (16 - self.bits))
                image = (image * (65535 / highest)).rint().cast("ushort")
            self._check_bands(image)
            return metadata.upright(image, self.metadata.orientation)
        except pyvips.Error as error:
            raise self._error("damaged or of a rare kind", error) from error

    def _check_bands(self, image: pyvips.Image) -> None:
        colors = image.bands - bool(image.hasalpha())
        known = colors in (1, 3) and image.bands <= 4
        if not known or image.interpretation not in (*_GRAY, *_RGB, "multiband"):
            raise InputError(
                f"{self.path}: {image.bands} bands ({image.interpretation}) cannot be enlarged:"
                " gray, RGB or CMYK, with or without alpha, can"
            )

    def _note_losses(self, image: pyvips.Image) -> None:
        """Say what `_convert` will change, and what is not even read."""
        kind = image.interpretation
        for source in (self._tiff, self._whole):
            for notice in source.notices if source is not None else ():
                self._note(notice)
        if kind == "cmyk":
            own = image.get_typeof("icc-profile-data")
            which = "its ICC profile" if own else "a general profile, since it has none"
            self._note(f"CMYK was converted to sRGB through {which}")
        elif kind in ("lab", "labs", "xyz", "yxy", "lch"):
            self._note("CIE color was converted to 16-bit sRGB")
        if image.format == "double":
            self._note("64-bit samples were converted to 32-bit floats")
        if self.format.name == "png" and (problem := png_check.damaged_end(self.path)) is not None:
            self._note(problem)
        if self.format.name == "jpeg" and self._has_gain_map():
            self._note("its HDR gain map was left out: the picture itself was enlarged")
        elif self.metadata.pictures > 1:
            self._note(
                f"only the first of its {self.metadata.pictures} pictures (MPO) was enlarged"
            )

    def _has_gain_map(self) -> bool:
        """Whether it is an Ultra HDR JPEG, for which libvips has a decoder of its own."""
        try:
            source = open_source(self.path)
            image = pyvips.Image.new_from_source(source, "")
        except pyvips.Error:
            return False
        return str(image.get("vips-loader")).startswith("uhdrload")

    def _error(self, what: str, error: pyvips.Error) -> InputError:
        detail = own_reason(error, self._sequential).removeprefix(f"{self.path}: ")
        if detail.startswith("unable to call"):  # libvips gives no reason
            detail = "its header is malformed"
        return InputError(f"{self.path}: {what}: {detail}")

    def _sequential(self) -> pyvips.Image:
        return self._open("sequential")

    def _note(self, text: str) -> None:
        self.notices = (*self.notices, text)


def open_source(path: Path) -> pyvips.Source:
    """A file for libvips, by number: it takes only names that are UTF-8.

    Raises:
        InputError: if it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return pyvips.Source.new_from_descriptor(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error.strerror}") from error


def page_count(path: Path) -> int:
    """How many pictures a file holds that `PictureReader` can open one by one: pages of TIFF.

    Raises:
        InputError: if the file is missing, unreadable or no picture.
    """
    return tiff_load.page_count(path) if _format(path).name == "tiff" else 1


def _number(image: pyvips.Image, name: str, otherwise: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else otherwise


def _format(path: Path) -> Format:
    """The format of a file by its content.

    Only decoders of known formats are ever called: libvips has others that would follow
    links to other files, or take any text for a picture.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: it is a folder, not a picture")
        if not stat.S_ISREG(mode):  # a pipe could be read only once
            raise InputError(f"{path}: it is not an ordinary file")
        with path.open("rb") as file:
            start = file.read(SNIFFED_BYTES)
            file.seek(-min(_FOOTER, file.seek(0, os.SEEK_END)), os.SEEK_END)
            end = file.read(_FOOTER)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: it cannot be read: {text}") from error
    if not start:
        raise InputError(f"{path}: the file is empty")
    if (found := sniff(start, path, end)) is None:
        known = ", ".join(READABLE)
        what = describe(start)
        this = f": this is {what}" if what else ""
        raise InputError(f"{path}: it is not a picture in a known format ({known}){this}")
    return found
