"""`vdsr quantize`: a float model becomes an int8 one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report, say, say_left_out
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.errors import UsageError, VdsrError, among
from vdsr.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vdsr.quantization.picture_choice import PictureChoice
    from vdsr.quantization.report import LayerCost
    from vdsr.quantization.search import Trial

# Bits of a weight: 7 are right on every processor, 8 where none saturates.
TARGETS = {"any": 7, "avx2": 7, "vnni": 8}


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
            "--target",
            metavar="NAME",
            help="any: 7-bit weights, right on every processor (avx2 is the same); vnni: 8 bits,"
            " which saturate on x86 without VNNI.",
        ),
    ] = "any",
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
        int, typer.Option("--patches", metavar="N", help="Patches of 96 x 96 px to calibrate on.")
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
        typer.Option(
            "--max-drop",
            metavar="DB",
            help="Above this loss the model is not written: exit code 1. The report is, and the"
            " rejected model is kept under another name.",
        ),
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
    from vdsr.quantization.search import AUTO, failure, settings_to_try, trials
    from vdsr.quantization.settings import QuantizationSettings
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
    settings = settings_to_try(first, method)
    require("onnx", *(name for name in ("onnxruntime", "torch") if name == backend))
    check_outputs(output, page, json=json, overwrite=overwrite)
    # Minutes before it is needed: what writes the file may be missing.
    check_opset(DEFAULT_OPSET, int8=True)
    source = load_model(model)
    apart, color = bool(validation), source.metadata.planes == 3
    smallest = smallest_side(source.metadata)
    wanted = useful(patches, apart=apart)
    given = choose_pictures(calibration, wanted, smallest=smallest, color=color)
    _tell_choice(given, "calibrating" if apart else "calibrating and validating", quiet)
    measured = None
    if validation:
        measured = choose_pictures(validation, VALIDATION_PICTURES, smallest=smallest, color=color)
        _tell_choice(measured, "validating", quiet)
    ready = prepare(
        given.pictures,
        given.names,
        source.metadata,
        validation=None if measured is None else measured.pictures,
        patches=patches,
    )
    if not ready.apart and not quiet:
        say("too few pictures to hold some out: the loss is measured on those calibrated on")
    tell = (lambda trial: None) if quiet else _tell
    found = trials(source, ready, settings, name=name, backend=backend, done=tell)
    best = found[0]
    costs = reports.layer_costs(best.quantized, ready.patches)
    failed = failure(best, max_drop)
    written = output
    if failed is not None:
        # The same table gives the same name and the same file: nothing else is replaced.
        written = output.with_suffix(f".rejected-{best.quantized.digest[:8]}.onnx")
    write_whole(written, best.model.data)
    _write_report(found, costs, written, failed is None, page=page, quiet=quiet, json=json)
    if failed is not None:
        raise VdsrError(
            f"{failed} (--max-drop): nothing is written to {output}; what was computed is in"
            f" {written}. {reports.advice(best.quantized, costs, methods=len(found))}"
        )


def _write_report(
    found: Sequence[Trial],
    costs: Sequence[LayerCost],
    written: Path,
    passed: bool,
    *,
    page: Path | None,
    quiet: bool,
    json: str | None,
) -> None:
    """Say what was found, in all the forms that were asked for."""
    from vdsr.outputs import write_whole
    from vdsr.quantization import report as reports

    best = found[0]
    card, table = best.model.metadata, best.quantized.digest
    if page is not None:
        html = reports.page(found, costs, heading=f"{card.name} {card.version}")
        write_whole(page, html.encode())
    text = (
        f"{reports.summary(found).text()}\n\n{reports.layers(costs).text()}\n"
        f"{reports.most_costly(best.quantized, costs)}\n"
        f"{written}: int8 by {best.quantized.settings.method},"
        f" {best.quantized.settings.weight_bits}-bit weights, loses at most {best.worst:.4f} dB,"
        f" table {table[:12]}, sha256 {best.model.digest[:12]}"
    )
    content = {"output": str(written), "passed": passed, "sha256": best.model.digest}
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
