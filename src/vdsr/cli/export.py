"""`vdsr export`: a model in the format of another runtime, checked by that runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report, say
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.errors import UsageError

if TYPE_CHECKING:
    from vdsr.export import Report


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a file.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="onnx, openvino, ncnn, torchscript, onnx-image, tensorrt or vacc.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file or folder to make.")
    ],
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="NAME", help="fp32 or fp16. (default: the model's)"),
    ] = None,
    static: Annotated[
        str | None,
        typer.Option(
            "--static",
            metavar="NxCxHxW",
            help="One input shape, as 1x1x256x256 (the default for vacc).",
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            "--opset", metavar="N", help="ONNX opset, from 10; int8 from 13. (default: 13)"
        ),
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", metavar="N", help="onnx-image: 2, 3 or 4.")
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
    allow_evaluated: Annotated[
        bool,
        typer.Option(
            "--allow-evaluated",
            help="vacc: calibrate on evaluation pictures, as the vendor; the result is marked.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it in its runtime, and compare.")
    ] = True,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Export a model to another format, and check it in that format's own runtime.

    Example: vdsr export vdsr --format openvino --output vdsr.xml
    """
    from vdsr.export import ExportOptions
    from vdsr.export import export as export_model
    from vdsr.model.file import load_model

    shape = None if static is None else _shape(static)
    file = load_model(model)
    options = ExportOptions(
        precision=precision,
        shape=shape,
        planes=file.metadata.planes,
        opset=opset,
        scale=scale,
        pictures=pictures,
        calibration=calibration,
        allow_evaluated=allow_evaluated,
        check=check,
        overwrite=overwrite,
    )
    check_outputs(json=json, overwrite=overwrite)
    made = export_model(file, format, output, options)
    report(_text(made), made.as_dict(), quiet=quiet, json=json)
    if not made.findings and not quiet:
        say("vdsr: the export was not run: --no-check")


def _shape(text: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise UsageError(f"{text!r} is not an input shape: write 1x1x256x256")
    n, channels, height, width = (int(part) for part in match.groups())
    return n, channels, height, width


def _text(made: Report) -> str:
    facts = "".join(f", {name} {value}" for name, value in made.facts.items())
    return "\n".join(
        (
            f"{made.files[0]}: {made.format} {made.precision}{facts}, {made.bytes:,} bytes",
            *(f"{file}: beside it" for file in made.files[1:]),
            *(f"checked by {finding.describe()}" for finding in made.findings),
        )
    )
