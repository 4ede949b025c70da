"""Small cut-outs of a result, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.evaluation.cases import Case, Picture, Planes, rounded

SIDE = 96
RESIDUAL_GAIN = 4.0
_STEP = 8


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """The same window of four pictures, each uint8 `[h, w]` or `[h, w, 3]`.

    Attributes:
        original, bicubic, result: as they are.
        residual: what was added to bicubic, times `RESIDUAL_GAIN`, around 128.
    """

    original: NDArray[np.uint8]
    bicubic: NDArray[np.uint8]
    result: NDArray[np.uint8]
    residual: NDArray[np.uint8]


def cut_out(case: Case, result: Picture) -> Cutout:
    """Cut out the window in which bicubic interpolation errs most.

    Args:
        case: the picture.
        result: what a network made of it.
    """
    reading = case.shown
    bicubic, restored = reading.view(case.bicubic), reading.view(result)
    top, left = _worst(np.mean((bicubic - reading.original) ** 2, axis=0))

    def cut(planes: Planes) -> NDArray[np.uint8]:
        window = rounded(planes[:, top : top + SIDE, left : left + SIDE]).astype(np.uint8)
        return window[0] if len(window) == 1 else window.transpose(1, 2, 0)

    return Cutout(
        original=cut(reading.original),
        bicubic=cut(bicubic),
        result=cut(restored),
        residual=cut((restored - bicubic) * RESIDUAL_GAIN + 128.0),
    )


def _worst(error: NDArray[np.float64]) -> tuple[int, int]:
    """Top and left of the window with the largest sum, on a coarse grid."""
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    height, width = (min(SIDE, side) for side in error.shape)
    total = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
        + sums[:-height, :-width]
    )  # fmt: skip
    coarse = total[::_STEP, ::_STEP]
    row, column = np.unravel_index(int(np.argmax(coarse)), coarse.shape)
    return int(row) * _STEP, int(column) * _STEP
