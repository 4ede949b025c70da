"""How the samples of a TIFF file lie in it, and what that takes on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vdsr.errors import UsageError, among
from vdsr.imaging.files.formats import Format, PixelLayout

COMPRESSIONS = ("none", "lzw", "deflate", "jpeg")
GIANT_PIXELS = 100_000_000
"""From here on a picture is looked at in parts, and is not to be lost by an interruption."""

_TILE = 256
# The samples as they are; what compression saves is not known before.
_CLASSIC_LIMIT = 3_800_000_000
# LZW makes noise longer than it is; a pyramid has a quarter, a sixteenth ... more.
_LZW_GROWTH = 1.4
_PYRAMID_GROWTH = 4 / 3
# Bytes for each of a sample at quality 95, much detail (of noise they are more).
_LOSSY_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How a TIFF file is laid out.

    Attributes:
        compression: `none`, `lzw`, `deflate` or `jpeg` (8 bits, no alpha, lossy); None is
            deflate, or LZW for 100 megapixels and more: deflate takes ten times as long.
        tiled: in tiles of 256 x 256 px, which can be read one by one; 100 megapixels and
            more, and pyramids, always are.
        pyramid: with the picture at a half, a quarter ... of its size behind it.

    Raises:
        UsageError: for an unknown compression.
    """

    compression: str | None = None
    tiled: bool = False
    pyramid: bool = False

    def __post_init__(self) -> None:
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise UsageError(
                f"unknown compression {self.compression!r}: {among(self.compression, COMPRESSIONS)}"
            )

    @property
    def is_lossy(self) -> bool:
        """Whether a quality applies."""
        return self.compression == "jpeg"

    def check(self, format: Format, layout: PixelLayout | None = None) -> None:
        """Refuse what a format, or a picture, cannot be stored as.

        Args:
            format: of the file.
            layout: of the picture, where it is known.

        Raises:
            UsageError: saying why.
        """
        if format.name != "tiff":
            if self != Storage():
                raise UsageError(f"compression, tiled and pyramid are for tiff, not {format.name}")
        elif (
            layout is not None
            and self.is_lossy
            and (layout.dtype, layout.has_alpha)
            != (
                "uint8",
                False,
            )
        ):
            raise UsageError("jpeg in tiff holds 8 bits without alpha: compress by lzw")

    def options(self, layout: PixelLayout, quality: int | None) -> dict[str, Any]:
        """What libvips is to be told."""
        giant = layout.width * layout.height >= GIANT_PIXELS
        compression = self.compression or ("lzw" if giant else "deflate")
        options: dict[str, Any] = {"compression": compression}
        size = float(layout.nbytes)
        if compression == "jpeg":
            options["Q"] = quality or 95
        elif compression != "none":
            options["predictor"] = "float" if layout.dtype == "float32" else "horizontal"
        if compression == "lzw":
            size *= _LZW_GROWTH
        if giant or self.tiled or self.pyramid:
            options |= {"tile": True, "tile_width": _TILE, "tile_height": _TILE}
        if self.pyramid:
            options["pyramid"] = True
            size *= _PYRAMID_GROWTH
        return {**options, "bigtiff": size > _CLASSIC_LIMIT}

    def disk(self, format: Format, layout: PixelLayout) -> int:
        """Bytes that writing a file may take, parts that go again included; no promise."""
        size = float(layout.nbytes)
        if format.lossy or self.is_lossy:
            size *= _LOSSY_SHARE
        if format.name == "dz":
            return int(2 * _PYRAMID_GROWTH * size)  # as it is made, and as it is put in place
        # The smaller versions are made beside the file.
        return int(size * (2 * _PYRAMID_GROWTH - 1 if self.pyramid else 1))
