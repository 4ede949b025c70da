"""Pictures that other libraries than libvips decode, each of them whole.

BMP and TGA by Pillow, PNM by `pnm.py`; JPEG 2000 and JPEG XL by imagecodecs, HEIC by
pillow-heif, PSD by psd-tools, which the extra `formats` brings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.errors import InputError, VdsrError
from vdsr.imaging.files import boxes, metadata, pnm

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")
EXTRA = "formats"
# A decoder makes room for what a header claims: at most this, and no more than so many
# times the file for what is larger than `_SMALL`.
_MOST, _SMALL, _RATIO = 4 << 30, 64 << 20, 2000
_VIPS_TYPES = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A picture in memory.

    Attributes:
        pixels: `[H, W, bands]`; uint8, uint16 or float32; gray, RGB or (of PSD) CMYK and
            CIELAB, perhaps with alpha, which is not premultiplied; upright.
        space: libvips' name of the colors, if not gray or RGB.
        bits: significant bits per sample.
        icc, exif, xmp: as libvips has them in its fields.
        resources: Photoshop's image resources.
        per_mm: horizontal and vertical resolution in px per mm.
        notices: what is not kept, a line each.
    """

    pixels: NDArray[Any]
    space: str | None = None
    bits: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resources: bytes = b""
    per_mm: tuple[float, float] | None = None
    notices: tuple[str, ...] = ()


def decode(path: Path, reader: str) -> Decoded:
    """Decode a file.

    Args:
        path: the file.
        reader: the attribute of its `Format`.

    Raises:
        InputError: if it is damaged, of a kind that the library does not take, or the
            library is not installed.
    """
    return guarded(path, lambda: _READERS[reader](path))


def guarded(path: Path, decoder: Callable[[], _T]) -> _T:
    """What a decoder gives; its errors as ours.

    Raises:
        InputError: whatever went wrong.
    """
    try:
        return decoder()
    except VdsrError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: it does not fit into memory") from error
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{path}: it cannot be read: {error.strerror}") from error
        raise InputError(f"{path}: damaged, cut short or of a rare kind: {error}") from error
    except Exception as error:  # strangers' decoders raise whatever they like
        what = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path}: damaged, cut short or of a rare kind: {what[0]}") from error


def as_image(decoded: Decoded) -> pyvips.Image:
    """As libvips would have loaded it."""
    pixels = np.ascontiguousarray(decoded.pixels)
    height, width, bands = pixels.shape
    kind = _VIPS_TYPES[pixels.dtype.name]
    image = pyvips.Image.new_from_memory(pixels.data, width, height, bands, kind)
    gray = {"uchar": "b-w", "ushort": "grey16", "float": "b-w"}
    color = {"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}
    space = decoded.space or (gray if bands < 3 else color)[kind]
    per_mm = decoded.per_mm or (1.0, 1.0)
    image = image.copy(interpretation=space, xres=per_mm[0], yres=per_mm[1])
    for name, data in (
        ("icc-profile-data", decoded.icc),
        ("exif-data", decoded.exif),
        ("xmp-data", decoded.xmp),
        ("photoshop-data", decoded.resources),
    ):
        if data:
            image = metadata.set_blob(image, name, data)
    return image


def required(path: Path, format: str, module: str) -> ModuleType:
    """A library of the extra.

    Args:
        path: the file that needs it.
        format: what the file is, in words.
        module: name of the library's module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{path}: {format} needs the extra '{EXTRA}': pip install 'vdsr[{EXTRA}]'"
        ) from error


def check_size(path: Path, nbytes: int) -> None:
    """Refuse what would take too much room, before any is taken.

    Raises:
        InputError: for more than 4 GiB, or much more than so short a file can hold.
    """
    if nbytes > _MOST:
        raise InputError(f"{path}: it takes {nbytes >> 20} MiB, too much to be decoded whole")
    if nbytes > _SMALL and nbytes > _RATIO * path.stat().st_size:
        raise InputError(
            f"{path}: damaged or cut short: {path.stat().st_size} bytes cannot hold"
            f" {nbytes >> 20} MiB of pixels"
        )


def _pnm(path: Path) -> Decoded:
    pixels, notice = pnm.read(path)
    bits = 8 * pixels.dtype.itemsize
    return Decoded(pixels=pixels, bits=bits, notices=() if notice is None else (notice,))


def _pillow(path: Path) -> Decoded:
    from PIL import BmpImagePlugin, TgaImagePlugin

    with path.open("rb") as file:
        is_bmp = file.read(2) == b"BM"
        file.seek(0)
        # Not through Image.open, which warns of large pictures, and guesses.
        plugin = BmpImagePlugin.BmpImageFile if is_bmp else TgaImagePlugin.TgaImageFile
        image = plugin(file)
        check_size(path, image.width * image.height * 4)
        opaque = not is_bmp and _tga_is_opaque(path)
        dpi = image.info.get("dpi")
        image.load()
        pixels = pillow_pixels(image)
    if opaque and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    per_mm = (dpi[0] / 25.4, dpi[1] / 25.4) if dpi and min(dpi) > 0 else None
    icc = _bmp_profile(path) if is_bmp else None
    return Decoded(pixels=pixels, icc=icc, per_mm=per_mm)


def pillow_pixels(image: Image) -> NDArray[Any]:
    """`[H, W, bands]` of a `PIL.Image.Image`, palettes and bits expanded."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA", "RGBX"):
        alpha = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if alpha else "RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _tga_is_opaque(path: Path) -> bool:
    """Whether the header says that none of the 32 bits are alpha."""
    with path.open("rb") as file:
        header = file.read(18)
    return not header[17] & 15


