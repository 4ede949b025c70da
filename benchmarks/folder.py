"""Folder jobs: whether the network waits, pictures per second beside the bare map, memory.

    python benchmarks/folder.py photographs [--pictures FOLDER] [--count 50] [--format png]
    python benchmarks/folder.py small [--count 10000] [--rounds 3]
    python benchmarks/folder.py start [--count 100000]

`photographs` runs `vdsr upscale FOLDER OUT` over photographs (of a folder; without one, cut
from the one that scikit-image ships) and prints for what part of the wall time, start-up and
end included, a network of the job was computing: the time is taken in the process that
enlarges, around every call of the network.

`small` enlarges many files of 16x16 px by 2, by a folder job and by `Upscaler.map` of pairs
of paths, in turns, and prints pictures per second of both, medians and their ratio, and how
the memory of both processes of the job grows.

`start` prints how long a job of very many files takes to its first output, all files found
and named by then, and what the process that runs the job holds at that time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import machine
import numpy as np

from vdsr import Upscaler, read_image, write_image
from vdsr.jobs.progress import JobProgress
from vdsr.jobs.runner import run_job
from vdsr.jobs.settings import JobSettings
from vdsr.model.file import DEFAULT_MODEL

SIDE, SCALE = 16, 2
# Small pictures that differ; the others are copies of them.
DISTINCT = 100
SAMPLE_SECONDS = 0.5
# Growth counts from this part of the pictures on: by then whatever is kept for reuse is there.
SETTLED = 0.2

# Runs first in the process that enlarges, and writes down when its network was computing.
RECORDER = """
import atexit, os, threading, time
if os.environ.get("VDSR_BUSY"):
    import importlib.abc, importlib.machinery, sys
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "vdsr.inference.backends.openvino":
                return None
            sys.meta_path.remove(self)
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            run = spec.loader.exec_module
            def patched(module):
                run(module)
                watch(module)
            spec.loader.exec_module = patched
            return spec
    file = open(os.environ["VDSR_BUSY"], "a", buffering=1)
    lock = threading.Lock()
    def watch(module):
        for backend in vars(module).values():
            run = getattr(backend, "run", None)
            if isinstance(backend, type) and run is not None:
                def timed(self, y, run=run):
                    start = time.monotonic()
                    try:
                        return run(self, y)
                    finally:
                        with lock:
                            file.write(f"{start} {time.monotonic()}\\n")
                backend.run = timed
    sys.meta_path.insert(0, Finder())
