"""What a start without brightness, and a linear one, bring in the first steps of vdsr-photo.

    python benchmarks/starts.py COLOR_PACK [--steps 400] [--seeds 1 2]

Networks of 8 layers, folded by 2, of Y, Cb and Cr, are trained from random weights as the
recipe `photo` does, alike but for `network.zero_sum` and `network.looks_linear`. Printed is the
PSNR of kept-out pictures: `damaged`, and clean ones by scale.
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

RECIPE = """
name = "start"
seed = {seed}
ema = 0.98
validations = 1

[network]
fold = 2
planes = 3
zero_sum = {zero_sum}
looks_linear = {looks_linear}

[data]
scales = [1, 1.5, 2, 2, 3, 3, 4, 4]
patch = 72
batch = 8
focus = 0.7
rescales = [1.0, 0.75]
validation = 16

[damage]
share = 0.7
noise = 0.4

[optimizer]
kind = "muon"
momentum = 0.95
other_rate = 0.03
bias_rate = 0.003

[[phases]]
loss = "log_mse"
clip_norm = 0.5

[[stages]]
depth = 8
steps = {steps}
rate = 0.012
warmup_steps = 100
"""


def main(pack: str, steps: int, seeds: list[int]) -> None:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        recipe, model = Path(name) / "recipe.toml", Path(name) / "model.onnx"
        for zero_sum, looks_linear in ((0, 0), (1, 0), (0, 1), (1, 1)):
            settings = {"zero_sum": bool(zero_sum), "looks_linear": bool(looks_linear)}
            written = {key: str(value).lower() for key, value in settings.items()}
            scores: list[dict[str, float]] = []
            for seed in seeds:
                text = RECIPE.format(seed=seed, steps=steps, **written)
                recipe.write_text(text, encoding="utf-8")
                found = vdsr("train", recipe, "--data", pack, "--output", model, "--overwrite")
                scores.append(found["psnr"])
            mean = {key: round(statistics.mean(s[key] for s in scores), 3) for key in scores[0]}
            rows.append(settings | {"psnr": mean, "seeds": scores})
            print(json.dumps(settings | mean), flush=True)
    machine.record("starts", {"steps": steps, "seeds": seeds, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", help="made by vdsr data pack --color")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    main(options.pack, options.steps, options.seeds)
