"""OpenVINO on the CPU: the default backend.

fp32 is asked for by name: left to itself, OpenVINO takes bf16 where the CPU has it.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from functools import cache

import numpy as np
import openvino

from vdsr import forks
from vdsr.errors import BackendError, OutOfMemory
from vdsr.inference import memory
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

_HINTS = {"fp32": "f32", "fp16": "f16", "int8": "f32"}
_POLL_MILLISECONDS = 50
# Of kernels made for sizes of tiles. OpenVINO keeps 5000, half a MiB for each size: beyond any
# use for pictures of many sizes. The property is not documented
# (https://github.com/openvinotoolkit/openvino/issues/23316), and may go.
_CACHE = {"CPU_RUNTIME_CACHE_CAPACITY": 64}
# Interrupted requests, and the arrays that they still read.
_ABANDONED: list[object] = []
_CAPABILITIES = {"FP32": "fp32", "FP16": "fp16", "INT8": "int8"}


@cache
def precisions() -> tuple[str, ...]:
    """Precisions in which this CPU computes, as OpenVINO reports them."""
    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for key, name in _CAPABILITIES.items() if key in found)


# Those that a forked process would have to leave alone.
_ALIVE: weakref.WeakSet[OpenVinoBackend] = weakref.WeakSet()


class OpenVinoBackend:
    """A compiled model and its asynchronous requests, one for every call in progress.

    Beyond the requests, calls from several threads take turns. With `parallel` 1 there is
    one request, which uses all threads: parallel calls would only add memory. Else there are
    `parallel` streams, each computing alone on its share of the threads.
    """

    def __init__(
        self, model: ModelFile, *, precision: str, threads: int | None, parallel: int
    ) -> None:
        self._model = model
        self._config: dict[str, object] = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
            # Else all processes that take a part of the cores would take the first ones.
            self._config["ENABLE_CPU_PINNING"] = False
        if parallel > 1:
            self._config["NUM_STREAMS"] = parallel
        else:
            self._config["PERFORMANCE_HINT"] = "LATENCY"
        self._parallel = parallel
        self._closed = False
        self._free(self._compile())
        _ALIVE.add(self)

    def _free(self, compiled: openvino.CompiledModel | None = None) -> None:
        """A network, or none, without requests, and nobody that waits for one."""
        # A stream that is done finds its next array waiting.
        self._turns = threading.Semaphore(2 * self._parallel if self._parallel > 1 else 1)
        self._lock = threading.Lock()
        self._idle: list[openvino.InferRequest] = []
        self._compiled = compiled

    def leave(self) -> None:
        """In a forked process: what the parent holds is left alone.

        Its threads are the parent's. Even giving it back would wait for them; and what is
        recompiled waits, now and then, for a lock that one of them held.
        """
        _never_destroy(self._compiled, *self._idle)
        self._free()

    def _compile(self) -> openvino.CompiledModel:
        forks.starting("OpenVINO")
        core, graph = openvino.Core(), self._model.graph
        try:
            try:
                return core.compile_model(graph, "CPU", {**self._config, **_CACHE})
            except RuntimeError as error:
                if not any(name in str(error) for name in _CACHE):
                    raise
                return core.compile_model(graph, "CPU", self._config)
        except RuntimeError as error:
            if memory.is_shortage(error):
                raise OutOfMemory("OpenVINO ran out of memory") from error
            source = self._model.source
            raise BackendError(f"{source}: OpenVINO refuses the model: {error}") from error

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`."""
        with self._turns:
            compiled, request = self._network(), None
            try:
                request = self._request(compiled)
                _infer(request, openvino.Tensor(np.ascontiguousarray(y, np.float32)))
                result = np.array(request.get_output_tensor().data)
            except (RuntimeError, MemoryError) as error:
                if not memory.is_shortage(error):
                    raise
                # It keeps what it got before it failed: in it, smaller arrays would fail, too.
                with self._lock:
                    if compiled is self._compiled:
                        self._drop()
                # The error keeps this frame: without these, nothing would be given back.
                compiled = request = None
                raise OutOfMemory("OpenVINO ran out of memory") from error
            # A request that failed is not used again: it tells of it for ever.
            with self._lock:
                if compiled is self._compiled:
                    self._idle.append(request)
            return result

    def _network(self) -> openvino.CompiledModel:
        with self._lock:
            if self._closed:
                raise BackendError("this backend is closed")
            if self._compiled is None:
                self._compiled = self._compile()
            return self._compiled

    def _request(self, compiled: openvino.CompiledModel) -> openvino.InferRequest:
        with self._lock:
            if compiled is self._compiled and self._idle:
                return self._idle.pop()
        return compiled.create_infer_request()

    def _drop(self) -> None:
        self._compiled = None
        self._idle.clear()

    def close(self) -> None:
        """See `Backend.close`. Calls in progress are finished first by those who made them."""
        with self._lock:
            self._closed = True
            self._drop()


def _infer(request: openvino.InferRequest, tensor: openvino.Tensor) -> None:
    """Run a request, and let Python see a Ctrl-C meanwhile."""
    request.set_input_tensor(tensor)
    request.start_async()
    try:
        while not request.wait_for(_POLL_MILLISECONDS):
            pass
    except (KeyboardInterrupt, SystemExit):
        # Destroying a request waits for it, seconds for a large tile: let it run out.
        request.cancel()
        _ABANDONED.append((request, tensor))
        raise


def _never_destroy(*objects: object) -> None:
    for one in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _leave_all() -> None:
    _never_destroy(*_ABANDONED)
    for backend in list(_ALIVE):
        backend.leave()


# Windows has no forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)


def open_backend(
    model: ModelFile, *, precision: str, threads: int | None, parallel: int
) -> OpenVinoBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return OpenVinoBackend(model, precision=precision, threads=threads, parallel=parallel)
