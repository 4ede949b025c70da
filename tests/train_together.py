"""Train a tiny network for 50 steps, alone or by torchrun, and keep its weights.

    python train_together.py OPTIMIZER PRECISION FOLDER

The first process writes `FOLDER/weights.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vdsr.data.packfile import make_pack
from vdsr.training import lightning, trainer
from vdsr.training.module import StageModule
from vdsr.training.recipe_file import parse_recipe
from vdsr.training.run import Outcome, TrainingOptions

RECIPE = """
name = "together"
ema = 0.0
validations = 0
precision = "{precision}"
[network]
width = 8
quiet = false
[data]
scales = [2, 3]
patch = 18
batch = 8
validation = 0
[optimizer]
kind = "{kind}"
[[phases]]
loss = "mse"
reduction = "{reduction}"
until = 0.5
clip_norm = 0.5
[[phases]]
loss = "l1"
[[stages]]
depth = 4
steps = 50
rate = {rate}
"""


class Keeping(StageModule):
    def on_train_end(self) -> None:
        if lightning.leads():
            weights = {name: p.detach().numpy() for name, p in self.network.named_parameters()}
            np.savez(Path(sys.argv[3]) / "weights.npz", **weights)
        super().on_train_end()


def run(
    kind: str, precision: str, folder: Path, options: TrainingOptions, *, resume: bool = False
) -> Outcome:
    """Train; checkpoint and logs go to `FOLDER/run`."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (60, 60)).astype(np.uint8) for _ in range(4)]
    pack = make_pack(pictures, list("abcd"), data="noise", license="CC0")
    sgd = kind == "sgd"
    text = RECIPE.format(
        kind=kind,
        precision=precision,
        reduction="sum" if sgd else "mean",
        rate=0.01 if sgd else 0.001,
    )
    recipe = parse_recipe(text)
    return trainer.train(recipe, pack, folder / "run", resume=resume, options=options)


if __name__ == "__main__":
    trainer.StageModule = Keeping  # type: ignore[misc]
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), TrainingOptions(threads=1))
