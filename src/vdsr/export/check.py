"""An export beside the model that it was made from, on the same pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.color import RANGES
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.inference import backends
from vdsr.inference.tiling import filled
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

if TYPE_CHECKING:
    from vdsr.export.pictures import RGB, Pictures

Array = NDArray[Any]
Run = Callable[[Array], Array]

# Longest side of what is run: the network sees 41 px.
SIDE = 256
# What the network restores in the check: what three-fold shrinking took away.
_SHRUNK_BY = 3


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an export may be from its model.

    Attributes:
        levels: largest difference of one value, in levels of 255.
        psnr: least PSNR between the two, dB.
    """

    levels: float
    psnr: float


# Of luma. fp32 differs by the order of sums; fp16 has 11 bits of mantissa; in int8 a sum
# that is rounded another way moves an activation by a whole step.
LUMA = {
    "fp32": Tolerance(levels=0.01, psnr=100.0),
    "fp16": Tolerance(levels=1.0, psnr=60.0),
    "int8": Tolerance(levels=4.0, psnr=55.0),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """How an export is run, and what it is held against.

    Attributes:
        runtime: what runs it, for people.
        open: from the folder that it lies in to a function of one array.
        tolerance: what is allowed.
        reference: from the source model to a function of the same array.
        prepare: from a picture, uint8 `[H, W, 3]`, and the luma range of the model to that
            array.
        peak: white, in what the functions give.
        side: longest side of the pictures, px.
    """

    runtime: str
    open: Callable[[Path], Run]
    tolerance: Tolerance
    reference: Callable[[ModelFile], Run]
    prepare: Callable[[RGB, ModelFile], Array]
    peak: float
    side: int = SIDE


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        runtime: what ran the export.
        pictures: where the pictures are from.
        count: how many they are.
        levels: largest difference of one value, in levels of 255.
        psnr: between the two, over all pictures, dB; None if they are equal.
        allowed: the tolerance.
    """

    runtime: str
    pictures: str
    count: int
    levels: float
    psnr: float | None
    allowed: Tolerance

    @property
    def within(self) -> bool:
        """Whether the export may be written."""
        close = self.psnr is None or self.psnr >= self.allowed.psnr
        return close and self.levels <= self.allowed.levels

    def describe(self) -> str:
        """For people, on one line."""
        psnr = "no difference" if self.psnr is None else f"PSNR {self.psnr:.1f} dB"
        return (
            f"{self.runtime} on {self.count} pictures ({self.pictures}): largest difference"
            f" {self.levels:.2g} levels of 255 (allowed {self.allowed.levels:g}), {psnr}"
            f" (at least {self.allowed.psnr:g})"
        )


def luma_check(
    runtime: str,
    open: Callable[[Path], Run],
    precision: str,
    *,
    shape: tuple[int, int, int, int] | None = None,
    side: int = SIDE,
) -> Check:
    """A check of an export that takes and gives what the network does, float32 `[N, planes, H, W]`.

    Args:
        runtime, open, side: see `Check`.
        precision: of the export; decides the tolerance.
        shape: the only shape that it takes.
    """

    def prepare(rgb: RGB, model: ModelFile) -> FloatArray:
        card = model.metadata
        return luma_input(rgb, card.luma, shape, planes=card.planes, fold=card.fold)

    return Check(
        runtime=runtime,
        open=open,
        tolerance=LUMA[precision],
        reference=reference,
        prepare=prepare,
        peak=1.0,
        side=side if shape is None else max(shape[2:]),
    )


def reference(model: ModelFile) -> Run:
    """The source model on OpenVINO: floats in fp32, int8 as it is."""
    precision = "int8" if model.metadata.precision == "int8" else "fp32"
    return backends.open_backend(model, backends.choose(model, "openvino", precision)).run


def luma_input(
    rgb: RGB,
    luma: str,
    shape: tuple[int, int, int, int] | None = None,
    *,
    planes: int = 1,
    fold: int = 1,
) -> FloatArray:
    """What the network gets of a picture: luma (or Y, Cb, Cr) / 255, shrunk and enlarged again.

    Args:
        rgb: uint8 `[H, W, 3]`.
        luma: range of the luma, `studio` or `full`.
        shape: `(N, planes, H, W)`, which is filled by continuing the picture mirrored, and
            with copies that are shifted; None is that of the picture.
        planes, fold: of the network; without a shape, the picture is mirrored to multiples
            of the fold.

    Returns:
        float32 `[N, planes, H, W]`.
    """
    picture = rgb.transpose(2, 0, 1).astype(np.float32)
    y = RANGES[luma].to_ycbcr(picture)[:planes] / np.float32(255.0)
    height, width = y.shape[1:] if shape is None else shape[2:]
    more = [
        (0, max(0, -(-size // _SHRUNK_BY) * _SHRUNK_BY - have))
        for size, have in zip((height, width), y.shape[1:], strict=True)
    ]
    whole = crop_to_multiple(np.pad(y, [(0, 0), *more], "symmetric"), _SHRUNK_BY)
    one = degrade(whole, _SHRUNK_BY)[None, :, :height, :width]
    if shape is None and fold > 1:
        one = filled(one, fold)
    copies = 1 if shape is None else shape[0]
    return np.concatenate([np.roll(one, i, 3) for i in range(copies)])


def compare(check: Check, folder: Path, model: ModelFile, pictures: Pictures) -> Finding:
    """Run an export and its source on the same pictures.

    Args:
        check: how.
        folder: where the export lies.
        model: its source.
        pictures: what both are run on.

    Raises:
        MissingExtra: if the runtime is not installed.
    """
    run, expected = check.open(folder), check.reference(model)
    largest, squares, count = 0.0, 0.0, 0
    for rgb in pictures.pictures:
        array = check.prepare(rgb, model)
        wanted = expected(array).astype(np.float64)
        got = run(array).astype(np.float64)
        if got.shape != wanted.shape or not np.isfinite(got).all():
            largest = squares = math.inf
            break
        difference = np.abs(got - wanted) * (255.0 / check.peak)
        largest = max(largest, float(difference.max()))
        squares += float(np.sum((difference / 255.0) ** 2))
        count += difference.size
    return Finding(
        runtime=check.runtime,
        pictures=pictures.source,
        count=len(pictures.pictures),
        levels=largest,
        psnr=_decibels(squares / max(count, 1)),
        allowed=check.tolerance,
    )


def _decibels(mean_square: float) -> float | None:
    if mean_square == 0.0:
        return None
    return -10.0 * math.log10(mean_square) if math.isfinite(mean_square) else 0.0
