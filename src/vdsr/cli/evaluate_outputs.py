"""`vdsr evaluate --outputs`: what came back from an accelerator, measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vdsr.cli.console import check_outputs, report, say
from vdsr.errors import UsageError
from vdsr.outputs import as_output_error, write_whole

if TYPE_CHECKING:
    from vdsr.evaluation.evaluate import Row
    from vdsr.vacc.measure import Measured, Subject

_NOTE = (
    "published: by the vendor (VastModelZOO) for pytorch-vdsr's tensors: fp32 on a GPU, fp16"
    " and int8 on the card; its int8 was calibrated on the pictures that it is measured on"
)
_FLATTERED = (
    "* calibrated on evaluation pictures: pictures that it is measured on, so that the figure"
    " flatters it"
)


def evaluate_outputs(
    folders: Sequence[Path],
    data: Sequence[str],
    *,
    protocol: str | None,
    scales: str | None,
    inputs: Path | None,
    pictures: Path | None,
    csv: Path | None,
    overwrite: bool,
    quiet: bool,
    json: str | None,
) -> None:
    """Measure folders of outputs, beside the enlarged pictures themselves.

    Raises:
        UsageError: for more than one dataset, if the scale is not known, or if the outputs
            are of several scales or sizes.
        InputError: for pictures or outputs that do not fit each other.
        OutputError: if a result exists or cannot be written.
    """
    from vdsr.data.datasets import open_dataset
    from vdsr.evaluation.candidates import write_picture
    from vdsr.evaluation.opencv_protocol import fixed_protocol, fixed_size
    from vdsr.evaluation.report import as_csv, as_text
    from vdsr.vacc.measure import bicubic, colored, measure, subjects

    if len(data) != 1:
        raise UsageError("--outputs are of one dataset: give --data once")
    check_outputs(csv, json=json, overwrite=overwrite)
    dataset = open_dataset(data[0])
    scale = None if scales is None else _scale(scales)
    size = None if protocol is None else fixed_size(protocol)
    measured: list[Measured] = []
    for folder in folders:
        found, shown = subjects(dataset, folder, inputs=inputs, scale=scale, size=size)
        _refuse_another(folder, found, fixed_protocol(shown[0].size), measured)
        goals = _goals(pictures, folder, shown, overwrite=overwrite)
        measured.append(measure(folder, shown, dataset=dataset.name, scale=found))
        for picture, goal in goals:
            write_picture(goal, colored(picture, measured[-1].planes[picture.name]), overwrite=True)
    rows = [bicubic(shown, dataset=dataset.name, scale=found), *(one.row for one in measured)]
    text = f"{as_text(rows)}\n\n{_per_picture(rows)}"
    report(text, [row.as_dict() for row in rows], quiet=quiet, json=json)
    if not quiet and any("published" in row.further for row in rows):
        say(_NOTE)
    if not quiet and any(map(_flattered, rows)):
        say(_FLATTERED)
    if csv is not None:
        write_whole(csv, as_csv(rows))


def _flattered(row: Row) -> bool:
    return "calibrated on" in (row.backend or "")


def _refuse_another(folder: Path, scale: int, protocol: str, measured: Sequence[Measured]) -> None:
    """One row of bicubic stands for all: figures of other protocols have no place beside it."""
    for row in (one.row for one in measured[:1]):
        if (row.scale, row.protocol) != (scale, protocol):
            raise UsageError(
                f"{folder}: outputs of {protocol} at x{scale}, and {measured[0].folder} of"
                f" {row.protocol} at x{row.scale}: measure them by themselves"
            )


def _scale(text: str) -> int:
    if not re.fullmatch(r"[2-8]", text):
        raise UsageError(f"--scales {text!r}: outputs are of one scale, 2 to 8")
    return int(text)


def _goals(
    place: Path | None, folder: Path, pictures: Sequence[Subject], *, overwrite: bool
) -> list[tuple[Subject, Path]]:
    """Pictures to be written, and where; none if they are not asked for."""
    if place is None:
        return []
    place = place / folder.resolve().name
    goals = [(picture, place / f"{picture.name}.png") for picture in pictures]
    with as_output_error(place):
        place.mkdir(parents=True, exist_ok=True)
    check_outputs(*(goal for _, goal in goals), overwrite=overwrite)
    return goals


def _per_picture(rows: Sequence[Row]) -> str:
    """PSNR of every picture, as it is and rounded, by row."""
    from vdsr.evaluation.report import cell
    from vdsr.report.table import Table

    heads = ["PSNR dB"]
    for row in rows:
        words = ((row.backend or row.model).split()[0], row.precision)
        name = " ".join(filter(None, words)) + ("*" if _flattered(row) else "")
        heads += [name, "rounded"]
    lines = [heads]
    for i, image in enumerate(rows[0].images):
        line = [image.image]
        for row in rows:
            one = row.images[i]
            line += [cell("psnr", one.psnr), cell("psnr", one.further["psnr_rounded"])]
        lines.append(line)
    return Table(lines[0], lines[1:]).text()
