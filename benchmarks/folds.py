"""Whether a fold of 3 or 4 pays at x4: the same training with folds of 2, 3 and 4.

    python benchmarks/folds.py PACK [PACK@SHARE ...] [--steps 1200] [--seeds 1 2] [--evaluate SET]

A fold of N computes on 1/N^2 of the pixels, so a step of a fold of 4 takes about a quarter of
the arithmetic of one of 2. Each fold is trained for as many steps, and again for as much
arithmetic as a fold of 2 gets; x4 alone, since that is where the pixels of the enlarged
picture are fewest, and by seeds that are the same for all, so that differences are those of
the fold and not of the patches. Printed are, per seed and in the mean, the PSNR on kept-out
pictures, that on a set by the protocol `paper`, and the difference to a fold of 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine

SCALE = 4
RECIPE = """
name = "fold-{fold}"
seed = {seed}
ema = 0.99
validations = 2

[network]
fold = {fold}
identity = 0.9
slope = 0.1
slope_steps = {slope_steps}

[data]
scales = [{scale}]
patch = 48
batch = 16
focus = 0.7
rescales = [1.0, 0.75]
validation = 16

[optimizer]
kind = "muon"
momentum = 0.95
other_rate = 0.03
bias_rate = 0.01

[[phases]]
loss = "l1"
until = 0.8
clip_norm = 0.5

[[phases]]
loss = "mse"
clip_norm = 0.05

[[stages]]
depth = 20
steps = {steps}
rate = 0.01
warmup = 0.1
"""


def vdsr(*words: str | Path) -> dict[str, Any]:
    """What a command says as JSON; of a list the last entry."""
    command = [sys.executable, "-m", "vdsr", *map(str, words), "--quiet", "--json"]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found: dict[str, Any] = said[-1] if isinstance(said, list) else said
    return found


def trained(
    work: Path, options: argparse.Namespace, fold: int, steps: int, seed: int
) -> dict[str, Any]:
    """Train one network and give its figures."""
    name = f"fold-{fold}-{steps}-{seed}"
    recipe, model = work / f"{name}.toml", work / f"{name}.onnx"
    text = RECIPE.format(fold=fold, seed=seed, steps=steps, slope_steps=steps // 3, scale=SCALE)
    recipe.write_text(text, encoding="utf-8")
    data = [word for pack in options.packs for word in ("--data", pack)]
    result = vdsr("train", recipe, *data, "--output", model)
    figures = {"fold": fold, "steps": steps, "seed": seed, "seconds": round(result["seconds"])}
    figures["kept_out"] = round(result["psnr"]["kept-out pictures x4"], 3)
    if options.evaluate:
        scores = vdsr("evaluate", "-d", options.evaluate, "-s", str(SCALE), "-m", model)
        figures["set"] = round(scores["psnr"], 3)
    print(json.dumps(figures), flush=True)
    return figures


def main(options: argparse.Namespace) -> None:
    runs = [(2, options.steps), (3, options.steps), (4, options.steps)]
    runs += [(3, options.steps * 9 // 4), (4, options.steps * 4)]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        found = [
            trained(Path(name), options, fold, steps, seed)
            for seed in options.seeds
            for fold, steps in runs
        ]
    rows = []
    for fold, steps in runs:
        row: dict[str, Any] = {"fold": fold, "steps": steps}
        for key in ("kept_out", "set") if options.evaluate else ("kept_out",):
            own, base = (
                [one[key] for one in found if (one["fold"], one["steps"]) == which]
                for which in ((fold, steps), runs[0])
            )
            row[key] = round(statistics.mean(own), 3)
            row[f"{key}_to_fold_2"] = [round(a - b, 3) for a, b in zip(own, base, strict=True)]
        rows.append(row)
        print(json.dumps(row))
    machine.record("folds", {"scale": SCALE, "seeds": options.seeds, "runs": found, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packs", nargs="+", metavar="PACK[@SHARE]")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--evaluate", metavar="SET", help="a folder of pictures, by `paper`")
    parser.add_argument("--folder", help="where networks and checkpoints lie meanwhile")
    main(parser.parse_args())
