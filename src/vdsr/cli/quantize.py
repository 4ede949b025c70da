"""`vdsr quantize`: a float model becomes an int8 one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report, say, say_left_out
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.errors import UsageError, among
from vdsr.extras import require

if TYPE_CHECKING:
    from vdsr.quantization.picture_choice import PictureChoice
    from vdsr.quantization.search import Trial

# Bits of a weight, by what the processor adds up without saturating.
TARGETS = {"vnni": 8, "avx2": 7}


def quantize(
    calibration: Annotated[
        list[Path],
        typer.Option(
            "--calibration",
            "-c",
            metavar="FOLDER",
            help="Photographs like those to be enlarged; may be repeated. Evaluation pictures"
            " are left out.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="INT8.onnx", help="The int8 model file.")
    ],
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A shipped model, or a model file, in float.")
    ] = "vdsr",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="How activations are calibrated: kl (kl_divergence), minmax, percentile, mse; or"
            " auto: all of them, the best is kept.",
        ),
    ] = "auto",
    percentile: Annotated[
        float, typer.Option("--percentile", metavar="X", help="Of the positive activations.")
    ] = 99.999,
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="NAME", help="vnni: 8-bit weights; avx2: 7 bits, where 8 saturate."
        ),
    ] = "vnni",
    keep_float: Annotated[
        str | None,
        typer.Option(
            "--keep-float", metavar="0,19", help="Layers in float. (default: the first, the last)"
        ),
    ] = None,
    equalize: Annotated[
        float,
        typer.Option(
            "--equalize", metavar="X", help="Bring channels to one range: 0 not at all, 1 fully."
        ),
    ] = 1.0,
    patches: Annotated[
        int, typer.Option("--patches", metavar="N", help="Patches of 96 px to calibrate on.")
    ] = 48,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            "--validation",
            metavar="FOLDER",
            help="Photographs to measure the loss on. (default: every fourth of the others)",
        ),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option("--max-drop", metavar="DB", help="Above this loss nothing is written."),
    ] = 0.05,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name in the model file. (default: MODEL-int8)"
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="NAME", help="What the loss is measured on.")
    ] = "auto",
    page: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a page of HTML, layer by layer."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Make an int8 model of a float one, and say what it costs.

    Example: vdsr quantize mine.onnx --calibration photographs/ --output mine-int8.onnx
    """
    from vdsr.model.file import load_model
    from vdsr.model.onnx_writer import DEFAULT_OPSET, check_opset
    from vdsr.outputs import write_whole
    from vdsr.quantization import report as reports
    from vdsr.quantization.picture_choice import choose_pictures
    from vdsr.quantization.pictures import VALIDATION_PICTURES, prepare, smallest_side, useful
    from vdsr.quantization.quantizer import QuantizationSettings
    from vdsr.quantization.search import AUTO, check_gate, trials, ways
    from vdsr.quantization.thresholds import ALIASES

    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a model file ends in .onnx")
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}: {among(target, TARGETS)}")
    if patches < 1 or not max_drop >= 0.0:
        raise UsageError("--patches is 1 or more, --max-drop 0 or more")
    method = ALIASES.get(method, method)
    first = QuantizationSettings(
        method="minmax" if method == AUTO else method,
        percentile=percentile,
        weight_bits=TARGETS[target],
        keep_float=None if keep_float is None else _layers(keep_float),
        equalize=equalize,
    )
    settings = ways(first, method)
    require("onnx", *(name for name in ("onnxruntime", "torch") if name == backend))
    check_outputs(output, page, json=json, overwrite=overwrite)
    # Minutes before it is needed: what writes the file may be missing.
    check_opset(DEFAULT_OPSET, int8=True)
    source = load_model(model)
    smallest, apart = smallest_side(source.metadata), bool(validation)
    given = choose_pictures(calibration, useful(patches, apart=apart), smallest=smallest)
    _tell_choice(given, "calibrating" if apart else "calibrating and validating", quiet)
    measured = None
    if validation:
        measured = choose_pictures(validation, VALIDATION_PICTURES, smallest=smallest)
        _tell_choice(measured, "validating", quiet)
    ready = prepare(
        given.pictures,
        given.names,
        source.metadata,
        validation=None if measured is None else measured.pictures,
        patches=patches,
    )
    if not ready.apart and not quiet:
        say("too few pictures to keep some apart: the loss is measured on those calibrated on")
    tell = (lambda trial: None) if quiet else _tell
    found = trials(source, ready, settings, name=name, backend=backend, done=tell)
    best = found[0]
    check_gate(best, max_drop)
    costs = reports.layer_costs(best.quantized, ready.patches)
    write_whole(output, best.model.data)
    if page is not None:
        heading = f"{best.model.metadata.name} {best.model.metadata.version}"
        write_whole(page, reports.page(found, costs, heading=heading).encode())
    text = (
        f"{reports.summary(found).text()}\n\n{reports.layers(costs).text()}\n"
        f"{reports.most_costly(best.quantized, costs)}\n"
        f"{output}: int8 by {best.quantized.settings.method}, loses at most"
        f" {best.worst:.4f} dB, table {best.quantized.digest[:12]}, sha256 {best.model.digest[:12]}"
    )
    content = {"output": str(output), "sha256": best.model.digest}
    report(text, {**content, **reports.as_json(found, costs)}, quiet=quiet, json=json)


def _layers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"([0-9]{1,4}(,[0-9]{1,4})*)?", text):
        raise UsageError(f"{text!r} does not name layers: write 0,1,19")
    return tuple(int(i) for i in text.split(",") if i)


def _tell_choice(found: PictureChoice, purpose: str, quiet: bool) -> None:
    """Say what was read, and what was left out of it."""
    if not quiet:
        say_left_out(found.left_out, quiet=False)
        say(f"{purpose} on {len(found.pictures)} of {found.files} pictures")


def _tell(trial: Trial) -> None:
    losses = ", ".join(f"{scale} {drop:.4f}" for scale, drop in trial.drop.items())
    say(f"{trial.quantized.settings.method}: loss in dB {losses}")
