"""The command for int8; see `vdsr.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.options import Json, Overwrite, Quiet


def quantize(
    calibration: Annotated[
        list[Path],
        typer.Option(
            "--calibration",
            "-c",
            metavar="FOLDER",
            help="Photographs like those to be enlarged; may be repeated. Evaluation pictures"
            " are left out.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="INT8.onnx", help="The int8 model file.")
    ],
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A shipped model, or a model file, in float.")
    ] = "vdsr",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="How activations are calibrated: kl (kl_divergence), minmax, percentile, mse; or"
            " auto: all of them, the best is kept.",
        ),
    ] = "auto",
    percentile: Annotated[
        float, typer.Option("--percentile", help="Of the positive activations.")
    ] = 99.999,
    target: Annotated[
        str,
        typer.Option("--target", help="vnni: 8-bit weights; avx2: 7 bits, where 8 saturate."),
    ] = "vnni",
    keep_float: Annotated[
        str | None,
        typer.Option(
            "--keep-float", metavar="0,19", help="Layers in float. (default: the first, the last)"
        ),
    ] = None,
    equalize: Annotated[
        float,
        typer.Option("--equalize", help="Bring channels to one range: 0 not at all, 1 fully."),
    ] = 1.0,
    patches: Annotated[
        int, typer.Option("--patches", help="Patches of 96 px to calibrate on.")
    ] = 48,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            "--validation",
            metavar="FOLDER",
            help="Photographs to measure the loss on. (default: every fourth of the others)",
        ),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option("--max-drop", metavar="DB", help="Above this loss nothing is written."),
    ] = 0.05,
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the model file. (default: MODEL-int8)")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="What the loss is measured on.")
    ] = "auto",
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a page of HTML, layer by layer."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Make an int8 model of a float one, and say what it costs."""
    from vdsr.cli.quantizing import Request, run

    run(
        Request(
            model=model,
            calibration=calibration,
            output=output,
            validation=validation or [],
            method=method,
            percentile=percentile,
            target=target,
            keep_float=keep_float,
            equalize=equalize,
            patches=patches,
            max_drop=max_drop,
            name=name,
            backend=backend,
            report=report,
            overwrite=overwrite,
            quiet=quiet,
            json=json,
        )
    )
