"""The whole benchmark: what is measured, and the figures it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdsr.benchmark import ceiling, machine
from vdsr.benchmark.candidates import BenchmarkSettings, Candidate, reference
from vdsr.benchmark.program import time_program
from vdsr.benchmark.rounds import median
from vdsr.benchmark.timing import Say, Timing, time_networks, time_starts


def benchmark(found: Sequence[Candidate], settings: BenchmarkSettings, say: Say) -> dict[str, Any]:
    """Measure.

    Args:
        found: see `vdsr.benchmark.candidates.candidates`.
        settings: how to measure.
        say: takes a line for people at every step.

    Returns:
        An object for JSON: `machine`, `ceiling`, `notes`, and rows: `network`, `start`,
        `program`.

    Raises:
        VdsrError: as the backends.
    """
    notes = []
    every = list(found)
    if settings.reference:
        eager, reason = reference([candidate.model for candidate in found])
        if eager is None:
            notes.append(reason)
            say(reason)
        else:
            every.append(eager)
    described = machine.describe()
    factor = ceiling.int8_factor(described["instructions"])
    notes.append(_counted(factor))
    with ceiling.Ceiling(settings.threads) as products:
        timings = time_networks(every, settings, between=products.measure, say=say)
        starts = time_starts(every, settings, say)
        program = []
        if settings.program is not None:
            whole = _whole(every)
            program = time_program(
                whole, settings.program, settings, between=products.measure, say=say
            )
    return {
        "machine": described,
        "threads": settings.threads,
        "streams": settings.streams,
        "ceiling": {
            "gflops": products.flops / 1e9,
            "best_gflops": {name: max(rates) / 1e9 for name, rates in products.rates.items()},
            "int8_factor": factor,
        },
        "notes": notes,
        "network": [_row(timing, timings, products.flops, factor) for timing in timings],
        "start": starts,
        "program": program,
    }


def _whole(every: Sequence[Candidate]) -> list[Candidate]:
    """What the rows of the whole program show: the first backend, and the reference."""
    first = every[0].backend
    return [one for one in every if one.backend == first or one.is_reference]


def _row(
    timing: Timing, timings: Sequence[Timing], flops: float, factor: int | None
) -> dict[str, Any]:
    beside = next(
        (
            median(other.seconds)
            for other in timings
            if other.candidate.is_reference
            and (other.size, other.batch) == (timing.size, timing.batch)
        ),
        None,
    )
    return timing.as_dict(flops, factor, beside)


def _counted(factor: int | None) -> str:
    if factor is None:
        return "int8 has no share: this CPU has no VNNI, and its ceiling for int8 is not known"
    return (
        f"share: of the best float32 matrix product of this run; of {factor} times that for int8"
        " (VNNI)"
    )
