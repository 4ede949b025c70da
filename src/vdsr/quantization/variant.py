"""One network in int8, made layer by layer beside the float one.

Each layer's input range comes from a histogram (`thresholds`), its weights are refitted to
the inputs that int8 has left of the layers before, and become integers whose errors cancel
(`weights`), and its bias takes up the mean difference that is left between the two networks,
channel by channel ("bias correction": M. Nagel et al., ICCV 2019,
https://arxiv.org/abs/1906.04721, section 4.2, here with measured inputs). Only for fitted
weights: an error in proportion to the brightness of a picture passes through ReLUs as a change
of gain, of which the residual feels little; a constant that makes up for it at one brightness
does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import VdsrError
from vdsr.model.architecture import FloatArray, Layer
from vdsr.model.graph import QuantizedLayer
from vdsr.quantization.convolution import Convolution
from vdsr.quantization.moments import second_moment
from vdsr.quantization.settings import QuantizationSettings
from vdsr.quantization.spread import spread
from vdsr.quantization.thresholds import LEVELS, Histogram, threshold
from vdsr.quantization.weights import channel_scales, compensated, nearest, refitted

# Patches under the kernel that weights are fitted and rounded for: with fewer, they are
# fitted to chance.
_MOMENT_PIXELS = 500_000


@dataclass(frozen=True, kw_only=True)
class LayerTable:
    """What calibration found for one int8 layer.

    Attributes:
        layer: index.
        highest: largest input seen in the float network.
        threshold: what becomes 255.
        clipped: share of the positive inputs beyond it, 0..1.
        input_noise: rms error of the layer's input over the rms input: rounding, clipping
            and what the layers before added.
        output_noise: the same of the layer's output, before its ReLU.
    """

    layer: int
    highest: float
    threshold: float
    clipped: float
    input_noise: float
    output_noise: float


class Variant:
    """A network in int8 as it grows, layer by layer.

    Args:
        settings: how it is quantized.
        patches: float32 `[N, in, P, P]`, what the first layer takes.

    Attributes:
        layers, quantized, table: see `Quantized`; of the layers so far.
    """

    def __init__(self, settings: QuantizationSettings, patches: FloatArray) -> None:
        self.settings = settings
        self.layers: list[Layer] = []
        self.quantized: dict[int, QuantizedLayer] = {}
        self.table: list[LayerTable] = []
        self._x = patches

    def append(
        self,
        i: int,
        layer: Layer,
        exact: FloatArray,
        wanted: FloatArray,
        histogram: Histogram | None,
        shift: FloatArray | None,
    ) -> None:
        """Quantize one layer more, or take it in float.

        Args:
            i: its index.
            layer: as it is in the float network.
            exact, wanted: its input and output there, `[N, in, P, P]` and `[N, out, P, P]`.
            histogram: of `exact`; None if the layer stays in float.
            shift: of its input, in steps; see `Quantized.shifts`.
        """
        weight, bias = layer.weight, layer.bias
        if histogram is not None:
            step, limit = _step(i, histogram, self.settings)
            if shift is not None:
                self._shift(shift * np.float32(step))
            # Not the patches, which are shared: the first layer is never in int8.
            _round(self._x, step)
            input_noise = _noise(self._x, exact)
            self.quantized[i] = _integers(layer, self._x, exact, step, self.settings)
            weight = float_weight(self.quantized[i])
        elif self.quantized and self.settings.compensate:
            weight = _refitted(layer, self._x, exact)[0]
        convolution = Convolution(Layer(weight=weight, bias=bias), relu=False)
        given = convolution(self._x, self._x if i else None)
        if self.settings.compensate:
            lost = _mean_difference(wanted, given)
            given += lost[:, None, None]
            bias = lost if bias is None else bias + lost
        self.layers.append(Layer(weight=weight, bias=bias))
        if histogram is not None:
            self.table.append(
                LayerTable(
                    layer=i,
                    highest=histogram.highest,
                    threshold=limit,
                    clipped=histogram.share_above(limit),
                    input_noise=input_noise,
                    output_noise=_noise(given, wanted),
                )
            )
        self._x = np.maximum(given, 0.0, out=given)

    def _shift(self, amount: FloatArray) -> None:
        """Shift the channels behind the last layer so far, by less than half a step."""
        before = self.layers[-1]
        bias = amount if before.bias is None else before.bias + amount
        self.layers[-1] = Layer(weight=before.weight, bias=bias)
        # Behind the ReLU it does the same: what that has cut is rounded to 0 either way.
        self._x += amount[:, None, None]


def _step(i: int, histogram: Histogram, settings: QuantizationSettings) -> tuple[float, float]:
    """The scale of a layer's input, and what becomes 255."""
    limit = threshold(histogram, settings.method, percentile=settings.percentile)
    # In the file it is a float32, and must be neither 0 nor infinite there.
    with np.errstate(over="ignore"):
        step = float(np.float32(limit / (LEVELS - 1)))
    if not np.isfinite(step) or not step > 0.0:
        raise VdsrError(
            f"layer {i}: its input reaches {histogram.highest:g} on the calibration pictures,"
            " which gives no scale: take other pictures, or keep this layer in float"
        )
    return step, limit


