"""Watching a run: its loss, whether it still is a number, and PSNR on kept-out pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch

from vdsr.errors import OutputError, VdsrError
from vdsr.training.module import StageModule
from vdsr.training.validation import Validation

# A loss, in units of that of doing nothing, that is this many times its best is not noise.
_DIVERGED = 10.0
# A network that had gained this share of the loss of doing nothing, and for so many steps gains
# less than a fiftieth of what it did, is dead: its channels are idle, and give no gradient.
_GAINED = 0.01
_LEFT = 0.02
_DEAD_STEPS = 200
_LOOK_STEPS = 50
_LOOK_SECONDS = 20.0


class Monitor:
    """Takes note of every step, and looks at the figures from time to time.

    Args:
        validation: the kept-out pictures.
        folder: where the run lies, for messages.
        scores: what was measured before: step, seconds, PSNR by scale.
        say: takes a line of text for people.

    Attributes:
        bicubic: PSNR of bicubic, by scale.
        scores: what was measured so far.
        loss: the last one that was looked at; None before.
    """

    def __init__(
        self,
        validation: Validation,
        folder: Path,
        scores: list[dict[str, float]],
        say: Callable[[str], None],
    ) -> None:
        self._validation, self._folder, self._say = validation, folder, say
        self.bicubic = validation.bicubic()
        self.scores = list(scores)
        self.loss: float | None = None
        self._best, self._dead_from = math.inf, -1
        self._looked, self._counted_from = time.monotonic(), 0

    def begin(self, module: StageModule) -> None:
        """Get ready for a stage, or for a part of it."""
        self._best, self._dead_from = math.inf, -1
        self._looked, self._counted_from = time.monotonic(), module.step

    @property
    def doubtful(self) -> bool:
        """Whether the network seems to have lost what it had learned: not to be kept."""
        return self._dead_from >= 0

    def after_step(self, module: StageModule, before: float) -> None:
        """Look at the loss if it is time, and measure if it is time.

        Args:
            module: the stage.
            before: share of the stage that was done before this step.

        Raises:
            VdsrError: as `look`.
        """
        waited = time.monotonic() - self._looked
        if module.step - self._counted_from >= _LOOK_STEPS or waited >= _LOOK_SECONDS:
            self.look(module)
        often, every = module.recipe.validations, module.recipe.validate_every
        if module.stage.endless:
            due = bool(every) and module.step % every == 0
        else:
            due = int(module.share_done() * often) > int(before * often)
        if due:
            self.measure(module)

    def look(self, module: StageModule) -> None:
        """Log the loss since the last look, and see that all is well.

        Raises:
            VdsrError: if a loss or weight is not a number, the loss diverges, or all that was
                gained on doing nothing is lost and stays lost.
            OutputError: if the log cannot be written.
        """
        if not module.counted:
            return
        value, nothing = (float(s) / module.counted for s in (module.loss_sum, module.bicubic_sum))
        ratio = value / max(nothing, 1e-30)
        weights = torch.stack([p.detach().sum() for p in module.network.parameters()])
        if not math.isfinite(value) or not bool(torch.isfinite(weights).all()):
            raise self._failure(module, "the loss has become NaN")
        if ratio > _DIVERGED * self._best:
            raise self._failure(
                module, f"the loss diverges: {ratio / self._best:.0f} times its best"
            )
        gained = 1.0 - self._best
        dead = gained > _GAINED and 1.0 - ratio < _LEFT * gained
        if not dead:
            self._dead_from = -1
        elif self._dead_from < 0:
            self._dead_from = module.step
        elif module.step - self._dead_from >= _DEAD_STEPS:
            raise self._failure(module, "the network has lost all that it had learned")
        self._best = min(self._best, ratio)
        self.loss = value
        figures = {
            "loss": value,
            "loss_of_bicubic": nothing,
            "rate": module.trainer.optimizers[0].param_groups[0]["lr"],
            "stage_done": module.share_done(),
            "revived": module.revived,
            "seconds_per_step": (time.monotonic() - self._looked) / module.counted,
        }
        self._log(module, figures)
        module.loss_sum, module.bicubic_sum = torch.zeros(()), torch.zeros(())
        module.counted = module.revived = 0
        self._looked, self._counted_from = time.monotonic(), module.step

    def measure(self, module: StageModule) -> None:
        """PSNR of the running mean on the kept-out pictures.

        Raises:
            OutputError: if the log cannot be written.
        """
        network = deepcopy(module.network)
        network.load_state_dict(module.mean)
        figures = self._validation.measure(network)
        if not figures:
            return
        seconds = module.seconds_before + module.seconds
        self.scores.append({"step": module.total, "seconds": seconds, **figures})
        self._log(module, {f"psnr_{name}": value for name, value in figures.items()})
        gains = ", ".join(
            f"{name} {value:.2f} dB ({value - self.bicubic[name]:+.2f} to bicubic)"
            for name, value in figures.items()
        )
        self._say(
            f"{len(module.network.layers)} layers,"
            + ("" if module.stage.endless else f" {100 * module.share_done():.0f} %,")
            + f" step {module.total}: {gains}"
        )

    def _log(self, module: StageModule, figures: dict[str, float]) -> None:
        if not module.trainer.is_global_zero:
            return
        try:
            for logger in module.trainer.loggers:
                logger.log_metrics(figures, step=module.total)
        except OSError as error:
            text = f"{self._folder}: the log cannot be written: {error.strerror}"
            raise OutputError(text) from error

    def _failure(self, module: StageModule, what: str) -> VdsrError:
        return VdsrError(
            f"{what}, after {module.total} steps: try a smaller rate or a limit on the gradient;"
            f" the last good checkpoint is kept in {self._folder}"
        )
