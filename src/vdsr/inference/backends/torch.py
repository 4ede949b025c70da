"""PyTorch, on a CUDA device where there is one, else on the CPU."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn import functional

from vdsr import forks
from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference import memory
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
# Held while settings of the whole process are changed.
_SETTINGS = threading.Lock()


def precisions() -> tuple[str, ...]:
    """Precisions worth computing in: half only on a GPU."""
    return ("fp32", "fp16") if torch.cuda.is_available() else ("fp32",)


class TorchBackend:
    """The layers of a model file, run in eager mode, channels last.

    Calls from several threads take turns: one already uses the whole device, and the
    precision of cuDNN and the number of threads are settings of the whole process, which
    are as they were when a call is done.
    """

    def __init__(self, model: ModelFile, *, precision: str, threads: int | None) -> None:
        self._threads = threads
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = _DTYPES[precision]
        self._residual, self._fold = model.architecture.residual, model.architecture.fold
        self._layers: list[tuple[torch.Tensor, torch.Tensor | None]] | None = [
            (
                self._tensor(layer.weight).to(memory_format=torch.channels_last),
                None if layer.bias is None else self._tensor(layer.bias),
            )
            for layer in model.architecture
        ]

    def _tensor(self, array: FloatArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device, self._dtype)

    @torch.inference_mode()
    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        forks.starting("PyTorch")
        try:
            # TF32 keeps 10 bits of the mantissa: fp32 would not be fp32.
            # (`flags` switches off cuDNN unless it is told not to.)
            with (
                _SETTINGS,
                _num_threads(self._threads),
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            ):
                if self._layers is None:
                    raise BackendError("this backend is closed")
                return self._forward(self._layers, self._tensor(np.require(y, None, ["C", "W"])))
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory("the GPU ran out of memory") from error
        except (RuntimeError, MemoryError) as error:
            if memory.is_shortage(error):
                raise OutOfMemory("PyTorch ran out of memory") from error
            raise

    def _forward(
        self, layers: list[tuple[torch.Tensor, torch.Tensor | None]], x: torch.Tensor
    ) -> FloatArray:
        h = functional.pixel_unshuffle(x, self._fold).to(memory_format=torch.channels_last)
        for weight, bias in itertools.islice(layers, len(layers) - 1):
            h = functional.conv2d(h, weight, bias, padding=weight.shape[-1] // 2).relu_()
        weight, bias = layers[-1]
        h = functional.conv2d(h, weight, bias, padding=weight.shape[-1] // 2)
        h = functional.pixel_shuffle(h, self._fold)
        h = (h.float() + x.float()) if self._residual else h.float()
        return h.contiguous().cpu().numpy()

    def close(self) -> None:
        """See `Backend.close`."""
        with _SETTINGS:
            self._layers = None


@contextmanager
def _num_threads(threads: int | None) -> Iterator[None]:
    """Have torch use so many threads meanwhile; None leaves it as it is."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_backend(
    model: ModelFile, *, precision: str, threads: int | None, parallel: int
) -> TorchBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return TorchBackend(model, precision=precision, threads=threads)
