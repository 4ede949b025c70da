"""The network alone: latency, throughput, start-up, memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vdsr.benchmark import ceiling, startup
from vdsr.benchmark.candidates import LARGEST_BATCH_PIXELS, BenchmarkSettings, Candidate
from vdsr.benchmark.rounds import interleaved, median, summary
from vdsr.benchmark.streams import Streams
from vdsr.inference import backends
from vdsr.model.architecture import FloatArray

_STREAM_ROUNDS = 3
_WARM_UP = 48
Say = Callable[[str], None]


class Runnable(Protocol):
    """A network that can be run."""

    def run(self, y: FloatArray) -> object:
        """Run it on float32 `[N, planes, H, W]`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A candidate at one size and batch.

    Attributes:
        candidate: what was measured.
        size: (width, height) in px; batch: pictures per call.
        seconds: of each call, one stream.
        stream_seconds: of each picture with several streams; empty if not measured.
    """

    candidate: Candidate
    size: tuple[int, int]
    batch: int
    seconds: tuple[float, ...]
    stream_seconds: tuple[float, ...] = ()

    @property
    def pixels(self) -> int:
        """Output px of a call."""
        return self.size[0] * self.size[1] * self.batch

    def as_dict(
        self, flops: float, factor: int | None, reference_seconds: float | None
    ) -> dict[str, Any]:
        """As an object for JSON; see `vdsr.benchmark.ceiling.share`."""
        best = median(self.seconds)
        throughput = None
        if self.stream_seconds:
            throughput = self.size[0] * self.size[1] / median(self.stream_seconds) / 1e6
        speed = max(self.pixels / best / 1e6, throughput or 0.0)
        # A GPU has another ceiling; see `vdsr.benchmark.gpu`.
        work = 2.0 * self.candidate.model.architecture.macs_per_pixel * speed * 1e6
        return {
            **named(self.candidate),
            "size": f"{self.size[0]}x{self.size[1]}",
            "batch": self.batch,
            "latency_seconds": summary(self.seconds),
            "megapixels_per_second": self.pixels / best / 1e6,
            "throughput_megapixels_per_second": throughput,
            "share_of_ceiling": None
            if on_gpu(self.candidate)
            else ceiling.share(work, flops, self.candidate.precision, factor),
            "times_reference": None if reference_seconds is None else reference_seconds / best,
        }


def on_gpu(candidate: Candidate) -> bool:
    """Whether a candidate runs on a GPU: the torch backend, where there is one."""
    if candidate.backend != "torch":
        return False
    import torch

    return torch.cuda.is_available()


def named(candidate: Candidate) -> dict[str, Any]:
    """Model, backend and precision of a candidate, for JSON."""
    return {
        "model": candidate.model.metadata.name,
        "digest": candidate.model.digest,
        "backend": candidate.backend,
        "precision": candidate.precision,
    }


def open_candidate(candidate: Candidate, threads: int) -> Runnable:
    """Load a candidate, and run it once on a small array."""
    network: Runnable
    if candidate.is_reference:
        from vdsr.benchmark.eager import EagerNetwork, tensors_of

        architecture = candidate.model.architecture
        network = EagerNetwork(
            tensors_of(architecture),
            residual=architecture.residual,
            threads=threads,
            fold=architecture.fold,
        )
    else:
        network = backends.open_backend(candidate.model, candidate.choice, threads=threads)
    shape = (1, candidate.model.metadata.planes, _WARM_UP, _WARM_UP)
    network.run(np.full(shape, 0.5, np.float32))
    return network


def close(network: Runnable) -> None:
    """Release what a network holds, if it holds anything."""
    if hasattr(network, "close"):
        network.close()


def picture(size: tuple[int, int], batch: int = 1, planes: int = 1) -> FloatArray:
    """Planes in 0..1 that are not constant, float32 `[batch, planes, height, width]`."""
    rng = np.random.default_rng(0)
    values: FloatArray = rng.random((batch, planes, size[1], size[0]), np.float32)
    return values


def time_networks(
    found: Sequence[Candidate],
    settings: BenchmarkSettings,
    *,
    between: Callable[[], object],
    say: Say,
) -> list[Timing]:
    """Latency of all candidates at all sizes and batches, and throughput with streams."""
    timings = []
    for size in settings.sizes:
        for batch in settings.batches:
            pixels = size[0] * size[1] * batch
            if batch > 1 and pixels > LARGEST_BATCH_PIXELS:
                say(f"{size[0]}x{size[1]}: no batch of {batch}: over {LARGEST_BATCH_PIXELS:,} px")
                continue
            say(f"network, {size[0]}x{size[1]}, batch {batch}")
            timings += _time_size(found, size, batch, settings, between)
    return timings


def _time_size(
    found: Sequence[Candidate],
    size: tuple[int, int],
    batch: int,
    settings: BenchmarkSettings,
    between: Callable[[], object],
) -> list[Timing]:
    given = [picture(size, batch, one.model.metadata.planes) for one in found]
    small = size[0] * size[1] * batch <= LARGEST_BATCH_PIXELS
    networks = [open_candidate(candidate, settings.threads) for candidate in found]
    if small:
        # Backends prepare for a shape when they first see it. Of large pictures that is little.
        for network, y in zip(networks, given, strict=True):
            network.run(y)
    taken = interleaved(
        {i: (lambda n=n, y=given[i]: n.run(y)) for i, n in enumerate(networks)},  # type: ignore[misc]
        repeats=settings.repeats,
        seconds=settings.seconds,
        between=between,
    )
    for network in networks:
        close(network)
    streamed: dict[int, list[float]] = {}
    if small and batch == 1 and settings.streams > 1:
        streamed = _time_streams(found, given, settings)
    return [
        Timing(
            candidate=candidate,
            size=size,
            batch=batch,
            seconds=tuple(taken[i]),
            stream_seconds=tuple(s / settings.streams for s in streamed.get(i, ())),
        )
        for i, candidate in enumerate(found)
    ]


def _time_streams(
    found: Sequence[Candidate], given: Sequence[FloatArray], settings: BenchmarkSettings
) -> dict[int, list[float]]:
    """Seconds in which all streams do one picture each, by candidate; not the reference."""
    opened = {
        i: Streams(
            candidate.model, candidate.choice, count=settings.streams, threads=settings.threads
        )
        for i, candidate in enumerate(found)
        if not candidate.is_reference
    }
    for i, streams in opened.items():
        streams.run(given[i])
    taken = interleaved(
        {i: (lambda s=s, y=given[i]: s.run(y)) for i, s in opened.items()},  # type: ignore[misc]
        repeats=min(_STREAM_ROUNDS, settings.repeats),
        seconds=settings.seconds,
    )
    for streams in opened.values():
        streams.close()
    return taken


def time_starts(
    found: Sequence[Candidate], settings: BenchmarkSettings, say: Say
) -> list[dict[str, Any]]:
    """Start-up time and peak memory of all candidates at the smallest size, in fresh processes.

    Raises:
        BackendError: if one of the processes fails.
    """
    size = min(settings.sizes, key=lambda s: s[0] * s[1])
    say(f"start-up, {size[0]}x{size[1]}")
    starts: dict[int, list[startup.Start]] = {i: [] for i in range(len(found))}

    def start(i: int) -> None:
        one = found[i]
        starts[i].append(
            startup.start(
                one.model.source, one.backend, one.precision, threads=settings.threads, size=size
            )
        )

    repeats = min(_STREAM_ROUNDS, settings.repeats)
    interleaved(
        {i: (lambda i=i: start(i)) for i in starts},  # type: ignore[misc]
        repeats=repeats,
        seconds=settings.seconds,
    )
    return [
        {
            **named(found[i]),
            "size": f"{size[0]}x{size[1]}",
            "start_seconds": summary([s.seconds for s in of_one]),
            "peak_memory_bytes": int(median([s.peak_bytes for s in of_one])),
        }
        for i, of_one in starts.items()
    ]
