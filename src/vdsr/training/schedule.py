"""The learning rate and the loss, by how much of a stage is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vdsr.training.recipe import Phase, Stage


def rate(stage: Stage, done: float, step: int = 0) -> float:
    """The learning rate.

    Args:
        stage: whose schedule.
        done: share of the stage, 0..1.
        step: number of the step in the stage, from 0 on: for a warm-up in steps.
    """
    if step < stage.warmup_steps:
        return stage.rate * (step + 1) / stage.warmup_steps
    if stage.schedule == "stable":
        return stage.rate
    if done < stage.warmup:
        return stage.rate * max(done, 1e-3 * stage.warmup) / stage.warmup
    if stage.schedule == "step":
        return stage.rate * stage.factor ** min(int(done * (stage.drops + 1)), stage.drops)
    share = (done - stage.warmup) / (1.0 - stage.warmup)
    if stage.schedule == "decay":
        return stage.rate * max(1.0 - share, 0.0)
    return stage.rate * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def phase(phases: Sequence[Phase], done: float) -> Phase:
    """The phase that holds.

    Args:
        phases: in order, the last one until 1.
        done: share of the stage, 0..1.
    """
    return next((p for p in phases if done < p.until), phases[-1])
