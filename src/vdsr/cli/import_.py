"""`vdsr import`: a checkpoint becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.console import check_outputs, report
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.cli.parsing import parse_numbers
from vdsr.errors import UsageError
from vdsr.extras import require


def import_(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="safetensors, or a PyTorch checkpoint.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The model file.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name in the model file. (default: the file's)"
        ),
    ] = None,
    version: Annotated[
        str, typer.Option("--version", metavar="NAME", help="Version of the weights.")
    ] = "0",
    scales: Annotated[
        str, typer.Option("--scales", metavar="2,3,4", help="Scales that it was trained for.")
    ] = "2,3,4",
    luma: Annotated[
        str,
        typer.Option("--luma", metavar="NAME", help="Range of its luma: studio (16..235) or full."),
    ] = "studio",
    residual: Annotated[
        bool | None,
        typer.Option(
            "--residual/--direct",
            help="Whether its output is added to its input. (default: by its layers)",
        ),
    ] = None,
    training_data: Annotated[
        str, typer.Option("--training-data", metavar="NAME", help="What it was trained on.")
    ] = "unknown",
    license: Annotated[
        str, typer.Option("--license", "--licence", metavar="NAME", help="Terms of the weights.")
    ] = "unknown",
    psnr: Annotated[
        list[str] | None,
        typer.Option("--psnr", metavar="NAME=DB", help="A measured figure; may be repeated."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Make a model file of a checkpoint. Nothing in the checkpoint is ever run.

    Example: vdsr import checkpoint.pth --output mine.onnx --scales 2,3,4
    """
    from vdsr.checkpoints.reader import read_checkpoint
    from vdsr.model.metadata import ModelMetadata
    from vdsr.model.onnx_writer import write_model

    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a model file ends in .onnx")
    numbers, figures = parse_numbers(scales, "--scales", "2,3,4"), _figures(psnr or [])
    safetensors = ("safetensors",) if checkpoint.suffix == ".safetensors" else ()
    require("onnx", *safetensors)
    check_outputs(output, json=json, overwrite=overwrite)
    architecture = read_checkpoint(checkpoint, residual=residual)
    metadata = ModelMetadata(
        name=name or output.stem,
        version=version,
        scales=numbers,
        luma=luma,
        residual=architecture.residual,
        fold=architecture.fold,
        planes=architecture.planes,
        training_data=training_data,
        license=license,
        psnr=figures,
        recipe=f"imported from {checkpoint.name}",
    )
    digest = write_model(architecture, metadata, output)
    text = (
        f"{output}: {architecture.depth} layers, {architecture.parameters:,} parameters,"
        f" sha256 {digest[:12]}"
    )
    content = {
        "output": str(output),
        "layers": architecture.depth,
        "parameters": architecture.parameters,
        "sha256": digest,
    }
    report(text, content, quiet=quiet, json=json)


def _figures(entries: list[str]) -> dict[str, float]:
    """`["Set5 x2 paper=35.68"]` as a mapping."""
    figures = {}
    for entry in entries:
        name, _, value = entry.rpartition("=")
        try:
            figures[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"{entry!r} is not a figure: write 'Set5 x2 paper=35.68'") from None
        if not name.strip():
            raise UsageError(f"{entry!r} does not name its figure: write 'Set5 x2 paper=35.68'")
    return figures
