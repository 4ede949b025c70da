"""Networks that tests make, seeded, small, or doing nothing; and what they are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vdsr.model.architecture import Architecture, Layer, shape_of
from vdsr.model.file import ModelFile
from vdsr.model.graph import QuantizedLayer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes


def random_layers(
    *kernels: int,
    width: int = 64,
    bias: bool = True,
    seed: int = 0,
    fold: int = 1,
    planes: int = 1,
) -> tuple[Layer, ...]:
    """He-initialized layers with these kernels."""
    rng = np.random.default_rng(seed)
    end = planes * fold**2
    channels = [end, *[width] * (len(kernels) - 1), end]
    layers = []
    for k, a, b in zip(kernels, channels[:-1], channels[1:], strict=True):
        deviation = np.sqrt(2.0 / (k * k * a))
        layers.append(
            Layer(
                weight=rng.normal(0, deviation, (b, a, k, k)).astype(np.float32),
                bias=rng.normal(0, 0.02, b).astype(np.float32) if bias else None,
            )
        )
    return tuple(layers)


def waves(side: int, *, fastest: float, seed: int) -> np.ndarray:
    """Twelve smooth patches, float32 `[12, 1, side, side]`, 0.1..0.9."""
    y, x = np.mgrid[:side, :side] / side
    slopes = np.random.default_rng(seed).uniform(-fastest, fastest, (12, 3))
    found = [0.5 + 0.4 * np.sin(2 * np.pi * (a * y + b * x + c)) for a, b, c in slopes]
    return np.stack(found)[:, None].astype(np.float32)


def model(layers: tuple[Layer, ...], *, residual: bool = True, luma: str = "studio") -> ModelFile:
    """These layers as a model file in memory; their channels say fold and planes."""
    fold, planes = shape_of(layers[0].in_channels) or (1, 1)
    architecture = Architecture(layers=layers, residual=residual, fold=fold, planes=planes)
    metadata = ModelMetadata(name="test", residual=residual, luma=luma, fold=fold, planes=planes)
    return ModelFile(model_bytes(architecture, metadata), "test")


def vdsr_20(*, bias: bool = True, seed: int = 0) -> ModelFile:
    """A random VDSR of full size, scaled so that its output stays of the order of 1."""
    return model(_calmed(random_layers(*[3] * 20, bias=bias, seed=seed)))


def zero_network(depth: int = 3, width: int = 4) -> ModelFile:
    """A network that adds nothing: what it gives is bicubic."""
    layers = random_layers(*[3] * depth, width=width, bias=False)
    return model((*layers[:-1], Layer(weight=np.zeros_like(layers[-1].weight))))


def small_network(seed: int = 0, *, fold: int = 1, planes: int = 1) -> ModelFile:
    """Four layers of eight channels with a visible residual."""
    layers = random_layers(3, 3, 3, 3, width=8, seed=seed, fold=fold, planes=planes)
    return model(_calmed(layers))


def _calmed(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The same with a tenth of the residual."""
    last = Layer(weight=layers[-1].weight * np.float32(0.1), bias=layers[-1].bias)
    return (*layers[:-1], last)


def int8_network(seed: int = 0) -> ModelFile:
    """`small_network` with its inner layers in int8, calibrated for luma in 0..1."""
    source = small_network(seed)
    architecture = source.architecture
    quantized = {}
    for i in range(1, architecture.depth - 1):
        weight = architecture.layers[i].weight
        scale = np.abs(weight).max((1, 2, 3)) / np.float32(127)
        integers = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        quantized[i] = QuantizedLayer(
            input_scale=float(np.float32(6.0 / 255)), weight=integers, weight_scale=scale
        )
    metadata = replace(source.metadata, precision="int8")
    return ModelFile(model_bytes(architecture, metadata, quantized=quantized), "test")
