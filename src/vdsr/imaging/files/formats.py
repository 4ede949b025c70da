"""The file formats, how they are told apart, and what each of them can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vdsr.errors import UsageError, among


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
        reader: what decodes it: libvips, or a reader of `whole.py`.
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
    reader: str = "libvips"

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
        Format(name="dz", suffixes=(".szi", ".dzi"), lossy=True),
    )
}
_WRITE_ONLY = ("dz",)

_READ_ONLY = (
    Format(name="bmp", suffixes=(".bmp", ".dib"), reader="pillow"),
    Format(name="pnm", suffixes=(".pnm", ".pbm", ".pgm", ".ppm", ".pam", ".pfm"), reader="pnm"),
    Format(name="tga", suffixes=(".tga", ".icb", ".vda", ".vst"), reader="pillow"),
    Format(name="psd", suffixes=(".psd", ".psb"), reader="psd"),
    Format(name="jp2", suffixes=(".jp2", ".j2k", ".j2c", ".jpx", ".jpf"), reader="jp2"),
    Format(name="jxl", suffixes=(".jxl",), reader="jxl"),
    Format(name="heic", suffixes=(".heic", ".heif", ".hif"), reader="heic"),
)
READABLE = {name: f for name, f in FORMATS.items() if name not in _WRITE_ONLY} | {
    f.name: f for f in _READ_ONLY
}
"""What is read; most of `FORMATS`, which are written, among them."""

SUFFIXES = frozenset(suffix for f in READABLE.values() for suffix in f.suffixes)

_ALIASES = {"jpg": "jpeg", "tif": "tiff"}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of an output: by `name`, or by the suffix of `path`.

    Raises:
        UsageError: for a name or suffix that is not one of a format of this program.
    """
    known = ", ".join(FORMATS)
    if name is not None:
        key = name.lower().lstrip(".")
        if (found := FORMATS.get(_ALIASES.get(key, key))) is None:
            raise UsageError(f"unknown format {name!r}: {among(name, FORMATS)}")
        return found
    suffix = path.suffix.lower()
    for candidate in FORMATS.values():
        if suffix in candidate.suffixes:
            return candidate
    for readable in READABLE.values():
        if suffix in readable.suffixes:
            raise UsageError(f"{path}: {readable.name} is read, but not written: choose {known}")
    if not suffix:
        raise UsageError(f"{path}: no suffix to tell the format by: name one: {known}")
    raise UsageError(f"{path}: unknown suffix {suffix!r}: {among(suffix[1:], FORMATS)}")


def check_quality(format: Format, quality: int | None, *, lossy: bool | None = None) -> int | None:
    """Refuse a quality that is out of 1..100, or for a lossless format.

    Args:
        format: of the file.
        quality: 1..100, or None.
        lossy: whether it is lossy, where the format alone does not tell.

    Raises:
        UsageError: saying which.
    """
    if quality is None:
        return None
    if not (format.lossy or lossy):
        raise UsageError(f"{format.name} is lossless: a quality does not apply to it")
    if not 1 <= quality <= 100:
        raise UsageError(f"quality is 1..100, not {quality}")
    return quality
