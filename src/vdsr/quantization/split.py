"""Idle channels put to work: copies of those whose rounding costs most.

A channel that is 0 on all calibration pictures is computed for nothing. In its place a busy
channel is computed twice, the next layer takes half of each, and in float nothing changes.
In int8 the copies are rounded a fraction of a step apart, so that their sum has as many
times the levels as there are copies, and the weights to them, divided among them, leave
finer steps to the others.

References:
    R. Zhao et al., "Improving Neural Network Quantization without Retraining using Outlier
    Channel Splitting", ICML 2019, https://arxiv.org/abs/1901.09504: copies, and the
    fractions that they are rounded apart. There the layers grow; here they do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vdsr.model.architecture import FloatArray, Layer


def split(
    before: Layer, after: Layer, highest: NDArray[np.floating]
) -> tuple[Layer, Layer, FloatArray]:
    """Give the idle channels between two layers to the others.

    Args:
        before, after: the layers, with a ReLU between them.
        highest: `[C]`, the largest value of every channel on the calibration pictures.

    Returns:
        Layers that give the same where the idle channels are 0, but for float32's rounding;
        and float32 `[C]`: by how much of a step every channel is to be shifted before it is
        rounded, above -0.5 and below 0.5.
    """
    idle = np.flatnonzero(highest <= 0.0)
    source = np.arange(len(highest))
    shift = np.zeros(len(highest), np.float32)
    if 0 < len(idle) < len(highest):
        copies = _copies(after, idle)
        free = iter(idle)
        for channel in np.flatnonzero(copies > 1):
            number = copies[channel]
            group = [channel, *(next(free) for _ in range(number - 1))]
            source[group] = channel
            shift[group] = (np.arange(number) + 0.5) / number - 0.5
        # Copies of themselves, idle channels divide nothing.
        share: FloatArray = np.reciprocal(np.bincount(source)[source], dtype=np.float32)
        before = Layer(
            weight=before.weight[source],
            bias=None if before.bias is None else before.bias[source],
        )
        after = Layer(weight=after.weight[:, source] * share[:, None, None], bias=after.bias)
    return before, after, shift


def _copies(after: Layer, idle: NDArray[np.intp]) -> NDArray[np.int64]:
    """How often every channel is computed, `[C]`; as many more in all as are idle.

    All channels are rounded by one step: what that costs behind the next layer goes with the
    squares of its weights, and with n copies is 1 / n^2 of it.
    """
    cost = np.square(after.weight, dtype=np.float64).sum((0, 2, 3))
    cost[idle] = 0.0
    copies = np.ones(len(cost), np.int64)
    for _ in idle:
        gain = cost * (1.0 / copies**2 - 1.0 / (copies + 1.0) ** 2)
        copies[np.argmax(gain)] += 1
    return copies
