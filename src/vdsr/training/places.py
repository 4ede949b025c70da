"""Where patches are cut out: all places of all pictures, and how often each is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vdsr.data.packfile import Luma, Picture
from vdsr.errors import UsageError
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import degrade
from vdsr.imaging.resample import imresize


class Places:
    """Places on a grid, drawn with their chances.

    Args:
        pictures: uint8 `[H, W]` or `[H, W, 3]`, sides multiples of the grid.
        grid: px from place to place.
        patch: side of a patch, px.
        scale: for the focus: by which pictures are shrunk to see what is lost.
        focus: see `vdsr.training.patches.Patches`.
        groups: the group of each picture; None for one group.
        shares: the part of all draws that falls on each group; 0 for what is left.

    Raises:
        UsageError: if the shares are more than all, or leave nothing for the other groups.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        *,
        grid: int,
        patch: int,
        scale: float,
        focus: float,
        groups: Sequence[int] | None = None,
        shares: Sequence[float] = (),
    ) -> None:
        self._grid = grid
        self._rooms = np.array([picture.shape[:2] for picture in pictures]) - patch
        places, chances = [], []
        for i, picture in enumerate(pictures):
            rows, columns = self._rooms[i] // grid + 1
            index = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
            places.append(np.insert(index.reshape(-1, 2) * grid, 0, i, axis=1))
            chance = np.ones(rows * columns)
            if focus:
                chance = (
                    _lost(picture, scale if scale > 1 else 2, grid, patch)[:rows, :columns].ravel()
                    ** focus
                )
            chances.append(chance)
        self._places = np.concatenate(places).astype(np.int32)
        if groups is not None and any(shares):
            _divide(chances, groups, shares)
        total = np.cumsum(np.concatenate(chances))
        self._cumulative = total / total[-1]

    def draw(
        self, rng: np.random.Generator, unit: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw a place for each of some patches.

        Args:
            rng: what to draw with.
            unit: `[N]`: row and column are multiples of it.

        Returns:
            The number of the picture, `[N]`, and row and column of the corner, `[N, 2]`.
        """
        place = np.searchsorted(self._cumulative, rng.random(len(unit)), side="right")
        place = np.minimum(place, len(self._places) - 1)
        picture, row, column = self._places[place].astype(np.int64).T
        room = self._rooms[picture] // unit[:, None] * unit[:, None]
        jitter = rng.integers(0, self._grid // unit[:, None], (len(unit), 2)) * unit[:, None]
        return picture, np.minimum(np.stack([row, column], 1) + jitter, room)


def _divide(
    chances: list[NDArray[np.float64]], groups: Sequence[int], shares: Sequence[float]
) -> None:
    """Scale the chances, in place, so that every group has its share of all."""
    totals = {
        g: sum(c.sum() for c, of in zip(chances, groups, strict=True) if of == g)
        for g in set(groups)
    }
    fixed = {g: shares[g] for g in totals if shares[g] > 0.0}
    left, others = 1.0 - sum(fixed.values()), sum(t for g, t in totals.items() if g not in fixed)
    if left < -1e-9 or (left < 1e-9 and others):
        raise UsageError("the shares of the data are more than all, or leave nothing for the rest")
    for chance, group in zip(chances, groups, strict=True):
        # Where there is nothing else, shares are only compared with each other.
        np.multiply(
            chance, fixed[group] / totals[group] if group in fixed else left / others, chance
        )


def rescaled(picture: Picture, factor: float) -> Picture:
    """A picture made smaller, rounded to 8 bits."""
    planes = np.moveaxis(picture[..., None] if picture.ndim == 2 else picture, -1, 0)
    resized = imresize(planes.astype(np.float32), scale=factor)
    found = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    return found[0] if picture.ndim == 2 else np.ascontiguousarray(np.moveaxis(found, 0, -1))


def _luma(picture: Picture) -> Luma:
    if picture.ndim == 2:
        return picture
    planes = np.moveaxis(picture, -1, 0).astype(np.float32)
    return np.rint(STUDIO.luma(planes)).astype(np.uint8)


def _lost(picture: Picture, scale: float, grid: int, patch: int) -> NDArray[np.float64]:
    """Root mean square of what degrading loses, of every patch that starts on the grid."""
    plane = _luma(picture).astype(np.float32)
    squared = (degrade(plane, scale) - plane).astype(np.float64) ** 2
    height, width = plane.shape
    cells = squared.reshape(height // grid, grid, width // grid, grid).sum((1, 3))
    table = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = max(1, patch // grid)
    sums = table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
    # A little for every place: nothing is left out altogether.
    lost: NDArray[np.float64] = np.sqrt(np.maximum(sums, 0.0) / (side * grid) ** 2) + 0.1
    return lost
