"""Ten thousand small pictures through `Upscaler.map`: order, failures, memory, speed.

    python benchmarks/many_pictures.py [--count 10000] [--backend auto] [--model vdsr]

PNG files of 16x16 px are written first, one in a hundred of them broken, and enlarged by 2
from their paths. Results must come in the order of the files, each of its own picture; the
broken files must fail, each by its name, and no other. The resident memory of the process
is read every 500 pictures. Growth counts from picture 1,000: by then whatever is kept for
reuse is there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import psutil
from numpy.typing import NDArray

from vdsr import Mapped, Upscaler
from vdsr.errors import InputError
from vdsr.evaluation.candidates import write_picture
from vdsr.model.file import DEFAULT_MODEL

SIDE, SCALE = 16, 2
ONE_BROKEN_IN = 100
SAMPLE = 500
SETTLED = 1000
# What enlarging may change of a picture's mean color, in steps of 8 bits.
TOLERANCE = 4.0


def main(count: int, model: str, backend: str) -> None:
    rng = np.random.default_rng(0)
    broken = {int(i) for i in rng.choice(count, count // ONE_BROKEN_IN, replace=False)}
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        paths = [Path(name) / f"{i:06}.png" for i in range(count)]
        means = [write(path, rng) for path in paths]
        for kind, i in enumerate(sorted(broken)):
            spoil(paths[i], kind)
        with Upscaler(model, backend=backend) as upscaler:
            samples = run(upscaler, paths, means, broken)
            used = {"model": upscaler.model.metadata.name, "precision": upscaler.precision}
            backend = upscaler.backend
    settled = [one["resident_mib"] for one in samples if one["pictures"] >= SETTLED]
    figures = {
        "input": f"{SIDE}x{SIDE} RGB, 8 bits, x{SCALE}",
        "pictures": count,
        "broken": len(broken),
        "backend": backend,
        **used,
        "pictures_per_second": round(count / samples[-1]["seconds"], 1),
        "growth_mib": round(settled[-1] - settled[0], 1) if settled else None,
        "samples": samples,
    }
    since = f"{figures['growth_mib']:+.1f} MiB" if settled else "not reached"
    print(f"in order; {len(broken)} broken files failed by name, and no other")
    print(f"growth from picture {SETTLED} to the end: {since}")
    machine.record(f"many-pictures-{backend}", figures)


def write(path: Path, rng: np.random.Generator) -> NDArray[np.float64]:
    """Write a picture: a color of its own, and noise. Returns its mean color."""
    color = rng.integers(48, 208, 3)
    picture = (color + rng.integers(-24, 25, (SIDE, SIDE, 3))).astype(np.uint8)
    write_picture(path, picture)
    return mean(picture)


def mean(picture: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(picture.mean((0, 1)), np.float64)


def spoil(path: Path, kind: int) -> None:
    """Leave half of the file, nothing of it, or something else."""
    data = path.read_bytes()
    path.write_bytes((data[: len(data) // 2], b"", b"no picture")[kind % 3])


def run(
    upscaler: Upscaler, paths: list[Path], means: list[NDArray[np.float64]], broken: set[int]
) -> list[dict[str, Any]]:
    """Enlarge all of them, and sample memory and speed meanwhile."""
    print(f"{'pictures':>8}{'MiB':>8}{'pictures/s':>12}")
    samples: list[dict[str, Any]] = []
    done = 0
    start = last = time.perf_counter()
    for done, one in enumerate(upscaler.map(paths, scale=SCALE), 1):
        if one.index != done - 1 or one.source != paths[one.index]:
            sys.exit(f"out of order: {one.source} came as number {done}")
        if (fault := check(one, means[one.index], one.index in broken)) is not None:
            sys.exit(f"{one.source}: {fault}")
        if done % SAMPLE == 0 or done == len(paths):
            now, before = time.perf_counter(), samples[-1]["pictures"] if samples else 0
            rate, mib = (done - before) / (now - last), resident_mib()
            samples.append(
                {
                    "pictures": done,
                    "seconds": round(now - start, 2),
                    "resident_mib": round(mib, 1),
                    "pictures_per_second": round(rate, 1),
                }
            )
            print(f"{done:>8}{mib:>8.1f}{rate:>12.1f}", flush=True)
            last = now
    if done != len(paths):
        sys.exit(f"{done} results of {len(paths)} pictures")
    return samples


def check(one: Mapped[Path], color: NDArray[np.float64], broken: bool) -> str | None:
    """What is wrong with a result, or None."""
    if broken:
        named = isinstance(one.error, InputError) and str(one.error).startswith(f"{one.source}: ")
        return None if named else f"it is broken, and gave {one.error or 'a picture'}"
    if not isinstance(one.result, np.ndarray):
        return f"it is whole, and failed: {one.error}"
    if one.result.shape != (SIDE * SCALE, SIDE * SCALE, 3):
        return f"the result is {one.result.shape}"
    off = float(np.abs(mean(one.result) - color).max())
    return None if off <= TOLERANCE else f"the result is another picture: {off:.1f} off in color"


def resident_mib() -> float:
    """Resident memory of this process, MiB."""
    return float(psutil.Process().memory_info().rss) / 1024**2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    main(options.count, options.model, options.backend)
