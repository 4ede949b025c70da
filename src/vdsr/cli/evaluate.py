"""`vdsr evaluate`: models measured on pictures, beside bicubic."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli import evaluate_outputs
from vdsr.cli.console import check_outputs, report, say
from vdsr.cli.options import Json, Overwrite, Quiet, Threads
from vdsr.cli.parsing import parse_names, parse_numbers
from vdsr.cli.progress import Counter
from vdsr.errors import UsageError, among
from vdsr.extras import require
from vdsr.inputs import is_file
from vdsr.outputs import write_whole

if TYPE_CHECKING:
    from vdsr.evaluation.candidates import Automatic, Candidate
    from vdsr.evaluation.evaluate import Row
    from vdsr.evaluation.fid import FeatureNetwork
    from vdsr.model.file import ModelFile

METRICS = ("psnr", "ssim", "consistency", "speed", "fid")


def evaluate(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            "-d",
            metavar="FOLDER|NAME",
            help="Pictures: a folder, or set5, set14, b100, urban100; may be repeated.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="A shipped model, a model file, or auto; may be repeated. (default: vdsr)",
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option("--scales", "-s", metavar="2,3,4", help="Scales, 2 to 8. (default: 2,3,4)"),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            metavar="NAME",
            help="paper, float, file, fixed256, fixed:HxW, jpeg:Q, noise:S, restore-jpeg:Q; or"
            " several. (default: paper)",
        ),
    ] = None,
    crop: Annotated[
        str,
        typer.Option(
            "--crop",
            metavar="NAME",
            help="single: to a multiple of the scale; cumulative: of 2, 3, ... in turn.",
        ),
    ] = "single",
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs", metavar="FOLDER", help="fixed256, fixed:HxW: the enlarged pictures."
        ),
    ] = None,
    outputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--outputs",
            metavar="FOLDER",
            help="Measure what came back from an accelerator (.npz) instead; may be repeated.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--save-pictures", metavar="FOLDER", help="--outputs: write the restored pictures."
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            "--backend", metavar="NAME", help="auto, openvino, onnxruntime or torch; or several."
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="auto (that of the model), fp32, fp16 or int8; or several.",
        ),
    ] = "auto",
    threads: Threads = None,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics", metavar="NAME", help="Besides PSNR and SSIM: consistency, speed, fid."
        ),
    ] = "psnr,ssim",
    fid_network: Annotated[
        Path | None,
        typer.Option(
            "--fid-network", metavar="FILE", help="ONNX or TorchScript. (default: inception)"
        ),
    ] = None,
    json: Json = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a page of HTML with cut-outs."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure models on pictures by the field's protocols, beside bicubic.

    Example: vdsr evaluate --data photographs/ --model vdsr --scales 2,4 --report page.html
    """
    from vdsr.evaluation.opencv_protocol import fixed_size

    if outputs:
        fixed = protocol is None or fixed_size(protocol) is not None
        if model or page or metrics != "psnr,ssim" or not fixed:
            raise UsageError(
                "--outputs are measured by fixed256 or fixed:HxW, without --model, --metrics and"
                " --report"
            )
        evaluate_outputs.evaluate_outputs(
            outputs,
            data,
            protocol=protocol,
            scales=scales,
            inputs=inputs,
            pictures=pictures,
            csv=csv,
            overwrite=overwrite,
            quiet=quiet,
            json=json,
        )
        return
    from vdsr.data.datasets import open_dataset
    from vdsr.evaluation.evaluate import EvaluationSettings
    from vdsr.evaluation.evaluate import evaluate as measure
    from vdsr.evaluation.reference_values import doubt
    from vdsr.evaluation.report import as_csv, as_text

    wanted = _metrics(metrics, fid_network)
    names, found = parse_names(protocol or "paper"), parse_names(backend)
    require(
        *(name for name in ("onnxruntime", "torch") if name in found),
        *(("cv2",) if any(fixed_size(name) for name in names) else ()),
    )
    check_outputs(csv, page, json=json, overwrite=overwrite)
    settings = [
        EvaluationSettings(
            protocol=name,
            scales=_scales(name, scales),
            crop=crop,
            inputs=inputs,
            consistency="consistency" in wanted,
            speed="speed" in wanted,
            fid=_fid(fid_network) if "fid" in wanted else None,
            cutouts=page is not None,
        )
        for name in names
    ]
    sets = [open_dataset(name) for name in data]
    rows: list[Row] = []
    with ExitStack() as stack:
        candidates = _candidates(model or ["vdsr"], backend, precision, threads)
        for candidate in candidates:
            stack.callback(candidate.close)
        progress = stack.enter_context(Counter(quiet=quiet))
        for dataset, one in itertools.product(sets, settings):
            rows += measure(dataset, one, candidates, progress=progress)
    warnings = [text for text in map(doubt, rows) if text is not None]
    if not quiet:
        for text in warnings:
            say(f"vdsr: warning: {text}")
    # First of all what costs nothing: it is there even if a disk is full.
    report(as_text(rows), [row.as_dict() for row in rows], quiet=quiet, json=json)
    if csv is not None:
        write_whole(csv, as_csv(rows))
    if page is not None:
        write_whole(page, _page(rows, warnings))


