"""What happens to pictures before anybody enlarges them, made on the device that trains.

A window of the original is shrunk in one of several ways, becomes noisy as a sensor makes
it, is rounded to 8 bits, and is saved as JPEG, once or twice. What the network gets is cut
out of that and enlarged. Every patch has its own scale, kernel, noise and quality.

Noise: Gaussian, of a deviation that is the same everywhere, or that grows with the root of
the brightness, as that of photons does (A. Foi et al., "Practical Poissonian-Gaussian Noise
Modeling and Fitting", IEEE TIP 17(10), 2008); independent from channel to channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdsr.training.jpeg import TABLES, UNIT, compressed, quantization_tables
from vdsr.training.kernels import KERNELS, enlarging, shrinking
from vdsr.training.recipe import DamageSettings
from vdsr.training.transfer import to_device

# Of the small picture, px around a patch: what enlarging reads, and a little for shrinking.
MARGIN = 4


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes for one scale.

    Attributes:
        scale: of the large picture to the small one.
        patch: px of the large patch; small: of the small one.
        side: px of the small window, a multiple of 16; window: of the large one.
    """

    scale: float
    patch: int
    small: int
    side: int

    @classmethod
    def of(cls, patch: int, scale: float) -> Geometry:
        """The smallest window in which a patch can lie at every place of a block of JPEG.

        Raises:
            ValueError: if the patch is not a multiple of the scale.
        """
        small = patch / Fraction(scale)
        if small.denominator != 1:
            raise ValueError(f"a patch of {patch} px cannot be shrunk by {scale:g}")
        least = int(small) + 2 * MARGIN + UNIT // 2 - 1
        return cls(scale=scale, patch=patch, small=int(small), side=-(-least // UNIT) * UNIT)

    @property
    def window(self) -> int:
        """Side of the large window, px."""
        return round(self.side * self.scale)

    def offsets(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Places of patches in their small windows, px: `[count, 2]`."""
        # Multiples of 2, where only these are whole px of the large window.
        step = Fraction(self.scale).denominator
        most = self.side - self.small - MARGIN
        return rng.integers(-(-MARGIN // step), most // step + 1, (count, 2)) * step


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What happens to each patch of a group; arrays of one number, or truth, for each.

    Attributes:
        kernel: index into `KERNELS`.
        deviation: of the noise that is the same everywhere, levels of 255.
        photons: of the noise at white that grows with the root of the brightness, levels.
        jpeg: whether it is saved as JPEG; again: whether a second time.
        halved: whether chroma is stored at half the size, in the first and in the second file.
        tables: float32 `[2, N, 2, 8, 8]`, of the first and of the second file.
        shift: rows and columns that are cut off between both, for all alike.
    """

    kernel: NDArray[np.int64]
    deviation: NDArray[np.float32]
    photons: NDArray[np.float32]
    jpeg: NDArray[np.bool_]
    again: NDArray[np.bool_]
    halved: NDArray[np.bool_]
    tables: NDArray[np.float32]
    shift: tuple[int, int]


class Damage:
    """Makes damaged small pictures of windows, and enlarges what is in the patches.

    Args:
        settings: what happens how often.
        scales: whole or half numbers from 1 on.
        patch: side of a patch in px, a multiple of every scale.
        device: where windows lie.
    """

    def __init__(
        self,
        settings: DamageSettings,
        *,
        scales: tuple[float, ...],
        patch: int,
        device: torch.device,
    ) -> None:
        self._settings, self._device = settings, device
        self.geometries = {scale: Geometry.of(patch, scale) for scale in scales}
        self._tables = np.stack(
            [[quantization_tables(q, kind) for q in range(1, 101)] for kind in TABLES]
        )
        self._shrinking, self._enlarging = {}, {}
        for scale, sizes in self.geometries.items():
            ways = [shrinking(kind, sizes.window, scale) for kind in KERNELS]
            self._shrinking[scale] = self._tensor(np.stack(ways))
            length = sizes.small + 2 * MARGIN
            cut = slice(round(MARGIN * scale), round(MARGIN * scale) + patch)
            self._enlarging[scale] = self._tensor(enlarging(length, scale)[cut])

    def _tensor(self, array: NDArray[np.floating]) -> Tensor:
        return to_device(array.astype(np.float32), self._device)

    def draw(self, rng: np.random.Generator, count: int, scale: float) -> Draw:
        """Decide what happens to `count` patches of one scale."""
        settings = self._settings
        damaged = rng.random(count) < settings.share
        chosen = rng.random((4, count))
        noisy = damaged & (chosen[0] < settings.noise)
        # A patch with neither would be a clean one.
        jpeg = damaged & ((chosen[1] < settings.jpeg) | ~noisy)
        other = damaged & (chosen[2] < settings.kernels) & (scale > 1)
        level = rng.random(count) * settings.levels * noisy
        photons = rng.random(count) < settings.photons
        low, high = settings.qualities
        kinds = (rng.random((2, count)) < settings.mozjpeg).astype(int)
        return Draw(
            kernel=np.where(other, rng.integers(1, len(KERNELS), count), 0),
            deviation=np.where(photons, 0.3 * level, level).astype(np.float32),
            photons=np.where(photons, level, 0.0).astype(np.float32),
            jpeg=jpeg,
            again=jpeg & (chosen[3] < settings.again),
            halved=rng.random((2, count)) < settings.halved,
            tables=self._tables[kinds, rng.integers(low, high + 1, (2, count)) - 1],
            shift=(int(rng.integers(0, 8)), int(rng.integers(0, 8))),
        )

    def __call__(
        self,
        windows: Tensor,
        places: NDArray[np.int64],
        draw: Draw,
        scale: float,
        generator: torch.Generator,
    ) -> Tensor:
        """What the network gets of the patches of a group.

        Args:
            windows: float32 `[N, C, window, window]`, RGB or luma, 0..255.
            places: see `Geometry.offsets`.
            draw: what happens.
            scale: of the group.
            generator: for the noise.

        Returns:
            float32 `[N, C, patch, patch]`, 0..255 and a little beyond, not rounded.
        """
        small = self._small(windows, draw, scale)
        small = self._noisy(small, draw, generator)
        small = small.add_(0.5).floor_().clamp_(0.0, 255.0)
        small = self._saved(small, draw)
        cut = cut_out(small, places - MARGIN, self.geometries[scale].small + 2 * MARGIN)
        if scale == 1:
            return cut[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        matrix = self._enlarging[scale]
        return matrix @ cut @ matrix.T

    def _small(self, windows: Tensor, draw: Draw, scale: float) -> Tensor:
        if scale == 1:
            return windows.clone()
        ways = self._shrinking[scale]
        matrix = ways[to_device(draw.kernel, self._device)][:, None]
        return matrix @ windows @ matrix.mT

    def _noisy(self, small: Tensor, draw: Draw, generator: torch.Generator) -> Tensor:
        index = np.flatnonzero(draw.deviation + draw.photons > 0.0)
        if not len(index):
            return small
        where = to_device(index, self._device)
        part = small[where]
        flat, photons = (
            self._tensor(level[index])[:, None, None, None]
            for level in (draw.deviation, draw.photons)
        )
        variance = flat.square() + photons.square() * (part / 255.0).clamp_(0.0, 1.0)
        noise = torch.randn(part.shape, generator=generator, device=self._device)
        small[where] = part + noise * variance.sqrt_()
        return small

    def _saved(self, small: Tensor, draw: Draw) -> Tensor:
        for time, chosen, shift in ((0, draw.jpeg, (0, 0)), (1, draw.again, draw.shift)):
            index = np.flatnonzero(chosen)
            if not len(index):
                continue
            where = to_device(index, self._device)
            tables, halved = self._tensor(draw.tables[time, index]), draw.halved[time, index]
            small[where] = saved_at(small[where], shift, tables, halved)
        return small


def saved_at(
    pictures: Tensor, shift: tuple[int, int], tables: Tensor, halved: NDArray[np.bool_]
) -> Tensor:
    """JPEG of what is left when some rows and columns are cut off first.

    Args:
        pictures, tables, halved: see `vdsr.training.jpeg.compressed`.
        shift: rows and columns.

    Returns:
        The same shape; what was cut off is as it was.
    """
    down, right = shift
    rest = pictures[..., down:, right:]
    whole = torch.nn.functional.pad(rest, (0, right, 0, down), "replicate")
    found = compressed(whole, tables, halved)
    height, width = rest.shape[-2:]
    result = pictures.clone()
    result[..., down:, right:] = found[..., :height, :width]
    return result


def cut_out(pictures: Tensor, places: NDArray[np.int64], side: int) -> Tensor:
    """A square out of each picture.

    Args:
        pictures: `[N, C, H, W]`.
        places: `[N, 2]`: first row and column, px.
        side: px.

    Returns:
        `[N, C, side, side]`.
    """
    count, channels, _, width = pictures.shape
    # Gathered in one go: as many slices as pictures keep a GPU waiting.
    rows, columns = (
        to_device(places[:, axis, None] + np.arange(side), pictures.device) for axis in (0, 1)
    )
    index = rows[:, :, None] * width + columns[:, None, :]
    index = index.view(count, 1, side * side).expand(-1, channels, -1)
    return pictures.flatten(2).gather(2, index).view(count, channels, side, side)
