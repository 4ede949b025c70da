"""What a simulated cluster is made of, measured on this machine: see `simulation.py --measure`.

Pictures of 2 megapixels are put together from tiles of photographs: six tiles that stand beside
each other in the folder, so mostly of one photograph, turned and mirrored to fill 6x5 places.
Actors' own code does them x4, one at a time on one thread, in as many processes as there are
cores: then all cores are busy, as they are in a job. What is counted is processor time, which
other programs of the machine change less than the clock.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr import read_image, write_image
from vdsr.cluster.actor import EnlargerActor
from vdsr.imaging.resample import imresize
from vdsr.inference import cpu
from vdsr.inference.memory import MIB
from vdsr.jobs.picture import DONE, Task
from vdsr.jobs.settings import JobSettings

TILE, ACROSS, DOWN = 256, 6, 5
SCALE = 4
INPUT_QUALITY = 90
MEMORY = 1024 * MIB
# The side of the pieces by which models are compared, as a share of that of a picture.
PIECE = 4
MODELS = (("vdsr-fast", "int8"), ("vdsr-fast", "fp32"), ("vdsr", "int8"), ("vdsr", "fp32"))


def mosaic(tiles: list[Path], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture `[1280, 1536, 3]` of tiles of 256x256 px, turned and mirrored."""
    known = [np.asarray(read_image(tile), np.uint8)[:TILE, :TILE, :3] for tile in tiles]
    rows = []
    for i in range(DOWN):
        row = []
        for j in range(ACROSS):
            tile = np.rot90(known[(i * ACROSS + j) % len(known)], int(rng.integers(4)))
            row.append(tile[:, ::-1] if rng.integers(2) else tile)
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)


def pictures(photographs: Path, goal: Path, start: int, count: int) -> list[Path]:
    """Write mosaics as JPEG files, and as PNG files beside them; returns the former."""
    tiles = sorted(path for path in photographs.iterdir() if path.is_file())
    if len(tiles) < ACROSS:
        sys.exit(f"{photographs}: fewer than {ACROSS} pictures")
    paths = []
    for i in range(start, start + count):
        rng = np.random.default_rng(i)
        first = int(rng.integers(len(tiles) - ACROSS + 1))
        picture = mosaic(tiles[first : first + ACROSS], rng)
        path = goal / f"{i:03}.jpg"
        write_image(path, picture, quality=INPUT_QUALITY)
        write_image(path.with_suffix(".png"), picture)
        height, width = picture.shape[0] // PIECE, picture.shape[1] // PIECE
        write_image(goal / f"{i:03}.piece.jpg", picture[:height, :width], quality=INPUT_QUALITY)
        paths.append(path)
    return paths


def task_of(number: int, source: Path, goal: Path, format: str) -> Task:
    """What an actor is told of a picture whose output goes into the folder `goal`."""
    options = JobSettings(scale=SCALE).options(format) | {"resume": False}
    made = goal / f"{number}.{os.getpid()}.{format}"
    return Task(
        id=number,
        source=str(source),
        made=str(made),
        goal=str(made),
        options=options,
        beside={},
        preview=False,
        memory=None,
        known=None,
    )


# Model, precision, picture; and whether codecs are measured, too.
Job = tuple[str, str, Path, bool]


def _codecs(source: Path, made: Path) -> dict[str, float]:
    """Processor time of all but the network, and the size of the output as JPEG."""
    found, used = {}, time.process_time()

    def lap(name: str) -> None:
        nonlocal used
        found[name] = time.process_time() - used
        used = time.process_time()

    small = np.asarray(read_image(source))
    lap("read")
    imresize(small.transpose(2, 0, 1).astype(np.float32) / 255, scale=SCALE)
    lap("interpolate")
    large = np.asarray(read_image(made))
    used = time.process_time()
    copy = made.with_name(f"copy.{made.name}")
    write_image(copy, large)
    lap("write_png")
    copy.unlink()
    copy = copy.with_suffix(".jpg")
    write_image(copy, large)
    lap("write_jpeg")
    found["jpeg_bytes"] = copy.stat().st_size
    copy.unlink()
    return found


