"""Backends: what runs a model file on an array. One small module each.

A backend is two methods (`Backend`). Its module is loaded by name, so that a
backend that is not installed, or not asked for, costs nothing. Each module has
`precisions()` and `open_backend(model, precision=..., threads=..., parallel=...)`.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from vdsr.errors import BackendError, MissingExtra, among
from vdsr.inference import memory
from vdsr.inference.tiling import filled
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile
from vdsr.model.metadata import PRECISIONS

# Best first: this is the order in which `auto` chooses.
BACKENDS = ("openvino", "onnxruntime", "torch")
# Asked for by name alone: what it runs was compiled by the vendor's tools.
DEVICES = ("vaststreamx",)
_EXTRAS = {"openvino": None, "onnxruntime": "onnxruntime", "torch": "train"}


class Backend(Protocol):
    """A network, ready to run."""

    def run(self, y: FloatArray) -> FloatArray:
        """Run the network.

        Args:
            y: float32 `[N, planes, H, W]`, luma (or Y, Cb, Cr) in 0..1 in the model's range.

        Returns:
            float32 of the same shape.

        Raises:
            OutOfMemory: if the array is too large for the memory there is.
        """
        ...

    def close(self) -> None:
        """Release what the backend holds. It cannot run afterwards."""
        ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A backend and precision that this machine and this model have."""

    backend: str
    precision: str


def is_installed(name: str) -> bool:
    """Whether the package behind the backend `name` is installed (not: whether it works)."""
    return importlib.util.find_spec(name) is not None


def choose(model: ModelFile, backend: str = "auto", precision: str = "auto") -> Choice:
    """Settle what `auto` stands for, and refuse what is not available.

    Args:
        model: the model to be run.
        backend: `auto`, or one of `BACKENDS` or `DEVICES`; `auto` is torch where it has a
            GPU, else the first one installed.
        precision: `auto`, `fp32`, `fp16` or `int8`; `auto` is the precision of the
            file, and fp32 for halves where the backend cannot compute in them.

    Raises:
        MissingExtra: if the backend is not installed.
        BackendError: for unknown names, or a precision that backend or model lacks.
    """
    if precision not in ("auto", *PRECISIONS):
        raise BackendError(
            f"unknown precision {precision!r}: {among(precision, ('auto', *PRECISIONS))}"
        )
    backend = settle(backend)
    module = _module(backend)
    if getattr(module, "COMPILES", False):
        return _compiled(backend, module.precisions(), precision)
    held = model.metadata.precision
    wanted = held if precision == "auto" else precision
    if wanted != held and "int8" in (wanted, held):
        raise BackendError(
            f"the model {model.metadata.name} holds {held} weights, not {wanted}:"
            " leave the precision to auto"
        )
    available = module.precisions()
    if precision == "auto" and wanted == "fp16" and wanted not in available:
        # Halves are exact in float32: nothing but speed is lost.
        wanted = "fp32"
    if wanted not in available:
        raise BackendError(f"{backend} has no {wanted} on this machine: {', '.join(available)}")
    return Choice(backend=backend, precision=wanted)


def open_backend(
    model: ModelFile, choice: Choice, *, threads: int | None = None, parallel: int = 1
) -> Backend:
    """Load `model` into the backend of `choice`.

    Args:
        model: the model file.
        choice: what `choose` gave.
        threads: number of CPU threads in all; None leaves it to the backend.
        parallel: calls of `run`, from as many threads, that are to be computed at once,
            each on its part of the threads. Every backend may be called from any number
            of threads; beyond `parallel`, they take turns.

    Raises:
        BackendError: if the backend refuses the model.
    """
    memory.give_back_at_once()
    backend: Backend = _module(choice.backend).open_backend(
        model, precision=choice.precision, threads=threads, parallel=parallel
    )
    if (shape := fixed_shape(model, choice)) is not None:
        return _OfOneShape(backend, model.source, shape)
    return backend if model.metadata.fold == 1 else _Filled(backend, model.metadata.fold)


def fixed_shape(model: ModelFile, choice: Choice) -> tuple[int, ...] | None:
    """The only shape that a model runs in on a backend; None if it runs in any.

    What was compiled for a card runs in windows of its size (`vdsr.inference.fixed_size`).
    """
    return None if choice.backend in DEVICES else model.fixed_shape


class _Filled:
    """A folded network for all sizes: mirrored px fill the squares that an image ends in."""

    def __init__(self, backend: Backend, fold: int) -> None:
        self._backend, self._fold = backend, fold
        self.close = backend.close

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        height, width = y.shape[-2:]
        whole = filled(y, self._fold)
        result = self._backend.run(whole)
        return result if whole is y else np.ascontiguousarray(result[..., :height, :width])


class _OfOneShape:
    """The network of a file that takes one input shape: others are refused in words."""

    def __init__(self, backend: Backend, source: str, shape: tuple[int, ...]) -> None:
        self._backend, self._source, self._shape = backend, source, shape
        self.close = backend.close

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        if y.shape != self._shape:
            made, given = ("x".join(map(str, shape)) for shape in (self._shape, y.shape))
            raise BackendError(f"{self._source}: made for {made} alone, not for {given}")
        return self._backend.run(y)


def precisions(name: str) -> tuple[str, ...]:
    """Precisions that the backend `name` has on this machine.

    Raises:
        MissingExtra: if it is not installed.
        BackendError: if there is no backend of this name.
    """
    available: tuple[str, ...] = _module(name).precisions()
    return available


def settle(backend: str) -> str:
    """The backend that a name stands for: itself, or the best one installed for `auto`."""
    if backend != "auto":
        return backend
    # Asking torch takes seconds, so it is asked only where there is a driver.
    if shutil.which("nvidia-smi") and is_installed("torch"):
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            return "torch"
    return next((name for name in BACKENDS if is_installed(name)), BACKENDS[0])


def _compiled(backend: str, available: tuple[str, ...], precision: str) -> Choice:
    """The choice where the precision is that of what was compiled, not of the model file."""
    wanted = available[0] if precision == "auto" else precision
    if wanted not in available:
        raise BackendError(f"{backend} has no {wanted}: {', '.join(available)}")
    return Choice(backend=backend, precision=wanted)


def _module(name: str) -> ModuleType:
    if name not in (*BACKENDS, *DEVICES):
        known = ("auto", *BACKENDS, *DEVICES)
        raise BackendError(f"unknown backend {name!r}: {among(name, known)}")
    if name in DEVICES and not is_installed(name):
        raise BackendError(
            f"there is no module {name} here: it comes with the accelerator, and runs where that is"
        )
    if not is_installed(name):
        raise MissingExtra(name, _EXTRAS[name])
    return importlib.import_module(f"vdsr.inference.backends.{name}")
