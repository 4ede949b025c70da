"""From float layers to int8 ones: ranges, integers, and biases that make up for both.

Layer after layer, quantized networks (`variant`) run beside the float one on the calibration
pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from vdsr.errors import UsageError
from vdsr.model.architecture import Architecture, FloatArray
from vdsr.model.graph import QuantizedLayer
from vdsr.quantization.convolution import Convolution
from vdsr.quantization.equalize import equalize
from vdsr.quantization.settings import QuantizationSettings
from vdsr.quantization.split import split
from vdsr.quantization.thresholds import Histogram
from vdsr.quantization.variant import LayerTable, Variant


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
    variants = [Variant(one, patches) for one in settings]
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
