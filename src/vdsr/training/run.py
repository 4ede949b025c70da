"""What goes into a training run beside its recipe and data, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vdsr.model.architecture import Architecture
from vdsr.model.file import ModelFile
from vdsr.training.progress import OnTraining


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run stands when it ends or is stopped.

    Attributes:
        architecture: the layers: the running mean of the weights.
        finished: whether the recipe is done.
        interrupted: whether somebody stopped it before.
        leads: whether this process is the first of those that trained together.
        steps: steps done in all.
        seconds: time spent training.
        device: what it ran on, in words.
        origin: what it was started from; empty for random weights.
        bicubic: PSNR of bicubic on the kept-out pictures, `{"x2": ..., ...}` in dB.
        scores: what was measured: step, seconds, and PSNR by scale.
    """

    architecture: Architecture
    finished: bool
    interrupted: bool
    leads: bool
    steps: int
    seconds: float
    device: str
    origin: str
    bicubic: dict[str, float]
    scores: list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Layers to start from.

    Attributes:
        architecture: the layers; fewer than the recipe's first stage has are grown.
        origin: what they are and what they were trained on, for the card.
    """

    architecture: Architecture
    origin: str

    @classmethod
    def of(cls, model: ModelFile) -> Start:
        """The layers of a model file, and what its metadata say of them."""
        card = model.metadata
        origin = f"{card.name} {card.version} (trained on {card.training_data})"
        return cls(architecture=model.architecture, origin=origin)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What a run takes beside its recipe.

    Attributes:
        devices: GPUs, or on a machine without one: processes.
        threads: of a CPU; 0 for as many as the machine has. Each works on a part of
            every batch, so that sums are rounded otherwise with another number.
        save_seconds: time between checkpoints.
        progress: called after every step of the leading process.
        minutes: after which it stops, as if it were interrupted; 0 for no such time.
        stopped: asked by the leading process after every step whether to stop, as if it were
            interrupted.
        say: takes a line of text for people, now and then.
    """

    devices: int = 1
    threads: int = 0
    save_seconds: float = 120.0
    progress: OnTraining | None = None
    minutes: float = 0.0
    stopped: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda line: None
