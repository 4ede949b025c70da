"""What a network is calibrated and validated on: patches of pictures made small and large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from vdsr.data.packfile import Picture
from vdsr.errors import InputError
from vdsr.evaluation.damaged_protocols import DamagedProtocol, damaged
from vdsr.imaging.color import RANGES, STUDIO
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.metrics import psnr
from vdsr.model.architecture import FloatArray
from vdsr.model.metadata import ModelMetadata

PATCHES = 48
# Of a patch, in px, or in squares of px for a network that folds them.
_SIDE = 96
# Beyond it, patches become more instead of larger: photographs are of that size at least.
_LARGEST_FOLD = 2
VALIDATION_PICTURES = 12
# One patch is drawn for every twelve of photographs.
_PER_DRAWN = 12
_STROKES = 60
# Of a validation picture, its middle.
_VALIDATION_SIDE = 240
# What a network that only restores is for; every patch and validation picture has the next one.
_DAMAGES = tuple(
    DamagedProtocol(kind, amount)
    for kind, amount in [
        ("restore-jpeg", 10),
        ("restore-jpeg", 40),
        ("noise", 10),
        ("restore-jpeg", 20),
        ("restore-jpeg", 75),
        ("noise", 3),
    ]
)
# Every fourth picture is kept out of calibration if no others are given to validate on.
_KEPT_OUT = 4


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures for a network, made ready.

    Attributes:
        patches: float32 `[N, planes, P, P]`, enlarged luma (or Y, Cb, Cr) / 255, to calibrate
            on; the last ones are drawn.
        validation: to measure on.
        names: of the calibration pictures.
        apart: whether no picture serves for both.
    """

    patches: FloatArray
    validation: Validation
    names: tuple[str, ...]
    apart: bool


