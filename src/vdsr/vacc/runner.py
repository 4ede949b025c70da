"""Runs the inputs of an accelerator folder, on the card or in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.inference import backends
from vdsr.model.architecture import FloatArray
from vdsr.model.file import load_model
from vdsr.outputs import put, work_folder
from vdsr.vacc import standin
from vdsr.vacc.layout import Manifest, within
from vdsr.vacc.outputs import CARD, STAND_IN, Origin, write_outputs
from vdsr.vacc.pictures import network_input, read_input

VASTSTREAMX = "vaststreamx"
RUNNERS = (STAND_IN, VASTSTREAMX)

Named = Iterator[tuple[str, FloatArray]]
OnCount = Callable[[int, int], None]


def precisions(manifest: Manifest, runner: str) -> tuple[str, ...]:
    """What a runner can run of a folder: `fp16`, `int8`, ..."""
    return standin.runs(manifest) if runner == STAND_IN else tuple(manifest.builds)


def label(manifest: Manifest, runner: str, precision: str) -> str:
    """Name of a folder of outputs: of the build, or `stand-in-PRECISION`."""
    return f"{STAND_IN}-{precision}" if runner == STAND_IN else manifest.builds[precision].name


def run_inputs(
    folder: Path,
    manifest: Manifest,
    runner: str,
    precision: str,
    goal: Path,
    *,
    device: int = 0,
    batch: int = 1,
    progress: OnCount | None = None,
) -> Origin:
    """Run all inputs of a folder.

    Args:
        folder: an accelerator folder.
        manifest: what it says of itself.
        runner: one of `RUNNERS`.
        precision: one of `precisions(manifest, runner)`.
        goal: folder of outputs to make, whole or not at all; one that is there is replaced.
        device: number of the card.
        batch: inputs that the card runs at once, from 1.
        progress: called with the outputs there are, and the outputs there will be.

    Returns:
        What made them.

    Raises:
        BackendError: if the card, its module or the compiled network is not there.
        InputError: if an input cannot be read.
        OutputError: if the outputs cannot be written.
        MissingExtra: if ONNX Runtime is not installed, for the stand-in.
    """
    if runner == STAND_IN:
        network = standin.open_standin(folder, manifest, precision)
        by, runtime = STAND_IN, standin.runtime()
        planes: Named = (
            (name, network(network_input(luma))) for name, luma in _inputs(folder, manifest)
        )
    else:
        # Absent, it is refused in words before anything is loaded.
        backends.precisions(VASTSTREAMX)
        by, runtime = CARD, VASTSTREAMX
        planes = _card(folder, manifest, precision, device, batch)
    origin = Origin(
        by=by,
        runtime=runtime,
        network=manifest.name,
        precision=precision,
        calibration=manifest.calibrated_on(precision),
    )
    made: dict[str, FloatArray] = {}
    for name, plane in planes:
        made[name] = plane
        if progress is not None:
            progress(len(made), len(manifest.inputs))
    _write(goal, origin, made)
    return origin


def _inputs(folder: Path, manifest: Manifest) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for entry in manifest.inputs:
        yield entry.name, read_input(within(folder, entry.file), manifest.size)


def _card(folder: Path, manifest: Manifest, precision: str, device: int, batch: int) -> Named:
    from vdsr.inference.backends.vaststreamx import VastStreamXBackend

    build = manifest.builds[precision]
    model = load_model(within(folder, build.network))
    opened = VastStreamXBackend(model, precision=build.precision, device=device, batch=batch)
    with closing(opened) as card:
        names = [entry.name for entry in manifest.inputs]
        lumas = (luma for _, luma in _inputs(folder, manifest))
        yield from zip(names, card.map(lumas), strict=True)


def _write(place: Path, origin: Origin, planes: dict[str, FloatArray]) -> None:
    """Make the folder whole, or leave what is there."""
    with work_folder(place.parent) as work:
        made = work / "outputs"
        made.mkdir()
        write_outputs(made, origin, planes)
        put(made, place)
