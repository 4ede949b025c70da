"""Training speed: Mpixel per second, and the share of what matrix products reach here.

    python benchmarks/training_speed.py PACK [--recipe cpu] [--threads 0] [--rounds 8]

A step is everything: making the batch, forward, backward, optimizer. Its arithmetic is
counted as 6 x multiply-accumulates x pixels: 2 for the output, 4 for both gradients. The
rate to compare with is that of torch's own product of two square matrices in the recipe's
precision, by as many threads, measured between the steps, since the speed of machines
wanders. The best of all rounds counts on both sides. The loader is timed alone, on the
same device.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import torch

from vdsr.data.packfile import read_pack
from vdsr.training import lightning
from vdsr.training.losses import loss
from vdsr.training.module import build_network
from vdsr.training.optimizers import Muon
from vdsr.training.parallel import Parallel, flush
from vdsr.training.patches import Patches
from vdsr.training.recipe_file import load_recipe

SIDE = 2048


def main(path: Path, name: str, threads: int, rounds: int) -> None:
    recipe, pack = load_recipe(name), read_pack(path)
    data = recipe.data
    patches = Patches(
        pack.pictures,
        scales=data.scales,
        patch=data.patch,
        batch=data.batch,
        rescales=data.rescales,
        focus=data.focus,
        planes=recipe.network.planes,
        damage=recipe.damage,
    )
    network = build_network(recipe.network, recipe.stages[-1].depth)
    layers = list(network.convolutions)
    for layer in layers:
        # As the trainer has them.
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    optimizer = Muon(
        [layer.weight for layer in layers[1:-1]],
        [layers[0].weight, layers[-1].weight],
        [layer.bias for layer in layers if layer.bias is not None],
        rate=1e-3,
        other_rate=1e-4,
    )
    precision = lightning.settled(recipe.precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.rand(2, SIDE, SIDE).to(dtype)
    parallel = Parallel(network, threads, dtype=dtype)

    flush()
    # As the trainer does it: the next batch is made while this one is worked on.
    ahead = ThreadPoolExecutor(1, initializer=flush)
    waiting = [ahead.submit(patches, 0)]

    def step() -> None:
        batch = waiting.pop().result()
        waiting.append(ahead.submit(patches, 0))
        optimizer.zero_grad()
        loss(parallel(batch.degraded), batch.original, "l1", "mean").backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    pixels = data.batch * data.patch**2
    work = 6 * network.architecture().macs_per_pixel * pixels
    steps, products, loads = [], [], []
    for i in range(rounds):
        torch.set_num_threads(1)
        steps.append(seconds(step))
        loads.append(seconds(lambda i=i: patches(i)))  # type: ignore[misc]
        torch.set_num_threads(threads)
        products.append(seconds(lambda: a @ b))
    parallel.close()
    ahead.shutdown()
    rate, best = work / min(steps) / 1e9, 2 * SIDE**3 / min(products) / 1e9
    figures = {
        "recipe": name,
        "threads": threads,
        "precision": precision,
        "seconds_per_step": min(steps),
        "megapixels_per_second": pixels / min(steps) / 1e6,
        "gflops": rate,
        "gflops_of_matrix_products": best,
        "share": rate / best,
        "loader_megapixels_per_second": pixels / min(loads) / 1e6,
        "loader_to_network": min(steps) / min(loads),
    }
    for key, value in figures.items():
        print(f"{key:<30}{value if isinstance(value, str) else f'{value:.4g}'}")
    machine.record(f"training-speed-{name}", figures)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("--recipe", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    main(given.pack, given.recipe, given.threads, given.rounds)
