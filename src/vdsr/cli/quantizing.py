"""`vdsr quantize`: a float model becomes an int8 one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from vdsr.cli.console import say, write_json
from vdsr.errors import OutputError, UsageError
from vdsr.model.file import load_model
from vdsr.model.onnx_writer import DEFAULT_OPSET, check_opset, write_whole
from vdsr.quantization import report
from vdsr.quantization.pictures import (
    VALIDATION_PICTURES,
    prepare,
    smallest_side,
    useful,
)
from vdsr.quantization.quantizer import Settings
from vdsr.quantization.sample import Sample, sample
from vdsr.quantization.search import AUTO, Trial, check_gate, trials, ways
from vdsr.quantization.thresholds import ALIASES

# Bits of a weight, by what the processor adds up without saturating.
TARGETS = {"vnni": 8, "avx2": 7}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command's arguments; see `vdsr quantize --help`."""

    model: str
    calibration: Sequence[Path]
    output: Path
    validation: Sequence[Path]
    method: str
    percentile: float
    target: str
    keep_float: str | None
    equalize: float
    patches: int
    max_drop: float
    name: str | None
    backend: str
    report: Path | None
    overwrite: bool
    quiet: bool
    json: str | None


def run(request: Request) -> None:
    """Calibrate, quantise, measure, and write the model file if it is good enough.

    Raises:
        UsageError: for options that are out of range, or a model that is in int8 already.
        MissingExtra: if onnx is not installed.
        InputError: if there is no picture to calibrate on.
        OutputError: if the model file exists or cannot be written.
        VdsrError: if a layer has no scale, or the loss is above `max_drop`.
    """
    settings = _settings(request)
    for path in filter(None, (request.output, request.report)):
        if path.exists() and not request.overwrite:
            raise OutputError(f"{path}: it exists already: --overwrite replaces it")
    # Minutes before it is needed: what writes the file may be missing.
    check_opset(DEFAULT_OPSET, int8=True)
    model = load_model(request.model)
    smallest, apart = smallest_side(model.metadata), bool(request.validation)
    given = sample(request.calibration, useful(request.patches, apart=apart), smallest=smallest)
    _tell_sample(given, "calibrating" if apart else "calibrating and validating", request.quiet)
    validation = None
    if apart:
        validation = sample(request.validation, VALIDATION_PICTURES, smallest=smallest)
        _tell_sample(validation, "validating", request.quiet)
    ready = prepare(
        given.pictures,
        given.names,
        model.metadata,
        validation=None if validation is None else validation.pictures,
        patches=request.patches,
    )
    if not ready.apart and not request.quiet:
        say("too few pictures to keep some apart: the loss is measured on those calibrated on")
    found = trials(
        model,
        ready,
        settings,
        name=request.name,
        backend=request.backend,
        done=(lambda trial: None) if request.quiet else _tell,
    )
    best = found[0]
    check_gate(best, request.max_drop)
    costs = report.layer_costs(best.quantized, ready.patches)
    write_whole(request.output, best.model.data)
    if request.report is not None:
        heading = f"{best.model.metadata.name} {best.model.metadata.version}"
        write_whole(request.report, report.page(found, costs, heading=heading).encode())
    if request.json is not None:
        content = report.as_json(found, costs)
        write_json(
            {"output": str(request.output), "sha256": best.model.digest, **content}, request.json
        )
    if request.quiet or request.json == "-":
        return
    typer.echo(report.summary(found))
    typer.echo()
    typer.echo(report.layers_text(costs))
    typer.echo(report.most_costly(best.quantized, costs))
    typer.echo(
        f"{request.output}: int8 by {best.quantized.settings.method}, loses at most"
        f" {best.worst:.4f} dB, table {best.quantized.digest[:12]}, sha256 {best.model.digest[:12]}"
    )


def _settings(request: Request) -> tuple[Settings, ...]:
    if request.output.suffix != ".onnx":
        raise UsageError(f"{request.output}: a model file ends in .onnx")
    if request.target not in TARGETS:
        raise UsageError(f"unknown target {request.target!r}: {', '.join(TARGETS)}")
    if request.patches < 1 or not request.max_drop >= 0.0:
        raise UsageError("--patches is 1 or more, --max-drop 0 or more")
    kept = None
    if request.keep_float is not None:
        if not re.fullmatch(r"(\d+(,\d+)*)?", request.keep_float):
            raise UsageError(f"{request.keep_float!r} are no layers: write 0,1,19")
        kept = tuple(int(i) for i in request.keep_float.split(",") if i)
    method = ALIASES.get(request.method, request.method)
    first = Settings(
        method="minmax" if method == AUTO else method,
        percentile=request.percentile,
        weight_bits=TARGETS[request.target],
        keep_float=kept,
        equalize=request.equalize,
    )
    return ways(first, method)


def _tell_sample(found: Sample, purpose: str, quiet: bool) -> None:
    """Say what was read, and what was left out of it."""
    if quiet:
        return
    for line in found.left_out[:_SHOWN]:
        say(f"left out: {line}")
    if len(found.left_out) > _SHOWN:
        say(f"left out: {len(found.left_out) - _SHOWN} more pictures")
    say(f"{purpose} on {len(found.pictures)} of {found.files} pictures")


def _tell(trial: Trial) -> None:
    losses = ", ".join(f"{scale} {drop:.4f}" for scale, drop in trial.drop.items())
    say(f"{trial.quantized.settings.method}: loss in dB {losses}")
