"""How many channels of a network are hardly ever above zero, layer by layer.

    python benchmarks/idle_channels.py PACK [--model vdsr-photo] [--batches 8]

Patches are drawn and damaged as the recipe `photo` has them, for networks of luma without
damage. Behind every layer but the last those channels are counted that are above zero
nowhere, and those on less than 1 % of all px.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import machine
import torch

from vdsr.data.packfile import read_pack
from vdsr.model.file import load_model
from vdsr.training.network import VDSR
from vdsr.training.patches import Patches
from vdsr.training.recipe_file import load_recipe

RARE = 0.01


@torch.no_grad()
def main(path: Path, name: str, batches: int) -> None:
    model, recipe = load_model(name), load_recipe("photo")
    taken, data = model.architecture, recipe.data
    color = taken.planes == 3
    patches = Patches(
        read_pack(path).pictures,
        scales=data.scales if color else (2, 3, 4),
        patch=data.patch,
        batch=data.batch,
        planes=taken.planes,
        focus=data.focus,
        damage=recipe.damage if color else None,
    )
    network = VDSR(depth=taken.depth, fold=taken.fold, planes=taken.planes)
    network.load_architecture(taken)
    layers = list(network.convolutions)[:-1]
    above = torch.zeros(len(layers), layers[0].out_channels)
    for i in range(batches):
        h = network.folded(patches(i).degraded)
        for k, layer in enumerate(layers):
            h = layer(h).relu_()
            above[k] += (h > 0).float().mean((0, 2, 3)) / batches
    rows = [
        {"layer": k + 1, "never": int((row == 0).sum()), "rare": int((row < RARE).sum())}
        for k, row in enumerate(above)
    ]
    print(f"of {above.shape[1]} channels\nbehind layer  never above 0  on under 1 %")
    for row in rows:
        print(f"{row['layer']:12}  {row['never']:13}  {row['rare']:12}")
    settings = {"model": f"{name} {model.metadata.version}", "batches": batches}
    machine.record(f"idle-channels-{name}", {**settings, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", type=Path, help="made by vdsr data pack --color")
    parser.add_argument("--model", default="vdsr-photo")
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    main(options.pack, options.model, options.batches)
