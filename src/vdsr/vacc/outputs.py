"""What comes back from the card: one `.npz` per input."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vdsr.errors import InputError, ModelError
from vdsr.evaluation.opencv_protocol import Size
from vdsr.inference.compiled_paths import MANIFEST
from vdsr.inputs import is_file, is_folder, read_file
from vdsr.model.architecture import FloatArray
from vdsr.model.metadata import check_text
from vdsr.vacc.layout import Manifest, read_manifest
from vdsr.vacc.npz import OUTPUT_KEY, npz, read_npz

RUN = "run.json"
CARD = "card"
STAND_IN = "stand-in"
# How far above the outputs their folder's manifest may lie: FOLDER/outputs/NAME.
_LEVELS = 3
_MAX_NOTE_BYTES = 1 << 20
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made the outputs.

    Attributes:
        by: `card` or `stand-in`.
        runtime: what ran, for people; empty if it is not known.
        network: name of the network.
        precision: `fp32`, `fp16`, `int8` or `int8-equalized`; empty if it is not known.
        calibration: `evaluation pictures` if int8 was calibrated on such; else empty.
    """

    by: str
    runtime: str = ""
    network: str = ""
    precision: str = ""
    calibration: str = ""

    @property
    def ran(self) -> str:
        """For people: card or stand-in, its runtime, and how it was calibrated if that matters."""
        words = " ".join(filter(None, (self.by, self.runtime)))
        return f"{words}, calibrated on {self.calibration}" if self.calibration else words


def write_outputs(folder: Path, origin: Origin, planes: Mapping[str, FloatArray]) -> None:
    """Write outputs as the card's tools do, and beside them what made them.

    Args:
        folder: it exists, and is empty.
        origin: what made them.
        planes: float32 `[1, 1, H, W]` by the names of their inputs.
    """
    for name, plane in planes.items():
        (folder / f"{name}.npz").write_bytes(npz(OUTPUT_KEY, plane.astype(np.float32)))
    (folder / RUN).write_text(json.dumps(asdict(origin), indent=2) + "\n", "utf-8")


def manifest_of(folder: Path) -> tuple[Path, Manifest] | None:
    """The accelerator folder that outputs lie in, and its manifest; None if they lie elsewhere.

    Raises:
        InputError: if there is a manifest, and it cannot be read.
    """
    folder = folder.resolve() if is_folder(folder) else folder
    for candidate in (folder, *folder.parents[:_LEVELS]):
        if is_file(candidate / MANIFEST):
            return candidate, read_manifest(candidate)
    return None


def origin_of(folder: Path, manifest: Manifest | None) -> Origin:
    """What made the outputs in a folder: its note, or the name of the build it is called by.

    Raises:
        InputError: if the note cannot be read.
    """
    path = folder / RUN
    if is_file(path):
        try:
            return _origin(json.loads(read_file(path, _MAX_NOTE_BYTES)))
        except (InputError, ModelError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: it cannot be read: {error!s:.100}") from error
    builds = {} if manifest is None else manifest.builds
    name = folder.resolve().name
    known = [key for key, build in builds.items() if build.name == name]
    guessed = re.findall(r"(?:^|[_-])(fp16|int8)(?=$|[_-])", name)
    precision = (known or guessed or [""])[-1]
    return Origin(
        by=CARD,
        network="" if manifest is None else manifest.name,
        precision=precision,
        calibration="" if manifest is None else manifest.calibrated_on(precision),
    )


def _origin(content: object) -> Origin:
    """A note; TypeError or ModelError for one that is not made of texts."""
    if not isinstance(content, dict):
        raise TypeError("it is not a note of what made the outputs")
    for value in content.values():
        if not isinstance(value, str):
            raise TypeError("it holds something other than texts")
        check_text(value)
    return Origin(**content)


def read_outputs(folder: Path, names: Sequence[str], size: Size) -> dict[str, FloatArray]:
    """The outputs of a folder, by the names of their inputs.

    Files that are named as the inputs are taken by their names. Else the order of their
    names, numbers by their value, is the order of the inputs, and none may be missing.

    Args:
        folder: of `.npz` files with `output_0`, float `[1, 1, height, width]` in 0..1.
        names: of the inputs, in order.
        size: of the inputs.

    Returns:
        float32 `[height, width]` each, as the network gave it: not clipped.

    Raises:
        InputError: for files that are missing or too many, and for one that is not an output;
            each is named.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: there is no such folder")
    paths = sorted(folder.glob("*.npz"), key=lambda path: _natural(path.stem))
    if not paths:
        raise InputError(f"{folder}: there are no .npz files in this folder")
    stems = {path.stem for path in paths}
    if stems & set(names):
        missing = [f"{name}.npz" for name in names if name not in stems]
        extra = [path.name for path in paths if path.stem not in set(names)]
        for files, what in ((missing, "missing"), (extra, "of no input")):
            if files:
                raise InputError(f"{folder}: {len(files)} {what}: {_listed(files)}")
        chosen = {path.stem: path for path in paths}
    else:
        if len(paths) != len(names):
            raise InputError(
                f"{folder}: {len(paths)} outputs for {len(names)} inputs: they are not named as"
                " the inputs, so that only a whole list tells which is which"
            )
        chosen = dict(zip(names, paths, strict=True))
    return {name: _plane(chosen[name], size) for name in names}


def _plane(path: Path, size: Size) -> FloatArray:
    array = read_npz(path, OUTPUT_KEY, (1, 1, *size), "f")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise InputError(f"{path}: {bad} of {array.size} values are not finite numbers")
    plane: FloatArray = array[0, 0].astype(np.float32)
    return plane


def _natural(name: str) -> list[tuple[float, str]]:
    """A key that sorts `output_10` behind `output_9`."""
    parts = re.findall(r"\d+|\D+", name)
    return [(float(part), "") if part.isdigit() else (math.inf, part) for part in parts]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
