"""`vdsr evaluate` and `vdsr data fetch`."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from vdsr.cli.console import say, write_json
from vdsr.data import datasets
from vdsr.errors import OutputError, UsageError
from vdsr.evaluation.candidates import Contestant
from vdsr.evaluation.evaluate import Row, Settings, evaluate
from vdsr.evaluation.fid import FeatureNetwork
from vdsr.evaluation.reference_values import doubt
from vdsr.evaluation.report import as_csv, table
from vdsr.inference.selection import int8_form
from vdsr.model.file import ModelFile, load_model

METRICS = ("psnr", "ssim", "consistency", "speed", "fid")
_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as they were typed."""

    models: tuple[str, ...]
    data: tuple[str, ...]
    scales: str
    protocol: str
    crop: str
    inputs: Path | None
    backend: str
    precision: str
    threads: int | None
    metrics: str
    fid_network: Path | None
    json: str | None
    csv: Path | None
    report: Path | None
    overwrite: bool
    quiet: bool


def run(request: Request) -> None:
    """Measure, and write what is asked for.

    Raises:
        VdsrError: see `vdsr.evaluation.evaluate.evaluate`.
    """
    _check_goals(request)
    settings = _settings(request)
    sets = [datasets.open_dataset(data) for data in request.data]
    rows: list[Row] = []
    with ExitStack() as stack:
        contestants = _contestants(request)
        for contestant in contestants:
            stack.callback(contestant.close)
        progress = stack.enter_context(_Status(quiet=request.quiet))
        for dataset, one in itertools.product(sets, settings):
            rows += evaluate(dataset, one, contestants, progress=progress)
    warnings = [text for text in map(doubt, rows) if text is not None]
    for text in warnings:
        say(f"vdsr: warning: {text}")
    _write(request, rows, warnings)


def fetch(name: str, *, quiet: bool) -> None:
    """Download a dataset or a network, and say where it is.

    Raises:
        UsageError: for an unknown name.
        InputError: if it cannot be fetched, or is not what was expected.
        OutputError: if it cannot be written.
    """
    with _Status(quiet=quiet) as status:

        def progress(done: int, total: int | None) -> None:
            status(done // 2**20, (total or 0) // 2**20, f"{name}, MiB")

        place = datasets.fetch(name, progress=progress)
    typer.echo(str(place))


def _check_goals(request: Request) -> None:
    """Find out before the work what would stop its result from being written."""
    for goal in (request.csv, request.report):
        if goal is not None and goal.exists() and not request.overwrite:
            raise OutputError(f"{goal}: it exists already: --overwrite replaces it")
    files = [None if request.json in (None, "-") else Path(str(request.json))]
    for goal in (request.csv, request.report, *files):
        if goal is not None and not goal.parent.is_dir():
            raise OutputError(f"{goal}: there is no folder {goal.parent}")


def _settings(request: Request) -> list[Settings]:
    metrics = _list(request.metrics)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}: {', '.join(METRICS)}")
    if request.fid_network is not None and "fid" not in metrics:
        raise UsageError("--fid-network goes with --metrics fid")
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", request.scales):
        raise UsageError(f"{request.scales!r} are no scales: write 2,3,4")
    network = None
    if "fid" in metrics:
        network = FeatureNetwork(request.fid_network or _fetched_network())
    return [
        Settings(
            protocol=protocol,
            scales=tuple(dict.fromkeys(int(scale) for scale in request.scales.split(","))),
            crop=request.crop,
            inputs=request.inputs,
            consistency="consistency" in metrics,
            speed="speed" in metrics,
            fid=network,
            samples=request.report is not None,
        )
        for protocol in _list(request.protocol)
    ]


def _fetched_network() -> Path:
    name, source = next(iter(datasets.NETWORKS.items()))
    path = datasets.data_home() / "networks" / source.file
    if not path.is_file():
        raise UsageError(
            f"FID needs a network: run 'vdsr data fetch {name}' ({source.megabytes} MB),"
            " or give one with --fid-network"
        )
    return path


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _contestants(request: Request) -> list[Contestant]:
    """Every model on every backend in every precision that is asked for."""
    precisions = _list(request.precision)
    # A shipped model stands for its int8 form, too, if that is asked for by name.
    names = {
        (model, precision): (int8_form(model) if precision == "int8" else None) or model
        for model in request.models
        for precision in precisions
    }
    files = {name: load_model(name) for name in dict.fromkeys(names.values())}
    shown = dict(_named(files))
    return [
        Contestant(
            files[names[model, precision]],
            backend=backend,
            precision=precision,
            threads=request.threads,
            name=shown[names[model, precision]],
        )
        for model, backend, precision in itertools.product(
            request.models, _list(request.backend), precisions
        )
    ]


def _named(files: Mapping[str, ModelFile]) -> Iterator[tuple[str, str]]:
    """The name of every model; where two have the same name, where they are from."""
    names = [file.metadata.name for file in files.values()]
    for (given, file), name in zip(files.items(), names, strict=True):
        yield given, name if names.count(name) == 1 else file.source


def _write(request: Request, rows: list[Row], warnings: list[str]) -> None:
    # First of all what costs nothing: it is there even if a disk is full.
    if not request.quiet and request.json != "-":
        typer.echo(table(rows))
    if request.json is not None:
        write_json([row.as_dict() for row in rows], request.json)
    if request.csv is not None:
        write_text(request.csv, as_csv(rows))
    if request.report is not None:
        from vdsr.evaluation.page import page

        names = ", ".join(dict.fromkeys(row.model for row in rows))
        sets = ", ".join(dict.fromkeys(row.dataset for row in rows))
        write_text(request.report, page(rows, heading=f"{names} on {sets}", warnings=warnings))


def write_text(path: Path, text: str) -> None:
    """Write a file whole, or leave what is there.

    Raises:
        OutputError: if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: it cannot be written: {error.strerror}") from error


class _Status:
    """How far a count is, on stderr: one line that changes, or a plain one now and then."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        self._shown = False

    def __enter__(self) -> _Status:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")

    def __call__(self, done: int, total: int, label: str) -> None:
        if self._quiet:
            return
        text = f"{done}/{total} {label}" if total else f"{done} {label}"
        if self._terminal:
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif time.monotonic() - self._last >= _INTERVAL_SECONDS:
            self._last = time.monotonic()
            say(text)
