"""What --consistent and --ensemble bring and cost: PSNR, consistency and seconds.

    python benchmarks/consistent.py data/eval/Set5 data/eval/Set14

The protocol `file`: each original is shrunk to an 8-bit RGB picture, enlarged into an 8-bit
one, and the luma of both compared, shaved by the scale. Seconds are sums over the pictures,
in memory, after one that is not counted; all ways take turns at every picture.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vdsr
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import crop_to_multiple

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "consistent": {"consistent": True},
    "ensemble": {"ensemble": True},
}


def _planes(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    return channels.transpose(2, 0, 1).astype(np.float64)


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    planes = _planes(pixels)
    return STUDIO.luma(planes) if len(planes) == 3 else planes[0]


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    head = [f"{way}: dB, levels, s" for way in WAYS]
    print("| | " + " | ".join(head) + " |")
    print("|---|" + "---|" * len(WAYS))
    with vdsr.Upscaler(precision=options.precision) as upscaler:
        upscaler.upscale(np.zeros((64, 64), np.uint8), scale=2)
        for folder in options.folders:
            for scale in (2, 3, 4):
                found = [_one(upscaler, path, scale) for path in sorted(folder.glob("*.png"))]
                cells = []
                for way in WAYS:
                    rows = np.array([one[way] for one in found])
                    psnr, worst, seconds = rows[:, 0].mean(), rows[:, 1].max(), rows[:, 2].sum()
                    cells.append(f"{psnr:.2f}, {worst:.2f}, {seconds:.1f}")
                print(f"| {folder.name} x{scale} | " + " | ".join(cells) + " |", flush=True)


def _one(upscaler: vdsr.Upscaler, path: Path, scale: int) -> dict[str, tuple[float, float, float]]:
    pixels = vdsr.read_image(path)
    planes = crop_to_multiple(_planes(pixels), scale)
    small = np.clip(np.rint(vdsr.imresize(planes, scale=1 / scale)), 0, 255)
    low = np.ascontiguousarray(small.transpose(1, 2, 0)).astype(np.uint8)
    original = planes.transpose(1, 2, 0).astype(np.uint8)
    found = {}
    for way, how in WAYS.items():
        start = time.perf_counter()
        large = upscaler.upscale(low, scale=scale, **how)
        seconds = time.perf_counter() - start
        psnr = vdsr.psnr(_luma(large), _luma(original), data_range=255, border=scale)
        again = vdsr.imresize(_planes(large), scale=1 / scale)
        found[way] = (psnr, float(np.abs(again - small).max()), seconds)
    return found


if __name__ == "__main__":
    main()