def _round(x: FloatArray, step: float) -> None:
    """Leave of a layer's input what uint8 leaves of it."""
    np.divide(x, np.float32(step), out=x)
    np.rint(x, out=x)
    np.clip(x, 0, LEVELS - 1, out=x)
    np.multiply(x, np.float32(step), out=x)


def float_weight(layer: QuantizedLayer) -> FloatArray:
    """The weight that a layer's integers stand for: float32 `[out, in, k, k]`."""
    weight: FloatArray = layer.weight * layer.weight_scale[:, None, None, None]
    return weight


def _integers(
    layer: Layer, x: FloatArray, exact: FloatArray, step: float, settings: QuantizationSettings
) -> QuantizedLayer:
    """A layer in int8, for inputs like `x`, multiples of `step`, in place of `exact`."""
    bits, weight = settings.weight_bits, layer.weight
    if settings.compensate:
        weight, second = _refitted(layer, x, exact)
        scale = channel_scales(weight, bits)
        integers = compensated(weight, scale, bits, second)
    else:
        scale = channel_scales(weight, bits)
        integers = nearest(weight, scale, bits)
    return QuantizedLayer(input_scale=step, weight=integers, weight_scale=scale)


def _refitted(
    layer: Layer, x: FloatArray, exact: FloatArray
) -> tuple[FloatArray, NDArray[np.float64]]:
    """The float weight that makes the best of `x`, and the second moment of `x`."""
    some = spread(len(x))[: -(-_MOMENT_PIXELS // x[0, 0].size)]
    given = x[some]
    both = second_moment(np.concatenate([given, exact[some] - given], 1), layer.kernel)
    size = len(both) // 2
    second, cross = both[:size, :size], both[size:, :size]
    return refitted(layer.weight, second, cross), second


def _mean_difference(wanted: FloatArray, given: FloatArray) -> FloatArray:
    """By channel, in float64: the mean of a million small numbers."""
    total = np.zeros(wanted.shape[1])
    for one, other in zip(wanted, given, strict=True):
        total += (one - other).sum((1, 2), dtype=np.float64)
    found: FloatArray = (total / (wanted.size // len(total))).astype(np.float32)
    return found


def _noise(given: FloatArray, wanted: FloatArray) -> float:
    """Root mean square of the difference, over that of what is wanted."""
    error = power = 0.0
    for one, other in zip(given, wanted, strict=True):
        error += float(np.square(one - other).sum(dtype=np.float64))
        power += float(np.square(other).sum(dtype=np.float64))
    return float(np.sqrt(error / max(power, 1e-30)))
