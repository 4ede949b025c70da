"""Pictures that tests make, and what is done to them."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from vdsr.imaging.degrade import shrink


@cache
def scene(seed: int = 0, side: int = 192) -> np.ndarray:
    """Discs, bars, shades and fine cloth, antialiased, uint8 `[side, side, 3]`."""
    rng = np.random.default_rng(seed)
    large = 4 * side
    y, x = np.mgrid[:large, :large].astype(np.float32)
    picture = np.stack([120 + 60 * np.sin(x / 300 + k) + 30 * np.cos(y / 200) for k in range(3)])
    for _ in range(30):
        cy, cx, r = *rng.uniform(0, large, 2), rng.uniform(20, 150)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2
        cloth = 12 * np.sin((x + y) * rng.uniform(0.05, 0.2))
        picture[:, inside] = rng.uniform(20, 235, (3, 1)) + cloth[inside]
    small = shrink(picture.astype(np.float32), 4)
    return np.clip(np.rint(small), 1, 254).astype(np.uint8).transpose(1, 2, 0)


def jpeg(picture: np.ndarray, quality: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def through_jpeg(picture: np.ndarray, quality: int, **options: object) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(jpeg(picture, quality, **options))))


def noisy(picture: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, level, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
