"""Which factors should enlarge by more than 4 in two passes?

    python benchmarks/passes.py FOLDER

Photographs of FOLDER (gray, or the luma of RGB; no side below 240 px; the middle of
each is taken) are shrunk, rounded to 8 bits, and enlarged in two passes by the shipped
network. PSNR on luma, shaved by the scale; the mean over the pictures.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from vdsr.errors import InputError
from vdsr.imaging.color import STUDIO
from vdsr.imaging.files import PictureReader
from vdsr.imaging.metrics import psnr
from vdsr.imaging.resample import imresize
from vdsr.inference import backends
from vdsr.inference.backends import Backend
from vdsr.model.architecture import FloatArray
from vdsr.model.file import load_model

SIDE = 240
PICTURES = 24
FACTORS: dict[int, list[tuple[float, ...]]] = {
    6: [(4, 1.5), (1.5, 4), (3, 2), (2, 3), (math.sqrt(6),) * 2],
    8: [(4, 2), (2, 4), (math.sqrt(8),) * 2, (2, 2, 2)],
    12: [(4, 3), (3, 4), (math.sqrt(12),) * 2],
}


def main(folder: Path) -> None:
    model = load_model()
    network = backends.open_backend(model, backends.choose(model))
    pictures = [y for path in sorted(folder.iterdir()) if (y := luma(path)) is not None]
    pictures = pictures[:: max(1, len(pictures) // PICTURES)][:PICTURES]
    for scale, choices in FACTORS.items():
        small = [to_8_bits(imresize(y, scale=1 / scale)) for y in pictures]
        for factors in choices:
            scores = []
            for y, x in zip(pictures, small, strict=True):
                scores.append(psnr(enlarge(network, x, factors), y, data_range=1.0, border=scale))
            text = " x ".join(f"{factor:.3g}" for factor in factors)
            print(f"x{scale:<3} {text:<12} {np.mean(scores):.3f} dB")


def to_8_bits(y: FloatArray) -> FloatArray:
    return np.asarray(np.round(y * 255) / 255, np.float32)


def enlarge(network: Backend, y: FloatArray, factors: tuple[float, ...]) -> FloatArray:
    """Bicubic and network, once per factor."""
    for factor in factors[:-1]:
        y = restore(network, imresize(y, scale=float(factor)))
    return restore(network, imresize(y, size=(SIDE, SIDE)))


def restore(network: Backend, y: FloatArray) -> FloatArray:
    return np.asarray(np.clip(network.run(y[None, None])[0, 0], 0.0, 1.0), np.float32)


def luma(path: Path) -> FloatArray | None:
    """The middle of a picture's luma / 255; None for what cannot be used."""
    try:
        reader = PictureReader(path)
        pixels = np.concatenate(list(reader.strips())).astype(np.float32)
    except InputError:
        return None
    if min(pixels.shape[:2]) < SIDE or reader.dtype != "uint8":
        return None
    planes = pixels.transpose(2, 0, 1)
    y = STUDIO.luma(planes[:3]) if len(planes) >= 3 else planes[0]
    top, left = (y.shape[0] - SIDE) // 2, (y.shape[1] - SIDE) // 2
    return np.asarray(y[top : top + SIDE, left : left + SIDE] / 255, np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
