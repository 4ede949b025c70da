"""ONNX Runtime on the CPU."""

from __future__ import annotations

import threading

import numpy as np
import onnxruntime

from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference import cpu, memory
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

_FATAL = 4


def precisions() -> tuple[str, ...]:
    """Precisions that ONNX Runtime's CPU provider computes in."""
    return ("fp32", "int8")


class OnnxRuntimeBackend:
    """One session; beyond `parallel`, calls from several threads take turns.

    Each call adds its own thread to those of the session: for parallel calls the session
    has only what they leave.
    """

    def __init__(self, model: ModelFile, *, threads: int | None, parallel: int) -> None:
        options = onnxruntime.SessionOptions()
        # The arena never gives memory back and grows by doubling; tiles differ in size.
        options.enable_cpu_mem_arena = False
        # What it logs of an error stands in the exception.
        options.log_severity_level = _FATAL
        if parallel > 1:
            options.intra_op_num_threads = max(1, (threads or cpu.cores()) - parallel + 1)
        elif threads is not None:
            options.intra_op_num_threads = threads
        self._turns = threading.Semaphore(parallel)
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
        session = self._session
        if session is None:
            raise BackendError("this backend is closed")
        try:
            with self._turns:
                (result,) = session.run(None, {self._input: np.ascontiguousarray(y, np.float32)})
        except Exception as error:
            if memory.is_shortage(error):
                raise OutOfMemory("ONNX Runtime ran out of memory") from error
            raise
        return np.asarray(result, np.float32)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None


def open_backend(
    model: ModelFile, *, precision: str, threads: int | None, parallel: int
) -> OnnxRuntimeBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return OnnxRuntimeBackend(model, threads=threads, parallel=parallel)
