"""Batches of patches: cut, degraded and turned on the device that trains.

All pictures lie in one flat uint8 tensor, each with a mirrored margin. Shrinking and
enlarging a patch is then one fixed matrix per scale, from both sides: the product of
the two matrices of `vdsr.imaging.resample`. Since patches start at multiples of their
scale, and since a mirrored picture whose sides are multiples of the scale shrinks to
a mirrored picture, the result is the same as degrading the whole picture and cutting
the patch out of it, borders included. Nothing is rounded after the original.

What a step draws depends on the seed and the number of the step alone: a run that goes
on from a checkpoint sees what the unbroken run would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdsr.data.packfile import Luma
from vdsr.errors import InputError
from vdsr.imaging.degrade import crop_to_multiple, degrade
from vdsr.imaging.resample import Axis, imresize

# Taps of cubic interpolation reach 2 low-resolution px, those of the antialiased
# shrinking another 2, and half a pixel each for rounding.
_REACH = 5


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What the network takes, and what it should give.

    Attributes:
        degraded: float32 `[N, 1, P, P]`, luma / 255 shrunk and enlarged again.
        original: float32 `[N, 1, P, P]`, luma / 255.
    """

    degraded: Tensor
    original: Tensor


def degradation_matrix(patch: int, scale: int, margin: int) -> NDArray[np.float64]:
    """Shrinking and enlarging along one axis, as one matrix.

    Args:
        patch: px of the result.
        scale: 2, 3, 4, ...
        margin: px to both sides that are given and not asked for; a multiple of `scale`,
            at least 5 x `scale`.

    Returns:
        `[patch, patch + 2 margin]`; every row sums to 1.

    Raises:
        ValueError: for a margin that is none.
    """
    if margin % scale or margin < _REACH * scale:
        raise ValueError(f"a margin of {margin} px for scale {scale}")
    given = patch + 2 * margin
    whole = given + (-given) % scale
    small = whole // scale
    _, shrink = Axis.by_scale(whole, 1.0 / scale).matrix(0, small)
    _, enlarge = Axis.by_scale(small, float(scale)).matrix(0, whole)
    both: NDArray[np.float64] = (enlarge @ shrink)[margin : margin + patch, :given]
    return both


