"""Batches of patches: cut, turned and degraded on the device that trains.

All pictures lie in one flat uint8 tensor, and are read mirrored beyond their borders.
Shrinking and enlarging a patch is one fixed matrix per scale, from both sides: the product
of the two matrices of `vdsr.imaging.resample`. Since patches start at multiples of their
scale, and since a mirrored picture whose sides are multiples of the scale shrinks to
a mirrored picture, the result is the same as degrading the whole picture and cutting
the patch out of it, borders included. Nothing is rounded after the original. With damage
(`vdsr.training.damage`), the small picture is also made noisy, and saved.

Pictures of a color pack become Y, Cb and Cr at the end, or Y alone.

What a step draws depends on the seed and the number of the step alone: a run that goes
on from a checkpoint sees what the unbroken run would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdsr.data.packfile import Picture
from vdsr.errors import InputError
from vdsr.imaging.color import STUDIO
from vdsr.imaging.resample import Axis
from vdsr.training.damage import Damage, cut_out
from vdsr.training.kernels import mirrored
from vdsr.training.places import Places, rescaled
from vdsr.training.recipe import DamageSettings
from vdsr.training.transfer import to_device

# Taps of cubic interpolation reach 2 low-resolution px, those of the antialiased
# shrinking another 2, and half a pixel each for rounding.
_REACH = 5


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What the network takes, and what it should give.

    Attributes:
        degraded: float32 `[N, planes, P, P]`, luma (or Y, Cb, Cr) / 255, shrunk, damaged,
            and enlarged again.
        original: float32 `[N, planes, P, P]`.
    """

    degraded: Tensor
    original: Tensor

    def part(self, rank: int, world: int, dtype: torch.dtype) -> Batch:
        """What one of several processes takes of it; all parts are of one size.

        Args:
            rank: number of the process.
            world: how many there are; it divides N.
            dtype: of the arithmetic.
        """
        own = slice(rank, None, world)
        return Batch(degraded=self.degraded[own].to(dtype), original=self.original[own].to(dtype))