def _bmp_profile(path: Path) -> bytes | None:
    """The profile in a BMP with a header of version 5 (BITMAPV5HEADER)."""
    with path.open("rb") as file:
        head = file.read(138)
        if len(head) < 138 or head[14] < 124 or head[70:74] != b"DEBM":
            return None
        file.seek(14 + int.from_bytes(head[126:130], "little"))
        return file.read(min(int.from_bytes(head[130:134], "little"), 16 << 20)) or None


def _jp2(path: Path) -> Decoded:
    imagecodecs = required(path, "JPEG 2000", "imagecodecs")
    data = path.read_bytes()
    head = boxes.jpeg2000(data)
    check_size(path, head.width * head.height * head.bands * head.sample_bytes)
    pixels = _framed(imagecodecs.jpeg2k_decode(data), path)
    return Decoded(
        pixels=_widened(pixels, head.bits),
        bits=16 if pixels.dtype.itemsize > 1 else 8,
        icc=head.icc,
        xmp=head.xmp,
        per_mm=head.per_mm,
    )


def _widened(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples of other than 8 or 16 bits in the whole range of their type."""
    peak = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 0
    highest = (1 << bits) - 1
    if not peak or highest == peak:
        return pixels
    return np.rint(pixels * (peak / highest)).astype(pixels.dtype)


def _framed(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """`[H, W, bands]` of what a decoder gives."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3:
        raise InputError(f"{path}: it has {len(pixels)} frames: animations cannot be enlarged")
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    if pixels.dtype.name not in _VIPS_TYPES or not 1 <= pixels.shape[2] <= 4:
        raise InputError(
            f"{path}: {pixels.shape[2]} bands of {pixels.dtype} cannot be enlarged: gray or RGB,"
            " with or without alpha, of 8 or 16 bits or floats, can"
        )
    return pixels


def _jxl(path: Path) -> Decoded:
    imagecodecs = required(path, "JPEG XL", "imagecodecs")
    plugin = required(path, "JPEG XL", "pillow_jxl.JpegXLImagePlugin")
    data = path.read_bytes()
    pixels = _framed(imagecodecs.jpegxl_decode(data), path)
    with path.open("rb") as file:
        info = plugin.JXLImageFile(file).info
    boxed = boxes.jpeg_xl(data)
    bits = 8 * pixels.dtype.itemsize
    exif = boxed.exif or info.get("exif")
    return Decoded(pixels=pixels, bits=bits, icc=info.get("icc_profile"), exif=exif, xmp=boxed.xmp)


def _heic(path: Path) -> Decoded:
    heif = required(path, "HEIC", "pillow_heif")
    file = heif.open_heif(str(path), convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    check_size(path, image.size[0] * image.size[1] * 8)
    pixels = _framed(np.array(image), path)
    bits, info = int(image.info.get("bit_depth") or 8), image.info
    if pixels.dtype == np.uint16:  # libheif shifts them up, so that white would become a gray
        pixels = np.rint((pixels >> (16 - bits)) * (65535 / ((1 << bits) - 1))).astype(np.uint16)
    if pixels.shape[2] == 4 and getattr(image, "premultiplied_alpha", False):
        pixels = _unassociated(pixels)
    further = len(file) - 1
    notice = f"only its main picture was enlarged: {further} more are in it"
    return Decoded(
        pixels=pixels,
        bits=bits if bits > 8 else 8,
        icc=info.get("icc_profile"),
        exif=info.get("exif"),
        xmp=info.get("xmp"),
        notices=(notice,) if further > 0 else (),
    )


def _unassociated(pixels: NDArray[Any]) -> NDArray[Any]:
    peak = np.iinfo(pixels.dtype).max
    alpha = pixels[..., 3:].astype(np.float64)
    colors = pixels[..., :3] * (peak / np.maximum(alpha, 1.0))
    return np.concatenate([np.rint(colors.clip(0, peak)), alpha], axis=2).astype(pixels.dtype)


def _psd(path: Path) -> Decoded:
    from vdsr.imaging.files import psd

    required(path, "PSD", "psd_tools")
    return psd.read(path)


_READERS: dict[str, Callable[[Path], Decoded]] = {
    "pillow": _pillow,
    "pnm": _pnm,
    "jp2": _jp2,
    "jxl": _jxl,
    "heic": _heic,
    "psd": _psd,
}