def _done(actor: EnlargerActor, task: Task) -> dict[str, Any]:
    ended = actor.exchange([task.as_dict()], 1)["ended"]
    while not ended:
        ended = actor.exchange([], 1)["ended"]
    outcome: dict[str, Any] = ended[0]
    return outcome


def _work(jobs: list[Job], folder: Path, barrier: Any, answers: Any) -> None:  # noqa: ANN401
    """In a process of its own: do pictures one by one, and say what each took."""
    actors = {}
    for model, precision in sorted({job[:2] for job in jobs}):
        actors[model, precision] = EnlargerActor()
        order = {"model": model, "precision": precision, "backend": "auto", "threads": 1}
        opened = actors[model, precision].open(order | {"max_memory": MEMORY, "tile": None})
        if "opened" not in opened:
            sys.exit(f"{model} {precision}: {opened}")
    found = []
    barrier.wait()
    for number, (model, precision, source, codecs) in enumerate(jobs):
        task = task_of(number, source, folder, "png")
        begun, used = time.perf_counter(), time.process_time()
        outcome = _done(actors[model, precision], task)
        if outcome["state"] != DONE:
            sys.exit(f"{source}: {outcome['error']}")
        found.append(
            {
                "model": model,
                "precision": precision,
                "source": source.name,
                "core_seconds": time.process_time() - used,
                "seconds": time.perf_counter() - begun,
                "output_pixels": outcome["width"] * outcome["height"],
                "input_bytes": outcome["size"],
                "output_bytes": outcome["output_size"],
            }
            | ({"input_png_bytes": source.with_suffix(".png").stat().st_size} if codecs else {})
            | (_codecs(source, Path(task.made)) if codecs else {})
        )
        Path(task.made).unlink()
    answers.put(found)


def work(rows: list[list[Job]], folder: Path) -> list[dict[str, Any]]:
    """Have rows of jobs done, each by a process of its own, one job at a time."""
    context = multiprocessing.get_context("spawn")
    answers, barrier = context.Queue(), context.Barrier(len(rows))
    processes = [
        context.Process(target=_work, args=(row, folder, barrier, answers), daemon=True)
        for row in rows
    ]
    for process in processes:
        process.start()
    found: list[dict[str, Any]] = []
    while len(found) < sum(map(len, rows)):
        if any(process.exitcode for process in processes):
            sys.exit("a process that measures has failed")
        with contextlib.suppress(queue.Empty):
            found += answers.get(timeout=1)
    for process in processes:
        process.join()
    return found


def _dealt(groups: list[list[Job]]) -> list[list[Job]]:
    count = min(cpu.cores(), len(groups))
    return [[job for group in groups[i::count] for job in group] for i in range(count)]


def whole(folder: Path, paths: list[Path]) -> dict[str, Any]:
    """Processor time and bytes of whole pictures, by the first of the models."""
    found = work(_dealt([[(*MODELS[0], path, True)] for path in paths]), folder)
    return {
        "each": sorted(found, key=lambda one: str(one["source"])),
        "megapixels": TILE * ACROSS * TILE * DOWN / 1e6,
    }


def models(folder: Path, paths: list[Path]) -> dict[str, Any]:
    """All models on pieces of pictures, in one run: how fast they are beside the first."""
    pieces = [path.with_suffix(".piece.jpg") for path in paths]
    compared = work(
        _dealt([[(*each, piece, False) for each in MODELS] for piece in pieces]), folder
    )

    def rate(model: str, precision: str) -> float:
        found: list[float] = [
            one["output_pixels"] / one["core_seconds"] / 1e6
            for one in compared
            if (one["model"], one["precision"]) == (model, precision)
        ]
        return statistics.median(found)

    return {
        "pixels": compared[0]["output_pixels"],
        "core_seconds": sorted(
            one["core_seconds"] for one in compared if (one["model"], one["precision"]) == MODELS[0]
        ),
        "speeds": {
            f"{model} {precision}": {
                "megapixels_per_core_second": round(rate(model, precision), 4),
                "times_as_fast": round(rate(model, precision) / rate(*MODELS[0]), 4),
            }
            for model, precision in MODELS
        },
    }
