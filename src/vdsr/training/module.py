"""A stage of a run as Lightning sees it: batch, loss, limits, rate, running mean."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from vdsr.training.checkpoint import Checkpoint
from vdsr.training.losses import loss
from vdsr.training.network import SRCNN, VDSR, Chain
from vdsr.training.optimizers import Muon
from vdsr.training.parallel import flush
from vdsr.training.patches import Batch, Patches
from vdsr.training.recipe import NetworkSettings, Phase, Recipe
from vdsr.training.revival import idle_channels, revive
from vdsr.training.schedule import phase, rate

# A step that seems to take longer was a process that was stopped, or a laptop asleep.
_LONGEST_STEP = 60.0
# What is left of random weights beside the identity.
_NOISE = 0.3
# Batches in which a channel that is not idle is above zero somewhere.
_PROBES = 4


def build_network(settings: NetworkSettings, depth: int) -> Chain:
    """The network of a recipe at one depth, with random weights."""
    if settings.kind == "srcnn":
        a, b, c = settings.kernels
        srcnn = SRCNN(kernels=(a, b, c))
        if settings.quiet:
            srcnn.begin_as_bicubic()
        return srcnn
    network = VDSR(
        depth=depth,
        width=settings.width,
        bias=settings.bias,
        residual=settings.residual,
        fold=settings.fold,
        planes=settings.planes,
    )
    if settings.quiet and settings.residual:
        nn.init.zeros_(network.convolutions[-1].weight)
    if settings.identity:
        for layer in network.convolutions[1:-1]:
            dirac = nn.init.dirac_(torch.empty_like(layer.weight))
            with torch.no_grad():
                layer.weight.mul_(_NOISE).add_(dirac, alpha=settings.identity)
    return network


class Numbers:
    """What Lightning iterates over; the batches are made on the device that trains."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class StageModule(pl.LightningModule):
    """One stage of a run.

    Args:
        recipe: the whole recipe.
        network: the network at its depth.
        patches: where batches come from.
        state: where the run stands; its weights are those of `network` already.
        restore: what runs the network: itself, compiled, or a `Parallel` of it.
        after_step: called after every step.

    Attributes:
        stage: the settings of the stage.
        step: steps done in this stage.
        total: steps done in all.
        seconds: time spent training in this stage.
        seconds_before: time spent training in the stages before.
        mean: running mean of the weights; the weights themselves if the recipe has none.
        loss_sum: sum of the losses since somebody set it to 0.
        bicubic_sum: the same of doing nothing.
        counted: how many.
        revived: idle channels that were reinitialized since somebody set it to 0.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: Chain,
        patches: Patches,
        state: Checkpoint,
        *,
        restore: Callable[[Tensor], Tensor],
        after_step: Callable[[StageModule], None],
    ) -> None:
        super().__init__()
        self.recipe, self.stage = recipe, recipe.stages[state.stage]
        self.network, self.patches = network, patches
        self.step, self.total, self.seconds = state.step, state.total, state.seconds
        self.seconds_before = state.total_seconds - state.seconds
        self.mean = {name: value.clone() for name, value in state.mean.items()}
        self.loss_sum, self.bicubic_sum, self.counted = torch.zeros(()), torch.zeros(()), 0
        self.revived = 0
        self._optimizer_state = state.optimizer
        self._restore, self._after_step = restore, after_step
        self._pool = ThreadPoolExecutor(1, initializer=flush)
        self._ahead: Future[Batch] | None = None
        self._stream: torch.cuda.Stream | None = None
        self._clock = time.monotonic()
        self._done = self.share_done()

    def share_done(self) -> float:
        """Share of the stage that is done, 0..1, by steps or by time; 0 without an end."""
        if self.stage.endless:
            return 0.0
        if self.stage.steps:
            return min(self.step / self.stage.steps, 1.0)
        return min(self.seconds / (60.0 * self.stage.minutes), 1.0)

    @property
    def phase(self) -> Phase:
        """The loss that holds in this step."""
        return phase(self.recipe.phases, self._done)

    def _revive(self) -> None:
        """Reinitialize idle channels; all processes that train together see the same ones."""
        batches = (self.patches(self.total + i).degraded for i in range(_PROBES))
        self.revived += revive(
            self.network,
            idle_channels(self.network, batches),
            mean=self.mean,
            optimizer=self.trainer.optimizers[0],
            seed=self.total,
        )

    def train_dataloader(self) -> Numbers:
        """An endless row of numbers."""
        return Numbers()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the recipe."""
        settings, start = self.recipe.optimizer, self.stage.rate
        weights = list(self.network.parameters())
        if settings.kind == "sgd":
            return torch.optim.SGD(
                weights, lr=start, momentum=settings.momentum, weight_decay=settings.decay
            )
        betas = (settings.betas[0], settings.betas[1])
        if settings.kind == "adamw":
            return torch.optim.AdamW(weights, lr=start, betas=betas, weight_decay=settings.decay)
        first, *inner, last = self.network.convolutions
        return Muon(
            [layer.weight for layer in inner],
            [first.weight, last.weight],
            [bias for layer in (first, *inner, last) if (bias := layer.bias) is not None],
            rate=start,
            other_rate=start * settings.other_rate,
            bias_rate=start * settings.bias_rate,
            momentum=settings.momentum,
            betas=betas,
            decay=settings.decay,
        )

    def on_train_start(self) -> None:
        """Go on with the optimizer as it was."""
        # Rates of the groups of parameters, in units of the first one's.
        groups = self.trainer.optimizers[0].param_groups
        self._factors = [group["lr"] / self.stage.rate for group in groups]
        if self._optimizer_state:
            self.trainer.optimizers[0].load_state_dict(self._optimizer_state)
        # Side by side in memory with what they follow, so that all are moved in one go.
        with torch.no_grad():
            self.mean = {
                name: torch.empty_like(weight).copy_(self.mean[name])
                for name, weight in self.network.named_parameters()
            }
        # On a GPU the first step compiles the network, which is no training.
        self._counts = self.device.type != "cuda"
        self._clock = time.monotonic()

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Set the rate."""
        self._done = self.share_done()
        if self.trainer.world_size > 1:
            # All processes must agree, and their clocks do not.
            self._done = self.trainer.strategy.broadcast(self._done)
        now = rate(self.stage, self._done, self.step)
        for group, factor in zip(
            self.trainer.optimizers[0].param_groups, self._factors, strict=True
        ):
            group["lr"] = now * factor
        settings = self.recipe.network
        left = 1.0 - self.total / settings.slope_steps
        self.network.slope = settings.slope * left if left > 0.0 else 0.0
        self.network.int8 = frozenset(settings.int8)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """The loss of the batch of this step."""
        patches = self._batch()
        settings = (self.phase.loss, self.phase.reduction)
        value = loss(self._restore(patches.degraded), patches.original, *settings)
        # Gradients of several processes are averaged: of a sum, that would be a part.
        times = self.trainer.world_size if self.phase.reduction == "sum" else 1
        value = value * times
        with torch.no_grad():
            self.loss_sum = self.loss_sum.to(value.device) + value.detach()
            nothing = loss(patches.degraded, patches.original, *settings) * times
            self.bicubic_sum = self.bicubic_sum.to(value.device) + nothing
        self.counted += 1
        return value

    def _batch(self) -> Batch:
        """The batch of this step; the next one is made while this one is worked on."""
        if self._ahead is None:
            self._ahead = self._pool.submit(self._made, self.total)
        batch = self._ahead.result()
        self._ahead = self._pool.submit(self._made, self.total + 1)
        # Several processes share the batch that one would have: they make what one would.
        dtype = torch.float64 if self.recipe.precision == "64" else torch.float32
        return batch.part(self.global_rank, self.trainer.world_size, dtype)

    def _made(self, step: int) -> Batch:
        """The batch of a step, whole: on a GPU beside the work on another one."""
        if self.device.type != "cuda":
            return self.patches(step)
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.default_stream(self.device))
        with torch.cuda.stream(self._stream):
            batch = self.patches(step)
        self._stream.synchronize()
        for tensor in (batch.degraded, batch.original):
            # Its memory is not to be used again before the stream that trains is done with it.
            tensor.record_stream(torch.cuda.default_stream(self.device))
        return batch

    def on_train_end(self) -> None:
        """End the thread that makes batches."""
        self._pool.shutdown(cancel_futures=True)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradient as the phase says."""
        weights = list(self.network.parameters())
        if self.phase.clip_theta:
            now = max(optimizer.param_groups[0]["lr"], 1e-30)
            nn.utils.clip_grad_value_(weights, self.phase.clip_theta / now)
        if self.phase.clip_norm:
            nn.utils.clip_grad_norm_(weights, self.phase.clip_norm)

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: int, batch_idx: int) -> None:  # noqa: ANN401
        """Take the step into the running mean, and see whether it was the last one."""
        self.step += 1
        self.total += 1
        now = time.monotonic()
        if self._counts:
            self.seconds += min(now - self._clock, _LONGEST_STEP)
        self._clock, self._counts = now, True
        # In the beginning the mean follows fast, so that the first weights are forgotten.
        factor = min(self.recipe.ema, (1.0 + self.step) / (10.0 + self.step))
        means, weights = tuple(self.mean.values()), tuple(self.network.parameters())
        torch._foreach_lerp_(means, weights, 1.0 - factor if self.recipe.ema else 1.0)
        if self.stage.revive and self.step % self.stage.revive == 0:
            self._revive()
        self._after_step(self)
        finished = self.share_done() >= 1.0
        if self.trainer.world_size > 1:
            finished = self.trainer.strategy.broadcast(finished)
        if finished:
            self.trainer.should_stop = True
