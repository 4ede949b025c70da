"""A backend that the caller brings: any object with `run` and `close`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vdsr.errors import BackendError, among
from vdsr.inference.backends import BACKENDS, Backend, Choice
from vdsr.inference.selection import int8_form
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile, load_model
from vdsr.model.metadata import PRECISIONS


class SuppliedBackend:
    """Passes arrays on to the caller's own backend, and checks what comes back.

    Args:
        backend: see `Backend`; closed with this one.

    Attributes:
        name: of its class.

    Raises:
        BackendError: if it lacks `run` or `close`.
    """

    def __init__(self, backend: Backend) -> None:
        self.name = type(backend).__name__
        for method in ("run", "close"):
            if isinstance(backend, type) or not callable(getattr(backend, method, None)):
                raise BackendError(
                    f"backend is a name (auto, {', '.join(BACKENDS)}) or an object with run and"
                    f" close, not {backend!r:.60}"
                )
        self._backend = backend
        self._closed = False

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`.

        Raises:
            BackendError: if what comes back is not an array of the same shape, or it is closed.
        """
        if self._closed:
            raise BackendError("this backend is closed")
        result = np.asarray(self._backend.run(y))
        if result.shape != y.shape or result.dtype.kind != "f":
            raise BackendError(
                f"{self.name}.run gave {result.dtype} {list(result.shape)} for float32"
                f" {list(y.shape)}: floats of the same shape are expected"
            )
        return result.astype(np.float32, copy=False)

    def close(self) -> None:
        """See `Backend.close`."""
        if not self._closed:
            self._closed = True
            self._backend.close()

    def select(
        self, model: str | os.PathLike[str] | ModelFile, precision: str
    ) -> tuple[ModelFile, Choice]:
        """The model file, and how backend and precision are named in results.

        Args:
            model: see `vdsr.inference.selection.select`.
            precision: `auto` is that of the model file; `int8` is the int8 form of a shipped
                model. What is computed in is the backend's own affair.

        Raises:
            ModelError: if there is no such model, or the file is not intact.
            BackendError: for an unknown precision.
        """
        if precision not in ("auto", *PRECISIONS):
            raise BackendError(
                f"unknown precision {precision!r}: {among(precision, ('auto', *PRECISIONS))}"
            )
        if not isinstance(model, ModelFile):
            if isinstance(model, str):
                model = (int8_form(model) if precision == "int8" else None) or model
            model = load_model(model if isinstance(model, str) else Path(model))
        if precision == "auto":
            precision = model.metadata.precision
        return model, Choice(backend=self.name, precision=precision)
