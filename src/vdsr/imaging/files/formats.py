"""The file formats, how they are told apart, and what each of them can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vdsr.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Format:
    """One file format.

    Attributes:
        name: as in `--format`.
        suffixes: file name endings, lower case, with the dot.
        dtypes: sample types that it holds.
        alpha: whether it holds transparency.
        gray: whether it holds one-channel pictures (else they become RGB).
        max_side: longest side in px.
        lossy: whether `--quality` applies.
        metadata: whether it carries profile, EXIF, XMP and resolution.
        codec: how libvips calls it, if otherwise.
    """

    name: str
    suffixes: tuple[str, ...]
    dtypes: tuple[str, ...] = ("uint8",)
    alpha: bool = True
    gray: bool = True
    max_side: int = 2**31 - 1
    lossy: bool = False
    metadata: bool = True
    codec: str = ""

    @property
    def loader(self) -> str:
        """The libvips operation that reads it from a `pyvips.Source`."""
        return f"{self.codec or self.name}load_source"

    @property
    def saver(self) -> str:
        """The libvips operation that writes it into a `pyvips.Target`."""
        return f"{self.codec or self.name}save_target"


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """Size and sample type of a picture.

    Attributes:
        width, height: px.
        bands: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
        dtype: `uint8`, `uint16` or `float32`.
    """

    width: int
    height: int
    bands: int
    dtype: str

    @property
    def has_alpha(self) -> bool:
        """Whether the last band is alpha."""
        return self.bands in (2, 4)

    @property
    def nbytes(self) -> int:
        """Size of the samples in bytes."""
        return self.width * self.height * self.bands * np.dtype(self.dtype).itemsize


FORMATS = {
    f.name: f
    for f in (
        Format(name="png", suffixes=(".png",), dtypes=("uint8", "uint16")),
        Format(name="jpeg", suffixes=(".jpg", ".jpeg"), alpha=False, max_side=65535, lossy=True),
        Format(name="webp", suffixes=(".webp",), gray=False, max_side=16383, lossy=True),
        Format(name="tiff", suffixes=(".tif", ".tiff"), dtypes=("uint8", "uint16", "float32")),
        Format(
            name="avif",
            suffixes=(".avif",),
            dtypes=("uint8", "uint16"),
            gray=False,
            max_side=65536,
            lossy=True,
            codec="heif",
        ),
        Format(name="gif", suffixes=(".gif",), gray=False, max_side=65535, metadata=False),
    )
}

SUFFIXES = frozenset(suffix for f in FORMATS.values() for suffix in f.suffixes)

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
}
# Brands of ISO/IEC 23008-12; the general ones say nothing about the codec.
_HEVC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_HEIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", *_HEVC_BRANDS)
SNIFFED_BYTES = 64
_ALIASES = {"jpg": "jpeg", "tif": "tiff"}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of an output: by `name`, or by the suffix of `path`.

    Raises:
        UsageError: for a name or suffix that is no format of this program.
    """
    known = ", ".join(FORMATS)
    if name is not None:
        key = name.lower().lstrip(".")
        if (found := FORMATS.get(_ALIASES.get(key, key))) is None:
            raise UsageError(f"unknown format {name!r}: {known}")
        return found
    suffix = path.suffix.lower()
    for candidate in FORMATS.values():
        if suffix in candidate.suffixes:
            return candidate
    if suffix in (".heic", ".heif"):
        raise UsageError(f"{path}: HEIC is read and written only by a system libvips: {known}")
    what = f"unknown suffix {suffix!r}" if suffix else "no suffix to tell the format by"
    raise UsageError(f"{path}: {what}: choose --format {known}")


def check_quality(format: Format, quality: int | None) -> int | None:
    """Refuse a quality that is out of 1..100, or for a lossless format.

    Raises:
        UsageError: saying which.
    """
    if quality is None:
        return None
    if not format.lossy:
        raise UsageError(f"{format.name} is lossless: a quality does not apply to it")
    if not 1 <= quality <= 100:
        raise UsageError(f"quality is 1..100, not {quality}")
    return quality


def sniff(start: bytes) -> Format | None:
    """The format of a file by its first `SNIFFED_BYTES` bytes; HEIC counts as AVIF."""
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return FORMATS[name]
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return FORMATS["webp"]
    return FORMATS["avif"] if _has_brand(start, _HEIF_BRANDS) else None


def is_heic(start: bytes) -> bool:
    """Whether a file that begins so names HEVC as its codec."""
    return _has_brand(start, _HEVC_BRANDS)


def _has_brand(start: bytes, brands: tuple[bytes, ...]) -> bool:
    if start[4:8] != b"ftyp":
        return False
    end = int.from_bytes(start[:4], "big")
    return any(start[i : i + 4] in brands for i in (8, *range(16, min(end, len(start)), 4)))