"""


def photographs(folder: Path | None, count: int, scale: float, format: str, model: str) -> None:
    """Print for what part of the wall time the network was busy."""
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        place = Path(name)
        inputs = place / "in"
        inputs.mkdir()
        for i, picture in enumerate(_photographs(folder, count)):
            write_image(inputs / f"{i:03}.png", picture)
        site, busy = place / "site", place / "busy"
        site.mkdir()
        (site / "sitecustomize.py").write_text(RECORDER, encoding="utf-8")
        known = os.environ.get("PYTHONPATH")
        path = os.pathsep.join(filter(None, (str(site), known)))
        command = ["upscale", str(inputs), str(place / "out"), "--scale", f"{scale:g}"]
        command += ["--format", format, "--model", model, "--json", str(place / "job.json")]
        start = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "vdsr", *command],
            env={**os.environ, "PYTHONPATH": path, "VDSR_BUSY": str(busy)},
            check=True,
        )
        wall = time.monotonic() - start
        spans = [tuple(map(float, line.split())) for line in busy.read_text().splitlines()]
    seconds = _union(spans)
    figures: dict[str, Any] = {
        "pictures": count,
        "scale": scale,
        "format": format,
        "wall_seconds": round(wall, 1),
        "network_busy_seconds": round(seconds, 1),
        "network_busy_share": round(seconds / wall, 3),
        "mean_networks_at_work": round(sum(b - a for a, b in spans) / wall, 2),
    }
    print(
        f"the network was busy for {100 * figures['network_busy_share']:.1f} % of"
        f" {wall:.1f} s; {figures['mean_networks_at_work']} calls at once on the average"
    )
    machine.record("folder-photographs", figures)


def _photographs(folder: Path | None, count: int) -> Iterator[np.ndarray[Any, Any]]:
    if folder is not None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for i in range(count):
            yield read_image(files[i % len(files)])
        return
    whole = read_image(machine.photograph())
    rng = np.random.default_rng(0)
    for _ in range(count):
        height, width = rng.integers(192, 385, 2)
        top = rng.integers(0, whole.shape[0] - height)
        left = rng.integers(0, whole.shape[1] - width)
        yield np.ascontiguousarray(whole[top : top + height, left : left + width])


def _union(spans: Sequence[tuple[float, ...]]) -> float:
    """Seconds that lie within at least one of the spans."""
    total, end = 0.0, 0.0
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def small(count: int, rounds: int, model: str) -> None:
    """Print pictures per second of a folder job beside `Upscaler.map`, and its memory."""
    rng = np.random.default_rng(0)
    rates: dict[str, list[float]] = {"job": [], "map": []}
    growth: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        inputs = Path(name) / "in"
        for i in range(count):
            folder = inputs / f"{i // 1000:03}"
            folder.mkdir(parents=True, exist_ok=True)
            goal = folder / f"{i:06}.png"
            if i < DISTINCT:
                write_image(goal, rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
            else:
                shutil.copyfile(inputs / "000" / f"{i % DISTINCT:06}.png", goal)
        files = sorted(inputs.rglob("*.png"))
        for i in range(rounds):
            rate, found = _job(inputs, Path(name) / f"job{i}", count, model)
            rates["job"].append(rate)
            growth = growth or found
            rates["map"].append(_map(files, Path(name) / f"map{i}", model))
            print(f"job {rates['job'][-1]:.1f} pictures/s, map {rates['map'][-1]:.1f} pictures/s")
    medians = {key: statistics.median(values) for key, values in rates.items()}
    figures: dict[str, Any] = {
        "input": f"{SIDE}x{SIDE} RGB, 8 bits, x{SCALE}",
        "pictures": count,
        "pictures_per_second": {key: round(value, 1) for key, value in medians.items()},
        "ratio": round(medians["job"] / medians["map"], 3),
        "growth_mib": growth,
        "rounds": {key: [round(one, 1) for one in values] for key, values in rates.items()},
    }
    print(f"job / map: {figures['ratio']}; growth, MiB: {growth}")
    machine.record("folder-small", figures)


def _job(inputs: Path, out: Path, count: int, model: str) -> tuple[float, dict[str, float]]:
    """Pictures per second from the first that is made to the last, and growth of the memory."""
    times: list[tuple[float, int]] = []

    def show(progress: JobProgress) -> None:
        if progress.done:
            times.append((time.perf_counter(), progress.done))

    with _memory(lambda: times[-1][1] / count if times else 0.0) as growth:
        report = run_job([inputs], out, JobSettings(scale=SCALE, model=model), show=show)
    if not report.balance.is_even or report.balance.done != count:
        sys.exit(f"the job is not whole: {report}")
    (first, before), (last, done) = times[0], times[-1]
    return (done - before) / (last - first), growth


@contextmanager
def _memory(share: Callable[[], float]) -> Iterator[dict[str, float]]:
    """How many MiB this process and its child grow while the block runs, once settled."""
    growth: dict[str, float] = {}
    samples: list[tuple[float, dict[str, float]]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            samples.append((share(), {"job": _resident(os.getpid()), "process": _child()}))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield growth
    finally:
        ended.set()
        thread.join()
        settled = [found for done, found in samples if SETTLED <= done < 1.0 and found["process"]]
        if settled:
            last, first = settled[-1], settled[0]
            growth.update({key: round(last[key] - first[key], 1) for key in last})
            growth.update(
                {f"{key}_at_most": round(max(s[key] for s in settled), 1) for key in last}
            )


def _child() -> float:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    found = path.read_text("ascii").split()
    return _resident(int(found[0])) if found else 0.0


def _resident(pid: int) -> float:
    """Resident memory of a process, MiB (man 5 proc)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


class _Begun(Exception):
    """The first output is there."""


def begin(count: int, model: str) -> None:
    """Print seconds to the first output of a job of many files, and its memory."""
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        inputs, picture = Path(name) / "in", Path(name) / "one.png"
        write_image(picture, np.zeros((8, 8, 3), np.uint8))
        data = picture.read_bytes()
        for i in range(count):
            folder = inputs / f"{i // 1000:03}"
            if i % 1000 == 0:
                folder.mkdir(parents=True)
            (folder / f"{i:06}.png").write_bytes(data)
        before, start = _resident(os.getpid()), time.perf_counter()

        def show(progress: JobProgress) -> None:
            if progress.done:
                raise _Begun

        with suppress(_Begun):
            run_job([inputs], Path(name) / "out", JobSettings(scale=2, model=model), show=show)
        seconds, grown = time.perf_counter() - start, _resident(os.getpid()) - before
    print(f"{count} files: first output after {seconds:.1f} s, {grown:.1f} MiB more")
    figures = {"files": count, "seconds": round(seconds, 1), "growth_mib": round(grown, 1)}
    machine.record("folder-start", figures)


def _map(files: Sequence[Path], out: Path, model: str) -> float:
    """Pictures per second of `Upscaler.map` from file to file."""
    out.mkdir()
    pairs = [(path, out / path.name) for path in files]
    with Upscaler(model) as upscaler:
        start = 0.0
        for i, one in enumerate(upscaler.map(pairs, scale=SCALE)):
            if one.error is not None:
                sys.exit(str(one.error))
            start = start if i else time.perf_counter()
        return (len(pairs) - 1) / (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("photographs")
    one.add_argument("--pictures", type=Path)
    one.add_argument("--count", type=int, default=50)
    one.add_argument("--scale", type=float, default=4.0)
    one.add_argument("--format", default="png")
    other = commands.add_parser("small")
    other.add_argument("--count", type=int, default=10_000)
    other.add_argument("--rounds", type=int, default=3)
    many = commands.add_parser("start")
    many.add_argument("--count", type=int, default=100_000)
    for command in (one, other, many):
        command.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    if options.command == "start":
        begin(options.count, options.model)
    elif options.command == "small":
        small(options.count, options.rounds, options.model)
    else:
        photographs(options.pictures, options.count, options.scale, options.format, options.model)
