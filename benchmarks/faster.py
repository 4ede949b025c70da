"""Is there anything faster than the bare runtime on the whole picture at once?

    python benchmarks/faster.py [--model INT8.onnx ...] [--size 1920x1080] [--repeats 3]

Interleaved in one run, for every model, OpenVINO on the luma of the output: at once; in
tiles of several shapes, their halo computed and paid for; several tiles in progress at once,
each on its share of the threads; input and output in OpenVINO's own memory, or copied;
and with uint8 input and output inside the graph. Ratios are to the whole at once: above
1 is faster. Tiles are cut as the program cuts them (`vdsr.inference.tiling`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import machine
import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.utils.decorators import custom_preprocess_function

from vdsr.benchmark.candidates import load_models
from vdsr.benchmark.rounds import interleaved, median
from vdsr.benchmark.timing import picture
from vdsr.inference.cpu import cores
from vdsr.inference.tiling import Span
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

WHOLE = "at once"
# Width and height of what a tile gives; 0 is the whole side.
SHAPES = ((0, 540), (0, 270), (0, 135), (960, 540), (640, 360), (480, 270), (320, 180), (192, 180))


@dataclass(frozen=True)
class Tile:
    """Part of the picture, with its margins."""

    rows: Span
    columns: Span


def tiles(size: tuple[int, int], shape: tuple[int, int], halo: int) -> list[Tile]:
    """Tiles of at most this shape, as even as can be."""
    width, height = size
    rows = list(spans(height, shape[1] or height, halo))
    return [Tile(r, c) for r in rows for c in spans(width, shape[0] or width, halo)]


def spans(length: int, side: int, halo: int) -> Iterator[Span]:
    count = -(-length // side)
    for i in range(count):
        yield Span.with_halo(length * i // count, length * (i + 1) // count, length, halo)


class Queue:
    """A compiled network with requests in progress at once."""

    def __init__(self, graph: openvino.Model, *, streams: int, share: bool, threads: int) -> None:
        config = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = openvino.Core().compile_model(graph, "CPU", config)
        self._queue = openvino.AsyncInferQueue(compiled, streams)
        self._queue.set_callback(self._done)
        self._share = share
        self._result: NDArray[np.generic] = np.empty(0)

    def run(self, y: NDArray[np.generic], cut: list[Tile]) -> None:
        """Run tiles of `[1, 1, H, W]`, and put their results together."""
        self._result = np.empty_like(y)
        for tile in cut:
            window = y[:, :, slice(*tile.rows.outer), slice(*tile.columns.outer)]
            given = np.ascontiguousarray(window)
            self._queue.start_async([given], tile, share_inputs=self._share)
        self._queue.wait_all()

    def _done(self, request: openvino.InferRequest, tile: Tile) -> None:
        found = request.get_output_tensor().data
        if not self._share:
            found = np.array(found)
        rows, columns = tile.rows, tile.columns
        height, width = rows.stop - rows.start, columns.stop - columns.start
        self._result[:, :, rows.start : rows.stop, columns.start : columns.stop] = found[
            :, :, rows.before : rows.before + height, columns.before : columns.before + width
        ]


def in_bytes(model: ModelFile) -> openvino.Model:
    """The network from uint8 to uint8: division, rounding and clipping inside the graph."""
    graph = openvino.Core().read_model(model.data)
    steps = openvino.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
    opset = openvino.opset13

    def to_levels(output: openvino.Output) -> openvino.Output:
        levels = opset.multiply(output, opset.constant(np.float32(255)))
        return opset.clamp(opset.round(levels, "half_to_even"), 0.0, 255.0)

    steps.output().postprocess().custom(custom_preprocess_function(to_levels)).convert_element_type(
        openvino.Type.u8
    )
    return steps.build()


def ways(
    model: ModelFile, y: FloatArray, size: tuple[int, int], threads: int
) -> dict[str, Callable[[], None]]:
    """What is timed, by name."""
    halo = model.architecture.halo
    whole = tiles(size, (0, 0), halo)
    one = Queue(model.graph, streams=1, share=True, threads=threads)
    copying = Queue(model.graph, streams=1, share=False, threads=threads)
    several = Queue(model.graph, streams=threads, share=True, threads=threads)
    levels = Queue(in_bytes(model), streams=1, share=True, threads=threads)
    bytes_of = np.rint(y * 255).astype(np.uint8)
    found: dict[str, Callable[[], None]] = {
        WHOLE: lambda: one.run(y, whole),
        f"{WHOLE}, copied": lambda: copying.run(y, whole),
        f"{WHOLE}, uint8 in the graph": lambda: levels.run(bytes_of, whole),
    }
    for shape in SHAPES:
        cut = tiles(size, shape, halo)
        name = f"{shape[0] or size[0]}x{shape[1] or size[1]}"
        if len(cut) > 1:
            found[f"tiles of {name}"] = lambda cut=cut: one.run(y, cut)  # type: ignore[misc]
            found[f"tiles of {name}, {threads} streams"] = (
                lambda cut=cut: several.run(y, cut)  # type: ignore[misc]
            )
    return found


def main(names: list[str], size: tuple[int, int], repeats: int, threads: int) -> None:
    y = picture(size)
    runs = {}
    for model in load_models(names):
        for name, run in ways(model, y, size, threads).items():
            runs[f"{model.metadata.name} {model.metadata.precision}", name] = run
    taken = interleaved(runs, repeats=repeats, seconds=float("inf"))
    figures = []
    for (model_name, name), seconds in taken.items():
        times = median(taken[model_name, WHOLE]) / median(seconds)
        speed = size[0] * size[1] / median(seconds) / 1e6
        print(f"{model_name:<16} {name:<36} {speed:7.3f} Mpixel/s  {times:5.2f} x")
        figures.append(
            {
                "model": model_name,
                "way": name,
                "seconds": [round(value, 4) for value in seconds],
                "times_at_once": round(times, 3),
            }
        )
    machine.record("faster", {"size": f"{size[0]}x{size[1]}", "threads": threads, "rows": figures})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", action="append")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores())
    given = parser.parse_args()
    wide, high = (int(part) for part in given.size.split("x"))
    main(given.model or ["vdsr"], (wide, high), given.repeats, given.threads)