def _scales(protocol: str, typed: str | None) -> tuple[int, ...]:
    from vdsr.evaluation.protocols import check_protocol

    damaged = check_protocol(protocol)
    if damaged is not None and damaged.keeps_size and typed is None:
        return (1,)
    return parse_numbers(typed or "2,3,4", "--scales", "2,3,4")


def _metrics(typed: str, fid_network: Path | None) -> list[str]:
    metrics = parse_names(typed)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}: {among(unknown[0], METRICS)}")
    if fid_network is not None and "fid" not in metrics:
        raise UsageError("--fid-network goes with --metrics fid")
    return metrics


def _fid(path: Path | None) -> FeatureNetwork:
    from vdsr.data import datasets
    from vdsr.evaluation.fid import FeatureNetwork

    if path is None:
        name, source = next(iter(datasets.NETWORKS.items()))
        path = datasets.data_home() / "networks" / source.file
        if not is_file(path):
            raise UsageError(
                f"FID needs a network: run 'vdsr data fetch {name}' ({source.megabytes} MB),"
                " or give one with --fid-network"
            )
    return FeatureNetwork(path)


def _candidates(
    models: list[str], backends: str, precisions: str, threads: int | None
) -> list[Candidate | Automatic]:
    """Every model on every backend in every precision that is asked for."""
    from vdsr.evaluation.candidates import Automatic, Candidate
    from vdsr.inference.selection import AUTO, int8_form
    from vdsr.model.file import load_model

    wanted = parse_names(precisions)
    # A shipped model stands for its int8 form, too, if that is asked for by name.
    names = {
        (model, precision): (int8_form(model) if precision == "int8" else None) or model
        for model in models
        for precision in wanted
        if model != AUTO
    }
    files = {name: load_model(name) for name in dict.fromkeys(names.values())}
    shown = dict(_named(files))
    return [
        Automatic(backend=backend, precision=precision, threads=threads)
        if model == AUTO
        else Candidate(
            files[names[model, precision]],
            backend=backend,
            precision=precision,
            threads=threads,
            name=shown[names[model, precision]],
        )
        for model, backend, precision in itertools.product(models, parse_names(backends), wanted)
    ]


def _named(files: Mapping[str, ModelFile]) -> Iterator[tuple[str, str]]:
    """The name of every model; where two have the same name, where they are from."""
    names = [file.metadata.name for file in files.values()]
    for (given, file), name in zip(files.items(), names, strict=True):
        yield given, name if names.count(name) == 1 else file.source


def _page(rows: list[Row], warnings: list[str]) -> str:
    from vdsr.evaluation.page import page

    names = ", ".join(dict.fromkeys(row.model for row in rows))
    sets = ", ".join(dict.fromkeys(row.dataset for row in rows))
    return page(rows, heading=f"{names} on {sets}", warnings=warnings)
