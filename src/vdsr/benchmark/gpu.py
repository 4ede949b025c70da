"""The network on a CUDA device, in the ways that a GPU can be used.

fp16 and bf16, channels last, eager, through `torch.compile`, and as a CUDA graph; tiles in
batches; several streams. The ceiling is the rate of a product of two square bf16 matrices
in the same run; fp16 has the same rate on the GPUs that have both. fp32 (without TF32) is
the reference for the largest difference that each way makes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdsr.benchmark import machine
from vdsr.benchmark.ceiling import rate
from vdsr.benchmark.eager import chain, tensors_of
from vdsr.benchmark.rounds import interleaved, median, summary
from vdsr.benchmark.timing import Say
from vdsr.errors import BackendError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vdsr.model.architecture import Architecture
    from vdsr.model.file import ModelFile

EAGER, COMPILED, GRAPH = "eager", "compile", "graph"
MODES = (EAGER, COMPILED, GRAPH)
PRECISIONS = ("fp16", "bf16")
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_SIDE = 8192
_WARM_UPS = 3
Step = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the network.

    Attributes:
        precision: `fp32`, `fp16` or `bf16`.
        mode: `eager`, `compile` or `graph`.
        tile: (width, height) in px.
        batch: tiles per call.
        streams: calls in progress at once.
    """

    precision: str
    mode: str
    tile: tuple[int, int]
    batch: int
    streams: int = 1

    @property
    def pixels(self) -> int:
        """Output px of all streams' calls together."""
        return self.tile[0] * self.tile[1] * self.batch * self.streams


def ways() -> tuple[Way, ...]:
    """What is measured: tiles of 256x256 in batches, 1920x1080 at once, and two streams."""
    tiles = [((256, 256), 1), ((256, 256), 16), ((256, 256), 64), ((1920, 1080), 1)]
    found = [
        Way(precision=precision, mode=mode, tile=tile, batch=batch)
        for precision, mode, (tile, batch) in itertools.product(PRECISIONS, MODES, tiles)
    ]
    found += [
        Way(precision=precision, mode=EAGER, tile=(256, 256), batch=16, streams=streams)
        for precision, streams in itertools.product(PRECISIONS, (2, 4))
    ]
    return tuple(found)


def require_cuda() -> None:
    """Refuse where there is no CUDA device.

    Raises:
        BackendError: without torch or a CUDA device.
    """
    try:
        import torch
    except ImportError as error:
        raise BackendError(
            "a GPU is measured by torch with CUDA, and there is no torch here"
        ) from error
    if not torch.cuda.is_available():
        raise BackendError("there is no CUDA device that torch finds here")


def prepare(architecture: Architecture, way: Way, device: torch.device) -> Step:
    """The network in the precision and mode of `way`.

    Args:
        architecture: layers with their weights.
        way: how to run it.
        device: where; a graph needs CUDA.

    Returns:
        From `[N, 1, H, W]` on the device, in the way's precision and shape, to the same. A
        graph returns the same memory at every call.
    """
    import torch

    dtype = getattr(torch, _DTYPES[way.precision])
    network = chain(tensors_of(architecture), fold=architecture.fold)
    network = network.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    residual = architecture.residual

    def step(y: Tensor) -> Tensor:
        out: Tensor = network(y)
        return out + y if residual else out

    if way.mode == EAGER:
        return step
    if way.mode == COMPILED:
        # Each way is another program of the same code, of which torch keeps eight.
        torch._dynamo.config.cache_size_limit = 64
        compiled: Step = torch.compile(step, dynamic=False)
        return compiled
    return _captured(network, step, inputs(way, device, architecture.planes))


def _captured(network: torch.nn.Module, step: Step, y: Tensor) -> Step:
    """The step as a CUDA graph, replayed on its own copy of the input."""
    import torch

    held = y.clone()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            step(held)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step(held)

    def replay(given: Tensor) -> Tensor:
        held.copy_(given)
        graph.replay()
        return result

    # A graph reads the weights where they lay, and does not keep them alive.
    replay.network = network  # type: ignore[attr-defined]
    return replay


def inputs(way: Way, device: torch.device, planes: int = 1) -> Tensor:
    """Planes in 0..1, `[batch, planes, height, width]` in the way's precision, seeded."""
    import torch

    generator = torch.Generator().manual_seed(0)
    y = torch.rand((way.batch, planes, way.tile[1], way.tile[0]), generator=generator)
    return y.to(device, getattr(torch, _DTYPES[way.precision]))


