"""What a network is calibrated and validated on: patches of pictures made small and large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.color import RANGES, STUDIO
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.metrics import psnr
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelMetadata

SIDE = 96
PATCHES = 48
VALIDATION_PICTURES = 12
# To so many patches of photographs one is drawn.
_PER_DRAWN = 12
_STROKES = 60
# Of a validation picture, its middle.
_VALIDATION_SIDE = 240
# Every so manieth picture is kept out of calibration if no others are given to validate on.
_KEPT_OUT = 4

Luma = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures for a network, made ready.

    Attributes:
        patches: float32 `[N, 1, P, P]`, enlarged luma / 255, to calibrate on; the last ones are
            drawn.
        validation: to measure on.
        names: of the calibration pictures.
        apart: whether no picture serves for both.
    """

    patches: FloatArray
    validation: Validation
    names: tuple[str, ...]
    apart: bool


class Validation:
    """Middles of pictures, shrunk and enlarged by every scale of a network.

    Args:
        pictures: uint8 `[H, W]`, studio-range luma.
        metadata: of the network.
    """

    def __init__(self, pictures: Sequence[Luma], metadata: ModelMetadata) -> None:
        every = max(1, -(-len(pictures) // VALIDATION_PICTURES))
        self._cases = [
            (scale, *_pair(_middle(picture), scale, metadata))
            for picture in pictures[::every]
            for scale in metadata.scales
        ]

    def measure(self, run: Callable[[FloatArray], FloatArray]) -> dict[str, float]:
        """Mean PSNR by scale, of a network from `[1, 1, H, W]` to the same.

        Returns:
            `{"x2": 39.1, ...}` in dB of the range 0..255, the output clipped and not rounded,
            `scale` px shaved.
        """
        found: dict[str, list[float]] = {}
        for scale, degraded, original in self._cases:
            restored = np.clip(run(degraded[None, None]), 0.0, 1.0)[0, 0]
            value = psnr(restored, original, data_range=1.0, border=scale)
            found.setdefault(f"x{scale}", []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}


def smallest_side(metadata: ModelMetadata) -> int:
    """What both sides of a picture must have, in px, for a patch at every scale."""
    return SIDE + max(metadata.scales)


def useful(patches: int, *, apart: bool) -> int:
    """How many pictures are of use to calibrate on.

    Args:
        patches: how many there will be: more pictures than that bring nothing.
        apart: whether others are given to validate on; else these serve for both.
    """
    if apart:
        return patches
    kept_out = max(VALIDATION_PICTURES, -(-patches // (_KEPT_OUT - 1)))
    return _KEPT_OUT * kept_out


def prepare(
    pictures: Sequence[Luma],
    names: Sequence[str],
    metadata: ModelMetadata,
    *,
    validation: Sequence[Luma] | None = None,
    patches: int = PATCHES,
) -> Pictures:
    """Make pictures ready for a network.

    Args:
        pictures: uint8 `[H, W]`, studio-range luma, at least one.
        names: of the pictures.
        metadata: of the network: its scales and its range.
        validation: pictures to measure on; None keeps every fourth of the others apart.
        patches: how many to calibrate on.

    Raises:
        InputError: if no picture is as large as a patch.
    """
    keep = smallest_side(metadata)
    large = [(n, p) for n, p in zip(names, pictures, strict=True) if min(p.shape) >= keep]
    if not large:
        raise InputError(f"no calibration picture is at least {keep} px to both sides")
    apart = validation is not None or len(large) >= _KEPT_OUT
    if validation is None:
        validation = [p for _, p in (large[_KEPT_OUT - 1 :: _KEPT_OUT] or large)]
        if apart:
            large = [one for i, one in enumerate(large) if (i + 1) % _KEPT_OUT]
    if len(large) > patches:
        large = [large[i * len(large) // patches] for i in range(patches)]
    return Pictures(
        patches=_patches([p for _, p in large], metadata, patches),
        validation=Validation(validation, metadata),
        names=tuple(name for name, _ in large),
        apart=apart,
    )


def _patches(pictures: Sequence[Luma], metadata: ModelMetadata, count: int) -> FloatArray:
    """Patches evenly over pictures and scales, at places that do not depend on chance.

    A twelfth as many are drawn, and come after them.
    """
    found = []
    for i in range(count):
        picture = pictures[i % len(pictures)]
        scale = metadata.scales[i % len(metadata.scales)]
        # A golden-ratio walk over the picture: even, and never the same place twice.
        height, width = (side - SIDE - scale for side in picture.shape)
        top = int((i * 0.7548776662) % 1.0 * (height + 1)) // scale * scale
        left = int((i * 0.5698402910) % 1.0 * (width + 1)) // scale * scale
        side = SIDE + scale
        window = picture[top : top + side - side % scale, left : left + side - side % scale]
        degraded, _ = _pair(window, scale, metadata)
        found.append(degraded[:SIDE, :SIDE])
    for i in range(-(-count // _PER_DRAWN)):
        scale = metadata.scales[i % len(metadata.scales)]
        degraded, _ = _pair(_drawn(i, SIDE + scale), scale, metadata)
        found.append(degraded[:SIDE, :SIDE])
    return np.stack(found)[:, None]


def _drawn(i: int, side: int) -> Luma:
    """Strokes of black on white, or white on black, as in print: uint8 `[side, side]`.

    Photographs seldom have such contrast, and what is beyond their range int8 cuts off.
    """
    rng = np.random.default_rng(i)
    paper, ink = (235, 16) if i % 2 else (16, 235)
    picture = np.full((side, side), paper, np.uint8)
    for _ in range(_STROKES):
        top, left = rng.integers(0, side, 2)
        width, length = rng.integers(1, 7), rng.integers(4, 30)
        height, width = (width, length) if rng.random() < 0.5 else (length, width)
        picture[top : top + height, left : left + width] = ink
    return picture


def _pair(picture: Luma, scale: int, metadata: ModelMetadata) -> tuple[FloatArray, FloatArray]:
    """Degraded and original, float32 `[H, W]`, as the network takes them."""
    color = RANGES[metadata.luma]
    plane = crop_to_multiple(picture, scale).astype(np.float32)
    if color is not STUDIO:
        plane = (plane - np.float32(16.0)) * np.float32(255.0 / 219.0)
    return degrade(plane, scale) / np.float32(255.0), plane / np.float32(255.0)


def _middle(picture: Luma) -> Luma:
    top, left = (max(0, (side - _VALIDATION_SIDE) // 2) for side in picture.shape)
    return picture[top : top + _VALIDATION_SIDE, left : left + _VALIDATION_SIDE]
