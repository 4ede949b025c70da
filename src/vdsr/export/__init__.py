"""Formats that a model is exported to: one small module each, loaded when it is asked for.

A module has a constant `FORMAT`, an `ExportFormat`. Whatever it writes goes to a temporary folder
first, is run there through its own runtime, and is compared with the source model; only
what is within its tolerance is moved to where it was asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from pathlib import Path

from vdsr.errors import OutputError, UsageError, among
from vdsr.export.check import Finding, compare
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, Report
from vdsr.export.pictures import check_pictures
from vdsr.export.source import network_of
from vdsr.extras import require
from vdsr.model.file import ModelFile
from vdsr.outputs import put, refuse_existing, work_folder

__all__ = ["FORMATS", "ExportFormat", "ExportOptions", "Report", "export", "format_of"]

FORMATS = {
    "onnx": "vdsr.export.onnx",
    "openvino": "vdsr.export.openvino",
    "ncnn": "vdsr.export.ncnn",
    "torchscript": "vdsr.export.torchscript",
    "onnx-image": "vdsr.export.onnx_image",
    "tensorrt": "vdsr.export.tensorrt",
    "vacc": "vdsr.vacc.folder",
}


def format_of(name: str) -> ExportFormat:
    """The format of this name.

    Raises:
        UsageError: if there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}: {among(name, FORMATS)}")
    found: ExportFormat = importlib.import_module(FORMATS[name]).FORMAT
    return found


def export(
    model: ModelFile, format: str, output: Path, options: ExportOptions | None = None
) -> Report:
    """Export a model, and prove that the export computes what the model does.

    Args:
        model: the model.
        format: a name of `FORMATS`.
        output: the file, or the folder, to make. Formats of two files put the second one
            beside it.
        options: see `ExportOptions`.

    Returns:
        What was written, and how far it is from the model.

    Raises:
        UsageError: for options that the format does not have, or the model does not fit.
        MissingExtra: if a package is missing that the format, or its runtime, needs.
        InputError: if the pictures cannot be read.
        OutputError: if the export is outside the tolerance, or cannot be written, or is
            there already; nothing is left of it.
    """
    start = time.perf_counter()
    options = options or ExportOptions()
    kind = format_of(format)
    precision = _settle(kind, model, output, options)
    require(*kind.needs, *(kind.check_needs if options.check else ()))
    network = network_of(model, precision)
    planes = network.architecture.planes
    if options.shape is not None and options.shape[1] != planes:
        raise UsageError(
            f"an input shape is N x {planes} x H x W for this network, not {list(options.shape)}"
        )
    plan = kind.plan(network, output.name, options)
    _refuse_to_replace(plan, output, options)
    with work_folder(output.parent) as folder:
        plan.write(folder)
        findings = _check(plan, folder, network.model, output, options)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        for name in reversed(plan.names):  # the file that was named last
            put(folder / name, output.parent / name)
    return Report(
        format=format,
        precision=precision,
        model=model.metadata.name,
        source=model.digest,
        files=tuple(str(output.parent / name) for name in plan.names),
        bytes=size,
        facts=dict(plan.facts),
        findings=findings,
        seconds=time.perf_counter() - start,
    )


def _settle(kind: ExportFormat, model: ModelFile, output: Path, options: ExportOptions) -> str:
    """The precision to export in; refuses what the format does not have."""
    for name in ("shape", "opset", "scale", "calibration"):
        if getattr(options, name) is not None and name not in kind.takes:
            what = "a static shape" if name == "shape" else name
            raise UsageError(f"{what} does not apply to the format {kind.name}")
    if output.suffix != kind.suffix:
        what = f"a file that ends in {kind.suffix}" if kind.suffix else "a folder, without suffix"
        raise UsageError(f"{output}: the format {kind.name} is written to {what}")
    held = model.metadata.precision
    precision = options.precision or held
    if precision not in kind.precisions:
        raise UsageError(
            f"the format {kind.name} is made in {', '.join(kind.precisions)}, not in {precision}"
        )
    if precision != held and "int8" in (precision, held):
        way = "vdsr quantize makes one" if precision == "int8" else "export what it was made from"
        raise UsageError(
            f"{model.source} is not a model in {precision}: it holds {held} weights; {way}"
        )
    return precision


def _refuse_to_replace(plan: ExportPlan, output: Path, options: ExportOptions) -> None:
    """Check that nothing is in the way, before any work is done."""
    # The folder of an export to a folder is not made, either.
    if not output.parent.is_dir():
        raise OutputError(
            f"{output}: it cannot be written: the folder {output.parent} does not exist:"
            " make it first"
        )
    folder = plan.contents is not None
    for name in plan.names:
        path = output.parent / name
        refuse_existing(path, overwrite=options.overwrite, folder=folder)
        if plan.contents is not None and path.is_dir():
            strange = sorted({p.name for p in path.iterdir()} - set(plan.contents))
            if strange:
                raise OutputError(
                    f"{path}: it also holds {strange[0]}, which is not part of an export:"
                    " name another folder"
                )


def _check(
    plan: ExportPlan, folder: Path, model: ModelFile, output: Path, options: ExportOptions
) -> tuple[Finding, ...]:
    if not options.check:
        return ()
    findings = []
    for check in plan.checks:
        pictures = check_pictures(options.pictures, side=check.side)
        finding = compare(check, folder, model, pictures)
        if not finding.within:
            raise OutputError(f"{output}: not written: {finding.describe()}")
        findings.append(finding)
    return tuple(findings)
