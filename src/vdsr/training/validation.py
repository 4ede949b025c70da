"""PSNR on pictures kept out of training. For watching a run: tables are `vdsr evaluate`'s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vdsr.data.packfile import Picture
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.metrics import psnr
from vdsr.training.patches import Patches
from vdsr.training.recipe import DamageSettings

# Enough to watch, and little enough to cost a hundredth of the training.
_SIDE = 144
_DAMAGED = 24

Kept = TypeVar("Kept")


def hold_out(count: int, pictures: Sequence[Kept]) -> tuple[list[Kept], list[Kept]]:
    """Keep pictures out, evenly spread over the pack.

    Args:
        count: how many; never more than a tenth of all, and at least 1 of 2 or more.
        pictures: all, or their numbers.

    Returns:
        Those to train on, and those to measure.
    """
    count = min(count, max(1, len(pictures) // 10)) if len(pictures) > 1 else 0
    chosen = {(2 * i + 1) * len(pictures) // (2 * count) for i in range(count)}
    return (
        [p for i, p in enumerate(pictures) if i not in chosen],
        [p for i, p in enumerate(pictures) if i in chosen],
    )


@dataclass(frozen=True)
class _Case:
    name: str
    border: int
    degraded: Tensor
    original: Tensor


class Validation:
    """The middles of some pictures, shrunk and enlarged by every scale; and damaged patches.

    Args:
        pictures: uint8 `[H, W]`, luma, or `[H, W, 3]`, RGB; very small ones are left out.
        scales: 2, 3, 4, ...; of 1 there are damaged patches alone.
        device: where the network runs.
        fold, planes: of the network.
        damage: what happens to the patches; None for nothing.
        patch: their side, px.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        scales: Sequence[float],
        device: torch.device | str,
        *,
        fold: int = 1,
        planes: int = 1,
        damage: DamageSettings | None = None,
        patch: int = 96,
    ) -> None:
        self._cases: list[_Case] = []
        if damage is not None and damage.share and pictures:
            self._damage(pictures, tuple(scales), device, planes, damage, patch)
        scales = [scale for scale in dict.fromkeys(scales) if scale > 1]
        grid = math.lcm(*(Fraction(scale).numerator for scale in scales))
        for picture in pictures:
            if min(picture.shape[:2]) < 4 * grid:
                continue
            original = crop_to_multiple(_planes(picture, planes), grid)
            for scale in scales:
                both = np.stack([degrade(original, scale), original]) / np.float32(255.0)
                top, left = (max(0, (side - _SIDE) // 2) for side in original.shape[-2:])
                both = both[:, None, :, top : top + _SIDE, left : left + _SIDE]
                both = crop_to_multiple(both, fold)
                pair = torch.from_numpy(both.copy()).to(device)
                self._cases.append(_Case(f"x{scale:g}", math.ceil(scale), pair[0], pair[1]))

    def _damage(
        self,
        pictures: Sequence[Picture],
        scales: tuple[float, ...],
        device: torch.device | str,
        planes: int,
        damage: DamageSettings,
        patch: int,
    ) -> None:
        """A few patches with damage of every kind, the same ones at every time."""
        patches = Patches(
            pictures,
            scales=scales,
            patch=patch,
            batch=_DAMAGED,
            planes=planes,
            focus=1.0,
            damage=replace(damage, share=1.0),
            device=device,
        )
        batch = patches(0)
        for i in range(_DAMAGED):
            one = slice(i, i + 1)
            self._cases.append(_Case("damaged", 0, batch.degraded[one], batch.original[one]))

    def bicubic(self) -> dict[str, float]:
        """PSNR of doing nothing: see `measure`."""
        return self.measure(nn.Identity())

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Mean PSNR of the pictures, by scale.

        Args:
            network: float32 `[1, planes, H, W]` to the same.

        Returns:
            `{"x2": 35.1, ...}` in dB of luma, `scale` px of border shaved off, nothing
            rounded; `damaged` for patches with damage. Empty if there are no pictures.
        """
        figures: dict[str, list[float]] = {}
        for case in self._cases:
            restored = network(case.degraded)[:, :1].float().clamp(0.0, 1.0).cpu().numpy()
            original = case.original[:, :1].cpu().numpy()
            value = psnr(restored, original, data_range=1.0, border=case.border)
            figures.setdefault(case.name, []).append(value)
        return {name: float(np.mean(values)) for name, values in figures.items()}


def _planes(picture: Picture, count: int) -> NDArray[np.float32]:
    """Luma, or Y, Cb, Cr: float32 `[count, H, W]`, 0..255."""
    if picture.ndim == 2:
        return picture[None].astype(np.float32)
    rgb = np.moveaxis(picture, -1, 0).astype(np.float32)
    return STUDIO.to_ycbcr(rgb)[:count]