class Validation:
    """Middles of pictures, shrunk and enlarged by every scale of a network, or damaged at 1.

    Args:
        pictures: uint8 `[H, W]`, studio-range luma; RGB `[H, W, 3]` for a network of Y, Cb, Cr.
        metadata: of the network.
    """

    def __init__(self, pictures: Sequence[Picture], metadata: ModelMetadata) -> None:
        every = max(1, -(-len(pictures) // VALIDATION_PICTURES))
        self._cases = [
            (scale, *_pair(_middle(picture), i, scale, metadata, lcm(scale, metadata.fold)))
            for i, picture in enumerate(pictures[::every])
            for scale in metadata.scales
        ]

    def measure(self, run: Callable[[FloatArray], FloatArray]) -> dict[str, float]:
        """Mean PSNR by scale, of a network from `[1, planes, H, W]` to the same.

        Returns:
            `{"x2": 39.1, ...}` in dB of the range 0..255, the output clipped and not rounded,
            `scale` px shaved, all planes together.
        """
        found: dict[str, list[float]] = {}
        for scale, degraded, original in self._cases:
            restored = np.clip(run(degraded[None]), 0.0, 1.0)[0]
            value = psnr(restored, original, data_range=1.0, border=scale)
            found.setdefault(f"x{scale}", []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}


def smallest_side(metadata: ModelMetadata) -> int:
    """What both sides of a picture must have, in px, for a patch at every scale."""
    return _side(metadata) + max(metadata.scales)


def _side(metadata: ModelMetadata) -> int:
    return _SIDE * min(metadata.fold, _LARGEST_FOLD)


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
    pictures: Sequence[Picture],
    names: Sequence[str],
    metadata: ModelMetadata,
    *,
    validation: Sequence[Picture] | None = None,
    patches: int = PATCHES,
) -> Pictures:
    """Make pictures ready for a network.

    Args:
        pictures: uint8 `[H, W]`, studio-range luma, at least one; RGB `[H, W, 3]` for a network
            of Y, Cb, Cr.
        names: of the pictures.
        metadata: of the network: its scales, range, planes and fold. Scale 1 is left out where
            there are others; a network that has no other restores, and gets damaged pictures.
        validation: pictures to measure on; None keeps every fourth of the others apart.
        patches: how many to calibrate on; as many times more for a fold above 2 as its patches
            hold less.

    Raises:
        InputError: if no picture is as large as a patch.
    """
    # A network for damaged pictures may suppress its residual on undamaged ones of scale 1 by
    # values so large that 8 bits would hold nothing else.
    metadata = replace(metadata, scales=tuple(s for s in metadata.scales if s > 1) or (1,))
    keep = smallest_side(metadata)
    large = [(n, p) for n, p in zip(names, pictures, strict=True) if min(p.shape[:2]) >= keep]
    if not large:
        raise InputError(f"no calibration picture is at least {keep} px in both dimensions")
    apart = validation is not None or len(large) >= _KEPT_OUT
    if validation is None:
        validation = [p for _, p in (large[_KEPT_OUT - 1 :: _KEPT_OUT] or large)]
        if apart:
            large = [one for i, one in enumerate(large) if (i + 1) % _KEPT_OUT]
    patches = -(-patches * max(metadata.fold, _LARGEST_FOLD) ** 2 // _LARGEST_FOLD**2)
    if len(large) > patches:
        large = [large[i * len(large) // patches] for i in range(patches)]
    return Pictures(
        patches=_patches([p for _, p in large], metadata, patches),
        validation=Validation(validation, metadata),
        names=tuple(name for name, _ in large),
        apart=apart,
    )


def _patches(pictures: Sequence[Picture], metadata: ModelMetadata, count: int) -> FloatArray:
    """Patches evenly over pictures and scales, at places that do not depend on chance.

    A twelfth as many are drawn, and come after them.
    """
    found, patch = [], _side(metadata)
    for i in range(count):
        picture = pictures[i % len(pictures)]
        scale = metadata.scales[i % len(metadata.scales)]
        # A golden-ratio walk over the picture: even, and never the same place twice.
        height, width = (side - patch - scale for side in picture.shape[:2])
        top = int((i * 0.7548776662) % 1.0 * (height + 1)) // scale * scale
        left = int((i * 0.5698402910) % 1.0 * (width + 1)) // scale * scale
        side = patch + scale
        window = picture[top : top + side, left : left + side]
        found.append(_pair(window, i, scale, metadata)[0][:, :patch, :patch])
    for i in range(-(-count // _PER_DRAWN)):
        scale = metadata.scales[i % len(metadata.scales)]
        drawn = _drawn(i, patch + scale, color=metadata.planes == 3)
        found.append(_pair(drawn, i, scale, metadata)[0][:, :patch, :patch])
    return np.stack(found)


def _drawn(i: int, side: int, *, color: bool) -> Picture:
    """Strokes of black on white, or white on black, as in print: uint8 `[side, side]`.

    Photographs seldom have such contrast, and what is beyond their range int8 cuts off. In
    color, RGB `[side, side, 3]`, the strokes have those of all corners of the cube.
    """
    rng = np.random.default_rng(i)
    paper, ink = (235, 16) if i % 2 else (16, 235)
    if color:
        paper = 255 if i % 2 else 0
    picture = np.full((side, side, 3) if color else (side, side), paper, np.uint8)
    for stroke in range(_STROKES):
        top, left = rng.integers(0, side, 2)
        width, length = rng.integers(1, 7), rng.integers(4, 30)
        height, width = (width, length) if rng.random() < 0.5 else (length, width)
        corner = [255 * (stroke >> bit & 1) for bit in range(3)]
        picture[top : top + height, left : left + width] = corner if color else ink
    return picture


def _pair(
    picture: Picture, i: int, scale: int, metadata: ModelMetadata, multiple: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Degraded and original, float32 `[planes, H, W]`, as the network takes them.

    Args:
        picture: see `prepare`.
        i: its number, which says how it is damaged at scale 1.
        scale: of the degradation.
        metadata: of the network.
        multiple: what both sides are cut to a multiple of; the scale if None.
    """
    if (picture.ndim == 3) != (metadata.planes == 3):
        raise ValueError(f"a picture of {picture.ndim} axes for {metadata.planes} planes")
    original = crop_to_multiple(_planes(picture, metadata), multiple or scale)
    if scale > 1:
        degraded = degrade(original, scale)
    else:
        spoiled, _ = damaged(picture, _DAMAGES[i % len(_DAMAGES)])
        degraded = crop_to_multiple(_planes(spoiled, metadata), multiple or scale)
    return degraded / np.float32(255.0), original / np.float32(255.0)


def _planes(picture: Picture, metadata: ModelMetadata) -> FloatArray:
    """What a network takes, in levels: float32 `[planes, H, W]`."""
    color = RANGES[metadata.luma]
    if picture.ndim == 3:
        return color.to_ycbcr(np.moveaxis(picture, -1, 0).astype(np.float32))
    luma = picture[None].astype(np.float32)
    if color is STUDIO:
        return luma
    return (luma - np.float32(16.0)) * np.float32(255.0 / 219.0)


def _middle(picture: Picture) -> Picture:
    top, left = (max(0, (side - _VALIDATION_SIDE) // 2) for side in picture.shape[:2])
    return picture[top : top + _VALIDATION_SIDE, left : left + _VALIDATION_SIDE]
