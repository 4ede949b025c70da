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
FORMATS = ("png", "jpeg")
MODELS = (("vdsr-fast", "int8"), ("vdsr-fast", "fp32"), ("vdsr", "int8"), ("vdsr", "fp32"))
BUCKET = "pictures"


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


def pictures(photographs: Path, goal: Path, count: int) -> list[Path]:
    """Write so many mosaics as JPEG files, and as PNG files beside them; returns the former."""
    tiles = sorted(path for path in photographs.iterdir() if path.is_file())
    if len(tiles) < ACROSS:
        sys.exit(f"{photographs}: fewer than {ACROSS} pictures")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        first = i * max(1, (len(tiles) - ACROSS) // count) % (len(tiles) - ACROSS + 1)
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


Job = tuple[str, str, Path, str]


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
    for number, (model, precision, source, format) in enumerate(jobs):
        task = task_of(number, source, folder, format)
        begun, used = time.perf_counter(), time.process_time()
        outcome = actors[model, precision].do(task.as_dict())
        if outcome["state"] != DONE:
            sys.exit(f"{source}: {outcome['error']}")
        found.append(
            {
                "model": model,
                "precision": precision,
                "source": source.name,
                "format": format,
                "core_seconds": time.process_time() - used,
                "seconds": time.perf_counter() - begun,
                "output_pixels": outcome["width"] * outcome["height"],
                "input_bytes": outcome["size"],
                "output_bytes": outcome["output_size"],
            }
        )
        Path(task.made).unlink()
    answers.put(found)


def work(rows: list[list[Job]], folder: Path) -> list[dict[str, Any]]:
    """Have rows of jobs done, each by a process of its own, one job at a time."""
    context = multiprocessing.get_context("spawn")
    answers, barrier = context.Queue(), context.Barrier(len(rows))
    processes = [
        context.Process(target=_work, args=(row, folder, barrier, answers)) for row in rows
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


def speeds(folder: Path, paths: list[Path], pieces: int) -> dict[str, Any]:
    """Processor time and bytes of whole pictures, and all models on pieces of some of them."""

    def dealt(groups: list[list[Job]]) -> list[list[Job]]:
        count = min(cpu.cores(), len(groups))
        return [[job for group in groups[i::count] for job in group] for i in range(count)]

    model, precision = MODELS[0]
    whole = work(
        dealt([[(model, precision, path, format) for format in FORMATS] for path in paths]), folder
    )
    compared = work(
        dealt(
            [
                [(*each, path.with_suffix(".piece.jpg"), "png") for each in MODELS]
                for path in paths[:pieces]
            ]
        ),
        folder,
    )

    def rate(model: str, precision: str) -> float:
        found: list[float] = [
            one["output_pixels"] / one["core_seconds"] / 1e6
            for one in compared
            if (one["model"], one["precision"]) == (model, precision)
        ]
        return statistics.median(found)

    base = rate(*MODELS[0])
    return {
        "pictures": [
            {key: one[key] for key in ("source", "format", "core_seconds", "seconds")}
            | {"input_bytes": one["input_bytes"], "output_bytes": one["output_bytes"]}
            for one in sorted(whole, key=lambda one: (one["source"], one["format"]))
        ],
        "input_png_bytes": [path.with_suffix(".png").stat().st_size for path in paths],
        "output_pixels": whole[0]["output_pixels"],
        "pieces": {
            f"{model} {precision}": {
                "megapixels_per_core_second": round(rate(model, precision), 4),
                "times_as_fast": round(rate(model, precision) / base, 4),
            }
            for model, precision in MODELS
        },
    }
