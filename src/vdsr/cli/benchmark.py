"""`vdsr benchmark`: how fast this machine is, as tables, JSON and a plot."""

from __future__ import annotations

import datetime
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from vdsr.benchmark import quality
from vdsr.benchmark.candidates import Settings, candidates, load_models
from vdsr.benchmark.measure import benchmark
from vdsr.benchmark.report import as_text
from vdsr.cli.console import say, write_json
from vdsr.cli.evaluate import write_text
from vdsr.cli.upscale import parse_box
from vdsr.errors import OutputError, UsageError
from vdsr.inference import cpu

NO_PROGRAM = "none"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as they were typed."""

    models: tuple[str, ...]
    backend: str
    precision: str
    sizes: str
    batches: str
    repeats: int
    seconds: float
    threads: int | None
    streams: int | None
    reference: bool
    program: str
    program_repeats: int
    quality: str | None
    plot: Path | None
    gpu: bool
    json: str | None
    overwrite: bool
    quiet: bool


def run(request: Request) -> None:
    """Measure, print, and write what was asked for.

    Raises:
        UsageError: for options that are none, or do not fit each other.
        VdsrError: as the backends.
    """
    _check(request)
    threads = request.threads or cpu.cores()
    models = load_models(request.models)

    def tell(text: str) -> None:
        if not request.quiet:
            say(f"vdsr: {text}")

    if request.gpu:
        from vdsr.benchmark.gpu import benchmark_gpu

        figures = benchmark_gpu(models[0], repeats=request.repeats, say=tell)
    else:
        found = candidates(models, backend=request.backend, precision=request.precision)
        settings = Settings(
            sizes=tuple(parse_box(text) for text in request.sizes.split(",")),
            batches=tuple(_count(text) for text in request.batches.split(",")),
            repeats=request.repeats,
            seconds=request.seconds,
            threads=threads,
            streams=request.streams or threads,
            reference=request.reference,
            program=None if request.program == NO_PROGRAM else parse_box(request.program),
            program_repeats=request.program_repeats,
        )
        figures = benchmark(found, settings, tell)
        if request.quality is not None:
            tell(f"quality on {request.quality}")
            figures["quality"] = quality.measure(found, request.quality, threads)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    result: dict[str, Any] = {
        "benchmark": "gpu" if request.gpu else "cpu",
        "date": today,
        "command": shlex.join(["vdsr", *sys.argv[1:]]),
        **figures,
    }
    if request.plot is not None:
        write_text(request.plot, _drawing(result, request.plot))
    if request.json is not None:
        write_json(result, request.json)
    if request.json != "-":
        typer.echo(as_text(result))


def _check(request: Request) -> None:
    if request.plot is not None and (request.quality is None or request.gpu):
        raise UsageError("--plot shows speed against PSNR: give --quality FOLDER, and no --gpu")
    if request.plot is not None and request.plot.suffix not in (".svg", ".html"):
        raise UsageError(f"--plot {request.plot}: a name that ends in .svg or .html")
    goals = [request.plot, None if request.json in (None, "-") else Path(str(request.json))]
    for goal in goals:
        if goal is not None and goal.exists() and not request.overwrite:
            raise OutputError(f"{goal}: it exists already: --overwrite replaces it")


def _drawing(figures: dict[str, Any], goal: Path) -> str:
    drawn = quality.plot(figures)
    if goal.suffix == ".svg":
        return drawn
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>vdsr benchmark</title>'
        f"</head><body>{drawn}</body></html>\n"
    )


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise UsageError(f"--batches {text!r}: whole numbers with commas between, as 1,4")
    return int(text)
