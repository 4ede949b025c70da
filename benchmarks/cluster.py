"""A folder job on a local cluster of two actors beside the plain run: pictures/s, and bytes.

    python benchmarks/cluster.py [--count 2000] [--side 96] [--rounds 3]
    python benchmarks/cluster.py --giant 1500 [--rounds 3]

Both do the same pictures with as many threads in all, in turn, round after round. The rate is
that from the first fifth of the pictures to the last: by then the cluster has started, and both
of its actors have opened the model. Every output is compared. One core is enough for an actor.

With `--giant` it is one picture, of so many px a side, whose strips both actors make: Mpixel/s
from the first 0.4 of its pixels to the last.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np

from vdsr import write_image
from vdsr.cluster.crews import run_on_cluster
from vdsr.cluster.options import ClusterOptions
from vdsr.inference.memory import MIB
from vdsr.jobs.progress import JobProgress
from vdsr.jobs.runner import JobReport, RunOptions, Show, run_job
from vdsr.jobs.settings import JobSettings

ACTORS = 2
SCALE = 2
# Of each actor, and twice of the plain run: tiles follow from it.
MEMORY = 512 * MIB
BEGUN = 0.2
GIANT_SCALE = 4
GIANT_BEGUN = 0.4


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--giant", type=int)
    parser.add_argument("--model", default="vdsr")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    giant = given.giant is not None
    count, side = (1, given.giant) if giant else (given.count, given.side)
    settings = JobSettings(scale=GIANT_SCALE if giant else SCALE, model=given.model)
    resume = True if giant else None
    plain = RunOptions(threads=ACTORS, max_memory=ACTORS * MEMORY, resume=resume)
    actor = RunOptions(threads=1, max_memory=MEMORY, resume=resume)
    rates: dict[str, list[float]] = {"plain": [], "cluster": []}
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        inputs = Path(name) / "in"
        inputs.mkdir()
        for i in range(count):
            coarse = rng.integers(0, 256, (side // 8, side // 8, 3))
            write_image(inputs / f"{i:06}.png", coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8))
        ways: dict[str, Callable[[Path, Show], JobReport]] = {
            "plain": lambda goal, show: run_job([inputs], goal, settings, plain, show),
            "cluster": lambda goal, show: run_on_cluster(
                [inputs], goal, settings, actor, ClusterOptions(actor_cpus=1), show
            ),
        }
        for i in range(given.rounds):
            for way, run in ways.items():
                rates[way].append(rate(count, Path(name) / f"{way}{i}", run))
            compare(Path(name) / f"plain{i}", Path(name) / f"cluster{i}")
            print(f"plain {rates['plain'][-1]:.2f}, cluster {rates['cluster'][-1]:.2f} per second")
    medians = {way: statistics.median(found) for way, found in rates.items()}
    shares = [b / a for a, b in zip(rates["plain"], rates["cluster"], strict=True)]
    figures: dict[str, Any] = {
        "input": f"{side}x{side} RGB, 8 bits, x{settings.scale:g}, {given.model}",
        "pictures": count,
        "actors": ACTORS,
        "megapixels_per_second" if giant else "pictures_per_second": {
            way: round(value, 2) for way, value in medians.items()
        },
        "ratio": round(statistics.median(shares), 3),
        "rounds": {way: [round(one, 2) for one in found] for way, found in rates.items()},
        "equal_bytes": True,
    }
    print(f"cluster / plain: {figures['ratio']}, all bytes equal")
    machine.record("cluster-giant" if giant else "cluster", figures)


def rate(count: int, goal: Path, run: Callable[[Path, Show], JobReport]) -> float:
    """Pictures per second, or Mpixel of the only one, from the first part of them to the last."""
    times: list[tuple[float, float]] = []

    def show(progress: JobProgress) -> None:
        if count > 1 and progress.done >= BEGUN * count:
            times.append((time.perf_counter(), progress.done))
        if count == 1 and progress.pixels > GIANT_BEGUN * (progress.pixels_in_all or math.inf):
            times.append((time.perf_counter(), progress.pixels / 1e6))

    report = run(goal, show)
    if not report.balance.is_even or report.balance.done != count:
        sys.exit(f"the job is not whole: {report}")
    first, before = times[0]
    last, done = max(times, key=lambda one: (one[1], -one[0]))
    return (done - before) / (last - first)


def compare(one: Path, other: Path) -> None:
    """End with an error if the outputs of two runs differ."""
    for path in sorted(one.glob("*.png")):
        if path.read_bytes() != (other / path.name).read_bytes():
            sys.exit(f"{path.name} differs")


if __name__ == "__main__":
    main()
