"""OpenVINO on the CPU: the default backend.

fp32 is asked for by name: left to itself, OpenVINO takes bf16 where the CPU has it.
"""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
import openvino

from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference.architecture import FloatArray
from vdsr.inference.model_file import ModelFile

_HINTS = {"fp32": "f32", "fp16": "f16", "int8": "f32"}
_POLL_MILLISECONDS = 50
# Interrupted requests, and the arrays that they still read.
_ABANDONED: list[object] = []
_CAPABILITIES = {"FP32": "fp32", "FP16": "fp16", "INT8": "int8"}


@cache
def precisions() -> tuple[str, ...]:
    """Precisions in which this CPU computes, as OpenVINO reports them."""
    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for key, name in _CAPABILITIES.items() if key in found)


class OpenVinoBackend:
    """One compiled model and one request; calls from several threads take turns.

    One call already uses every core, so that parallel calls would only add memory.
    """

    def __init__(self, model: ModelFile, *, precision: str, threads: int | None) -> None:
        config: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            self._compiled = openvino.Core().compile_model(model.graph, "CPU", config)
        except RuntimeError as error:
            raise BackendError(f"{model.source}: OpenVINO refuses the model: {error}") from error
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        tensor = openvino.Tensor(np.ascontiguousarray(y, np.float32))
        with self._lock:
            if self._request is None:
                raise BackendError("this backend is closed")
            try:
                self._infer(tensor)
            except (RuntimeError, MemoryError) as error:
                raise_if_out_of_memory(error)
                raise
            return np.array(self._request.get_output_tensor().data)

    def _infer(self, tensor: openvino.Tensor) -> None:
        """Run the request, and let Python see a Ctrl-C meanwhile."""
        self._request.set_input_tensor(tensor)
        self._request.start_async()
        try:
            while not self._request.wait_for(_POLL_MILLISECONDS):
                pass
        except (KeyboardInterrupt, SystemExit):
            # Destroying a request waits for it, seconds for a large tile: let it run out.
            self._request.cancel()
            _ABANDONED.append((self._request, tensor))
            self._request = self._compiled.create_infer_request()
            raise

    def close(self) -> None:
        """See `Backend.close`."""
        with self._lock:
            self._request = None


def raise_if_out_of_memory(error: Exception) -> None:
    """Turn a failed allocation, which OpenVINO reports in words, into `OutOfMemory`."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "bad_alloc" in text or "alloc" in text:
        raise OutOfMemory("OpenVINO ran out of memory") from error


def open_backend(model: ModelFile, *, precision: str, threads: int | None) -> OpenVinoBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return OpenVinoBackend(model, precision=precision, threads=threads)
