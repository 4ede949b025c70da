"""How far a training run is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vdsr.training.recipe import Stage


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training run is.

    Attributes:
        stage: the stage at work, from 1.
        stages: how many there are.
        layers: of the network in this stage.
        share: of the whole run that is done, 0..1.
        seconds: of training so far, those before an interruption included.
        loss: of late; None before it was looked at.
        psnr: on kept-out pictures, of late, `{"x2": ..., ...}` in dB; empty before.
    """

    stage: int
    stages: int
    layers: int
    share: float
    seconds: float
    loss: float | None
    psnr: Mapping[str, float]


OnTraining = Callable[[TrainingProgress], None]


def share_of_run(stages: Sequence[Stage], at: int, done: float) -> float:
    """Share of a run that is done, 0..1.

    Stages count by their minutes, or by their steps; where some have the one and some the
    other, all count alike, since what a step takes is not known before.

    Args:
        stages: of the recipe.
        at: index of the stage at work.
        done: share of that stage.
    """
    sizes = [stage.minutes for stage in stages]
    if not all(sizes):
        sizes = [float(stage.steps) for stage in stages]
    if not all(sizes):
        sizes = [1.0] * len(stages)
    return (sum(sizes[:at]) + done * sizes[at]) / sum(sizes)
