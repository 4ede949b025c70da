"""`vdsr import`: a checkpoint becomes a model file."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.errors import OutputError, UsageError
from vdsr.model.file import ModelMetadata
from vdsr.model.onnx_writer import write_model


def run(
    checkpoint: Path,
    output: Path,
    *,
    name: str | None,
    version: str,
    scales: str,
    luma: str,
    residual: bool | None,
    training_data: str,
    licence: str,
    psnr: list[str],
    overwrite: bool,
) -> None:
    """Read the checkpoint and write the model file.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or asks for code to be run.
        OutputError: if the model file exists or cannot be written.
        UsageError: for options that are out of range.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a model file ends in .onnx")
    if not re.fullmatch(r"\d+(,\d+)*", scales):
        raise UsageError(f"{scales!r} are no scales: write 2,3,4")
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: it exists already: --overwrite replaces it")
    architecture = read_checkpoint(checkpoint, residual=residual)
    metadata = ModelMetadata(
        name=name or output.stem,
        version=version,
        scales=tuple(int(scale) for scale in scales.split(",")),
        luma=luma,
        residual=architecture.residual,
        training_data=training_data,
        licence=licence,
        psnr=_figures(psnr),
        recipe=f"imported from {checkpoint.name}",
    )
    digest = write_model(architecture, metadata, output)
    typer.echo(
        f"{output}: {architecture.depth} layers, {architecture.parameters:,} parameters,"
        f" sha256 {digest[:12]}"
    )


def _figures(entries: list[str]) -> dict[str, float]:
    """`["Set5 x2 paper=35.68"]` as a mapping."""
    figures = {}
    for entry in entries:
        name, _, value = entry.rpartition("=")
        try:
            figures[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"{entry!r} is no figure: write 'Set5 x2 paper=35.68'") from None
        if not name.strip():
            raise UsageError(f"{entry!r} names no figure: write 'Set5 x2 paper=35.68'")
    return figures
