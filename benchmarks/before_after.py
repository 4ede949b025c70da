"""Make `docs/before-after.png`: two crops of a photograph, original, bicubic, and enlarged x4.

    python benchmarks/before_after.py

The photograph is NASA's portrait of Eileen Collins (public domain), which scikit-image's
wheel ships. It is shrunk to a quarter of its sides by MATLAB's bicubic, saved as an 8-bit
PNG, and enlarged again by `vdsr.upscale` in fp32, as any file would be. Nothing is
sharpened, chosen or touched up; every pixel of a crop is shown as 3x3.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import machine
import numpy as np
from numpy.typing import NDArray

import vdsr
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import enlarge, shrink

SCALE = 4
# Left, top and side of the crops in px of the original.
CROPS = ((178, 78, 88), (364, 190, 88))
ZOOM = 3
GAP = 6
GOAL = Path(__file__).parent.parent / "docs" / "before-after.png"

Pixels = NDArray[np.uint8]


def main() -> None:
    """Shrink, enlarge, measure, and put the crops side by side."""
    original: Pixels = vdsr.read_image(machine.photograph())
    small = rounded(shrink(planes(original), SCALE))
    bicubic = rounded(enlarge(planes(small), SCALE))
    restored = enlarged(small, SCALE)
    for title, picture in (("bicubic", bicubic), ("vdsr", restored)):
        value = vdsr.psnr(luma(picture), luma(original), data_range=255.0, border=SCALE)
        print(f"{title}: {value:.2f} dB against the original")
    rows = [row([original, bicubic, restored], crop) for crop in CROPS]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    vdsr.write_image(GOAL, np.concatenate([rows[0], gap, rows[1]]), overwrite=True)
    print(f"{GOAL}: {GOAL.stat().st_size // 1024} KiB")


def planes(pixels: Pixels) -> NDArray[np.float32]:
    """`[H, W, 3]` bytes as `[3, H, W]` floats in 0..255."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)


def rounded(planes: NDArray[np.float32]) -> Pixels:
    """Floats `[3, H, W]` as bytes `[H, W, 3]`."""
    return np.rint(planes.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)


def luma(pixels: Pixels) -> NDArray[np.float64]:
    """Luma of bytes `[H, W, 3]`: `[H, W]`, in the studio range."""
    return STUDIO.luma(pixels.transpose(2, 0, 1).astype(np.float64))


def enlarged(small: Pixels, scale: int, model: str = "auto") -> Pixels:
    """What `vdsr upscale` makes of a picture file, in fp32."""
    with tempfile.TemporaryDirectory() as name:
        low, high = Path(name) / "low.png", Path(name) / "high.png"
        vdsr.write_image(low, small)
        vdsr.upscale(low, high, scale=scale, model=model, precision="fp32")
        pixels: Pixels = vdsr.read_image(high)
    return pixels


def row(pictures: list[Pixels], crop: tuple[int, int, int], zoom: int = ZOOM) -> Pixels:
    """The same crop of all side by side, `zoom` times as large; left, top and side in px."""
    left, top, side = crop
    gap = np.full((side * zoom, GAP, 3), 255, np.uint8)
    parts: list[Pixels] = []
    for picture in pictures:
        cut = picture[top : top + side, left : left + side]
        parts += [cut.repeat(zoom, 0).repeat(zoom, 1), gap]
    return np.concatenate(parts[:-1], axis=1)


if __name__ == "__main__":
    main()
