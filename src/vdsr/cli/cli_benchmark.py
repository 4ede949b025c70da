"""The command for speed; see `vdsr.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.options import Json, Overwrite, Quiet


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
        str, typer.Option("--backend", help="all, or openvino, onnxruntime, torch; or several.")
    ] = "all",
    precision: Annotated[
        str, typer.Option("--precision", help="all, or fp32, fp16, int8; or several.")
    ] = "all",
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="WxH,...", help="Output sizes of the network alone.")
    ] = "256x256",
    batches: Annotated[str, typer.Option("--batches", help="Pictures per call.")] = "1,4",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Most rounds.")] = 20,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0, help="After these, no further round of a size and batch begins."
        ),
    ] = 20.0,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads. (default: all cores)")
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option("--streams", min=1, help="Pictures in work at once. (default: threads)"),
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
        int, typer.Option("--program-repeats", min=1, help="Rounds of the whole program.")
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
    """Measure speed: latency, throughput, start-up, memory, share of the machine's ceiling."""
    from vdsr.cli.benchmark import Request, run

    run(
        Request(
            models=tuple(model or ["vdsr"]),
            backend=backend,
            precision=precision,
            sizes=sizes,
            batches=batches,
            repeats=repeats,
            seconds=seconds,
            threads=threads,
            streams=streams,
            reference=reference,
            program=program,
            program_repeats=program_repeats,
            quality=quality,
            plot=plot,
            gpu=gpu,
            json=json,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
