"""Whether a picture is what a network made of a source: recomputed, and compared.

What is written in a file says how it was made; it proves nothing. So the result is made
again, in the same format by the same encoder, and both files are read and compared: pixels,
profile and metadata. A lossy format loses the same twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vdsr.errors import BackendError, InputError, MissingExtra, ModelError, UsageError
from vdsr.imaging.files import FORMATS, PictureReader, xmp
from vdsr.imaging.files.images import AnyPath
from vdsr.imaging.files.metadata import Metadata, blob
from vdsr.inference.engine import Result
from vdsr.inference.pipeline import RowBuffer
from vdsr.inference.plan import OnProgress
from vdsr.inference.selection import AUTO, automatic_models, int8_form
from vdsr.inference.target import Target
from vdsr.inference.upscaler import Upscaler
from vdsr.inputs import file_digest
from vdsr.model.file import ModelFile, load_model, shipped_models
from vdsr.outputs import work_folder

YES, ALTERED, NO = "yes", "altered", "no"
# Of a picture with more differing px than this share it is not said that it was altered.
_ANOTHER = 0.5
_ROWS = 64
# Of what a picture says of itself: numbers, where they were asked for.
_NUMBERS = ("Page", "Quality")
# Longer numbers are none that this program wrote.
_DIGITS = 9
# Not of the picture, or of the version that wrote it.
_NOT_COMPARED = ("notices", "xmp")
_PASSING = ("Program",)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Which pixels are not what they should be.

    Attributes:
        pixels: how many.
        share: of all.
        largest: difference of a sample, in levels of 0..255.
        left, top, width, height: the smallest box around them, px.
    """

    pixels: int
    share: float
    largest: float
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a picture is what the network made of the source.

    Attributes:
        verdict: `yes`; `altered`: it was, and pixels or metadata were changed since; `no`.
        reasons: why, a line each.
        metadata: what of it differs from what was written.
        difference: of the pixels; None if there is none, or they were not compared.
        provenance: what the file says of itself.
    """

    verdict: str
    reasons: tuple[str, ...]
    metadata: tuple[str, ...] = ()
    difference: Difference | None = None
    provenance: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


def verify(
    output: AnyPath,
    source: AnyPath,
    *,
    model: AnyPath | None = None,
    tolerance: float = 0.0,
    threads: int | None = None,
    max_memory: int | str | None = None,
    progress: OnProgress | None = None,
) -> Verdict:
    """Find out whether a picture is what a network made of a source.

    Args:
        output: the picture file.
        source: the picture file that it is said to be made of.
        model: name of a shipped model, or path of a model file; None is that which the
            picture names, among those that are shipped.
        tolerance: levels of 0..255 by which samples may differ: on another kind of processor
            or in another version the last level may be rounded otherwise.
        threads, max_memory: see `Upscaler`.
        progress: called after every tile.

    Raises:
        InputError: if one of the files cannot be read.
        UsageError: if the model that the picture names is not here.
    """
    made, given = PictureReader(Path(output)), Path(source)
    said = xmp.provenance(made.metadata.xmp or b"")
    reasons = _of_source(said, given)
    file = _model(said, model)
    named = said.get("ModelDigest")
    if named is not None and named != f"sha256:{file.digest}":
        reasons.append(
            f"it names another model: {said.get('Model', 'one')} {named}, not"
            f" {file.metadata.name} {file.metadata.version} sha256:{file.digest}"
        )
        return Verdict(verdict=NO, reasons=tuple(reasons), provenance=said)
    with work_folder(Path(tempfile.gettempdir())) as folder:
        format = FORMATS.get(made.format.name)
        if format is None:
            raise InputError(f"{output}: {made.format.name} is not a format that vdsr writes")
        options = {"threads": threads, "max_memory": max_memory}
        # What says nothing of itself may have been made in either.
        precisions = (said["Precision"],) if "Precision" in said else ("auto", "fp32")
        for precision in precisions:
            again = folder / f"{precision.replace(os.sep, '')[:20]}{format.suffixes[0]}"
            chosen = AUTO if not said and model is None else file
            try:
                with _upscaler(chosen, said, precision, options) as upscaler:
                    result = _make(upscaler, again, given, made, said, progress)
                instead = _instead(result, said)
            except UsageError as error:
                reasons.append(f"what it says of itself is impossible: {error}")
                return Verdict(verdict=NO, reasons=tuple(reasons), provenance=said)
            found = _judged(
                made, PictureReader(again), said, [*reasons, *instead.values()], tolerance, instead
            )
            if found.verdict == YES:
                break
        return found


def _of_source(said: Mapping[str, str], source: Path) -> list[str]:
    if not said:
        return ["it says nothing of how it was made: usual settings are taken"]
    try:
        digest = f"sha256:{file_digest(source)}"
    except FileNotFoundError as error:
        raise InputError(f"{source}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{source}: it cannot be read: {error.strerror}") from error
    if "SourceDigest" in said and said["SourceDigest"] != digest:
        return [f"{source} is not the file that it names as its source, or was changed since"]
    return []


def _model(said: Mapping[str, str], model: AnyPath | None) -> ModelFile:
    """The model that a picture names; the one that is given or the usual one, if it is not here."""
    names: list[str | Path] = [*shipped_models()]
    if model is not None:
        # A shipped model stands for its int8 form, too.
        integers = int8_form(str(model))
        names = [Path(model) if model not in names else str(model)]
        names += [] if integers is None else [integers]
    named = said.get("ModelDigest")
    files = [load_model(name) for name in names]
    for file in files:
        if named == f"sha256:{file.digest}":
            return file
    if model is not None:
        return files[0]
    if named is not None:
        raise ModelError(
            f"the picture names the model {said.get('Model', '')} {named}, which is not among the"
            " shipped ones: name its file as the model"
        )
    return load_model(automatic_models().clean)


def _upscaler(
    model: ModelFile | str, said: Mapping[str, str], precision: str, options: dict[str, Any]
) -> Upscaler:
    """On the backend and in the precision that the picture names, or in others as near."""
    ways = [(said.get("Backend", "auto"), precision), ("auto", precision)]
    if precision == "fp16":
        # Few processors compute in halves; what they round off is less than a level.
        ways += [(said.get("Backend", "auto"), "fp32"), ("auto", "fp32")]
    for backend, kind in ways[:-1]:
        with suppress(BackendError, MissingExtra):
            return Upscaler(model, backend=backend, precision=kind, **options)
    return Upscaler(model, backend=ways[-1][0], precision=ways[-1][1], **options)


def _instead(result: Result, said: Mapping[str, str]) -> dict[str, str]:
    """By what the picture names: in words, what was taken instead because that is not here."""
    taken = {"Backend": result.backend, "Precision": result.precision}
    return {
        name: f"it was made with the {name.lower()} {said[name]}, which is not available here:"
        f" compared with {now}"
        for name, now in taken.items()
        if name in said and said[name] != now
    }


def _make(
    upscaler: Upscaler,
    again: Path,
    source: Path,
    made: PictureReader,
    said: Mapping[str, str],
    progress: OnProgress | None,
) -> Result:
    """The result, made again, in the same format."""
    page = _number(said, "Page")
    target = Target.parse(said["Target"]) if "Target" in said else _target(source, page, made, said)
    result = upscaler.upscale(
        source,
        again,
        target=target,
        page=page,
        quality=_number(said, "Quality"),
        compression=said.get("Compression"),
        format=made.format.name,
        consistent="Consistent" in said,
        ensemble="Ensemble" in said,
        progress=progress,
    )
    assert isinstance(result, Result)  # it goes into a file
    return result


def _number(said: Mapping[str, str], name: str) -> int | None:
    """A number that a picture says of itself; None for none, or none that could be meant."""
    text = said.get(name, "")
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def _target(source: Path, page: int | None, made: PictureReader, said: Mapping[str, str]) -> Target:
    """What size was asked for, of a file that does not say it all."""
    if "Scale" in said:
        return Target.parse("restore" if said["Scale"] == "1" else f"scale {said['Scale']}")
    reader = PictureReader(source, page)
    across, down = made.width / reader.width, made.height / reader.height
    if across == down == 1.0:
        return Target(restore=True)
    return Target(scale=across) if across == down else Target(width=made.width, height=made.height)


def _judged(
    made: PictureReader,
    again: PictureReader,
    said: dict[str, str],
    before: list[str],
    tolerance: float,
    instead: Mapping[str, str],
) -> Verdict:
    reasons = [*before]
    size, expected = (f"{one.width}x{one.height} px" for one in (made, again))
    kinds = [f"{one.dtype} with {one.bands} bands" for one in (made, again)]
    if size != expected or kinds[0] != kinds[1]:
        reasons.append(
            f"it is {size}, and would be {expected}: cropped, resized or of another source"
            if size != expected
            else f"its samples are {kinds[0]}, and would be {kinds[1]}"
        )
        return Verdict(verdict=NO, reasons=tuple(reasons), provenance=said)
    found = _difference(made, again, tolerance)
    if found is not None:
        # That it was altered can be said only of a picture that says what it was.
        verdict = NO if found.share > _ANOTHER or not said else ALTERED
        reasons.append(
            f"{found.pixels} px ({found.share:.2%}) are not what the network made of the source:"
            f" they lie in the {found.width}x{found.height} px from ({found.left}, {found.top}) on"
            f" and differ by up to {found.largest:.3g} levels of 0..255"
        )
        if found.largest <= 1.0:
            reasons.append(
                "another kind of processor, or another version, may round differently by that"
                " much: a tolerance of 1 counts it as equal"
            )
        return Verdict(verdict=verdict, reasons=tuple(reasons), difference=found, provenance=said)
    changed = _metadata(made, again, said, instead)
    if changed and said:
        reasons.append(f"its pixels are right; its metadata were changed: {', '.join(changed)}")
        return Verdict(verdict=ALTERED, reasons=tuple(reasons), metadata=changed, provenance=said)
    within = f", within {tolerance:g} levels" if tolerance else ""
    reasons.append(f"every pixel is what the network made of the source{within}")
    return Verdict(verdict=YES, reasons=tuple(reasons), provenance=said)


def _difference(made: PictureReader, again: PictureReader, tolerance: float) -> Difference | None:
    span = 255.0 / (1.0 if made.dtype == "float32" else float(np.iinfo(made.dtype).max))
    rows = [RowBuffer(one.strips(), made.height) for one in (made, again)]
    count, largest = 0, 0.0
    left, top, right, bottom = made.width, made.height, 0, 0
    for first in range(0, made.height, _ROWS):
        end = min(first + _ROWS, made.height)
        a, b = (one.take(first, end).astype(np.float64) for one in rows)
        apart = np.abs(a - b).max(axis=2) * span
        # Halves of a level are rounded up and down: a little more than what is named is meant.
        wrong = ~(apart <= tolerance + 1e-9)
        if wrong.any():
            down, across = np.nonzero(wrong)
            count += len(down)
            largest = max(largest, float(np.nanmax(apart)))
            left, right = min(left, int(across.min())), max(right, int(across.max()) + 1)
            top, bottom = min(top, first + int(down.min())), first + int(down.max()) + 1
    if not count:
        return None
    return Difference(
        pixels=count,
        share=count / (made.width * made.height),
        largest=largest,
        left=left,
        top=top,
        width=right - left,
        height=bottom - top,
    )


def _metadata(
    made: PictureReader,
    again: PictureReader,
    said: Mapping[str, str],
    instead: Collection[str],
) -> tuple[str, ...]:
    """Which of what a file carries is not what was written."""
    found = []
    if blob(made.header, "icc-profile-data") != blob(again.header, "icc-profile-data"):
        found.append("profile")
    a, b = made.metadata, again.metadata
    names = [one.name for one in fields(Metadata) if one.name not in _NOT_COMPARED]
    found += [name for name in names if getattr(a, name) != getattr(b, name)]
    packets = [xmp.without_provenance(one.xmp or b"") for one in (a, b)]
    if packets[0] != packets[1]:
        found.append("xmp")
    fresh = xmp.provenance(b.xmp or b"")
    passing = (*_PASSING, *instead, *(name for name in fresh if name not in said))
    more = any(name in said and name not in fresh for name in _NUMBERS)
    if more or any(said.get(name) != b for name, b in fresh.items() if name not in passing):
        found.append("provenance")
    return tuple(found)
