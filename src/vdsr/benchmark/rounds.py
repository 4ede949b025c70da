"""Interleaved repeats, and what is read off them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


def interleaved(
    runs: Mapping[Key, Callable[[], object]],
    *,
    repeats: int,
    seconds: float,
    between: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, list[float]]:
    """Time every run once per round, so that all of them see the machine's good and bad moments.

    Args:
        runs: what is timed, by key. Every second round takes them in reversed order.
        repeats: most rounds.
        seconds: after this time no further round is begun; the first is always finished.
        between: called at the start of each round, not timed.
        clock: seconds, growing.

    Returns:
        Seconds of every round, by key; as many for each.
    """
    taken: dict[Key, list[float]] = {key: [] for key in runs}
    begun = clock()
    for i in range(repeats):
        if i and clock() - begun >= seconds:
            break
        if between is not None:
            between()
        for key in list(runs) if i % 2 == 0 else list(reversed(list(runs))):
            start = clock()
            runs[key]()
            taken[key].append(clock() - start)
    return taken


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile `share` (0..100), linear between neighbors."""
    return float(np.percentile(values, share))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """p50, p95 and every value, in seconds, as an object for JSON."""
    return {
        "p50": median(values),
        "p95": percentile(values, 95),
        "all": [round(value, 5) for value in values],
    }
