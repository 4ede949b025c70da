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
        seconds: of training so far, those before an interruption included.
        left: seconds of training to go; None for a run without an end, and before it is known.
        loss: of late; None before it was looked at.
        psnr: on kept-out pictures, of late, `{"x2": ..., ...}` in dB; empty before.
    """

    stage: int
    stages: int
    layers: int
    seconds: float
    left: float | None
    loss: float | None
    psnr: Mapping[str, float]


OnTraining = Callable[[TrainingProgress], None]


def seconds_left(
    stages: Sequence[Stage], at: int, *, step: int, seconds: float, before: float
) -> float | None:
    """How long a run will still train, by what its steps have taken.

    A step takes as long as its layers are many: what the stage at work shows holds for those
    behind it, too; before its first step, what the stages before have shown.

    Args:
        stages: of the recipe.
        at: index of the stage at work.
        step: steps done in it.
        seconds: what they took.
        before: seconds that the stages before took.

    Returns:
        Seconds; None for a run without an end, and where nothing is known of its steps.
    """
    if stages[-1].endless:
        return None
    layers, took = step * stages[at].depth, seconds
    if not layers:
        known = [stage for stage in stages[:at] if stage.steps]
        layers = sum(stage.steps * stage.depth for stage in known)
        took = max(0.0, before - sum(60.0 * stage.minutes for stage in stages[:at]))
    left = 0.0
    for stage in stages[at:]:
        if stage.minutes:
            whole = 60.0 * stage.minutes
        elif layers:
            whole = stage.steps * stage.depth * took / layers
        else:
            return None
        left += whole
    return max(0.0, left - seconds)
