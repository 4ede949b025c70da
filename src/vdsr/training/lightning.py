"""Lightning, set up: its trainer, its signals, its advice; and torch's compiler."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from vdsr.inference import cpu

if TYPE_CHECKING:
    from torch import Tensor

    from vdsr.training.network import Chain

_PRECISIONS: dict[str, Any] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
    "64": "64-true",
}


def leads() -> bool:
    """Whether this process is the first of those that train together, or the only one."""
    # torchrun sets both; Lightning numbers the processes that it starts itself by the second.
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def processes(devices: int) -> int:
    """How many processes train together, with so many devices on each machine."""
    return int(os.environ.get("WORLD_SIZE", devices)) if torchrun() else devices


def torchrun() -> bool:
    """Whether torchrun has started this process, and knows how many there are."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def device() -> torch.device:
    """Where this process trains: its GPU, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Lightning and torchrun number the processes of a machine so.
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def settled(precision: str) -> str:
    """What `auto` stands for here: `bf16` where the device multiplies it faster, else `32`."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if "AVX-512 BF16" in cpu.instructions() else "32"


def device_name(devices: int) -> str:
    """What `devices` processes train on, for people."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return name if devices == 1 else f"{devices} x {name}"


def compiled(network: Chain) -> Callable[[Tensor], Tensor]:
    """The network with what lies between its convolutions fused; as it is where that fails.

    Args:
        network: on a GPU, with a slope that stays as it is.

    Returns:
        From `[N, planes, H, W]` to the same, as the network; the first call compiles.
    """
    torch._dynamo.config.suppress_errors = True
    return cast("Callable[[Tensor], Tensor]", torch.compile(network))


def make_trainer(
    logs: Path, *, precision: str, devices: int, stop: Callable[[], None]
) -> pl.Trainer:
    """A trainer that runs until it is told to stop, and keeps no checkpoints of its own.

    Args:
        logs: folder for `metrics.csv` and TensorBoard's files, a new version at each start.
        precision: `32`, `bf16`, `16` or `64`.
        devices: GPUs, or processes on a CPU; under torchrun it is that which knows.
        stop: called at the first SIGINT or SIGTERM.
    """
    return pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=int(os.environ["LOCAL_WORLD_SIZE"]) if torchrun() else devices,
        num_nodes=int(os.environ["GROUP_WORLD_SIZE"]) if torchrun() else 1,
        precision=_PRECISIONS[precision],
        max_epochs=-1,
        logger=[
            CSVLogger(logs, name="csv", flush_logs_every_n_steps=1),
            TensorBoardLogger(logs, name="tensorboard"),
        ],
        callbacks=[_Signals(stop)],
        benchmark=torch.cuda.is_available(),
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


class _Signals(pl.Callback):
    """The first Ctrl-C or SIGTERM asks for an end; the second one is not held up."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _take(self, number: int, frame: object) -> None:
        self._restore()
        self._stop()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice, which is about data loaders of its own, from the user."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for module in ("pytorch_lightning", "lightning_fabric", "torch"):
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
