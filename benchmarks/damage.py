"""How often pictures are judged rightly to be clean or damaged, and what a wrong choice costs.

    python benchmarks/damage.py PICTURES [--clean MODEL] [--damaged MODEL]

Two hundred pictures are made from lossless photographs, drawings and textures in a folder,
whose names may say the kind (`-draw`, `-texture`); each is shrunk to half, so that nothing
that its camera left is seen, and then left as it is, saved as JPEG of quality 20 to 98, saved
twice at another offset, or given noise of 0 to 15 levels. With two models each picture is
also enlarged x2 by both, and the mean loss of the wrong choices is printed in dB. Never give
it pictures that models are evaluated on: the thresholds of `vdsr.inference.damage` are set by
what is seen here.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

import vdsr
from vdsr.imaging.degrade import crop_to_multiple, shrink
from vdsr.inference.damage import Damage, judge
from vdsr.inference.pictures import opened

Picture = NDArray[np.uint8]
COUNT = 200
# Below, clean and damaged cannot be told apart by eye, and hardly by what a network gains.
FAINT_NOISE = 2.0


def saved(picture: Picture, quality: int) -> bytes:
    image = pyvips.Image.new_from_array(picture).copy(interpretation="srgb")
    data: bytes = image.jpegsave_buffer(Q=quality)
    return data


def decoded(data: bytes) -> Picture:
    pixels: Picture = pyvips.Image.new_from_buffer(data, "").numpy()
    return pixels


def noisy(picture: Picture, deviation: float, rng: np.random.Generator) -> Picture:
    noise = rng.normal(0, deviation, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def twice(picture: Picture, first: int) -> bytes:
    """At 95 at last, and not on the grid of the first time."""
    once = decoded(saved(np.roll(picture, (3, 5), (0, 1)), first))
    return saved(np.roll(once, (-3, -5), (0, 1)), 95)


def kinds(rng: np.random.Generator) -> list[tuple[str, bool, Callable[[Picture], Picture | bytes]]]:
    """Name of the damage, whether there is any, and what makes it."""
    quality, deviation = int(rng.integers(20, 99)), float(rng.uniform(FAINT_NOISE, 15))
    low = int(rng.integers(20, 80))
    return [
        ("clean", False, lambda a: a),
        ("clean", False, lambda a: a),
        ("JPEG 20 to 98, as file", True, lambda a: saved(a, quality)),
        ("JPEG 20 to 98, as pixels", True, lambda a: decoded(saved(a, quality))),
        ("JPEG saved twice", True, lambda a: twice(a, low)),
        ("noise of 2 to 15", True, lambda a: noisy(a, deviation, rng)),
        ("noise of 0 to 2", False, lambda a: noisy(a, FAINT_NOISE * rng.random(), rng)),
    ]


def psnr(result: Picture, original: Picture) -> float:
    weights = np.array([65.481, 128.553, 24.966]) / 255
    difference = ((result.astype(float) - original) @ weights)[2:-2, 2:-2]
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--clean", help="the model for clean pictures")
    parser.add_argument("--damaged", help="the model for damaged ones")
    options = parser.parse_args()
    models = [vdsr.Upscaler(m) for m in (options.clean, options.damaged) if m is not None]
    rng = np.random.default_rng(0)
    paths = sorted(path for path in options.pictures.iterdir() if path.is_file())
    table: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    losses: list[float] = []
    for i in range(COUNT):
        path = paths[i * len(paths) // COUNT]
        original = vdsr.read_image(path)[..., :3].transpose(2, 0, 1)
        original = crop_to_multiple(original, 2)
        small = shrink(original.astype(np.float32), 2).transpose(1, 2, 0)
        made = kinds(rng)
        name, damaged, spoil = made[i % len(made)]
        given = spoil(np.clip(np.rint(small), 0, 255).astype(np.uint8))
        with opened(given) as picture:
            found: Damage = judge(picture)
        chosen = bool(found.found)
        table[name, damaged].append(chosen)
        if len(models) == 2:
            scores = [
                psnr(np.asarray(m.upscale(given, scale=2)), original.transpose(1, 2, 0))
                for m in models
            ]
            losses.append(max(scores) - scores[chosen])
    print(f"{COUNT} pictures           judged clean  judged damaged")
    for (name, _), answers in table.items():
        print(f"{name:<26}{answers.count(False):>8}{answers.count(True):>14}")
    if losses:
        wrong = [loss for loss in losses if loss > 0]
        print(
            f"the other model would have been better for {len(wrong)} pictures, by"
            f" {np.mean(wrong or [0]):.3f} dB on average: {np.mean(losses):.3f} dB over all"
        )


if __name__ == "__main__":
    main()
