"""Throughput: several pictures processed at once, each on its share of the threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from vdsr.inference import backends
from vdsr.inference.tiling import filled
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile


class Streams:
    """`count` streams of one model; each run does `count` arrays at once.

    OpenVINO has streams and an asynchronous queue of its own. Elsewhere every stream is a
    network and a thread of its own.

    Args:
        model: the model file.
        choice: backend and precision.
        count: streams.
        threads: CPU threads of all streams together.
    """

    def __init__(
        self, model: ModelFile, choice: backends.Choice, *, count: int, threads: int
    ) -> None:
        self.count = count
        self._stack = ExitStack()
        each = max(1, threads // count)
        self._run: Callable[[FloatArray], object]
        if choice.backend == "openvino":
            self._run = _queue(model, choice.precision, count=count, threads=threads)
        else:
            pool = self._stack.enter_context(ThreadPoolExecutor(count))
            networks = list(
                pool.map(lambda _: backends.open_backend(model, choice, threads=each), range(count))
            )
            for network in networks:
                self._stack.callback(network.close)
            self._run = lambda y: [
                job.result() for job in [pool.submit(one.run, y) for one in networks]
            ]

    def run(self, y: FloatArray) -> None:
        """Run float32 `[N, planes, H, W]` on every stream at once, and wait for all."""
        self._run(y)

    def close(self) -> None:
        """Release the networks."""
        self._stack.close()
        del self._run


def _queue(
    model: ModelFile, precision: str, *, count: int, threads: int
) -> Callable[[FloatArray], object]:
    import openvino

    hint = "f16" if precision == "fp16" else "f32"
    config = {
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": count,
        "INFERENCE_NUM_THREADS": threads,
    }
    queue = openvino.AsyncInferQueue(
        openvino.Core().compile_model(model.graph, "CPU", config), count
    )

    def run(y: FloatArray) -> None:
        tensor = openvino.Tensor(filled(y, model.metadata.fold), shared_memory=True)
        for _ in range(count):
            queue.start_async({0: tensor})
        queue.wait_all()

    return run
