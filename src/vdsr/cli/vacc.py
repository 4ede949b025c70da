"""`vdsr vacc`: run an accelerator folder's inputs, on the card or in its place."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report, say
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.cli.parsing import parse_names
from vdsr.cli.progress import Counter
from vdsr.errors import UsageError, among

if TYPE_CHECKING:
    from vdsr.vacc.layout import Manifest


def vacc(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What 'vdsr export --format vacc' made.")
    ],
    backend: Annotated[
        str,
        typer.Option(
            "--backend", metavar="NAME", help="vaststreamx: the card; stand-in: ONNX Runtime here."
        ),
    ] = "stand-in",
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="NAME", help="fp32 (stand-in), fp16, int8; all, or several."
        ),
    ] = "all",
    device: Annotated[
        int, typer.Option("--device", metavar="N", min=0, help="Number of the card.")
    ] = 0,
    batch: Annotated[
        int,
        typer.Option("--batch", metavar="N", min=1, help="Inputs that the card runs at once."),
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="(default: FOLDER/outputs)"),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Run an accelerator folder's inputs on the card, or on this machine in its place.

    Example: vdsr vacc card/ --precision int8
    """
    from vdsr.vacc.layout import read_manifest
    from vdsr.vacc.outputs import STAND_IN
    from vdsr.vacc.runner import RUNNERS, label, run_inputs

    if backend not in RUNNERS:
        raise UsageError(f"unknown backend {backend!r}: {among(backend, RUNNERS)}")
    manifest = read_manifest(folder)
    goal = output or folder / "outputs"
    places = {
        name: goal / label(manifest, backend, name)
        for name in _precisions(precision, manifest, backend)
    }
    check_outputs(*places.values(), json=json, overwrite=overwrite, folders=True)
    if device and backend == STAND_IN:
        raise UsageError("--device chooses a card, and there is none in a stand-in")
    if batch > 1 and backend == STAND_IN:
        raise UsageError("--batch is of the card, and there is none in a stand-in")
    lines, done = [], []
    for name, place in places.items():
        start = time.perf_counter()
        with Counter(quiet=quiet) as counter:
            origin = run_inputs(
                folder,
                manifest,
                backend,
                name,
                place,
                device=device,
                batch=batch,
                progress=functools.partial(counter, label=f"outputs, {name}"),
            )
        seconds = time.perf_counter() - start
        made = {"outputs": str(place), "precision": name, "by": origin.by, "seconds": seconds}
        done.append(made | ({"calibration": origin.calibration} if origin.calibration else {}))
        lines.append(f"{place}: {len(manifest.inputs)} outputs, {name}, {origin.ran}")
    report("\n".join(lines), done, quiet=quiet, json=json)
    if backend == STAND_IN and not quiet:
        say("vdsr: a stand-in made these on this CPU: they say nothing about the card")


def _precisions(typed: str, manifest: Manifest, backend: str) -> list[str]:
    from vdsr.vacc.runner import precisions

    known = precisions(manifest, backend)
    if typed == "all":
        return list(known)
    wanted = parse_names(typed)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r} for {backend}: {among(unknown[0], known)}")
    return wanted
