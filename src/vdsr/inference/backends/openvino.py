"""OpenVINO on the CPU: the default backend.

fp32 is asked for by name: left to itself, OpenVINO takes bf16 where the CPU has it.
"""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
import openvino

from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference import memory
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
        self._model = model
        self._config = config
        self._lock = threading.Lock()
        self._closed = False
        self._compile()

    def _compile(self) -> None:
        try:
            self._compiled = openvino.Core().compile_model(self._model.graph, "CPU", self._config)
        except RuntimeError as error:
            if memory.is_shortage(error):
                raise OutOfMemory("OpenVINO ran out of memory") from error
            source = self._model.source
            raise BackendError(f"{source}: OpenVINO refuses the model: {error}") from error
        self._request = self._compiled.create_infer_request()

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        with self._lock:
            if self._closed:
                raise BackendError("this backend is closed")
            try:
                if self._compiled is None:
                    self._compile()
                self._infer(openvino.Tensor(np.ascontiguousarray(y, np.float32)))
                return np.array(self._request.get_output_tensor().data)
            except (RuntimeError, MemoryError) as error:
                if not memory.is_shortage(error):
                    raise
                # It keeps what it got before it failed: in it, smaller arrays would fail, too.
                self._request = self._compiled = None
                raise OutOfMemory("OpenVINO ran out of memory") from error

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
            self._closed = True
            self._request = self._compiled = None


def open_backend(model: ModelFile, *, precision: str, threads: int | None) -> OpenVinoBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return OpenVinoBackend(model, precision=precision, threads=threads)
