"""From float layers to int8 ones: ranges, integers, and biases that make up for both.

Layer after layer, the quantised network runs beside the float one on the calibration
pictures. Each layer's input range comes from a histogram (`thresholds`), its weights
become integers whose errors cancel (`weights`), and its bias takes up the mean difference
that is left between the two networks, channel by channel ("bias correction": M. Nagel et
al., ICCV 2019, https://arxiv.org/abs/1906.04721, section 4.2, here with measured inputs).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from vdsr.deployment.onnx_file import QuantizedLayer
from vdsr.deployment.quantization.convolution import Convolution
from vdsr.deployment.quantization.equalize import equalize
from vdsr.deployment.quantization.thresholds import LEVELS, METHODS, Histogram, threshold
from vdsr.deployment.quantization.weights import (
    channel_scales,
    compensated,
    nearest,
    second_moment,
)
from vdsr.errors import UsageError, VdsrError
from vdsr.inference.architecture import Architecture, FloatArray, Layer

WEIGHT_BITS = (7, 8)
# Patches under the kernel that weights are rounded for: more change nothing.
_MOMENT_PIXELS = 100_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to quantise.

    Attributes:
        method: how activations are calibrated, one of `METHODS`.
        percentile: for the method of that name, 90..100.
        weight_bits: 8, or 7 for CPUs without VNNI, where sums of two products saturate.
        keep_float: layers that stay in float, by index; None is the first and the last.
        equalize: power by which channels are brought to one range, 0..1; see `equalize`.
        compensate: round weights so that their errors cancel, instead of each to its nearest.

    Raises:
        UsageError: for values out of range.
    """

    method: str = "minmax"
    percentile: float = 99.999
    weight_bits: int = 8
    keep_float: tuple[int, ...] | None = None
    equalize: float = 1.0
    compensate: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"unknown method {self.method!r}: {', '.join(METHODS)}, or auto")
        if self.weight_bits not in WEIGHT_BITS:
            raise UsageError(f"weights have 8 or 7 bits, not {self.weight_bits}")
        if not 90.0 <= self.percentile <= 100.0:
            raise UsageError(f"a percentile lies in 90..100, not {self.percentile}")
        if not 0.0 <= self.equalize <= 1.0:
            raise UsageError(f"equalisation lies in 0..1, not {self.equalize}")


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
        exact: the network in float32, equalised.
        architecture: its layers as they count in int8, with corrected biases.
        layers: those in int8, by index.
        table: what calibration found, a row per int8 layer.
        pixels: calibration pixels.
    """

    settings: Settings
    exact: Architecture
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


def quantize(architecture: Architecture, patches: FloatArray, settings: Settings) -> Quantized:
    """Quantise a network.

    Args:
        architecture: its layers.
        patches: float32 `[N, 1, P, P]`, what it takes: bicubically enlarged luma / 255.
        settings: how.

    Raises:
        UsageError: for layers that do not exist, or if none is left in int8.
        VdsrError: if a layer's input range is 0 or infinite; the layer is named.
    """
    chosen = _chosen(architecture, settings)
    if settings.equalize:
        architecture = equalize(architecture, maxima(architecture, patches), settings.equalize)
    exact = rough = patches
    layers, quantized, table = [], {}, []
    for i, layer in enumerate(architecture):
        wanted = Convolution(layer, relu=False)(exact)
        used = layer
        if i in chosen:
            histogram = Histogram.of(exact)
            step, limit = _step(i, histogram, settings)
            rough = _rounded(rough, step)
            quantized[i] = _integers(layer, rough, step, settings)
            used = Layer(weight=_float(quantized[i]), bias=layer.bias)
        given = Convolution(used, relu=False)(rough)
        if layer.bias is not None:
            # All pixels at once, in float64: the mean of a million small numbers.
            shift = (wanted - given).mean((0, 2, 3), dtype=np.float64).astype(np.float32)
            given += shift[:, None, None]
            used = Layer(weight=used.weight, bias=layer.bias + shift)
        layers.append(used)
        if i in chosen:
            table.append(
                LayerTable(
                    layer=i,
                    highest=histogram.highest,
                    threshold=limit,
                    clipped=histogram.share_above(limit),
                    input_noise=_noise(rough, exact),
                    output_noise=_noise(given, wanted),
                )
            )
        exact, rough = np.maximum(wanted, 0.0), np.maximum(given, 0.0)
    return Quantized(
        settings=settings,
        exact=architecture,
        architecture=Architecture(layers=tuple(layers), residual=architecture.residual),
        layers=quantized,
        table=tuple(table),
        pixels=patches.size,
    )


def _step(i: int, histogram: Histogram, settings: Settings) -> tuple[float, float]:
    """The scale of a layer's input, and what becomes 255."""
    limit = threshold(histogram, settings.method, percentile=settings.percentile)
    # In the file it is a float32, and must be neither 0 nor infinite there.
    with np.errstate(over="ignore"):
        step = float(np.float32(limit / (LEVELS - 1)))
    if not np.isfinite(step) or not step > 0.0:
        raise VdsrError(
            f"layer {i}: its input reaches {histogram.highest:g} on the calibration pictures,"
            " which gives no scale: take other pictures, or --keep-float this layer"
        )
    return step, limit


def _chosen(architecture: Architecture, settings: Settings) -> set[int]:
    """Layers that become int8."""
    last = architecture.depth - 1
    kept = (0, last) if settings.keep_float is None else settings.keep_float
    unknown = [i for i in kept if not 0 <= i <= last]
    if unknown:
        raise UsageError(f"there is no layer {unknown[0]}: layers are 0 to {last}")
    # The first layer's input is the picture, which no ReLU has made positive.
    chosen = set(range(1, architecture.depth)) - set(kept)
    if not chosen:
        raise UsageError("all layers are kept in float: nothing is left to quantise")
    return chosen


def maxima(architecture: Architecture, patches: FloatArray) -> list[FloatArray]:
    """Largest value of every channel behind every layer but the last."""
    x, found = patches, []
    for layer in architecture.layers[:-1]:
        x = Convolution(layer, relu=True)(x)
        found.append(x.max((0, 2, 3)))
    return found


def _rounded(x: FloatArray, step: float) -> FloatArray:
    """What uint8 leaves of an input."""
    units = np.rint(x / np.float32(step))
    rounded: FloatArray = np.clip(units, 0, LEVELS - 1) * np.float32(step)
    return rounded


def _integers(layer: Layer, x: FloatArray, step: float, settings: Settings) -> QuantizedLayer:
    """A layer in int8, for inputs like `x`, which are multiples of `step`."""
    bits = settings.weight_bits
    scale = channel_scales(layer.weight, bits)
    if settings.compensate:
        every = max(1, x[:, 0].size // _MOMENT_PIXELS)
        weight = compensated(layer.weight, scale, bits, second_moment(x[::every], layer.kernel))
    else:
        weight = nearest(layer.weight, scale, bits)
    return QuantizedLayer(input_scale=step, weight=weight, weight_scale=scale)


def _float(layer: QuantizedLayer) -> FloatArray:
    weight: FloatArray = layer.weight * layer.weight_scale[:, None, None, None]
    return weight


def _noise(given: FloatArray, wanted: FloatArray) -> float:
    """Root mean square of the difference, over that of what is wanted."""
    power = np.square(wanted).mean(dtype=np.float64)
    return float(np.sqrt(np.square(given - wanted).mean(dtype=np.float64) / max(power, 1e-30)))
