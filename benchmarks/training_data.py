"""Do more pictures make a better network? Paired runs, the same seeds on both sides.

    python benchmarks/training_data.py FIRST.pack MORE.pack ... [--seeds 3] [--steps 800]

One side trains on the first pack, the other one on all; recipe, seeds and steps are the
same. Every 40th picture of every pack is kept from both, and measured, pack by pack:
evaluation sets decide nothing here. Reduced: 6 layers, width 64, bfloat16 where --bf16 is
given. A difference counts if its mean over the seeds is more than twice its standard error.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np

from vdsr.data.packfile import Pack, join_packs, make_pack, read_pack
from vdsr.training.module import build_network
from vdsr.training.recipe import DataSettings, OptimizerSettings, Phase, Recipe, Stage
from vdsr.training.trainer import train
from vdsr.training.validation import Validation

SCALES = (2, 3, 4)
EVERY = 40


def recipe(seed: int, steps: int, precision: str) -> Recipe:
    return Recipe(
        name="training data",
        seed=seed,
        precision=precision,
        ema=0.99,
        validations=1,
        data=DataSettings(scales=SCALES, patch=48, batch=8, focus=0.7, rescales=(1.0, 0.7, 0.5)),
        optimizer=OptimizerSettings(kind="muon", momentum=0.95),
        phases=(Phase(loss="l1", until=0.8, clip_norm=0.5), Phase(loss="mse", clip_norm=0.05)),
        stages=(Stage(depth=6, steps=steps, rate=0.01, warmup=0.05),),
    )


def split(pack: Pack) -> tuple[Pack, Pack]:
    """What is trained on, and what is kept out."""
    kept = [i for i in range(len(pack.pictures)) if i % EVERY == EVERY // 2]
    sides = []
    for wanted in (False, True):
        chosen = [i for i in range(len(pack.pictures)) if (i in kept) == wanted]
        sides.append(
            make_pack(
                [pack.pictures[i] for i in chosen],
                [pack.names[i] for i in chosen],
                data=pack.data,
                license=pack.license,
            )
        )
    return sides[0], sides[1]


def run(pack: Pack, one: Recipe, kept: dict[str, Validation]) -> dict[str, dict[str, float]]:
    """Train, and measure on the kept-out pictures of every pack."""
    with tempfile.TemporaryDirectory() as folder:
        architecture = train(one, pack, Path(folder)).architecture
    network = build_network(one.network, architecture.depth)
    network.load_architecture(architecture)
    return {name: validation.measure(network) for name, validation in kept.items()}


def main(paths: list[Path], seeds: int, steps: int, precision: str) -> None:
    halves = [split(read_pack(path)) for path in paths]
    kept = {out.data: Validation(out.pictures, SCALES, "cpu") for _, out in halves}
    sides = {"first": halves[0][0], "all": join_packs([half[0] for half in halves])}
    found: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        one = recipe(seed, steps, precision)
        psnr = {side: run(pack, one, kept) for side, pack in sides.items()}
        found.append({"seed": seed, "psnr": psnr})
        print(f"seed {seed}: " + "; ".join(gains(psnr)), flush=True)
    summary = {}
    for name in kept:
        for scale in (f"x{s}" for s in SCALES):
            gain = [f["psnr"]["all"][name][scale] - f["psnr"]["first"][name][scale] for f in found]
            mean, error = float(np.mean(gain)), float(np.std(gain, ddof=1) / np.sqrt(seeds))
            summary[f"{name} {scale}"] = {"gain": mean, "standard_error": error}
            print(f"{name:<24}{scale}: {mean:+.3f} dB, standard error {error:.3f}")
    machine.record(
        "training-data",
        {
            "packs": {side: {"data": p.data, "pixels": p.pixels} for side, p in sides.items()},
            "steps": steps,
            "precision": precision,
            "runs": found,
            "summary": summary,
        },
    )


def gains(psnr: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    return [
        f"{name} " + ", ".join(f"{s} {psnr['all'][name][s] - value:+.3f}" for s, value in a.items())
        for name, a in psnr["first"].items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    if len(given.packs) < 2 or given.seeds < 2:
        parser.error("two packs and two seeds at least")
    main(given.packs, given.seeds, given.steps, "bf16" if given.bf16 else "32")
