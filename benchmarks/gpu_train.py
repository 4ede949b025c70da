"""Train on a lent machine that has numpy, torch, Lightning and Pillow, and no more.

    python benchmarks/gpu_train.py FOLDER RECIPE PACK[@SHARE] ... [--start-from NAME|MODEL.onnx]

Goes on from the checkpoint in FOLDER, if there is one. SIGTERM makes it save and end, so
that `timeout` bounds it: see `gpu_train.sh`. At home, the checkpoint becomes a model:

    mkdir MODEL.training && cp FOLDER/checkpoint.pt MODEL.training/
    vdsr train RECIPE --data PACK[@SHARE] --data ... -o MODEL.onnx --resume
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from vdsr.data.packfile import join_packs, read_pack
from vdsr.model.file import load_model
from vdsr.training.recipe_data import source_of
from vdsr.training.recipe_file import load_recipe
from vdsr.training.run import Start, TrainingOptions
from vdsr.training.trainer import train


def main(folder: Path, name: str, packs: list[str], start_from: str | None) -> None:
    start = None if start_from is None else Start.of(load_model(start_from))
    recipe = load_recipe(name)
    print(f"matrix products: {matrix_rate():.1f} TFLOP/s", flush=True)
    sources = [source_of(text) for text in packs]
    outcome = train(
        recipe,
        join_packs(
            [read_pack(Path(source.path)) for source in sources],
            [source.share for source in sources],
        ),
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


def matrix_rate() -> float:
    """TFLOP/s of a square product in bfloat16, the best of ten."""
    gpu = torch.cuda.is_available()
    side, device = (8192, "cuda") if gpu else (1024, "cpu")
    a = torch.rand(side, side, device=device, dtype=torch.bfloat16)
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
    parser.add_argument("folder", type=Path)
    parser.add_argument("recipe")
    parser.add_argument("packs", nargs="+", metavar="PACK[@SHARE]")
    parser.add_argument("--start-from", metavar="NAME|MODEL.onnx")
    given = parser.parse_args()
    main(given.folder, given.recipe, given.packs, given.start_from)
