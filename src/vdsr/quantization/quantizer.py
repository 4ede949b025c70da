"""From float layers to int8 ones: ranges, integers, and biases that make up for both.

Layer after layer, quantized networks run beside the float one on the calibration
pictures. Each layer's input range comes from a histogram (`thresholds`), its weights are
fitted anew to the inputs that int8 has left of the layers before, and become integers whose
errors cancel (`weights`), and its bias takes up the mean difference
that is left between the two networks, channel by channel ("bias correction": M. Nagel et
al., ICCV 2019, https://arxiv.org/abs/1906.04721, section 4.2, here with measured inputs).
Only for fitted weights: an error in proportion to the brightness of a picture passes through
ReLUs as a change of gain, of which the residual feels little; a constant that makes up for it
at one brightness does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError, VdsrError
from vdsr.model.architecture import Architecture, FloatArray, Layer
from vdsr.model.graph import QuantizedLayer
from vdsr.quantization.convolution import Convolution
from vdsr.quantization.equalize import equalize
from vdsr.quantization.moments import second_moment
from vdsr.quantization.split import split
from vdsr.quantization.spread import spread
from vdsr.quantization.thresholds import LEVELS, METHODS, Histogram, threshold
from vdsr.quantization.weights import (
    channel_scales,
    compensated,
    nearest,
    refitted,
)

WEIGHT_BITS = (7, 8)
# Patches under the kernel that weights are fitted and rounded for: with fewer, they are
# fitted to chance.
_MOMENT_PIXELS = 500_000


@dataclass(frozen=True, kw_only=True)
class QuantizationSettings:
    """How to quantize.

    Attributes:
        method: how activations are calibrated, one of `METHODS`.
        percentile: for the method of that name, 90..100.
        weight_bits: 7, right on every processor; or 8, which saturate where sums of two
            products are cut off at 16 bits: on x86 without VNNI.
        keep_float: layers that stay in float, by index; None is the first and the last.
        equalize: power by which channels are brought to one range, 0..1; see `equalize`.
        split: let idle channels take a share of those whose rounding costs most; see `split`.
        compensate: fit weights to what int8 makes of their inputs, round them so that their
            errors cancel, and correct the biases; else each weight becomes its nearest
            integer, and biases stay.

    Raises:
        UsageError: for values out of range.
    """

    method: str = "minmax"
    percentile: float = 99.999
    weight_bits: int = 7
    keep_float: tuple[int, ...] | None = None
    equalize: float = 1.0
    split: bool = True
    compensate: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"unknown method {self.method!r}: {', '.join(METHODS)}, or auto")
        if self.weight_bits not in WEIGHT_BITS:
            raise UsageError(f"weights have 8 or 7 bits, not {self.weight_bits}")
        if not 90.0 <= self.percentile <= 100.0:
            raise UsageError(f"a percentile lies in 90..100, not {self.percentile}")
        if not 0.0 <= self.equalize <= 1.0:
            raise UsageError(f"equalization lies in 0..1, not {self.equalize}")


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


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A network in int8.

    Attributes:
        settings: how it was made.
        exact: the network in float32, equalized and split.
        shifts: by how much of a step a layer's input is shifted before it is rounded, float32
            `[in]`, by index of the layer; those that are not there, by nothing. The biases
            before have it already.
        architecture: its layers as they count in int8, with their biases.
        layers: those in int8, by index.
        table: what calibration found, a row per int8 layer.
        pixels: calibration pixels.
    """

    settings: QuantizationSettings
    exact: Architecture
    shifts: Mapping[int, FloatArray]
    architecture: Architecture
    layers: Mapping[int, QuantizedLayer]
    table: tuple[LayerTable, ...]
    pixels: int

    @property
    def digest(self) -> str:
        """SHA-256 of the table of input scales, 64 hexadecimal digits."""
        scales = {str(i): layer.input_scale for i, layer in self.layers.items()}
        text = json.dumps([asdict(self.settings), scales], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def quantize(
    architecture: Architecture, patches: FloatArray, settings: QuantizationSettings
) -> Quantized:
    """Quantize a network.

    Args:
        architecture: its layers.
        patches: float32 `[N, planes, P, P]`, what it takes: bicubically enlarged luma, or Y,
            Cb, Cr, / 255; P a multiple of its fold.
        settings: how.

    Raises:
        UsageError: for layers that do not exist, or if none is left in int8.
        VdsrError: if a layer's input range is 0 or infinite; the layer is named.
    """
    return quantize_variants(architecture, patches, [settings])[0]


def quantize_variants(
    architecture: Architecture, patches: FloatArray, settings: Sequence[QuantizationSettings]
) -> tuple[Quantized, ...]:
    """Quantize a network with several settings, all beside one run of the float network.

    Args:
        architecture, patches: see `quantize`.
        settings: at least one; all share `equalize`, `split` and `keep_float`.

    Returns:
        One for each of the settings, in their order.

    Raises:
        UsageError, VdsrError: see `quantize`.
        ValueError: for settings that do not.
    """
    if len({(one.equalize, one.split, one.keep_float) for one in settings}) != 1:
        raise ValueError("the settings do not share a float network")
    chosen = _chosen(architecture, settings[0])
    pixels, patches = patches.size, architecture.folded(patches)
    architecture, shifts = _prepared(architecture, patches, settings[0], chosen)
    variants = [_Variant(one, patches) for one in settings]
    exact, spare = patches, None
    for i, layer in enumerate(architecture):
        wanted = Convolution(layer, relu=False)(exact, spare)
        histogram = Histogram.of(exact) if i in chosen else None
        # What is infinite is named where the next layer finds no scale for it.
        with np.errstate(invalid="ignore"):
            for variant in variants:
                variant.append(i, layer, exact, wanted, histogram, shifts.get(i))
        spare = exact if i else None
        exact = np.maximum(wanted, 0.0, out=wanted)
    return tuple(
        Quantized(
            settings=variant.settings,
            exact=architecture,
            shifts=shifts,
            architecture=replace(architecture, layers=tuple(variant.layers)),
            layers=variant.quantized,
            table=tuple(variant.table),
            pixels=pixels,
        )
        for variant in variants
    )


def _prepared(
    architecture: Architecture,
    patches: FloatArray,
    settings: QuantizationSettings,
    chosen: set[int],
) -> tuple[Architecture, dict[int, FloatArray]]:
    """Channels of one range, idle ones put to work: the network, and shifts of layers' inputs."""
    shifts: dict[int, FloatArray] = {}
    if not settings.equalize and not settings.split:
        return architecture, shifts
    highest = _maxima(architecture, patches)
    if settings.equalize:
        architecture = equalize(architecture, highest, settings.equalize)
    layers = list(architecture)
    for i in sorted(chosen) if settings.split else ():
        layers[i - 1], layers[i], shift = split(layers[i - 1], layers[i], highest[i - 1])
        if shift.any():
            shifts[i] = shift
    return replace(architecture, layers=tuple(layers)), shifts


class _Variant:
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


def _chosen(architecture: Architecture, settings: QuantizationSettings) -> set[int]:
    """Layers that become int8."""
    last = architecture.depth - 1
    kept = (0, last) if settings.keep_float is None else settings.keep_float
    unknown = [i for i in kept if not 0 <= i <= last]
    if unknown:
        raise UsageError(f"there is no layer {unknown[0]}: layers are 0 to {last}")
    # The first layer's input is the picture, which no ReLU has made positive.
    chosen = set(range(1, architecture.depth)) - set(kept)
    if not chosen:
        raise UsageError("all layers are kept in float: nothing is left to quantize")
    return chosen


def maxima(architecture: Architecture, patches: FloatArray) -> list[FloatArray]:
    """Largest value of every channel behind every layer but the last.

    Args:
        architecture, patches: see `quantize`.
    """
    return _maxima(architecture, architecture.folded(patches))


def _maxima(architecture: Architecture, x: FloatArray) -> list[FloatArray]:
    found = []
    for layer in architecture.layers[:-1]:
        x = Convolution(layer, relu=True)(x)
        found.append(x.max((0, 2, 3)))
    return found


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
    """A layer in int8, for inputs like `x`, multiples of `step`, in the stead of `exact`."""
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
