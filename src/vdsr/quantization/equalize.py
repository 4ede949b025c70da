"""Channels of one range: the same network in float, and less to lose in int8.

A ReLU commutes with positive factors, so that a layer's output channel may be divided by
s and the next layer's input channel multiplied by s. All channels of a layer's input share
one scale in int8; if their ranges differ, the small ones keep few levels.

References:
    M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
    Correction", ICCV 2019, https://arxiv.org/abs/1906.04721: the commuting factors.
    G. Xiao et al., "SmoothQuant", ICML 2023, https://arxiv.org/abs/2211.10438: factors from
    the ranges of activations, to a power that leaves weights a share of the burden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vdsr.model.architecture import Architecture, FloatArray, Layer

# A channel that is never used would be stretched without end.
_WIDEST = 1000.0


def factors(highest: NDArray[np.floating], power: float) -> FloatArray:
    """What every channel is divided by.

    Args:
        highest: `[C]`, the largest value of every channel, 0 or more.
        power: 0 leaves all as they are, 1 makes all ranges equal.

    Returns:
        float32 `[C]`, above 0; the widest channel keeps its range. All 1 if a range is not
        finite.
    """
    if not np.isfinite(highest).all():
        return np.ones(len(highest), np.float32)
    top = max(float(highest.max(initial=0.0)), 1e-30)
    relative = np.maximum(np.asarray(highest, np.float64) / top, 1.0 / _WIDEST)
    found: FloatArray = (relative**power).astype(np.float32)
    return found


def equalize(
    architecture: Architecture, maxima: Sequence[NDArray[np.floating]], power: float = 1.0
) -> Architecture:
    """Bring the channels between layers to one range.

    Args:
        architecture: the layers.
        maxima: of every layer but the last, `[out_channels]`: the largest value of every
            output channel behind its ReLU.
        power: 0 leaves all as they are, 1 makes all ranges equal.

    Returns:
        Layers that give the same, but for float32's rounding.
    """
    layers = list(architecture.layers)
    for i, highest in enumerate(maxima):
        scale = factors(highest, power)
        layers[i], layers[i + 1] = rescale(layers[i], layers[i + 1], scale)
    return replace(architecture, layers=tuple(layers))


def rescale(before: Layer, after: Layer, scale: FloatArray) -> tuple[Layer, Layer]:
    """Divide what is between two layers by `scale`, float32 `[C]`, above 0."""
    bias = None if before.bias is None else before.bias / scale
    return (
        Layer(weight=before.weight / scale[:, None, None, None], bias=bias),
        Layer(weight=after.weight * scale[None, :, None, None], bias=after.bias),
    )
