"""What goes on behind the layers of a network, and what bfloat16 takes from it.

    python benchmarks/layers.py PACK [--model vdsr-photo] [--batches 8]

Patches are drawn and damaged as the recipe `photo` has them, for networks of luma without
damage. Behind every layer but the last those channels are counted that are above zero
nowhere, those on less than 1 % of all px, and the fewest that carry 99.9 % of what the next
layer gets: a channel's variance within the middles of patches, times the squared norm of the
weights that take it. Beside them stand the largest value and the largest singular value of the
layer's weights, a row for each output channel. Then the network runs as the recipes with
`precision = "bf16"` have it: how far its luma is from that in float32, root mean square in
levels of 255, and what PSNR it has for it, the mean over patches.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from statistics import fmean

import machine
import torch
from training_patches import network_and_patches

from vdsr.model.file import load_model

RARE = 0.01
CARRIED = 0.999


def psnr(restored: torch.Tensor, original: torch.Tensor) -> float:
    """Of luma, in dB, the mean over patches; those that need nothing are left out."""
    errors = (restored - original)[:, :1].square().flatten(1).mean(1)
    return fmean(-10.0 * math.log10(e) for e in errors.tolist() if e > 1e-8)


def carriers(variance: torch.Tensor, behind: torch.Tensor) -> int:
    """The fewest channels that carry `CARRIED` of what a layer with weights `behind` gets."""
    parts = (variance * behind.square().sum((0, 2, 3))).sort(descending=True).values
    return int((parts.cumsum(0) < CARRIED * parts.sum()).sum()) + 1


@torch.no_grad()
def main(path: Path, name: str, batches: int) -> None:
    model = load_model(name)
    network, patches = network_and_patches(model, path)
    layers = list(network.convolutions)[:-1]
    above = torch.zeros(len(layers), layers[0].out_channels)
    largest = torch.zeros(len(layers))
    variance = torch.zeros_like(above)
    off, single, half = [], [], []
    for i in range(batches):
        batch = patches(i)
        h = network.folded(batch.degraded)
        for k, layer in enumerate(layers):
            h = layer(h).relu_()
            above[k] += (h > 0).float().mean((0, 2, 3)) / batches
            largest[k] = torch.maximum(largest[k], h.amax())
            edge = h.shape[2] // 4
            middle = h[:, :, edge:-edge, edge:-edge]
            variance[k] += middle.flatten(2).var(2).mean(0) / batches
        exact = network(batch.degraded)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(batch.degraded).float()
        off.append(float((rounded - exact)[:, :1].square().mean()))
        single.append(psnr(exact, batch.original))
        half.append(psnr(rounded, batch.original))
    norms = [float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) for layer in layers]
    rows = [
        {
            "layer": k + 1,
            "never": int((row == 0).sum()),
            "rare": int((row < RARE).sum()),
            "carriers": carriers(variance[k], network.convolutions[k + 1].weight),
            "largest": round(float(largest[k]), 2),
            "norm": round(norms[k], 2),
        }
        for k, row in enumerate(above)
    ]
    print(f"of {above.shape[1]} channels")
    print("behind layer  never above 0  under 1 %  carriers  largest value  singular value")
    for row in rows:
        line = "{layer:12}  {never:13}  {rare:9}  {carriers:8}  {largest:13}  {norm:14}"
        print(line.format(**row))
    figures = {
        "levels": round(255.0 * math.sqrt(fmean(off)), 3),
        "psnr_float32": round(fmean(single), 3),
        "psnr_bfloat16": round(fmean(half), 3),
    }
    print("in bfloat16 {levels} levels from float32: {psnr_bfloat16} dB,".format(**figures))
    print("in float32 {psnr_float32} dB".format(**figures))
    settings = {"model": f"{model.metadata.name} {model.metadata.version}", "batches": batches}
    machine.record(f"layers-{model.metadata.name}", {**settings, "rows": rows, "bfloat16": figures})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", type=Path, help="made by vdsr data pack --color")
    parser.add_argument("--model", default="vdsr-photo")
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    main(options.pack, options.model, options.batches)
