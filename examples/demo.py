"""Enlarge a real photograph and say what it brought.

    python examples/demo.py FOLDER

A public-domain photograph (NASA's portrait of Eileen Collins, which scikit-image's
wheel ships) is shrunk to a third of its sides by the program's own degradation, saved
as an 8-bit file, and enlarged again by `Upscaler`, as any file would be. PSNR is that
of the 8-bit results against the original, on BT.601 studio luma, 3 px shaved.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr import Upscaler
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import crop_to_multiple, enlarge, shrink
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.imaging.files.encode import quantize
from vdsr.imaging.metrics import psnr

SCALE = 3
# Where the comparison looks: left, top, side, in px of the original.
CROP = (160, 40, 128)
ZOOM = 3

Pixels = NDArray[np.uint8]


def photograph() -> Path:
    """The photograph's file, found by its package's place; nothing is imported from it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("demo: the photograph is missing: pip install --no-deps scikit-image")
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"


def read(path: Path) -> Pixels:
    """Read an 8-bit picture, `[H, W, 3]`."""
    return np.concatenate(list(PictureReader(path).strips())).astype(np.uint8, copy=False)


def write(path: Path, pixels: Pixels) -> None:
    """Write an 8-bit picture as PNG."""
    height, width, bands = pixels.shape
    layout = PixelLayout(width=width, height=height, bands=bands, dtype="uint8")
    with PictureWriter(path, layout, FORMATS["png"], overwrite=True) as writer:
        writer.write(pixels)


def planes(pixels: Pixels) -> NDArray[np.float32]:
    """`[H, W, 3]` bytes as `[3, H, W]` floats in 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255.0)


def luma(pixels: Pixels) -> NDArray[np.float64]:
    """Studio luma, 16..235."""
    return STUDIO.luma(pixels.transpose(2, 0, 1).astype(np.float64))


def side_by_side(pictures: list[Pixels]) -> Pixels:
    """The same crop of several pictures, each pixel ZOOM times as large."""
    left, top, side = CROP
    crops = [p[top : top + side, left : left + side] for p in pictures]
    gap = np.full((side * ZOOM, 6, 3), 255, np.uint8)
    parts = [part for c in crops for part in (c.repeat(ZOOM, 0).repeat(ZOOM, 1), gap)]
    return np.concatenate(parts[:-1], axis=1)


def main(folder: Path) -> None:
    """Shrink, enlarge, measure, show."""
    folder.mkdir(parents=True, exist_ok=True)
    original = read(photograph())
    original = crop_to_multiple(original.transpose(2, 0, 1), SCALE).transpose(1, 2, 0)
    small, large = folder / "small.png", folder / "vdsr.png"
    write(small, quantize(shrink(planes(original), SCALE), "uint8").astype(np.uint8))

    with Upscaler() as upscaler:
        result = upscaler.upscale(small, large, scale=SCALE, overwrite=True)

    restored = read(large)
    bicubic = quantize(enlarge(planes(read(small)), SCALE), "uint8").astype(np.uint8)
    added = luma(restored) - luma(bicubic)
    residual = np.clip(128.0 + 4.0 * added, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    comparison = folder / "side-by-side.png"
    write(comparison, side_by_side([original, bicubic, restored, residual]))

    print(f"{small}: {result.width // SCALE}x{result.height // SCALE} px, the shrunken photograph")
    print(
        f"{large}: {result.width}x{result.height} px, enlarged x{SCALE} by {result.model}"
        f" ({result.precision}, {result.backend}) in {result.seconds:.1f} s"
    )
    for name, picture in (("bicubic", bicubic), ("VDSR", restored)):
        value = psnr(luma(picture), luma(original), data_range=255.0, border=SCALE)
        print(f"PSNR of {name} against the original: {value:.2f} dB")
    print(f"{comparison}: original, bicubic, VDSR, and what VDSR added (x4, gray is nothing)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output"))
