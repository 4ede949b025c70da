"""`vdsr export`: a model in the format of another runtime, checked by that runtime."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from vdsr.cli.console import say, write_json
from vdsr.errors import UsageError
from vdsr.export import Options, Report, export
from vdsr.model.file import load_model


def run(
    model: str,
    output: Path,
    *,
    format: str,
    precision: str | None,
    static: str | None,
    opset: int | None,
    scale: int | None,
    pictures: Path | None,
    calibration: Path | None,
    check: bool,
    overwrite: bool,
    json: str | None,
    quiet: bool,
) -> None:
    """Export, check, and print the figures.

    Raises:
        VdsrError: see `vdsr.export.export`.
    """
    options = Options(
        precision=precision,
        shape=None if static is None else _shape(static),
        opset=opset,
        scale=scale,
        pictures=pictures,
        calibration=calibration,
        check=check,
        overwrite=overwrite,
    )
    report = export(load_model(model), format, output, options)
    if json is not None:
        write_json(report.as_dict(), json)
    if json != "-" and not quiet:
        _print(report)
    if not report.findings and not quiet:
        say("vdsr: the export was not run: --no-check")


def _shape(text: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})x(\d{1,6})x(\d{1,6})", text)
    if match is None:
        raise UsageError(f"{text!r} is no input shape: write 1x1x256x256")
    n, channels, height, width = (int(part) for part in match.groups())
    return n, channels, height, width


def _print(report: Report) -> None:
    facts = "".join(f", {name} {value}" for name, value in report.facts.items())
    typer.echo(
        f"{report.files[0]}: {report.format} {report.precision}{facts}, {report.bytes:,} bytes"
    )
    for file in report.files[1:]:
        typer.echo(f"{file}: beside it")
    for finding in report.findings:
        typer.echo(f"checked by {finding.describe()}")
