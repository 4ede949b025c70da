"""What the samples of a TIFF mean: packed bits, inverted grays, planes, YCbCr, CIELAB, alpha.

After TIFF 6.0, sections 16 (RGB and extra samples), 21 (YCbCr) and 23 (CIE L*a*b*), and the
Photoshop TIFF technical notes of 2002 (ICC L*a*b*).
"""

from __future__ import annotations

import math
from fractions import Fraction

import pyvips

from vdsr.errors import InputError
from vdsr.imaging.files.tiff_kinds import JPEG
from vdsr.imaging.files.tiff_tags import (
    CIELAB,
    FLOAT,
    ICCLAB,
    PALETTE,
    RGB,
    SEPARATED,
    SIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Page,
    TiffFile,
)

_ASSOCIATED, _UNASSOCIATED = 1, 2
_PEAKS = {"uchar": 255, "ushort": 65535}
_LUMA = (Fraction(299, 1000), Fraction(587, 1000), Fraction(114, 1000))
_FULL_RANGE = (0, 255, 128, 255, 128, 255)


def unpacked(rows: pyvips.Image, page: Page, width: int, samples: int, order: str) -> pyvips.Image:
    """Samples of any size, of rows of bytes.

    Args:
        rows: uchar, one band; the bytes of a row, samples packed from the highest bit on.
        page: says how large a sample is.
        width: px.
        samples: per pixel.
        order: `<` or `>`, of numbers of several bytes.

    Returns:
        Of `width` px; 64-bit floats as such, others as uchar or ushort, not scaled.
    """
    bits = page.bits[0]
    if bits == 64:
        pixels = rows.bandfold(factor=8 * samples).copy(bands=samples, format="double")
        return pixels.byteswap() if order == ">" else pixels
    size = bits // math.gcd(bits, 8)
    groups = -(-rows.width // size)
    group = rows.embed(0, 0, groups * size, rows.height).bandfold(factor=size)
    found = [_sample(group, i, bits) for i in range(8 * size // bits)]
    joined = found[0].bandjoin(found[1:]).cast("uchar" if bits < 8 else "ushort")
    row = joined.bandunfold(factor=len(found)).crop(0, 0, width * samples, rows.height)
    return row.bandfold(factor=samples) if samples > 1 else row


def _sample(group: pyvips.Image, index: int, bits: int) -> pyvips.Image:
    start, end = index * bits, (index + 1) * bits
    first, last = start // 8, (end - 1) // 8
    value = group[first].cast("uint")
    for i in range(first + 1, last + 1):
        value = (value << 8) | group[i].cast("uint")
    return (value >> (7 - (end - 1) % 8)) & ((1 << bits) - 1)


def as_picture(
    image: pyvips.Image, tiff: TiffFile, page: Page, *, scaled: bool
) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Samples as libtiff gives them, as a picture: gray, RGB, CMYK or CIELAB, maybe alpha.

    Args:
        image: as many bands as the page has samples; sub-byte samples of `unpacked` unscaled.
        tiff: the file.
        page: what its tags say.
        scaled: whether samples of less than 8 bits fill the range of 8 already.

    Returns:
        The picture, and what had to be left out, a line each.

    Raises:
        InputError: for bands that do not make a picture.
    """
    if page.photometric == PALETTE:
        return image, ()
    colors = _colors(page)
    raw, notices = _without_unnamed(image, page, colors, tiff)
    image = raw if scaled else _scaled(raw, page)
    if page.photometric == WHITE_IS_ZERO:
        peak = _PEAKS.get(image.format, 2**32 - 1)
        inverted = (peak - image[0]).cast(image.format)
        image = inverted if image.bands == 1 else inverted.bandjoin(image[1])
    if image.bands > colors and page.extra and page.extra[0] == _ASSOCIATED:
        image = _unassociated(raw, image[image.bands - 1])
    if page.photometric == YCBCR and page.compression != JPEG:
        image = _rgb_of_ycbcr(image, tiff, page)
    elif page.photometric == CIELAB:
        image = _lab(image, page)
    elif page.photometric == ICCLAB:
        image = _icc_lab(image)
    return image.copy(interpretation=_interpretation(image, page, colors)), notices


def _colors(page: Page) -> int:
    if page.photometric == SEPARATED:
        return 4
    return 3 if page.photometric in (RGB, YCBCR, CIELAB, ICCLAB) else 1


def _interpretation(image: pyvips.Image, page: Page, colors: int) -> str:
    if page.photometric == SEPARATED:
        return "cmyk"
    if page.photometric in (CIELAB, ICCLAB):
        return "lab"
    if colors == 1:
        return "grey16" if image.format == "ushort" else "b-w"
    return {"uchar": "srgb", "ushort": "rgb16"}.get(image.format, "scrgb")


def _scaled(image: pyvips.Image, page: Page) -> pyvips.Image:
    """Samples of 2 to 15 bits in the whole range of 8 or 16."""
    bits = page.bits[0]
    if page.sample_format in (FLOAT, SIGNED) or bits in (8, 16, 32):
        return image
    highest = (1 << bits) - 1
    return (image * (_PEAKS[image.format] / highest)).rint().cast(image.format)


def _without_unnamed(
    image: pyvips.Image, page: Page, colors: int, tiff: TiffFile
) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Of the bands beyond the colors, alpha alone."""
    further = image.bands - colors
    if further > 1:
        raise InputError(
            f"{tiff.path}: {image.bands} bands cannot be enlarged: gray, RGB or CMYK, with or"
            " without alpha, can"
        )
    # Old programs write no ExtraSamples beside their alpha; those that write "unspecified"
    # mean something else: near infrared, or a selection.
    if further < 1 or page.extra is None or page.extra[0] in (_ASSOCIATED, _UNASSOCIATED):
        return image, ()
    notice = f"its band {image.bands} was left out: the file does not call it alpha"
    return image.extract_band(0, n=colors), (notice,)


def _unassociated(raw: pyvips.Image, alpha: pyvips.Image) -> pyvips.Image:
    """Colors that are not multiplied by alpha, in the whole range, rounded once.

    Args:
        raw: colors, multiplied, and alpha, both in the same range, whichever.
        alpha: the same alpha in the whole range.
    """
    if alpha.format not in (*_PEAKS, "float", "double"):  # refused later on
        return raw
    peak, last = _PEAKS.get(alpha.format, 1.0), raw.bands - 1
    # Not `unpremultiply`, for which floats below 0.01 do not count as alpha; x / 0 is 0 in libvips.
    colors = raw.extract_band(0, n=last).cast("double") / raw[last] * peak
    colors = colors.rint().cast(alpha.format) if alpha.format in _PEAKS else colors.cast("float")
    return colors.bandjoin(alpha)


def _rgb_of_ycbcr(image: pyvips.Image, tiff: TiffFile, page: Page) -> pyvips.Image:
    """YCbCr that is not subsampled, as RGB (TIFF 6.0, section 21)."""
    red, green, blue = (float(x) for x in (*tiff.fractions(page, 529), *_LUMA)[:3])
    if not (red and green and blue):
        red, green, blue = map(float, _LUMA)
    reference = [float(x) for x in tiff.fractions(page, 532)]
    if len(reference) != 6 or 0.0 in (
        reference[1] - reference[0],
        reference[3] - reference[2],
        reference[5] - reference[4],
    ):
        reference = [float(x) for x in _FULL_RANGE]
    peak = _PEAKS[image.format]
    unit = peak / 255 if max(reference) <= 255 else 1.0
    zero = [x * unit for x in reference[::2]]
    span = [(b - a) * unit for a, b in zip(reference[::2], reference[1::2], strict=True)]
    coded = [peak, (peak // 2), (peak // 2)]
    alpha = image[3] if image.bands > 3 else None
    y, cb, cr = ((image[i].cast("float") - zero[i]) * (coded[i] / span[i]) for i in range(3))
    r = y + cr * (2 - 2 * red)
    b = y + cb * (2 - 2 * blue)
    g = (y - r * red - b * blue) / green
    rgb = r.bandjoin([g, b]).rint().cast(image.format)
    return rgb if alpha is None else rgb.bandjoin(alpha)


def _lab(image: pyvips.Image, page: Page) -> pyvips.Image:
    """CIE L*a*b*, 0..100 and about -128..127: a* and b* are signed in the file."""
    if page.sample_format == FLOAT:
        return image.cast("float")
    high = 8 if image.format in ("uchar", "char") else 16
    whole, unit = 1 << high, 1 << (high - 8)
    numbers = image.cast("uchar" if high == 8 else "ushort").cast("float")
    colors = numbers.extract_band(1, n=2)
    signed = (colors >= whole // 2).ifthenelse(colors - whole, colors) / unit
    return (numbers[0] * (100 / (whole - 1))).bandjoin(signed).cast("float")


def _icc_lab(image: pyvips.Image) -> pyvips.Image:
    """L*a*b* as ICC profiles of version 2 encode it: a* and b* from -128 on."""
    if image.format == "uchar":
        return image.linear([100 / 255, 1, 1], [0, -128, -128]).cast("float")
    return image.linear([100 / 65280, 1 / 256, 1 / 256], [0, -128, -128]).cast("float")
