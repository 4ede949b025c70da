"""ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np
import onnxruntime

from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference import memory
from vdsr.inference.architecture import FloatArray
from vdsr.inference.model_file import ModelFile

_FATAL = 4


def precisions() -> tuple[str, ...]:
    """Precisions that ONNX Runtime's CPU provider computes in."""
    return ("fp32", "int8")


class OnnxRuntimeBackend:
    """One session, which is safe to call from several threads."""

    def __init__(self, model: ModelFile, *, threads: int | None) -> None:
        options = onnxruntime.SessionOptions()
        # The arena never gives memory back and grows by doubling; tiles differ in size.
        options.enable_cpu_mem_arena = False
        # What it logs of an error stands in the exception.
        options.log_severity_level = _FATAL
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                model.data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base but Exception
            raise BackendError(
                f"{model.source}: ONNX Runtime refuses the model: {error}"
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        if self._session is None:
            raise BackendError("this backend is closed")
        try:
            (result,) = self._session.run(None, {self._input: np.ascontiguousarray(y, np.float32)})
        except Exception as error:
            if memory.is_shortage(error):
                raise OutOfMemory("ONNX Runtime ran out of memory") from error
            raise
        return np.asarray(result, np.float32)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None


def open_backend(model: ModelFile, *, precision: str, threads: int | None) -> OnnxRuntimeBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return OnnxRuntimeBackend(model, threads=threads)
