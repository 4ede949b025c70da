"""Put one layer in the place of a network's first ones, and identities behind it if wanted.

    python benchmarks/shorten.py vdsr-fast cc0.pack --layers 8 -o short.onnx

`benchmarks/layers.py` shows that the first layers of the folded networks hand on few channels,
and add little to them. The new layer is the linear one that comes nearest, by least squares,
to what the last of them gives before its ReLU; how far below zero that lies does not matter,
so that it counts as one standard deviation at most. The result is worse than the network was,
and a place to train a shorter one from (`vdsr train --start-from`).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from training_patches import network_and_patches

from vdsr.model.architecture import Layer
from vdsr.model.file import load_model
from vdsr.model.onnx_writer import model_bytes
from vdsr.outputs import write_whole
from vdsr.training.growth import identity

# Of what the least squares are weighted against, so that channels that hardly vary do not
# get weights without measure.
_RIDGE = 1e-6


def nearest(given: Tensor, wanted: Tensor) -> Layer:
    """A 3x3 layer that makes about `wanted` of `given`.

    Args:
        given: float `[N, C, H, W]`.
        wanted: float `[N, K, H, W]`, before a ReLU.
    """
    columns = functional.unfold(given, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    aims = wanted.permute(0, 2, 3, 1).flatten(0, 2).double()
    aims = torch.maximum(aims, -aims.relu().std(0).clamp(min=1e-4))
    middle = columns.mean(0)
    columns = torch.cat([columns - middle, torch.ones(len(columns), 1).double()], 1)
    square = columns.T @ columns + _RIDGE * len(columns) * torch.eye(columns.shape[1]).double()
    found = torch.linalg.solve(square, columns.T @ aims)
    bias = found[-1] - middle @ found[:-1]
    weight = found[:-1].T.reshape(wanted.shape[1], given.shape[1], 3, 3)
    return Layer(weight=weight.numpy().astype(np.float32), bias=bias.numpy().astype(np.float32))


@torch.no_grad()
def main(name: str, path: Path, layers: int, more: int, batches: int, goal: Path) -> None:
    model = load_model(name)
    network, patches = network_and_patches(model, path)
    given, wanted = [], []
    for i in range(batches):
        h = network.folded(patches(i).degraded)
        given.append(h)
        for layer in network.convolutions[: layers - 1]:
            h = layer(h).relu_()
        wanted.append(network.convolutions[layers - 1](h))
    first = nearest(torch.cat(given), torch.cat(wanted))
    taken = model.architecture
    rest = taken.layers[layers:]
    short = replace(taken, layers=(first, *[identity(first)] * more, *rest))
    write_whole(goal, model_bytes(short, model.metadata))
    print(f"{goal}: {short.depth} layers of {taken.depth}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("pack", type=Path)
    parser.add_argument("--layers", type=int, required=True, help="that one layer replaces")
    parser.add_argument("--identities", type=int, default=0, help="layers that change nothing")
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--output", "-o", type=Path, required=True)
    given = parser.parse_args()
    main(given.model, given.pack, given.layers, given.identities, given.batches, given.output)
