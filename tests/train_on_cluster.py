"""Train the network of `train_together.py` by Ray Train; a process is killed in the middle.

    python train_on_cluster.py FOLDER

writes `FOLDER/weights.npz`, and `FOLDER/killed` when the second process is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import train_together
from vdsr.cluster.options import ClusterOptions
from vdsr.cluster.training import train_on_cluster
from vdsr.training.run import Outcome, TrainingOptions


class Killer:
    """Asked after every step whether to stop; once it kills its process instead."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark
        self._steps = 0

    def __call__(self) -> bool:
        self._steps += 1
        if self._steps == 20 and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def work(folder: Path, options: TrainingOptions) -> Outcome:
    """What each process does, with a checkpoint after every step."""
    options = replace(options, save_seconds=0.0)
    if os.environ["RANK"] == "1":
        options = replace(options, stopped=Killer(folder / "killed"))
    return train_together.run("sgd", "32", folder, options, resume=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    outcome = train_on_cluster(
        partial(work, folder),
        folder / "run",
        ClusterOptions(),
        TrainingOptions(devices=2, threads=1),
    )
    assert (outcome.steps, outcome.finished) == (50, True)
    layers = outcome.architecture.layers
    arrays = [array for layer in layers for array in (layer.weight, layer.bias)]
    np.savez(folder / "weights.npz", *arrays)
