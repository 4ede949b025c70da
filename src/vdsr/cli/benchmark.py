"""`vdsr benchmark`: how fast this machine is, as tables, JSON and a plot."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vdsr.cli.console import check_outputs, report, say
from vdsr.cli.options import Json, Overwrite, Quiet, Threads
from vdsr.cli.parsing import parse_box, parse_numbers
from vdsr.errors import UsageError
from vdsr.outputs import write_whole

NO_PROGRAM = "none"


def benchmark(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="May be repeated, for an int8 file say. (default: vdsr, and its int8 sibling)",
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            "--backend", metavar="NAME", help="all, or openvino, onnxruntime, torch; or several."
        ),
    ] = "all",
    precision: Annotated[
        str,
        typer.Option("--precision", metavar="NAME", help="all, or fp32, fp16, int8; or several."),
    ] = "all",
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="WxH,...", help="Output sizes of the network alone.")
    ] = "256x256",
    batches: Annotated[
        str, typer.Option("--batches", metavar="NAME", help="Pictures per call.")
    ] = "1,4",
    repeats: Annotated[
        int, typer.Option("--repeats", metavar="N", min=1, help="Most rounds.")
    ] = 20,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            metavar="X",
            min=0,
            help="After these, no further round of a size and batch begins.",
        ),
    ] = 20.0,
    threads: Threads = None,
    streams: Annotated[
        int | None,
        typer.Option(
            "--streams", metavar="N", min=1, help="Pictures processed at once. (default: threads)"
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference/--no-reference", help="Also measure the eager PyTorch network."),
    ] = True,
    program: Annotated[
        str,
        typer.Option(
            "--program", metavar="WxH|none", help="Output size of the rows of the whole program."
        ),
    ] = "1920x1080",
    program_repeats: Annotated[
        int,
        typer.Option("--program-repeats", metavar="N", min=1, help="Rounds of the whole program."),
    ] = 1,
    quality: Annotated[
        str | None,
        typer.Option("--quality", metavar="FOLDER|NAME", help="Also measure PSNR (float, x2)."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Speed against PSNR, .svg or .html."),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Measure the CUDA device instead, in many ways.")
    ] = False,
    json: Json = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure speed: latency, throughput, start-up, memory, share of the machine's ceiling.

    Example: vdsr benchmark --sizes 512x512 --program none
    """
    from vdsr.benchmark.candidates import BenchmarkSettings, candidates, load_models
    from vdsr.benchmark.report import as_text
    from vdsr.inference import cpu

    if plot is not None and (quality is None or gpu):
        raise UsageError("--plot shows speed against PSNR: give --quality FOLDER, and no --gpu")
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise UsageError(f"--plot {plot}: a name that ends in .svg or .html")
    check_outputs(plot, json=json, overwrite=overwrite)
    threads = threads or cpu.cores()
    settings = BenchmarkSettings(
        sizes=tuple(parse_box(text) for text in sizes.split(",")),
        batches=parse_numbers(batches, "--batches", "1,4"),
        repeats=repeats,
        seconds=seconds,
        threads=threads,
        streams=streams or threads,
        reference=reference,
        program=None if program == NO_PROGRAM else parse_box(program),
        program_repeats=program_repeats,
    )
    models = load_models(tuple(model or ["vdsr"]))

    def tell(text: str) -> None:
        if not quiet:
            say(f"vdsr: {text}")

    if gpu:
        from vdsr.benchmark.gpu import benchmark_gpu

        figures = benchmark_gpu(models[0], repeats=repeats, say=tell)
    else:
        from vdsr.benchmark import quality as measured
        from vdsr.benchmark.measure import benchmark as measure

        found = candidates(models, backend=backend, precision=precision)
        figures = measure(found, settings, tell)
        if quality is not None:
            tell(f"quality on {quality}")
            figures["quality"] = measured.measure(found, quality, threads)
    result: dict[str, Any] = {
        "benchmark": "gpu" if gpu else "cpu",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(["vdsr", *sys.argv[1:]]),
        **figures,
    }
    report(as_text(result), result, quiet=quiet, json=json)
    if plot is not None:
        write_whole(plot, _drawing(result, plot))


def _drawing(figures: dict[str, Any], goal: Path) -> str:
    from vdsr.benchmark.quality import plot
    from vdsr.report.page import page

    drawn = plot(figures)
    if goal.suffix == ".svg":
        return drawn
    return page("vdsr benchmark", [drawn])
