"""The learning rate and the loss, by how much of a stage is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vdsr.training.recipe import Phase, Stage


def rate(stage: Stage, done: float) -> float:
    """The learning rate.

    Args:
        stage: whose schedule.
        done: share of the stage, 0..1.
    """
    if done < stage.warmup:
        return stage.rate * max(done, 1e-3 * stage.warmup) / stage.warmup
    if stage.schedule == "step":
        return stage.rate * stage.factor ** min(int(done * (stage.drops + 1)), stage.drops)
    share = (done - stage.warmup) / (1.0 - stage.warmup)
    return stage.rate * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def phase(phases: Sequence[Phase], done: float) -> Phase:
    """The phase that holds.

    Args:
        phases: in order, the last one until 1.
        done: share of the stage, 0..1.
    """
    return next((p for p in phases if done < p.until), phases[-1])
