"""`vdsr evaluate --outputs`: what came back from an accelerator, measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from vdsr.cli.console import say, write_json
from vdsr.cli.evaluate import write_text
from vdsr.data.datasets import open_dataset
from vdsr.errors import OutputError, UsageError
from vdsr.evaluation.candidates import write_picture
from vdsr.evaluation.evaluate import Row
from vdsr.evaluation.report import as_csv, cell, table
from vdsr.vacc.measure import Measured, Subject, bicubic, colored, measure, subjects

_NOTE = (
    "published: by the vendor (VastModelZOO) for pytorch-vdsr's tensors: fp32 on a GPU, fp16"
    " and int8 on the card"
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as they were typed."""

    outputs: tuple[Path, ...]
    data: tuple[str, ...]
    scales: str | None
    inputs: Path | None
    pictures: Path | None
    json: str | None
    csv: Path | None
    overwrite: bool
    quiet: bool


def run(request: Request) -> None:
    """Measure folders of outputs, beside the enlarged pictures themselves.

    Raises:
        UsageError: for more than one dataset, or if the scale is not known.
        InputError: for pictures or outputs that do not fit each other.
        OutputError: if a result exists or cannot be written.
    """
    if len(request.data) != 1:
        raise UsageError("--outputs are of one dataset: give --data once")
    data = open_dataset(request.data[0])
    scale = None if request.scales is None else _scale(request.scales)
    measured: list[Measured] = []
    for folder in request.outputs:
        found, pictures = subjects(data, folder, inputs=request.inputs, scale=scale)
        goals = _goals(request, folder, pictures)
        measured.append(measure(folder, pictures, dataset=data.name, scale=found))
        for picture, goal in goals:
            goal.unlink(missing_ok=True)
            write_picture(goal, colored(picture, measured[-1].planes[picture.name]))
    rows = [bicubic(pictures, dataset=data.name, scale=found), *(one.row for one in measured)]
    if not request.quiet and request.json != "-":
        typer.echo(f"{table(rows)}\n\n{_per_picture(rows)}")
        if any("published" in row.further for row in rows):
            say(_NOTE)
    if request.json is not None:
        write_json([row.as_dict() for row in rows], request.json)
    if request.csv is not None:
        write_text(request.csv, as_csv(rows))


def _scale(text: str) -> int:
    if not re.fullmatch(r"[2-8]", text):
        raise UsageError(f"--scales {text!r}: outputs are of one scale, 2 to 8")
    return int(text)


def _goals(
    request: Request, folder: Path, pictures: Sequence[Subject]
) -> list[tuple[Subject, Path]]:
    """Pictures to be written, and where; none if they are not asked for."""
    if request.pictures is None:
        return []
    place = request.pictures / folder.resolve().name
    goals = [(picture, place / f"{picture.name}.png") for picture in pictures]
    for _, goal in goals:
        if goal.exists() and not request.overwrite:
            raise OutputError(f"{goal}: it exists already: --overwrite replaces it")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{place}: it cannot be made: {error.strerror}") from error
    return goals


def _per_picture(rows: Sequence[Row]) -> str:
    """PSNR of every picture, as it is and rounded, by row."""
    heads = ["PSNR dB"]
    for row in rows:
        name = " ".join(filter(None, ((row.backend or row.model).split()[0], row.precision)))
        heads += [name, "rounded"]
    lines = [heads]
    for i, image in enumerate(rows[0].images):
        line = [image.image]
        for row in rows:
            one = row.images[i]
            line += [cell("psnr", one.psnr), cell("psnr", one.further["psnr_rounded"])]
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
