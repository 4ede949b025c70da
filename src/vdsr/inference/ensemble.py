"""The eight flips and rotations of what a network sees, averaged: self-ensemble.

Timofte, Rothe and Van Gool, "Seven ways to improve example-based single image super
resolution", CVPR 2016. It costs eight runs of the network.
"""

from __future__ import annotations

import numpy as np

from vdsr.inference.tiling import Run, filled
from vdsr.model.architecture import FloatArray


def ensembled(run: Run, fold: int) -> Run:
    """A network that is run on a tile in eight positions.

    A tile turned with its halo gives what the turned whole picture gives there, so tiles
    still equal the whole to rounding.

    Args:
        run: the network, float32 `[N, planes, H, W]` to the same.
        fold: of the network. What does not fill a square is filled before a tile is
            turned, so that its squares stay the same pixels.

    Returns:
        A function of the same shape.
    """

    def average(y: FloatArray) -> FloatArray:
        height, width = y.shape[-2:]
        given = filled(y, fold)
        total = np.zeros_like(given)
        for turned in (False, True):
            for down in (1, -1):
                for right in (1, -1):
                    one = given[..., ::down, ::right]
                    if turned:
                        made = run(np.ascontiguousarray(one.swapaxes(-1, -2))).swapaxes(-1, -2)
                    else:
                        made = run(np.ascontiguousarray(one))
                    total += made[..., ::down, ::right]
        total *= np.float32(1 / 8)
        return total[..., :height, :width]

    return average
