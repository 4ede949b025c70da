"""What each format makes of the samples: types it lacks, transparency, options of its encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

import pyvips

from vdsr.imaging.files import deep_zoom
from vdsr.imaging.files.formats import Format, PixelLayout, check_quality
from vdsr.imaging.files.storage import Storage

Edit = Callable[[bytes], bytes | None]

# What libvips may write by itself (`VipsForeignKeep`); the rest is added as it is, since
# libvips makes up what is not there.
_EXIF, _XMP, _ICC, _OTHER = 1, 2, 8, 16
_KEPT = {
    "webp": _ICC | _XMP,
    "avif": _ICC | _XMP,
    "tiff": _ICC | _XMP | _OTHER,
}

_INTERPRETATIONS = {
    ("uint8", False): "b-w",
    ("uint8", True): "srgb",
    ("uint16", False): "grey16",
    ("uint16", True): "rgb16",
    ("float32", False): "b-w",
    ("float32", True): "scrgb",
}
_WHITE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
# With optimized coding the encoder holds all coefficients, 12 bytes for each px of a JPEG.
_OPTIMIZED_PIXELS = 4_000_000
_BITS = {"uint8": 8, "uint16": 16, "float32": 32}
_VIPS_TYPES = {"uint8": "uchar", "uint16": "ushort"}


class Saver:
    """Saves pictures of one layout in one format.

    Args:
        layout: of the pictures.
        format: file format.
        quality: 1..100 for lossy formats; None is 95 for JPEG, 90 for AVIF, lossless WebP.
        storage: how a TIFF file is laid out.
        bits: significant bits of 16, if 10 or 12.
        values: the floats that are black and white, for formats without floats.

    Attributes:
        notices: what the format could not hold, a line each.

    Raises:
        UsageError: for a quality or a storage that does not apply.
    """

    def __init__(
        self,
        layout: PixelLayout,
        format: Format,
        *,
        quality: int | None = None,
        storage: Storage,
        bits: int = 16,
        values: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.notices: tuple[str, ...] = ()
        self._layout = layout
        self._format = format
        storage.check(format, layout)
        self._quality = check_quality(format, quality, lossy=storage.is_lossy)
        self._storage = storage
        self._values = values
        self._bits = bits

    def fit(self, image: pyvips.Image) -> pyvips.Image:
        """Fit sample type and alpha to what the format holds."""
        layout, name = self._layout, self._format.name
        color, dtype = layout.bands > 2, layout.dtype
        image = image.copy(interpretation=_INTERPRETATIONS[dtype, color])
        target = dtype if dtype in self._format.dtypes else self._format.dtypes[-1]
        most = 12 if name == "avif" and target == "uint16" else _BITS[target]
        if target != dtype or (most == 12 and self._bits > 12):
            self._note(f"{name} holds {most} bits at most: the {dtype} samples were rounded")
        if target != dtype and dtype == "float32":
            image = self._in_unit(image)
        if layout.has_alpha and not self._format.alpha:
            white = _WHITE[dtype]
            image = image.flatten(background=[white], max_alpha=white)
            self._note(f"{name} holds no alpha: the picture was laid on white")
        if target != dtype:
            image = (image * (_WHITE[target] / _WHITE[dtype])).rint().cast(_VIPS_TYPES[target])
            image = image.copy(interpretation=_INTERPRETATIONS[target, color])
        return _shifted(image, self._avif_bits) if most == 12 else image

    @property
    def _avif_bits(self) -> int:
        if self._layout.dtype == "uint8":
            return 8
        return self._bits if self._bits in (10, 12) else 12

    def _in_unit(self, image: pyvips.Image) -> pyvips.Image:
        low, high = self._values
        colors = self._layout.bands - self._layout.has_alpha
        alpha = [1.0] * self._layout.has_alpha
        scale = [1.0 / (high - low)] * colors + alpha
        return image.linear(scale, [-low / (high - low)] * colors + [0.0] * len(alpha))

    def save(self, image: pyvips.Image, file: BinaryIO, edit: Edit | None = None) -> None:
        """Encode what `fit` gave.

        Args:
            image: the picture.
            file: open for writing and reading, and empty.
            edit: given all bytes up to now, what is to stand at the start of the file
                instead of them; None while it cannot tell.

        Raises:
            OSError, pyvips.Error: if it cannot be written.
        """
        keep = _KEPT.get(self._format.name, _ICC)
        if self._format.name == "dz":
            deep_zoom.save(image, file, quality=self._quality, keep=keep)
            return
        save = getattr(image, self._format.saver)
        if image.get_typeof("exif-data"):  # a stand-in
            keep |= _EXIF
        options = {"keep": keep, **self._options()}
        if edit is None:
            # By number: libvips takes only names that are UTF-8.
            save(pyvips.Target.new_to_descriptor(file.fileno()), **options)
        else:
            _save_edited(lambda target: save(target, **options), file, edit)

    def _options(self) -> dict[str, Any]:
        match self._format.name:
            case "png":
                return {"compression": 6}
            case "jpeg":
                pixels = self._layout.width * self._layout.height
                return {
                    "Q": self._quality or 95,
                    "subsample_mode": "off",
                    "optimize_coding": pixels <= _OPTIMIZED_PIXELS,
                }
            case "webp":
                return {"Q": self._quality} if self._quality else {"lossless": True, "exact": True}
            case "avif":
                return {
                    "compression": "av1",
                    "Q": self._quality or 90,
                    "bitdepth": self._avif_bits,
                    "subsample_mode": "off",
                }
            case "gif":
                alpha = " and no half-transparency" if self._layout.has_alpha else ""
                self._note(f"gif holds 256 colors{alpha}: the picture was quantized")
                return {}
            case _:
                return self._storage.options(self._layout, self._quality)

    def _note(self, text: str) -> None:
        self.notices = (*self.notices, text)


def _save_edited(save: Callable[[pyvips.TargetCustom], object], file: BinaryIO, edit: Edit) -> None:
    """Save with another start of the file than that of the encoder."""
    start: bytes | None = b""
    failure: OSError | None = None

    def write(data: bytes) -> int:
        nonlocal start, failure
        try:
            if start is not None:
                edited = edit(start + data)
                start = start + data if edited is None else None
                data_out = b"" if edited is None else edited
            else:
                data_out = data
            file.write(data_out)
        except OSError as error:  # must not leave a function that C calls
            failure = error
            return -1
        return len(data)

    target = pyvips.TargetCustom()
    target.on_write(write)
    try:
        save(target)
        file.flush()
    except pyvips.Error:
        if failure is not None:
            raise failure from None
        raise


def _shifted(image: pyvips.Image, bits: int) -> pyvips.Image:
    """16-bit samples rounded to `bits`, where libvips would only cut off the others."""
    rounded = (image * (((1 << bits) - 1) / 65535.0)).rint()
    shifted = (rounded * (1 << (16 - bits))).cast("ushort")
    return shifted.copy(interpretation=image.interpretation)