class Patches:
    """An endless source of batches.

    Args:
        pictures: uint8 `[H, W]`, luma; those smaller than a patch are left out.
        scales: of which every batch holds as equal numbers as it can.
        patch: side of a patch in px.
        batch: patches in a batch.
        flips: whether patches are mirrored at random.
        rotations: whether patches are turned by 90 degrees at random.
        rescales: factors by which further copies of every picture are made smaller.
        focus: 0 draws all places alike; 1 in proportion to the root mean square of what
            shrinking and enlarging loses there, so that skies do not fill the batches.
        seed: of everything that is drawn.
        device: where the pictures lie and the batches are made.

    Attributes:
        left_out: number of pictures that are smaller than a patch.

    Raises:
        InputError: if no picture is as large as a patch.
    """

    def __init__(
        self,
        pictures: Sequence[Luma],
        *,
        scales: tuple[int, ...],
        patch: int,
        batch: int,
        flips: bool = True,
        rotations: bool = True,
        rescales: tuple[float, ...] = (1.0,),
        focus: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.scales, self.patch, self.batch, self.seed = scales, patch, batch, seed
        self._flips, self._rotations = flips, rotations
        self._grid = math.lcm(*scales)
        self._margin = self._grid * math.ceil(_REACH * max(scales) / self._grid)
        self._device = torch.device(device)
        cut = [crop_to_multiple(p, self._grid) for p in pictures if min(p.shape) >= self._grid]
        large = [picture for picture in cut if min(picture.shape) >= patch]
        self.left_out = len(pictures) - len(large)
        if not large:
            raise InputError(f"no picture is as large as a patch: {patch} px to both sides")
        usable = [copy for picture in large for copy in self._copies(picture, rescales)]
        self._lay_out(usable)
        self._weigh(usable, focus)
        self._matrices = {
            scale: torch.from_numpy(degradation_matrix(patch, scale, self._margin))
            .float()
            .to(self._device)
            for scale in scales
        }

    def _copies(self, picture: Luma, rescales: tuple[float, ...]) -> list[Luma]:
        """The picture at all sizes that are large enough, cut to multiples of the grid."""
        copies = [picture if factor == 1.0 else _rescaled(picture, factor) for factor in rescales]
        large = [copy for copy in copies if min(copy.shape) >= self._grid]
        cut = [crop_to_multiple(copy, self._grid) for copy in large]
        return [copy for copy in cut if min(copy.shape) >= self.patch]

    def _lay_out(self, pictures: Sequence[Luma]) -> None:
        """Put all pictures, margins included, one after the other."""
        margin = self._margin
        padded = [np.pad(picture, margin, mode="symmetric") for picture in pictures]
        ends = np.cumsum([picture.size for picture in padded])
        self._offsets = np.concatenate([[0], ends[:-1]])
        self._strides = np.array([picture.shape[1] for picture in padded])
        self._rooms = np.array([picture.shape for picture in pictures]) - self.patch
        flat = np.concatenate([picture.ravel() for picture in padded])
        self._flat = torch.from_numpy(flat).to(self._device)
        side = torch.arange(self.patch + 2 * margin, device=self._device)
        self._rows, self._columns = side[:, None], side[None, :]

    def _weigh(self, pictures: Sequence[Luma], focus: float) -> None:
        """Chances of all places on the grid, picture by picture, row by row."""
        places, chances = [], []
        for i, picture in enumerate(pictures):
            rows, columns = self._rooms[i] // self._grid + 1
            index = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
            places.append(np.insert(index.reshape(-1, 2) * self._grid, 0, i, axis=1))
            if focus:
                lost = _lost(picture, max(self.scales), self._grid, self.patch)
                chances.append(lost[:rows, :columns].ravel() ** focus)
            else:
                chances.append(np.ones(rows * columns))
        self._places = np.concatenate(places).astype(np.int32)
        total = np.cumsum(np.concatenate(chances))
        self._cumulative = total / total[-1]

    def __call__(self, step: int, rank: int = 0) -> Batch:
        """The batch of a step.

        Args:
            step: number of the step, from 0 on.
            rank: number of the process, where several train together.
        """
        rng = np.random.default_rng([self.seed, step, rank])
        picture, row, column = self._draw(rng, step)
        start = self._offsets[picture] + row * self._strides[picture] + column
        index = torch.from_numpy(start).to(self._device)[:, None, None]
        stride = torch.from_numpy(self._strides[picture]).to(self._device)[:, None, None]
        window = self._flat[index + self._rows * stride + self._columns].float() / 255.0
        degraded = torch.empty((self.batch, self.patch, self.patch), device=self._device)
        for i, scale in enumerate(self.scales):
            part = slice((i - step) % len(self.scales), None, len(self.scales))
            matrix = self._matrices[scale]
            degraded[part] = matrix @ window[part] @ matrix.T
        inner = slice(self._margin, self._margin + self.patch)
        both = torch.stack([degraded, window[:, inner, inner]], 1)
        both = self._turn(both, rng)
        return Batch(degraded=both[:, :1], original=both[:, 1:])

    def _draw(self, rng: np.random.Generator, step: int) -> tuple[NDArray[np.int64], ...]:
        """Picture, row and column of every patch; patch k has scale (k + step) mod scales."""
        place = np.searchsorted(self._cumulative, rng.random(self.batch), side="right")
        place = np.minimum(place, len(self._places) - 1)
        picture, row, column = self._places[place].astype(np.int64).T
        scale = np.array(self.scales)[(np.arange(self.batch) + step) % len(self.scales)]
        room = self._rooms[picture] // scale[:, None] * scale[:, None]
        jitter = rng.integers(0, self._grid // scale[:, None], (self.batch, 2)) * scale[:, None]
        corner = np.minimum(np.stack([row, column], 1) + jitter, room)
        return picture, corner[:, 0], corner[:, 1]

    def _turn(self, patches: Tensor, rng: np.random.Generator) -> Tensor:
        """Mirror and turn a random half of the patches each: together, all eight symmetries."""
        upside, mirrored, turned = rng.random((3, self.batch)) < 0.5
        if self._flips:
            patches = self._some(patches, patches.flip(-2), upside)
            patches = self._some(patches, patches.flip(-1), mirrored)
        if self._rotations:
            patches = self._some(patches, patches.rot90(1, (-2, -1)), turned)
        return patches

    def _some(self, patches: Tensor, others: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
        mask = torch.from_numpy(chosen).to(self._device)[:, None, None, None]
        return torch.where(mask, others, patches)


def _rescaled(picture: Luma, factor: float) -> Luma:
    resized = imresize(picture.astype(np.float32), scale=factor)
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def _lost(picture: Luma, scale: int, grid: int, patch: int) -> NDArray[np.float64]:
    """Root mean square of what degrading loses, of every patch that starts on the grid."""
    plane = picture.astype(np.float32)
    squared = (degrade(plane, scale) - plane).astype(np.float64) ** 2
    height, width = plane.shape
    cells = squared.reshape(height // grid, grid, width // grid, grid).sum((1, 3))
    table = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = max(1, patch // grid)
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    # A little for every place: nothing is left out altogether.
    lost: NDArray[np.float64] = np.sqrt(np.maximum(sums, 0.0) / (side * grid) ** 2) + 0.1
    return lost
