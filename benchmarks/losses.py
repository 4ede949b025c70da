"""What a loss and a depth bring in the first steps of learning to restore JPEGs.

    python benchmarks/losses.py COLOR_PACK [--steps 400] [--seeds 1 2]

Networks folded by 2, of Y, Cb and Cr, are trained from random weights on patches that keep
their size and were saved as JPEG of quality 10 to 60, alike but for the loss and the number of
layers. Printed is by how many dB they improve kept-out pictures that are damaged alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import machine
from folds import vdsr

RUNS = (("l1", 8), ("mse", 8), ("log_mse", 8), ("log_mse", 20))
RECIPE = """
name = "{loss}-{depth}"
seed = {seed}
ema = 0.98
validations = 1

[network]
fold = 2
planes = 3

[data]
scales = [1]
patch = 64
batch = 16
focus = 0.7
rescales = [1.0, 0.75]
validation = 16

[damage]
share = 1.0
noise = 0.0
jpeg = 1.0
again = 0.0
mozjpeg = 0.0
qualities = [10, 60]

[optimizer]
kind = "muon"
momentum = 0.95
other_rate = 0.03
bias_rate = 0.003

[[phases]]
loss = "{loss}"
clip_norm = 0.5

[[stages]]
depth = {depth}
steps = {steps}
rate = 0.01
warmup = 0.1
"""


def main(pack: str, steps: int, seeds: list[int]) -> None:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        recipe, model = Path(name) / "recipe.toml", Path(name) / "model.onnx"
        for loss, depth in RUNS:
            gains = []
            for seed in seeds:
                text = RECIPE.format(loss=loss, depth=depth, steps=steps, seed=seed)
                recipe.write_text(text, encoding="utf-8")
                found = vdsr("train", recipe, "--data", pack, "--output", model, "--overwrite")
                (gain,) = found["psnr"].values()
                (before,) = found["bicubic"].values()
                gains.append(round(gain - before, 3))
            row = {"loss": loss, "layers": depth, "gains": gains}
            rows.append(row | {"gain": round(statistics.mean(gains), 3)})
            print(json.dumps(rows[-1]), flush=True)
    machine.record("losses", {"steps": steps, "seeds": seeds, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", help="made by vdsr data pack --color")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    main(options.pack, options.steps, options.seeds)
