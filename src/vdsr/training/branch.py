"""Branches: from a trunk that goes on at a constant rate to weights that can be shipped.

At a constant rate a network wanders around the best weights, and never is there. A branch
takes the trunk as it stands, lets the rate fall to zero, and ends; the trunk goes on as if
nothing had been.

References:
    S. Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable
    Training Strategies", 2024, https://arxiv.org/abs/2404.06395: warm up, stable, decay.
"""

from __future__ import annotations

from dataclasses import replace

from vdsr.errors import UsageError
from vdsr.training.checkpoint import Checkpoint
from vdsr.training.recipe import Recipe

NAME = "trunk.pt"


def branch_of(recipe: Recipe, trunk: Checkpoint) -> tuple[Recipe, Checkpoint]:
    """The recipe of a branch, and where it begins.

    Args:
        recipe: of the trunk.
        trunk: where it stands.

    Raises:
        UsageError: if the recipe has no stable stage, or the trunk has not come to it yet, or
            is of another recipe.
    """
    if recipe.stages[-1].schedule != "stable":
        raise UsageError(f"the recipe {recipe.name} has no stable stage to branch off from")
    if trunk.recipe != recipe.digest:
        raise UsageError("the trunk was made by another recipe")
    if trunk.stage < len(recipe.stages) - 1 or not trunk.step:
        raise UsageError("the trunk has not come to its stable stage yet: train it further")
    settings = recipe.decay
    # A share of the trunk and the branch together.
    steps = settings.steps or round(trunk.total * settings.share / (1.0 - settings.share))
    stage = replace(
        recipe.stages[-1],
        schedule="decay",
        steps=0 if settings.minutes else max(1, steps),
        minutes=settings.minutes,
        warmup_steps=0,
        revive=0,
    )
    derived = replace(recipe, stages=(stage,), phases=settings.phases)
    return derived, replace(trunk, recipe=derived.digest, stage=0, step=0, seconds=0.0)
