"""One picture under one protocol: what is restored, and what is compared with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.degrade import shrink
from vdsr.imaging.metrics import psnr, ssim
from vdsr.model.architecture import FloatArray

Plane = NDArray[np.float64]
Planes = NDArray[np.float64]
Picture = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Score:
    """PSNR in dB and SSIM of one picture."""

    psnr: float
    ssim: float


class Network(Interface):
    """What restores: a model on a backend, or a stand-in in tests.

    Attributes:
        model_luma: range of the luma that it takes and gives, `studio` or `full`.
        planes: 1 if it takes luma; 3 if Y, Cb, Cr. Then `luma` takes all three, and gives
            the first.
    """

    model_luma: str
    planes: int

    def luma(self, y: FloatArray) -> FloatArray:
        """Restore luma / 255, float32 `[H, W]` (or `[3, H, W]`, see `planes`), to `[H, W]`."""
        ...

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """Enlarge a picture from file to file.

        Args:
            low: uint8 `[h, w]` or `[h, w, 3]`; or a JPEG file.
            scale: 2, 3, 4, ...; 1 restores the picture in its own size.

        Returns:
            uint8 `[h x scale, w x scale]` or `[..., 3]`, and the seconds it took.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to look at a result.

    Attributes:
        view: from a result to float64 `[C, H, W]` on the scale of 0..255, rounded or not.
        original: float64 `[C, H, W]` in 0..255, what it is compared with.
        low: float64 `[C, H / scale, W / scale]`, the original shrunk, for consistency;
            None where the protocol has no such picture.
        border: px shaved off before comparing.
    """

    view: Callable[[Picture], Planes]
    original: Planes
    low: Planes | None
    border: int

    def score(self, result: Picture) -> Score:
        """PSNR over all planes together, SSIM as the mean over the planes.

        Raises:
            ValueError: for pictures too small to be measured.
        """
        planes = self.view(result)
        values = [
            ssim(plane, original, data_range=255.0, border=self.border)
            for plane, original in zip(planes, self.original, strict=True)
        ]
        return Score(
            psnr=psnr(planes, self.original, data_range=255.0, border=self.border),
            ssim=float(np.mean(values)),
        )

    def consistency(self, result: Picture) -> float | None:
        """PSNR of the result, shrunk again, against the picture it was made from.

        Returns:
            dB, nothing shaved; None where there is no such picture.
        """
        if self.low is None:
            return None
        scale = self.original.shape[-1] // self.low.shape[-1]
        shrunk: Planes = shrink(self.view(result), scale)
        return psnr(shrunk, self.low, data_range=255.0, border=0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A picture made ready under a protocol.

    Attributes:
        bicubic: the result of mere interpolation.
        bicubic_seconds: what it took.
        restore: from a network to its result, and the seconds that it took.
        reading: what `psnr` and `ssim` stand for.
        further: other readings of the same result, by a suffix: `rgb` gives `psnr_rgb`.
        outside: of a result, how much of it contradicts the JPEG that it was made from, see
            `vdsr.imaging.jpeg_intervals`, percent; None where it was made from no JPEG.
    """

    bicubic: Picture
    bicubic_seconds: float
    restore: Callable[[Network], tuple[Picture, float]]
    reading: Reading
    further: Mapping[str, Reading] = field(default_factory=dict)
    outside: Callable[[Picture], float] | None = None

    @property
    def shown(self) -> Reading:
        """The reading to be looked at: the one in color, if there is one."""
        return max((self.reading, *self.further.values()), key=lambda r: len(r.original))

    @property
    def pixels(self) -> int:
        """Number of px of a result."""
        return int(np.prod(self.reading.original.shape[-2:]))


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """As MATLAB's uint8(): to nearest, halves up, clipped to 0..255."""
    return np.clip(np.floor(values + 0.5), 0.0, 255.0)


def clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clipped to 0..255, not rounded."""
    return np.clip(values, 0.0, 255.0)
