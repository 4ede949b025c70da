"""PSNR on pictures kept out of training. For watching a run: tables are `vdsr evaluate`'s."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vdsr.data.packfile import Luma
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.metrics import psnr

# Enough to watch, and little enough to cost a hundredth of the training.
_SIDE = 144


def hold_out(count: int, pictures: Sequence[Luma]) -> tuple[list[Luma], list[Luma]]:
    """Keep pictures out, evenly spread over the pack.

    Args:
        count: how many; never more than a tenth of all, and at least 1 of 2 or more.
        pictures: all.

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
    scale: int
    degraded: Tensor
    original: Tensor


class Validation:
    """The middles of some pictures, shrunk and enlarged by every scale.

    Args:
        pictures: uint8 `[H, W]`, luma; very small ones are left out.
        scales: 2, 3, 4, ...
        device: where the network runs.
    """

    def __init__(
        self, pictures: Sequence[Luma], scales: Sequence[int], device: torch.device | str
    ) -> None:
        self._cases = []
        grid = math.lcm(*scales)
        for picture in pictures:
            if min(picture.shape) < 4 * grid:
                continue
            for scale in scales:
                plane = crop_to_multiple(picture, grid).astype(np.float32)
                both = np.stack([degrade(plane, scale), plane]) / np.float32(255.0)
                top, left = (max(0, (side - _SIDE) // 2) for side in plane.shape)
                both = both[:, None, None, top : top + _SIDE, left : left + _SIDE]
                degraded, original = torch.from_numpy(both.copy()).to(device)
                self._cases.append(_Case(scale, degraded, original))

    def bicubic(self) -> dict[str, float]:
        """PSNR of doing nothing: see `measure`."""
        return self.measure(nn.Identity())

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Mean PSNR of the pictures, by scale.

        Args:
            network: float32 `[1, 1, H, W]` to the same.

        Returns:
            `{"x2": 35.1, ...}` in dB, `scale` px of border shaved off, nothing rounded;
            empty if there are no pictures.
        """
        figures: dict[str, list[float]] = {}
        for case in self._cases:
            restored = network(case.degraded).float().clamp(0.0, 1.0).cpu().numpy()
            original = case.original.cpu().numpy()
            value = psnr(restored, original, data_range=1.0, border=case.scale)
            figures.setdefault(f"x{case.scale}", []).append(value)
        return {name: float(np.mean(values)) for name, values in figures.items()}
