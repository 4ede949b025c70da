"""Checkpoints of a run: written whole or not at all, read without running code.

One file, made by `torch.save` of dictionaries, lists, numbers, texts and tensors, and
read with `weights_only=True`.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vdsr.errors import CheckpointError, OutputError
from vdsr.outputs import write_atomic

FORMAT = 1
NAME = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a run stands.

    Attributes:
        recipe: digest of its recipe.
        pack: digest of its data.
        origin: what it was started from, and what that was trained on; empty for nothing.
        weights: `layers.I.weight` and `layers.I.bias`, float32.
        mean: the running mean of them, same names.
        stage: number of the stage, from 0 on.
        step: steps done in this stage.
        total: steps done in all.
        seconds: time spent training in this stage.
        total_seconds: time spent training in all.
        optimizer: its state.
        scores: what was measured on the way: step, seconds, and PSNR by scale.
        device: what it was trained on so far, in words.
    """

    recipe: str
    pack: str
    origin: str
    weights: dict[str, Tensor]
    mean: dict[str, Tensor]
    stage: int = 0
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
    optimizer: dict[str, Any] = field(default_factory=dict)
    scores: list[dict[str, float]] = field(default_factory=list)
    device: str = ""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; the one that is there is replaced at the end, whole, or stays.

    Raises:
        OutputError: if it cannot be written.
    """
    content = {entry.name: getattr(checkpoint, entry.name) for entry in fields(checkpoint)}
    try:
        with write_atomic(path) as file:
            torch.save({"format": FORMAT, **content}, file)
    # torch.save gives a RuntimeError for some failing writes.
    except (OutputError, RuntimeError) as error:
        reason = str(error).removeprefix(f"{path}: it cannot be written: ")
        raise OutputError(
            f"{path}: the checkpoint cannot be written, the one before it is kept: {reason}"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, onto the CPU.

    Raises:
        CheckpointError: if it cannot be read, or is none of these.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise CheckpointError(f"{path}: a checkpoint of another version of vdsr")
        return Checkpoint(**content)
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read: {error.strerror or error}") from error
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f"{path}: it is not an intact checkpoint of a training run"
        ) from error
