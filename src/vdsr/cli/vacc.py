"""`vdsr vacc`: run an accelerator folder's inputs, on the card or in its stead."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import typer

from vdsr.cli.console import say, write_json
from vdsr.errors import OutputError, UsageError
from vdsr.vacc.layout import Manifest, read_manifest
from vdsr.vacc.outputs import STAND_IN
from vdsr.vacc.runner import RUNNERS, label, precisions, run_inputs


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as they were typed."""

    folder: Path
    backend: str
    precision: str
    output: Path | None
    overwrite: bool
    json: str | None
    quiet: bool


def run(request: Request) -> None:
    """Run the inputs once for every precision, and say where the outputs are.

    Raises:
        UsageError: for a backend or precision that there is not.
        BackendError: if the card, its module or the compiled network is not there.
        InputError: if the folder or an input cannot be read.
        OutputError: if outputs exist or cannot be written.
    """
    if request.backend not in RUNNERS:
        raise UsageError(f"unknown backend {request.backend!r}: {', '.join(RUNNERS)}")
    manifest = read_manifest(request.folder)
    goal = request.output or request.folder / "outputs"
    places = {
        name: goal / label(manifest, request.backend, name)
        for name in _precisions(request, manifest)
    }
    for place in places.values():
        if place.exists() and not request.overwrite:
            raise OutputError(f"{place}: it exists already: --overwrite replaces it")
    done = []
    for name, place in places.items():
        start = time.perf_counter()
        origin = run_inputs(request.folder, manifest, request.backend, name, place)
        seconds = time.perf_counter() - start
        done.append({"outputs": str(place), "precision": name, "by": origin.by, "seconds": seconds})
        if not request.quiet and request.json != "-":
            typer.echo(f"{place}: {len(manifest.inputs)} outputs, {name}, {origin.runtime}")
    if request.json is not None:
        write_json(done, request.json)
    if request.backend == STAND_IN and not request.quiet:
        say("vdsr: a stand-in made these on this CPU: they say nothing about the card")


def _precisions(request: Request, manifest: Manifest) -> list[str]:
    known = precisions(manifest, request.backend)
    if request.precision == "all":
        return list(known)
    wanted = list(dict.fromkeys(part.strip() for part in request.precision.split(",")))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r} for {request.backend}: {', '.join(known)}")
    return wanted
