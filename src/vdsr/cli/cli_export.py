"""The commands that bring models in and take them elsewhere; see `vdsr.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.options import Json, Overwrite, Quiet


def import_(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="safetensors, or a PyTorch checkpoint.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The model file.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the model file. (default: the file's)")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the weights.")] = "0",
    scales: Annotated[
        str, typer.Option("--scales", help="Scales that it was trained for.")
    ] = "2,3,4",
    luma: Annotated[
        str, typer.Option("--luma", help="Range of its luma: studio (16..235) or full.")
    ] = "studio",
    residual: Annotated[
        bool | None,
        typer.Option(
            "--residual/--direct",
            help="Whether its output is added to its input. (default: by its layers)",
        ),
    ] = None,
    training_data: Annotated[
        str, typer.Option("--training-data", help="What it was trained on.")
    ] = "unknown",
    licence: Annotated[str, typer.Option("--licence", help="Terms of the weights.")] = "unknown",
    psnr: Annotated[
        list[str] | None,
        typer.Option("--psnr", metavar="NAME=DB", help="A measured figure; may be repeated."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a model file of a checkpoint. Nothing in the checkpoint is ever run."""
    from vdsr.cli.importing import run

    run(
        checkpoint,
        output,
        name=name,
        version=version,
        scales=scales,
        luma=luma,
        residual=residual,
        training_data=training_data,
        licence=licence,
        psnr=psnr or [],
        overwrite=overwrite,
    )


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a file.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="onnx, openvino, ncnn, torchscript, onnx-image, tensorrt or vacc.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file or folder to make.")
    ],
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32 or fp16. (default: the model's)")
    ] = None,
    static: Annotated[
        str | None,
        typer.Option("--static", metavar="NxCxHxW", help="One input shape, as 1x1x256x256."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option("--opset", help="ONNX opset, from 10; int8 from 13. (default: 13)")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", help="onnx-image: 2, 3 or 4.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="FOLDER",
            help="Check it on these; vacc: the card's inputs. (default: generated ones)",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", metavar="FOLDER", help="vacc: pictures that int8 is calibrated on."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it in its runtime, and compare.")
    ] = True,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Export a model to another format, and check it in that format's own runtime."""
    from vdsr.cli.exporting import run

    run(
        model,
        output,
        format=format,
        precision=precision,
        static=static,
        opset=opset,
        scale=scale,
        pictures=pictures,
        calibration=calibration,
        check=check,
        overwrite=overwrite,
        json=json,
        quiet=quiet,
    )


def vacc(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What 'vdsr export --format vacc' made.")
    ],
    backend: Annotated[
        str,
        typer.Option("--backend", help="vaststreamx: the card; stand-in: ONNX Runtime here."),
    ] = "stand-in",
    precision: Annotated[
        str, typer.Option("--precision", help="fp32 (stand-in), fp16, int8; all, or several.")
    ] = "all",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="(default: FOLDER/outputs)"),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Run an accelerator folder's inputs on the card, or on this machine in its stead."""
    from vdsr.cli.vacc import Request, run

    run(
        Request(
            folder=folder,
            backend=backend,
            precision=precision,
            output=output,
            overwrite=overwrite,
            json=json,
            quiet=quiet,
        )
    )
