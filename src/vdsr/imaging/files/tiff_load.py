"""A page of a TIFF file as libvips' picture, right or refused in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pyvips

from vdsr.errors import InputError
from vdsr.imaging.files import tiff_pixels, tiff_verify, tiff_view, tiff_whole, whole
from vdsr.imaging.files.tiff_kinds import JPEG, reading
from vdsr.imaging.files.tiff_tags import PALETTE, YCBCR, Page, TiffFile
from vdsr.imaging.files.tiff_view import PageParts, Stored

_METADATA = (
    "icc-profile-data",
    "xmp-data",
    "iptc-data",
    "photoshop-data",
    "image-description",
    "resolution-unit",
    "orientation",
)


class TiffPage:
    """One page of a TIFF file, to be decoded as often as needed.

    Args:
        path: the file.
        page: which of its pictures, from 1; None for the only one.

    Attributes:
        path: the file.
        page: what its tags say.
        notices: what is not kept, a line each.

    Raises:
        InputError: if it cannot be read, or not rightly; if several pages are there and
            none is chosen, or fewer than chosen.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        self.path = path
        self._tiff = TiffFile(path)
        self.page, self.notices = _chosen(self._tiff, page)
        if not (self.page.width and self.page.height):
            raise InputError(
                f"{path}: damaged: its size is {self.page.width}x{self.page.height} px"
            )
        self._reading = reading(self.page)
        self._whole: pyvips.Image | None = None
        self._verified = False
        if self._reading.way in ("native", "packed"):
            self._parts = PageParts(self._tiff, self.page, self._stored())
        elif self._reading.way == "none":
            raise InputError(
                f"{path}: {self._reading.why}: convert it to a plain TIFF or PNG first"
            )
        else:
            self._whole = self._decoded()

    def verify(self) -> None:
        """Look for damage that decoders pass over, once.

        Raises:
            InputError: if there is any.
        """
        if not self._verified and self._whole is None:
            tiff_verify.verify(self._tiff, self.page, self._parts)
        self._verified = True

    def image(self, access: str) -> pyvips.Image:
        """The picture, with its metadata, not yet turned upright.

        Args:
            access: as libvips has it: `sequential` or `random`.

        Raises:
            InputError, pyvips.Error: if it is damaged.
        """
        raw = self._joined(access) if self._whole is None else self._whole
        if self._reading.way == "pillow":
            return raw
        scaled = self._reading.way == "native"
        picture, notices = tiff_pixels.as_picture(raw, self._tiff, self.page, scaled=scaled)
        self.notices = (*self.notices, *(n for n in notices if n not in self.notices))
        return picture

    def _decoded(self) -> pyvips.Image:
        tiff, page, why = self._tiff, self.page, self._reading.why
        if self._reading.way == "pillow":
            image = whole.guarded(self.path, lambda: tiff_whole.by_pillow(tiff, page))
            kind = "b-w" if image.bands < 3 else "srgb"
            image = image.copy(interpretation=kind)
        else:
            image = whole.guarded(self.path, lambda: tiff_whole.by_tifffile(tiff, page, why))
        about = tiff_view.metadata_view(tiff, page)
        image = image.copy(xres=about.xres, yres=about.yres)
        for name in about.get_fields():
            if name in _METADATA:
                image.set_type(about.get_typeof(name), name, about.get(name))
        return image

    def _stored(self) -> Stored:
        page = self.page
        if self._reading.way == "packed":
            return tiff_view.packed()
        stored = tiff_view.plain(page)
        kept = {PALETTE, YCBCR} if page.compression == JPEG else {PALETTE}
        if page.photometric in kept and page.planar != 2:
            return Stored(
                bits=stored.bits,
                sample_format=stored.sample_format,
                samples=stored.samples,
                photometric=page.photometric,
            )
        return stored

    def _joined(self, access: str) -> pyvips.Image:
        page, parts = self.page, self._parts
        planes = [
            _side_by_side(
                (self._samples(image) for image in parts.images(i, access=access, fail_on="error")),
                page.width,
                page.height,
            )
            for i in range(parts.planes)
        ]
        return planes[0] if len(planes) == 1 else planes[0].bandjoin(planes[1:])

    def _samples(self, image: pyvips.Image) -> pyvips.Image:
        if self._reading.way == "native":
            return image
        samples = 1 if self._parts.planes > 1 else self.page.samples
        order = self._tiff.layout.order
        return tiff_pixels.unpacked(image, self.page, self._parts.width, samples, order)


def _side_by_side(images: Iterable[pyvips.Image], width: int, height: int) -> pyvips.Image:
    columns = list(images)
    whole = (
        columns[0] if len(columns) == 1 else pyvips.Image.arrayjoin(columns, across=len(columns))
    )
    if (whole.width, whole.height) == (width, height):
        return whole
    return whole.crop(0, 0, width, height)


def page_count(path: Path) -> int:
    """How many pictures a TIFF file holds, smaller versions and masks left aside.

    Raises:
        InputError: if its structure is malformed.
    """
    return len(_pictures(TiffFile(path)))


def _pictures(tiff: TiffFile) -> list[Page]:
    """Its pages, without masks and without smaller versions of others."""
    first, *others = tiff.pages
    others = [page for page in others if not (page.is_mask or page.is_reduced)]
    chain = [first, *others]
    if all(_is_overview(small, large) for large, small in itertools.pairwise(chain)):
        return [first]
    return chain


def _is_overview(small: Page, large: Page) -> bool:
    """Whether it is half as large as the page before it, or less, in the same proportions."""
    if (small.width, small.height) == (large.width, large.height):
        return False
    if small.width > (large.width + 1) // 2 + 1 or small.height > (large.height + 1) // 2 + 1:
        return False
    return abs(small.width * large.height - small.height * large.width) <= max(
        large.width, large.height
    )


def _chosen(tiff: TiffFile, number: int | None) -> tuple[Page, tuple[str, ...]]:
    pages = _pictures(tiff)
    if number is None and len(pages) > 1:
        raise InputError(
            f"{tiff.path}: it has {len(pages)} pages: choose one (1 to {len(pages)}), or all"
        )
    if not 1 <= (number or 1) <= len(pages):
        raise InputError(f"{tiff.path}: there is no page {number}: it has {len(pages)}")
    page = pages[(number or 1) - 1]
    if page.is_reduced:
        raise InputError(
            f"{tiff.path}: it begins with a mere preview of its picture, as raw photographs"
            " do: develop it, or export it as a plain TIFF"
        )
    left = len(tiff.pages) - len(pages) + (page.previews if len(tiff.pages) else 0)
    if left and len(pages) == 1:
        notice = f"only the full-size picture is kept of {left + 1} (the others are overviews)"
        return page, (notice,)
    return page, ()
