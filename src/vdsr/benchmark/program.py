"""The whole program: from file to file after start-up, and from the start of a process.

The picture is made here: 1/4 of the output's size, RGB, 8 bits, PNG. The rows of the
network alone, of the same run, stand beside: int8 after start-up is to be compared with
fp32, and with the eager PyTorch network without any file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vdsr.benchmark import eager
from vdsr.benchmark.candidates import BenchmarkSettings, Candidate
from vdsr.benchmark.rounds import interleaved, median, summary
from vdsr.benchmark.timing import Say, close, named, open_candidate, picture
from vdsr.errors import BackendError
from vdsr.imaging.files import FORMATS, PictureWriter, PixelLayout
from vdsr.imaging.resample import imresize
from vdsr.inference.upscaler import Upscaler

SCALE = 4
NETWORK, FILES, PROCESS = "network", "file to file", "process start to file"
_GRAIN = 6


def time_program(
    found: Sequence[Candidate],
    size: tuple[int, int],
    settings: BenchmarkSettings,
    *,
    between: Callable[[], object],
    say: Say,
) -> list[dict[str, Any]]:
    """Time networks, files and processes in one interleaved run.

    Args:
        found: candidates, the reference among them if there is one.
        size: (width, height) of the output; the picture is a quarter of it.
        settings: how to measure.
        between: called at the start of each round.
        say: takes a line for people.

    Returns:
        A row per kind and candidate: seconds, peak memory of the processes, and ratios to
        fp32 of the same kind and backend, and to the reference of the same kind (`network`
        for `file to file`).

    Raises:
        BackendError: if a process fails.
    """
    width, height = (max(1, side // SCALE) for side in size)
    say(f"whole program, {width * SCALE}x{height * SCALE}")
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name, ExitStack() as stack:
        folder = Path(name)
        small = folder / "small.png"
        write_small(small, width, height)
        runs: dict[tuple[str, int], Callable[[], object]] = {}
        peaks: dict[int, list[int]] = {i: [] for i in range(len(found))}
        for i, candidate in enumerate(found):
            network = open_candidate(candidate, settings.threads)
            stack.callback(close, network)
            y = picture((width * SCALE, height * SCALE), planes=candidate.model.metadata.planes)
            runs[NETWORK, i] = lambda n=network, y=y: n.run(y)  # type: ignore[misc]
            goal = folder / f"{i}.png"
            if candidate.is_reference:
                weights = folder / "weights.pt"
                eager.save_weights(candidate.model.architecture, weights)
            else:
                weights = None
                upscaler = stack.enter_context(_upscaler(candidate, settings.threads))
                runs[FILES, i] = lambda u=upscaler, g=goal: u.upscale(  # type: ignore[misc]
                    small, g, scale=SCALE, overwrite=True
                )
            command = _command(candidate, small, goal, settings.threads, weights)
            runs[PROCESS, i] = lambda i=i, c=command: peaks[i].append(_process(c))  # type: ignore[misc]
        taken = interleaved(
            runs,
            repeats=settings.program_repeats,
            seconds=float("inf"),
            between=between,
        )
    rows = _rows(taken, found, (width * SCALE, height * SCALE))
    processes = [row for row in rows if row["what"] == PROCESS]
    for row, values in zip(processes, peaks.values(), strict=True):
        row["peak_memory_bytes"] = int(median(values))
    return rows


def write_small(path: Path, width: int, height: int) -> None:
    """Write a smooth RGB picture with some grain, as photographs have, as PNG."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (3, -(-height // 16) + 1, -(-width // 16) + 1))
    planes = imresize(coarse, size=(height, width)) + rng.normal(0, _GRAIN, (3, height, width))
    samples = np.clip(np.rint(planes), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    layout = PixelLayout(width=width, height=height, bands=3, dtype="uint8")
    with PictureWriter(path, layout, FORMATS["png"]) as writer:
        writer.write(np.ascontiguousarray(samples))


def _upscaler(candidate: Candidate, threads: int) -> Upscaler:
    """An upscaler that has started up."""
    upscaler = Upscaler(
        candidate.model,
        backend=candidate.backend,
        precision=candidate.precision,
        threads=threads,
    )
    upscaler.upscale(np.zeros((32, 32, 3), np.uint8), scale=SCALE)
    return upscaler


def _command(
    candidate: Candidate, small: Path, goal: Path, threads: int, weights: Path | None
) -> list[str]:
    if weights is not None:
        paths = [str(path) for path in (weights, small, goal)]
        return [sys.executable, "-m", eager.__name__, *paths, str(SCALE), str(threads)]
    options = {
        "--model": candidate.model.source,
        "--backend": candidate.backend,
        "--precision": candidate.precision,
        "--threads": str(threads),
        "--scale": str(SCALE),
    }
    flat = [text for pair in options.items() for text in pair]
    program = [sys.executable, "-m", "vdsr.cli.main", "upscale"]
    return [*program, str(small), str(goal), *flat, "--overwrite", "--quiet", "--json=-"]


def _process(command: list[str]) -> int:
    """Run a process; gives its largest resident size, in bytes, as it reports it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BackendError(f"a process that enlarges a file failed: {last}")
    return int(json.loads(done.stdout)["peak_memory_bytes"])


def _rows(
    taken: dict[tuple[str, int], list[float]], found: Sequence[Candidate], size: tuple[int, int]
) -> list[dict[str, Any]]:
    medians = {key: median(values) for key, values in taken.items()}

    def of(kind: str, i: int, wanted: Callable[[Candidate], bool]) -> float | None:
        for (other, j), value in medians.items():
            if other == kind and wanted(found[j]):
                return value / medians[kind_of, i]
        return None

    rows = []
    for kind_of, i in sorted(taken, key=lambda key: (NETWORK, FILES, PROCESS).index(key[0])):
        one = found[i]
        against = NETWORK if kind_of == FILES else kind_of
        rows.append(
            {
                "what": kind_of,
                **named(one),
                "size": f"{size[0]}x{size[1]}",
                "seconds": summary(taken[kind_of, i]),
                "megapixels_per_second": size[0] * size[1] / medians[kind_of, i] / 1e6,
                "times_fp32": of(
                    kind_of,
                    i,
                    lambda c, one=one: c.backend == one.backend and c.precision == "fp32",  # type: ignore[misc]
                ),
                "times_reference": of(against, i, lambda c: c.is_reference),
            }
        )
    return rows
