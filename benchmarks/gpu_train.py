"""Train on a lent machine that has numpy, torch, Lightning and Pillow, and no more.

    python benchmarks/gpu_train.py PACK FOLDER [--recipe release] [--start-from FILE]

Goes on from the checkpoint in FOLDER, if there is one. SIGTERM makes it save and end, so
that `timeout` bounds it: see `gpu_train.sh`. At home, the checkpoint becomes a model:

    mkdir MODEL.training && cp FOLDER/checkpoint.pt MODEL.training/
    vdsr train release --data PACK -o MODEL.onnx --resume
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from vdsr.data.packfile import read_pack
from vdsr.training.recipe_file import load_recipe
from vdsr.training.run import Start, TrainingOptions
from vdsr.training.trainer import train


def main(pack: Path, folder: Path, name: str, start_from: Path | None, trained_on: str) -> None:
    start = None
    if start_from is not None:
        # It needs the package safetensors for such files, and numpy for those of torch.
        from vdsr.checkpoints.reader import read_checkpoint

        origin = f"{start_from.name} (trained on {trained_on})"
        start = Start(architecture=read_checkpoint(start_from), origin=origin)
    recipe = load_recipe(name)
    print(f"matrix products: {matrix_rate(recipe.precision):.1f} TFLOP/s", flush=True)
    outcome = train(
        recipe,
        read_pack(pack),
        folder,
        start=start,
        resume=True,
        options=TrainingOptions(save_seconds=60.0, say=lambda line: print(line, flush=True)),
    )
    pixels = outcome.steps * recipe.data.batch * recipe.data.patch**2
    work = 6 * outcome.architecture.macs_per_pixel * pixels
    state = "finished" if outcome.finished else "not finished: the same command goes on"
    print(
        f"{outcome.steps} steps in {outcome.seconds:.0f} s on {outcome.device}:"
        f" {pixels / outcome.seconds / 1e6:.2f} Mpixel/s,"
        f" {work / outcome.seconds / 1e12:.1f} TFLOP/s; {state}"
    )


def matrix_rate(precision: str) -> float:
    """TFLOP/s of a square product in the recipe's precision, the best of ten."""
    kinds = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}
    gpu = torch.cuda.is_available()
    side, device = (8192, "cuda") if gpu else (1024, "cpu")
    a = torch.rand(side, side, device=device, dtype=kinds[precision])
    best = float("inf")
    for _ in range(10):
        begun = time.perf_counter()
        a @ a
        if gpu:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best / 1e12


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="release")
    parser.add_argument("--start-from", type=Path)
    parser.add_argument("--start-data", default="unknown")
    given = parser.parse_args()
    main(given.pack, given.folder, given.recipe, given.start_from, given.start_data)
