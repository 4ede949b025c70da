"""Which TIFF pages can be read, and by what; the others are refused in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vdsr.imaging.files.tiff_tags import (
    CIELAB,
    FLOAT,
    ICCLAB,
    MASK,
    PALETTE,
    PHOTOMETRICS,
    RGB,
    SEPARATED,
    SIGNED,
    UNDEFINED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Page,
)

CCITT, OLD_JPEG, JPEG, WEBP = (2, 3, 4), 6, 7, 50001
# Codecs that make bytes of bytes, whatever the samples are.
BYTEWISE = (1, 5, 8, 32946, 32773)
_LIBTIFF = (*BYTEWISE, *CCITT, JPEG, WEBP)
_LERC, _LZMA, _ZSTD, _JPEG_2000 = (34887,), (34925,), (34926, 50000), (34712, 33003, 33004, 33005)
_JPEG_XL, _JPEG_XR, _PNG, _OTHER_WEBP = (50002, 52546), (34934, 22610), (34933,), (34927,)
_IMAGECODECS = frozenset(
    (*_LERC, *_LZMA, *_ZSTD, *_JPEG_2000, *_JPEG_XL, *_JPEG_XR, *_PNG, *_OTHER_WEBP)
)

_WITH_PREDICTOR = (5, 8, 32946)

Way = Literal["native", "packed", "tifffile", "pillow", "none"]


@dataclass(frozen=True)
class Reading:
    """How a page is to be read.

    Attributes:
        way: `native` and `packed` by libvips; `tifffile` by the extra `formats`; `pillow`;
            `none` not at all.
        why: what is unusual about it, if it is not native: a part of the file, as "its
            compression (ZSTD)"; with `none`, a sentence.
    """

    way: Way
    why: str = ""


def reading(page: Page) -> Reading:
    """How a page is to be read, and if not by libvips, why."""
    return _by_meaning(page) or _by_compression(page) or _by_samples(page)


def _rare(way: Way, what: str) -> Reading:
    return Reading(way, f"{what} is not supported" if way == "none" else what)


def _by_meaning(page: Page) -> Reading | None:
    known = (*range(SEPARATED + 2), CIELAB, ICCLAB)
    photometric, samples = page.photometric, page.samples
    needed = {RGB: 3, YCBCR: 3, CIELAB: 3, ICCLAB: 3}.get(photometric, 1)
    exact = photometric in (PALETTE, CIELAB, ICCLAB)
    words = {PALETTE: "a palette", RGB: "RGB", YCBCR: "YCbCr"}.get(photometric, "CIELAB")
    problems = (
        (photometric in PHOTOMETRICS, f"it holds {PHOTOMETRICS.get(photometric)}"),
        (photometric not in known, f"its photometric interpretation ({photometric}) is unknown"),
        (len(set(page.bits)) > 1, f"its samples have different sizes ({page.bits} bits)"),
        (
            photometric == SEPARATED and (page.inks != 1 or samples < 4),
            "its inks are not those of CMYK",
        ),
        (
            samples < needed or (exact and samples > needed),
            f"it has {samples} samples per pixel and calls them {words}",
        ),
        (
            photometric == WHITE_IS_ZERO and page.sample_format not in (UNSIGNED, UNDEFINED),
            "it holds floats or signed numbers of which zero is white",
        ),
        (
            photometric in (WHITE_IS_ZERO, YCBCR) and (page.extra or ())[:1] == (1,),
            "it holds gray of which zero is white, or YCbCr, times its alpha",
        ),
    )
    return next((Reading("none", why) for wrong, why in problems if wrong), None)


def _by_compression(page: Page) -> Reading | None:
    number, name = page.compression, page.compression_name
    if number == OLD_JPEG:
        return Reading("pillow", f"its compression ({name})")
    if page.photometric == YCBCR and page.planar == 2 and page.subsampling != (1, 1):
        return Reading("none", "it holds YCbCr, subsampled, in separate planes")
    if number in _LIBTIFF:
        if number in CCITT and (page.bits[0], page.samples) != (1, 1):
            return Reading("none", f"it claims {name} for {page.bits[0]}-bit samples")
        if page.photometric == YCBCR and number != JPEG and page.subsampling != (1, 1):
            return Reading("pillow", f"its subsampled YCbCr with the compression {name}")
        return None
    ycbcr = page.photometric == YCBCR and (
        page.subsampling != (1, 1) or number not in (*_LZMA, *_ZSTD)
    )
    way: Way = "tifffile" if number in _IMAGECODECS and not ycbcr else "none"
    return _rare(way, f"its compression ({name})")


def _by_samples(page: Page) -> Reading:
    bits, form = page.bits[0], page.sample_format
    if page.compression in _WITH_PREDICTOR and not _predictor_fits(page):
        return Reading("none", f"its predictor ({page.predictor}) is not for {bits}-bit samples")
    if form == FLOAT:
        return _floats(page)
    integers = f"{'signed ' * (form == SIGNED)}integers of {bits} bits are not supported"
    problems = (
        (form not in (UNSIGNED, SIGNED, UNDEFINED), "it holds complex numbers"),
        (not 0 < bits <= 32 or 16 < bits < 32, integers),
        (form == SIGNED and bits not in (8, 16, 32), integers),
        (
            page.photometric == PALETTE and bits not in (1, 2, 4, 8),
            f"its palette has {bits}-bit indices",
        ),
    )
    if (why := next((why for wrong, why in problems if wrong), None)) is not None:
        return Reading("none", why)
    if bits in (8, 16, 32) or (bits in (1, 2, 4) and page.samples == 1):
        return _native(page)
    return _packed(page, f"its sample type ({bits} bits, compressed by {page.compression_name})")


def _predictor_fits(page: Page) -> bool:
    if page.predictor == 3:
        return page.sample_format == FLOAT
    return page.predictor == 1 or (page.predictor == 2 and page.bits[0] in (8, 16, 32, 64))


def _floats(page: Page) -> Reading:
    bits = page.bits[0]
    if page.photometric in (SEPARATED, YCBCR, PALETTE, ICCLAB):
        return Reading("none", "it holds CMYK, YCbCr, ICC L*a*b* or a palette as floats")
    if bits in (16, 32):
        return _native(page)
    if bits == 64:
        return _packed(
            page, f"its sample type (floats of 64 bits, compressed by {page.compression_name})"
        )
    return _rare("tifffile" if bits == 24 else "none", f"its sample type (floats of {bits} bits)")


def _native(page: Page) -> Reading:
    bits = page.bits[0]
    if page.compression in (JPEG, WEBP) and bits != 8:
        way: Way = "none" if page.photometric == YCBCR else "tifffile"
        return _rare(way, f"its compression ({bits}-bit {page.compression_name})")
    if page.photometric in (YCBCR, CIELAB, ICCLAB) and bits not in (8, 16, 32):
        return Reading("none", f"{bits}-bit YCbCr or CIELAB is not supported")
    return Reading("native")


def _packed(page: Page, why: str) -> Reading:
    if page.photometric not in (WHITE_IS_ZERO, 1, RGB, MASK, CIELAB):
        return Reading("none", f"{page.bits[0]}-bit CMYK, YCbCr or ICC L*a*b* is not supported")
    if page.photometric == CIELAB and page.sample_format != FLOAT:
        return Reading("none", f"{page.bits[0]}-bit CIELAB is not supported")
    if page.compression in BYTEWISE and page.predictor == 1:
        return Reading("packed", why)
    return Reading("tifffile", why)