def degradation_matrix(patch: int, scale: int, margin: int) -> NDArray[np.float64]:
    """Shrinking and enlarging along one axis, as one matrix.

    Args:
        patch: px of the result.
        scale: 2, 3, 4, ...
        margin: px on both sides that are given and not asked for; a multiple of `scale`,
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
        pictures: uint8 `[H, W]`, luma, or all of them `[H, W, 3]`, RGB; those smaller than a
            patch are left out.
        scales: of which every batch holds as equal numbers as it can; whole numbers, and
            with damage halves, too. One named twice gets twice the patches.
        patch: side of a patch in px.
        batch: patches in a batch.
        planes: 1 for luma, 3 for Y, Cb, Cr of RGB pictures.
        flips: whether patches are mirrored at random.
        rotations: whether patches are turned by 90 degrees at random.
        rescales: factors by which further copies of every picture are made smaller.
        focus: 0 draws all places alike; 1 in proportion to the root mean square of what
            shrinking and enlarging loses there, so that skies do not fill the batches.
        groups: the group of each picture; None for one group.
        shares: the part of all patches that is of each group; 0 for what is left, as it is.
        damage: what happens to the small pictures; None for nothing.
        seed: of everything that is drawn.
        device: where the pictures lie and the batches are made.

    Attributes:
        left_out: number of pictures that are smaller than a patch.

    Raises:
        InputError: if no picture is as large as a patch, or luma is to be made color.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        *,
        scales: tuple[float, ...],
        patch: int,
        batch: int,
        planes: int = 1,
        flips: bool = True,
        rotations: bool = True,
        rescales: tuple[float, ...] = (1.0,),
        focus: float = 0.0,
        groups: Sequence[int] | None = None,
        shares: Sequence[float] = (),
        damage: DamageSettings | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.scales = tuple(int(s) if s == int(s) else s for s in scales)
        self.patch, self.batch, self.seed = patch, batch, seed
        self._flips, self._rotations, self._planes = flips, rotations, planes
        self._device = torch.device(device)
        # A patch begins at whole px of its small picture.
        self._units = np.array([Fraction(s).limit_denominator(2).numerator for s in self.scales])
        self._grid = math.lcm(*self._units.tolist())
        if self._grid == 1:
            self._grid = 4
        usable, numbers = self._usable(pictures, rescales)
        if planes > 1 and usable[0].ndim == 2:
            raise InputError("the pictures are luma alone: pack them in color for three planes")
        of_group = None if groups is None else [groups[i] for i in numbers]
        self._places = Places(
            usable,
            grid=self._grid,
            patch=patch,
            scale=max(self.scales),
            focus=focus,
            groups=of_group,
            shares=shares,
        )
        self._lay_out(usable)
        self._damage = self._matrices = None
        if damage is not None and damage.share > 0.0:
            self._damage = Damage(damage, scales=self.scales, patch=patch, device=self._device)
        else:
            self._margin = self._grid * math.ceil(_REACH * max(self.scales) / self._grid)
            self._matrices = {
                scale: torch.from_numpy(degradation_matrix(patch, int(scale), self._margin))
                .float()
                .to(self._device)
                for scale in self.scales
            }
        self._color = torch.from_numpy(STUDIO.matrix[:planes].astype(np.float32)).to(self._device)
        self._black = torch.from_numpy(STUDIO.offset[:planes].astype(np.float32)).to(self._device)

    def _usable(
        self, pictures: Sequence[Picture], rescales: tuple[float, ...]
    ) -> tuple[list[Picture], list[int]]:
        """All copies that are large enough, and the number of the picture that each is of."""
        usable, numbers = [], []
        for i, picture in enumerate(pictures):
            if min(picture.shape[:2]) < max(self._grid, self.patch):
                continue
            whole = self._cut(picture)
            if min(whole.shape[:2]) < self.patch:
                continue
            copies = [whole if factor == 1.0 else rescaled(whole, factor) for factor in rescales]
            cut = [self._cut(copy) for copy in copies if min(copy.shape[:2]) >= self._grid]
            large = [copy for copy in cut if min(copy.shape[:2]) >= self.patch]
            usable += large
            numbers += [i] * len(large)
        self.left_out = len(pictures) - len(set(numbers))
        if not usable:
            raise InputError(
                f"no picture is as large as a patch: {self.patch} px in both dimensions"
            )
        return usable, numbers

    def _cut(self, picture: Picture) -> Picture:
        """Right and bottom cut to multiples of the grid."""
        height, width = (side - side % self._grid for side in picture.shape[:2])
        return picture[:height, :width]

    def _lay_out(self, pictures: Sequence[Picture]) -> None:
        """Put all pictures one after the other."""
        sizes = np.array([picture.shape[:2] for picture in pictures])
        self._sizes = sizes
        self._offsets = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
        channels = 1 if pictures[0].ndim == 2 else 3
        flat = np.concatenate([picture.reshape(-1, channels) for picture in pictures])
        self._flat = torch.from_numpy(np.ascontiguousarray(flat.T)).to(self._device)

    def __call__(self, step: int) -> Batch:
        """The batch of a step, from 0 on."""
        rng = np.random.default_rng([self.seed, step, 0])
        numbers = (np.arange(self.batch) + step) % len(self.scales)
        picture, corner = self._places.draw(rng, self._units[numbers])
        turns = rng.random((3, self.batch)) < 0.5
        turns &= np.array([self._flips, self._flips, self._rotations])[:, None]
        shape = (self.batch, len(self._flat), self.patch, self.patch)
        # Whatever the default is: Lightning changes it for float64, and not for this thread alone.
        degraded, original = (
            torch.empty(shape, dtype=torch.float32, device=self._device) for _ in range(2)
        )
        make = self._clean if self._damage is None else self._damaged
        drawn = np.array(self.scales)[numbers]
        for scale in dict.fromkeys(self.scales):
            part = np.flatnonzero(drawn == scale)
            if len(part):
                where = to_device(part, self._device)
                degraded[where], original[where] = make(
                    picture[part], corner[part], turns[:, part], scale, rng
                )
        return Batch(degraded=self._in_planes(degraded), original=self._in_planes(original))

    def _clean(
        self,
        picture: NDArray[np.int64],
        corner: NDArray[np.int64],
        turns: NDArray[np.bool_],
        scale: float,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Shrunk and enlarged patches of one scale, and the originals, 0..255."""
        assert self._matrices is not None
        side, matrix = self.patch + 2 * self._margin, self._matrices[scale]
        window = self._windows(picture, corner - self._margin, side, turns)
        inner = slice(self._margin, self._margin + self.patch)
        return matrix @ window @ matrix.T, window[..., inner, inner]

    def _damaged(
        self,
        picture: NDArray[np.int64],
        corner: NDArray[np.int64],
        turns: NDArray[np.bool_],
        scale: float,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """The same with damage."""
        assert self._damage is not None
        sizes = self._damage.geometries[scale]
        places = sizes.offsets(rng, len(picture))
        # Where the patch lies before it is turned, and mirrored.
        room = sizes.side - sizes.small
        row, column = places.T
        row, column = np.where(turns[2], column, row), np.where(turns[2], room - row, column)
        before = np.where(turns[:2], room - np.stack([row, column]), np.stack([row, column])).T
        corner = corner - np.rint(before * scale).astype(np.int64)
        windows = self._windows(picture, corner, sizes.window, turns)
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(2**63)))
        draw = self._damage.draw(rng, len(picture), scale)
        degraded = self._damage(windows, places, draw, scale, generator)
        where = np.rint(places * scale).astype(np.int64)
        return degraded, cut_out(windows, where, self.patch)

    def _windows(
        self,
        picture: NDArray[np.int64],
        corner: NDArray[np.int64],
        side: int,
        turns: NDArray[np.bool_],
    ) -> Tensor:
        """Squares of pictures, mirrored beyond their borders, and turned.

        Args:
            picture: `[n]`: which.
            corner: `[n, 2]`: first row and column.
            side: px.
            turns: `[3, n]`: whether they are mirrored upside down, left to right, and turned
                by 90 degrees: together, all eight symmetries.

        Returns:
            float32 `[n, C, side, side]`, 0..255.
        """
        heights, widths = self._sizes[picture, 0, None], self._sizes[picture, 1, None]
        rows = mirrored(corner[:, :1] + np.arange(side), heights)
        columns = mirrored(corner[:, 1:] + np.arange(side), widths)
        rows = self._offsets[picture, None] + rows * widths
        rows = np.where(turns[0, :, None], rows[:, ::-1], rows)
        columns = np.where(turns[1, :, None], columns[:, ::-1], columns)
        # Turned, a row runs up a column.
        turned = turns[2, :, None]
        down, across = np.where(turned, columns[:, ::-1], rows), np.where(turned, rows, columns)
        first, second = (to_device(part, self._device) for part in (down, across))
        index = first[:, :, None] + second[:, None, :]
        return torch.stack([plane[index] for plane in self._flat], 1).float()

    def _in_planes(self, patches: Tensor) -> Tensor:
        """Luma, or RGB as Y (and Cb, Cr), 0..255, as what the network takes."""
        if patches.shape[1] == 1:
            return patches.div_(255.0)
        planes: Tensor = torch.tensordot(self._color, patches, ([1], [1])).transpose(0, 1)
        return planes.add(self._black[:, None, None]).div_(255.0).contiguous()
