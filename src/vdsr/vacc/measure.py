"""Outputs of the card as rows of a table, by `fixed256` or `fixed:HxW`, and as pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.data import leaks
from vdsr.data.datasets import Dataset, open_dataset
from vdsr.errors import InputError, MissingExtra, UsageError
from vdsr.evaluation.candidates import BICUBIC, read_picture
from vdsr.evaluation.cases import Case, Plane, rounded
from vdsr.evaluation.evaluate import ImageResult, Row, input_endings
from vdsr.evaluation.opencv_protocol import (
    SIZE,
    Size,
    fixed_protocol,
    prepare_fixed,
    resized_luma,
    resized_ycrcb,
    rgb_of,
    shrunk_and_enlarged,
)
from vdsr.model.architecture import FloatArray
from vdsr.vacc.guide import PUBLISHED
from vdsr.vacc.layout import sha256
from vdsr.vacc.outputs import Origin, manifest_of, origin_of, read_outputs
from vdsr.vacc.pictures import Picture, read_bmp

_SCALE = re.compile(r"_scale_(\d)$|_?x(\d)$")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A picture that went to the card.

    Attributes:
        name: of its input, without a suffix.
        original: file of the original.
        enlarged: uint8 `[H, W]` or `[H, W, 3]`, what the card was given.
        case: both, ready to be measured.
    """

    name: str
    original: Path
    enlarged: NDArray[np.uint8]
    case: Case

    @property
    def size(self) -> Size:
        """Of the network's input."""
        height, width = self.case.bicubic.shape
        return height, width


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A folder of outputs, measured.

    Attributes:
        folder: of the outputs.
        row: of the table.
        planes: float32 `[height, width]`, by the names of the inputs.
    """

    folder: Path
    row: Row
    planes: Mapping[str, FloatArray]


def subjects(
    data: Dataset,
    outputs: Path,
    *,
    inputs: Path | None = None,
    scale: int | None = None,
    size: Size | None = None,
) -> tuple[int, list[Subject]]:
    """The pictures that a folder of outputs is of, in the order of the list.

    Args:
        data: the originals.
        outputs: a folder of outputs. If it lies in the accelerator folder, that folder's
            manifest tells order and size, and its `pictures/` what the card was given.
        inputs: folder of the enlarged pictures; without it and without a manifest they are
            made of the originals.
        scale: by which they were enlarged; None reads it from their names.
        size: of the network's input; None is that of the manifest, without one 256x256.

    Returns:
        The scale, and the pictures.

    Raises:
        UsageError: if the scale is not known, or the manifest has another size.
        InputError: if originals and inputs do not fit each other, or these are not the
            pictures that went to the card.
    """
    known = manifest_of(outputs)
    digests: dict[str, str] = {}
    if known is not None:
        digests = {entry.name: entry.luma_sha256 for entry in known[1].inputs}
        names = list(digests)
    else:
        source = data if inputs is None else open_dataset(str(inputs))
        names = [path.stem for path in source.pictures]
    scale = scale or _scale_of(names)
    size = _size_of(outputs, None if known is None else known[1].size, size)
    enlarge = _Enlarged(inputs, None if known is None else known[0] / "pictures")
    found = []
    for name, original in _matched(names, data, scale).items():
        image = read_picture(original)
        try:
            enlarged = enlarge(name, image, scale)
            case = prepare_fixed(image, scale, enlarged, size)
        except MissingExtra:
            raise
        except ValueError as error:
            raise InputError(f"{original}: it cannot be measured at x{scale}: {error}") from error
        if digests.get(name, "") not in ("", sha256(resized_luma(enlarged, size).tobytes())):
            raise InputError(
                f"{name}: {enlarge.source} has another picture than the card was given"
            )
        found.append(Subject(name=name, original=original, enlarged=enlarged, case=case))
    return scale, found


class _Enlarged:
    """Where the enlarged pictures are from: a folder, the accelerator folder, or made here."""

    def __init__(self, inputs: Path | None, carried: Path | None) -> None:
        self.source = inputs or carried or "vdsr"
        self._inputs = inputs
        self._carried = carried
        pictures = () if inputs is None else open_dataset(str(inputs)).pictures
        self._paths = {path.stem: path for path in pictures}

    def __call__(self, name: str, image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        if self._inputs is not None:
            if name not in self._paths:
                raise InputError(f"{self._inputs}: there is no picture named {name}")
            return read_picture(self._paths[name])
        if self._carried is not None:
            return read_bmp(self._carried / f"{name}.bmp")
        return shrunk_and_enlarged(image, scale)


def measure(folder: Path, pictures: Sequence[Subject], *, dataset: str, scale: int) -> Measured:
    """Measure a folder of outputs.

    Args:
        folder: of the outputs.
        pictures: of `subjects`, at least one.
        dataset: name of the originals.
        scale: by which the pictures were enlarged.

    Raises:
        InputError: for outputs that are missing, too many, or none; see `read_outputs`.
    """
    known = manifest_of(folder)
    origin = origin_of(folder, None if known is None else known[1])
    planes = read_outputs(folder, [picture.name for picture in pictures], pictures[0].size)
    images = [
        _image(picture, planes[picture.name].astype(np.float64) * 255.0) for picture in pictures
    ]
    further = {name: _mean(image.further[name] for image in images) for name in images[0].further}
    figure = None
    if pictures[0].size == SIZE:
        figure = published(origin, [picture.original for picture in pictures], scale)
    row = _row(
        images,
        protocol=fixed_protocol(pictures[0].size),
        dataset=dataset,
        scale=scale,
        model=origin.network or folder.name,
        precision=origin.precision or None,
        backend=origin.ran,
        further=further if figure is None else {**further, "published": figure},
    )
    return Measured(folder=folder, row=row, planes=planes)


def bicubic(pictures: Sequence[Subject], *, dataset: str, scale: int) -> Row:
    """The row of the enlarged pictures themselves."""
    images = [_image(picture, picture.case.bicubic) for picture in pictures]
    further = {name: _mean(image.further[name] for image in images) for name in images[0].further}
    return _row(
        images,
        protocol=fixed_protocol(pictures[0].size),
        dataset=dataset,
        scale=scale,
        model=BICUBIC,
        precision=None,
        backend=None,
        further=further,
    )


def published(origin: Origin, originals: Sequence[Path], scale: int) -> float | None:
    """What the vendor prints for this precision, dB; None for other pictures than Set5's.

    Args:
        origin: what made the outputs.
        originals: files of the pictures: what they show decides, not what they are called.
        scale: by which they were enlarged.
    """
    set5 = {name: signs for name, signs in leaks.published().items() if name.startswith("Set5/")}
    if scale != 4 or len(originals) != len(set5):
        return None
    shown = {
        leaks.find(Picture(name=path.stem, samples=read_picture(path)).fingerprint_luma, set5)
        for path in originals
    }
    return PUBLISHED.get(origin.precision.partition("-")[0]) if shown == set(set5) else None


def colored(picture: Subject, plane: FloatArray) -> NDArray[np.uint8]:
    """The restored picture: the output as luma, with the chroma of the resized input.

    Args:
        picture: what went to the card.
        plane: float32 `[height, width]`, what came back.

    Returns:
        uint8 `[height, width, 3]` RGB, or `[height, width]` for a gray picture.
    """
    luma = rounded(plane.astype(np.float64) * 255.0).astype(np.uint8)
    ycrcb = resized_ycrcb(picture.enlarged, picture.size)
    if ycrcb.ndim == 2:
        return luma
    return rgb_of(np.dstack([luma, ycrcb[..., 1:]]))


def _matched(names: Sequence[str], data: Dataset, scale: int) -> dict[str, Path]:
    """Originals by the names of their inputs, in the order of the inputs.

    Raises:
        InputError: naming what has no counterpart.
    """
    originals = {
        path.stem + ending: path for path in data.pictures for ending in input_endings(scale)
    }
    unknown = [name for name in names if name not in originals]
    if unknown:
        raise InputError(f"{data.name}: no original for {', '.join(unknown)} (at x{scale})")
    found = {name: originals[name] for name in names}
    left = [path.name for path in data.pictures if path not in set(found.values())]
    if left:
        raise InputError(
            f"{data.name}: the card was not given {', '.join(left)}: a mean over fewer pictures"
            " would be the figure of another dataset"
        )
    return found


def _scale_of(names: Sequence[str]) -> int:
    found = {int(match[1] or match[2]) for name in names if (match := _SCALE.search(name))}
    if len(found) != 1:
        raise UsageError("the names do not tell by what the pictures were enlarged: give the scale")
    return found.pop()


def _size_of(outputs: Path, known: Size | None, asked: Size | None) -> Size:
    if None not in (known, asked) and known != asked:
        assert known is not None and asked is not None
        raise UsageError(
            f"{outputs}: these are outputs of {fixed_protocol(known)}, not {fixed_protocol(asked)}"
        )
    return asked or known or SIZE


def _image(picture: Subject, result: Plane) -> ImageResult:
    score = picture.case.reading.score(result)
    further: dict[str, float] = {}
    for suffix, reading in picture.case.further.items():
        one = reading.score(result)
        further |= {f"psnr_{suffix}": one.psnr, f"ssim_{suffix}": one.ssim}
    return ImageResult(
        image=picture.original.name,
        psnr=score.psnr,
        ssim=score.ssim,
        seconds=math.nan,
        further=further,
    )


def _row(
    images: Sequence[ImageResult],
    *,
    protocol: str,
    dataset: str,
    scale: int,
    model: str,
    precision: str | None,
    backend: str | None,
    further: Mapping[str, float],
) -> Row:
    return Row(
        dataset=dataset,
        scale=scale,
        protocol=protocol,
        crop="single",
        model=model,
        precision=precision,
        backend=backend,
        psnr=_mean(image.psnr for image in images),
        ssim=_mean(image.ssim for image in images),
        # Nothing ran here, and what took how long on the card is not known.
        seconds=math.nan,
        images=tuple(images),
        further=further,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