def runner(step: Step, way: Way, device: torch.device, planes: int = 1) -> Callable[[], None]:
    """One call per stream, and a wait for all of them."""
    import torch

    y = inputs(way, device, planes)
    count = way.streams if way.streams > 1 else 0
    streams = [torch.cuda.Stream() for _ in range(count)]  # type: ignore[no-untyped-call]

    def run() -> None:
        with torch.inference_mode():
            if not streams:
                step(y)
            for stream in streams:
                with torch.cuda.stream(stream):
                    step(y)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def matrix_rate(device: torch.device, side: int = _SIDE) -> float:
    """FLOP/s of a product of two square bf16 matrices."""
    import torch

    a = torch.rand(side, side, device=device, dtype=torch.bfloat16)

    def product() -> None:
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()

    product()
    return rate(product, side)


def benchmark_gpu(model: ModelFile, *, repeats: int, say: Say) -> dict[str, Any]:
    """Measure every way on the CUDA device.

    Args:
        model: a float model.
        repeats: rounds per tile and batch.
        say: takes a line for people.

    Returns:
        An object for JSON: `machine`, `ceiling`, `notes`, and the rows `gpu`.

    Raises:
        BackendError: without a CUDA device.
    """
    require_cuda()
    import torch

    device = torch.device("cuda")
    rows, rates = measure(
        model.architecture, ways(), device, repeats=repeats, say=say, rate_of=matrix_rate
    )
    described = machine.describe()
    described["gpu"] = torch.cuda.get_device_name()
    described["cuda"] = torch.version.cuda
    return {
        "machine": described,
        "threads": torch.get_num_threads(),
        "ceiling": {
            "gflops": max(rates) / 1e9,
            "best_gflops": {"torch bf16": max(rates) / 1e9},
            "int8_factor": None,
        },
        "notes": [
            f"on {described['gpu']}, CUDA {described['cuda']}: the ceiling is of bf16 products",
            "arrays are on the device already: copies to and from it are not counted",
        ],
        "gpu": rows,
    }


def measure(
    architecture: Architecture,
    wanted: Sequence[Way],
    device: torch.device,
    *,
    repeats: int,
    say: Say,
    rate_of: Callable[[torch.device], float],
) -> tuple[list[dict[str, Any]], list[float]]:
    """Time ways on a device, those of one tile and batch interleaved.

    Args:
        architecture: layers with their weights.
        wanted: the ways.
        device: where.
        repeats: rounds.
        say: takes a line for people.
        rate_of: the ceiling of the device, FLOP/s; asked once per round.

    Returns:
        Rows for JSON, and the ceilings that were measured.
    """
    import torch

    rates: list[float] = []
    rows: list[dict[str, Any]] = []
    for tile, batch in dict.fromkeys((way.tile, way.batch) for way in wanted):
        group = [way for way in wanted if (way.tile, way.batch) == (tile, batch)]
        say(f"{tile[0]}x{tile[1]}, batch {batch}")
        exact = Way(precision="fp32", mode=EAGER, tile=tile, batch=batch)
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            truth = prepare(architecture, exact, device)(inputs(exact, device))
        runs: dict[Way, Callable[[], None]] = {}
        differences: dict[Way, float] = {}
        for way in group:
            begun = time.perf_counter()
            with torch.inference_mode():
                step = prepare(architecture, way, device)
                result = step(inputs(way, device, architecture.planes))
                differences[way] = float((result.float() - truth).abs().max())
            runs[way] = runner(step, way, device, architecture.planes)
            runs[way]()
            say(f"  {way.precision} {way.mode}: ready in {time.perf_counter() - begun:.1f} s")
        taken = interleaved(
            runs,
            repeats=repeats,
            seconds=float("inf"),
            between=lambda: rates.append(rate_of(device)),
        )
        rows += [_row(architecture, way, taken[way], differences[way]) for way in group]
        runs.clear()
    for row in rows:
        row["share_of_ceiling"] = row.pop("flops") / max(rates)
    return rows, rates


def _row(
    architecture: Architecture, way: Way, seconds: list[float], difference: float
) -> dict[str, Any]:
    speed = way.pixels / median(seconds)
    return {
        "precision": way.precision,
        "mode": way.mode,
        "tile": f"{way.tile[0]}x{way.tile[1]}",
        "batch": way.batch,
        "streams": way.streams,
        "seconds": summary(seconds),
        "megapixels_per_second": speed / 1e6,
        "flops": 2.0 * architecture.macs_per_pixel * speed,
        "largest_difference": difference,
    }
