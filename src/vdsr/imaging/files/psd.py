"""The flattened picture of a Photoshop file, by psd-tools.

After the Adobe Photoshop File Formats Specification (2019), sections on the file header,
image resources and image data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.files import whole

if TYPE_CHECKING:
    from psd_tools.psd import PSD
    from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo

_MODES = {0: "bitmap", 1: "gray", 2: "indexed", 3: "RGB", 4: "CMYK", 7: "multichannel"}
_MODES |= {8: "duotone", 9: "Lab"}
_COLORS = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 8: 1, 9: 3}
_IPTC, _RESOLUTION, _ICC, _VERSION, _EXIF, _XMP = 1028, 1005, 1039, 1057, 1058, 1060


def read(path: Path) -> whole.Decoded:
    """The picture as Photoshop flattened it.

    Args:
        path: a PSD or PSB file.

    Raises:
        InputError: for modes that do not hold a picture, or if the flattened picture was not saved.
        Exception: whatever psd-tools raises for a malformed file.
    """
    from psd_tools.psd import PSD

    with path.open("rb") as file:
        head = file.read(26)
        file.seek(0)
        channels, depth, mode = (int.from_bytes(head[i : i + 2], "big") for i in (12, 22, 24))
        height, width = (int.from_bytes(head[i : i + 4], "big") for i in (14, 18))
        whole.check_size(path, width * height * channels * max(1, depth // 8))
        content = PSD.read(file)
    resources = {int(key): item for key, item in content.image_resources.items()}
    if mode not in _COLORS:
        raise InputError(f"{path}: its mode ({_MODES.get(mode, mode)}) cannot be enlarged")
    if (version := resources.get(_VERSION)) is not None and not version.data.has_composite:
        raise InputError(
            f"{path}: it was saved without its flattened picture: save it with"
            " 'maximize compatibility', or export it"
        )
    _check_rows(path, content)
    planes = np.stack([np.frombuffer(p, f">{_KINDS[depth]}") for p in _planes(content, depth)])
    pixels = _samples(planes, content, (channels, height, width), depth, mode)
    resolution = resources.get(_RESOLUTION)
    return whole.Decoded(
        pixels=pixels,
        space={4: "cmyk", 9: "lab"}.get(mode),
        bits=min(depth, 16) if depth >= 8 else 8,
        icc=_raw(resources.get(_ICC)),
        exif=_prefixed(_raw(resources.get(_EXIF))),
        xmp=_raw(resources.get(_XMP)),
        resources=_iptc(_raw(resources.get(_IPTC))),
        per_mm=None if resolution is None else _per_mm(resolution.data),
        notices=_notices(content, mode, channels),
    )


_RUN_LENGTHS = 1
_KINDS = {1: "u1", 8: "u1", 16: "u2", 32: "f4"}


def _planes(content: PSD, depth: int) -> list[bytes]:
    if depth not in _KINDS:
        raise ValueError(f"{depth} bits per sample")
    found = content.image_data.get_data(content.header, split=True)
    return [bytes(plane) for plane in found if isinstance(plane, bytes)]


def _check_rows(path: Path, content: PSD) -> None:
    """Refuse a file whose last rows are missing, which psd-tools leaves black."""
    data, header = bytes(content.image_data.data), content.header
    if int(content.image_data.compression) != _RUN_LENGTHS:
        return
    width = 2 if header.version == 1 else 4
    rows = header.channels * header.height
    lengths = np.frombuffer(data[: rows * width], f">u{width}")
    if len(lengths) < rows or len(data) < rows * width + int(lengths.sum(dtype=np.int64)):
        raise InputError(f"{path}: damaged or cut short: its last rows are missing")


def _samples(
    planes: NDArray[Any], content: PSD, shape: tuple[int, int, int], depth: int, mode: int
) -> NDArray[Any]:
    channels, height, width = shape
    if depth == 1:
        rows = planes.reshape(channels, height, -1)
        planes = (1 - np.unpackbits(rows, axis=2)[..., :width]) * np.uint8(255)
    pixels = np.moveaxis(planes.reshape(shape), 0, 2)
    pixels = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("=")))
    colors = _COLORS[mode]
    if mode == 2:
        palette = np.frombuffer(content.color_mode_data.value, np.uint8).reshape(3, 256)
        return np.asarray(palette.T[pixels[..., 0]])
    alpha = pixels[..., colors : colors + 1] if _has_alpha(content, channels, colors) else None
    pixels = pixels[..., :colors]
    if mode == 4:  # stored as the light that is left
        pixels = np.iinfo(pixels.dtype).max - pixels
    if mode == 9:
        return _lab(pixels)
    return pixels if alpha is None else np.concatenate([_off_white(pixels, alpha), alpha], axis=2)


def _off_white(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """The colors of a flattened picture with alpha, which Photoshop lays on white."""
    peak = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    opacity = alpha / peak
    colors = (pixels - (1 - opacity) * peak) / np.maximum(opacity, 1e-9)
    colors = np.where(opacity > 0, colors, pixels)
    if pixels.dtype.kind == "f":
        return np.asarray(colors, np.float32)
    return np.asarray(np.rint(colors.clip(0, peak)), pixels.dtype)


def _lab(pixels: NDArray[Any]) -> NDArray[Any]:
    """a* and b* are stored with 128 (of 8 bits) or 32768 (of 16) added."""
    high = pixels.dtype.itemsize == 2
    scale = np.array([100 / (65535 if high else 255), *[1 / 256 if high else 1] * 2])
    return np.asarray(pixels * scale - np.array([0, 128, 128]), np.float32)


def _has_alpha(content: PSD, channels: int, colors: int) -> bool:
    """Whether the first channel beyond the colors is transparency: not a saved selection."""
    layers = content.layer_and_mask_information.layer_info
    return channels > colors and layers is not None and layers.layer_count < 0


def _notices(content: PSD, mode: int, channels: int) -> tuple[str, ...]:
    found = []
    layers = content.layer_and_mask_information.layer_info
    if layers is not None and layers.layer_count:
        found.append(f"its {abs(layers.layer_count)} layers were flattened")
    further = channels - _COLORS[mode] - _has_alpha(content, channels, _COLORS[mode])
    if further > 0:
        found.append(f"{further} of its channels (selections, spot colors) were left out")
    if mode == 8:
        found.append("its duotone inks were left out: it became gray")
    return tuple(found)


def _raw(resource: ImageResource | None) -> bytes | None:
    if resource is None:
        return None
    data = resource.data
    return bytes(data) if isinstance(data, (bytes, bytearray)) else bytes(data.value)


def _iptc(data: bytes | None) -> bytes:
    if data is None:
        return b""
    head = b"8BIM" + _IPTC.to_bytes(2, "big") + bytes(2) + len(data).to_bytes(4, "big")
    return head + data + bytes(len(data) % 2)


def _prefixed(exif: bytes | None) -> bytes | None:
    return exif and b"Exif\0\0" + exif


def _per_mm(info: ResoulutionInfo) -> tuple[float, float] | None:
    """From px per inch, as fixed-point numbers."""
    found = (info.horizontal / 65536 / 25.4, info.vertical / 65536 / 25.4)
    return found if min(found) > 0 else None
