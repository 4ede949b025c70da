"""The protocols of damaged pictures: `jpeg:Q`, `noise:S` and `restore-jpeg:Q`.

`jpeg:Q`: as `file`, but the small picture is a JPEG file of quality Q, 1..100.
`noise:S`: as `file`, but normal noise of deviation S levels, 0..100, is added to every sample
    of the small picture, which is then rounded to 8 bits and clipped. The noise of every
    picture is that of `numpy.random.default_rng(0)`.
`restore-jpeg:Q`: the original is a JPEG of quality Q, and is restored in its own size
    (`--restore`). Nothing is shaved. For gray pictures this is what ARCNN (Dong et al., ICCV
    2015) and DnCNN-3 (Zhang et al., TIP 2017) print for classic5 and LIVE1.

JPEGs are those of libjpeg-turbo as libvips writes them: its tables, chroma of half the size
below quality 90.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.evaluation.cases import Case, Network, Plane, Planes, rounded
from vdsr.evaluation.file_protocol import as_picture, as_planes, picture_readings
from vdsr.imaging.color import FULL
from vdsr.imaging.degrade import enlarge, shrink
from vdsr.imaging.files.jpeg_tables import quantization_tables
from vdsr.imaging.jpeg_intervals import share_outside

DAMAGED = ("jpeg:Q", "noise:S", "restore-jpeg:Q")
_NAME = re.compile(r"(jpeg|noise|restore-jpeg):([0-9]+(?:\.[0-9]+)?)")
_LIMITS = {"jpeg": (1, 100), "noise": (0, 100), "restore-jpeg": (1, 100)}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DamagedProtocol:
    """A protocol of damaged pictures.

    Attributes:
        kind: `jpeg`, `noise` or `restore-jpeg`.
        amount: the quality, or the deviation in levels.
    """

    kind: str
    amount: float

    @classmethod
    def parse(cls, name: str) -> DamagedProtocol | None:
        """The protocol of a name like `jpeg:75`; None if it is not such a name.

        Raises:
            UsageError: if it is, with a quality or a deviation that there is not.
        """
        kind, colon, _ = name.partition(":")
        if not colon or kind not in _LIMITS:
            return None
        found = _NAME.fullmatch(name)
        low, high = _LIMITS[kind]
        if found is None or not low <= float(found[2]) <= high:
            raise UsageError(f"{name!r}: {kind}: is followed by a number in {low}..{high}")
        amount = float(found[2])
        if kind != "noise" and amount != int(amount):
            raise UsageError(f"{name!r}: a quality is a whole number")
        return cls(kind, amount)

    @property
    def keeps_size(self) -> bool:
        """Whether nothing is enlarged."""
        return self.kind == "restore-jpeg"


def prepare_damaged(original: Picture, scale: int, protocol: DamagedProtocol) -> Case:
    """Make a picture ready for a protocol.

    Args:
        original: uint8 `[H, W]` or `[H, W, 3]`, both sides multiples of `scale`.
        scale: 2, 3, 4, ...; 1 for `restore-jpeg`.
        protocol: what is done to it.

    Returns:
        A case whose results are uint8 pictures of the shape of `original`.
    """
    low = original if scale == 1 else as_picture(shrink(as_planes(original), scale))
    given, file = damaged(low, protocol)
    steps: NDArray[np.uint16] | None = quantization_tables(file)[0] if file else None
    start = time.perf_counter()
    enlarged = given if scale == 1 else as_picture(enlarge(as_planes(given), scale))
    seconds = time.perf_counter() - start

    def restore(network: Network) -> tuple[Picture, float]:
        return network.picture(file or given, scale)

    border = 0 if scale == 1 else scale
    luma, color = picture_readings(original, given, border)
    return Case(
        bicubic=enlarged,
        bicubic_seconds=seconds,
        restore=restore,
        reading=luma,
        further={"rgb": color},
        outside=None if steps is None else lambda result: _outside(result, given, steps, scale),
    )


def _outside(result: Picture, given: Picture, steps: NDArray[np.uint16], scale: int) -> float:
    """See `vdsr.imaging.jpeg_intervals.share_outside`; percent."""
    planes = as_planes(result)
    small = planes if scale == 1 else shrink(planes, scale)
    return 100.0 * share_outside(_full_luma(small), _full_luma(as_planes(given)), steps)


def _full_luma(planes: Planes) -> Plane:
    return planes[0] if len(planes) == 1 else FULL.luma(planes)


def damaged(picture: Picture, protocol: DamagedProtocol) -> tuple[Picture, bytes]:
    """A picture with the damage of a protocol, in its own size.

    Args:
        picture: uint8 `[H, W]` or `[H, W, 3]`.
        protocol: what is done to it.

    Returns:
        The damaged picture, uint8 of the same shape, and the JPEG file that it was read from;
        empty for noise.
    """
    if protocol.kind == "noise":
        return _noisy(picture, protocol.amount), b""
    file = _jpeg(picture, int(protocol.amount))
    return _decoded(file).reshape(picture.shape), file


def _noisy(picture: Picture, deviation: float) -> Picture:
    noise = np.random.default_rng(0).normal(0.0, deviation, picture.shape)
    return rounded(picture + noise).astype(np.uint8)


def _jpeg(picture: Picture, quality: int) -> bytes:
    kind = "b-w" if picture.ndim == 2 else "srgb"
    image = pyvips.Image.new_from_array(picture).copy(interpretation=kind)
    data: bytes = image.jpegsave_buffer(Q=quality)
    return data


def _decoded(file: bytes) -> Picture:
    pixels: Picture = pyvips.Image.new_from_buffer(file, "").numpy()
    return pixels
