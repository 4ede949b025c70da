"""Idle channels that take a share of busy ones: nothing in float, finer steps in int8."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from networks import random_layers, waves
from vdsr.inference import backends
from vdsr.model.architecture import Architecture, FloatArray, Layer
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.quantization.convolution import Convolution
from vdsr.quantization.quantizer import Quantized, maxima, quantize
from vdsr.quantization.report import layer_costs
from vdsr.quantization.settings import QuantizationSettings
from vdsr.quantization.split import split

# Behind the first, the second and the third layer.
IDLE = ([1, 4, 5], [], [0, 7])


@pytest.fixture(scope="module")
def patches() -> FloatArray:
    return waves(40, fastest=4, seed=3)


@pytest.fixture(scope="module")
def network() -> Architecture:
    layers = list(random_layers(3, 3, 3, 3, 3, width=8, seed=2))
    for i, channels in enumerate(IDLE):
        bias = np.full(8, 0.2, np.float32)
        bias[channels] = -100.0
        layers[i] = replace(layers[i], bias=bias)
    layers[-1] = replace(layers[-1], weight=layers[-1].weight * np.float32(0.05))
    return Architecture(layers=tuple(layers), residual=True)


def through(before: Layer, after: Layer, x: FloatArray) -> FloatArray:
    return Convolution(after, relu=False)(Convolution(before, relu=True)(x))


def test_in_float_nothing_changes(network: Architecture, patches: FloatArray):
    highest = maxima(network, patches)[0]
    assert [i for i, top in enumerate(highest) if top == 0] == IDLE[0]
    before, after = network.layers[:2]
    new_before, new_after, shift = split(before, after, highest)
    assert np.abs(through(new_before, new_after, patches)).max() > 0.1
    np.testing.assert_allclose(
        through(new_before, new_after, patches), through(before, after, patches), atol=1e-5
    )
    # All are busy now, and shifts of copies are even and add up to nothing.
    assert (Convolution(new_before, relu=True)(patches).max((0, 2, 3)) > 0).all()
    assert shift.sum() == pytest.approx(0.0)
    assert np.abs(shift).max() < 0.5
    assert np.count_nonzero(shift) >= 4


@pytest.mark.parametrize("highest", [np.ones(8), np.zeros(8), np.full(8, np.nan)])
def test_with_none_idle_or_nothing_but_idle_ones_nothing_is_done(
    network: Architecture, highest: FloatArray
):
    before, after, shift = split(*network.layers[:2], highest)
    assert (before, after) == network.layers[:2]
    assert not shift.any()


def test_the_channel_whose_rounding_costs_most_is_copied():
    weight = np.array([1.0, 8.0, 3.0, 9.0, 2.0], np.float32).reshape(1, 5, 1, 1)
    highest = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    before = Layer(
        weight=np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1),
        bias=10 * np.arange(5, dtype=np.float32),
    )
    new_before, after, shift = split(before, Layer(weight=weight, bias=None), highest)
    # 64 -> 16 -> 64 / 9, where 9 -> 9 / 4 would bring more the second time.
    assert new_before.weight.ravel().tolist() == [0, 1, 2, 1, 1]
    assert new_before.bias is not None
    assert new_before.bias.tolist() == [0, 10, 20, 10, 10]
    np.testing.assert_allclose(after.weight.ravel(), [1, 8 / 3, 3, 8 / 3, 8 / 3])
    np.testing.assert_allclose(shift, [0, -1 / 3, 0, 0, 1 / 3], atol=1e-7)


@pytest.mark.parametrize("copies", [2, 3, 4, 5])
def test_copies_have_as_many_times_the_levels(copies: int):
    channels, step = copies + 1, 0.5
    weight = np.ones((1, channels, 1, 1), np.float32)
    weight[0, -1] = 0.0
    highest = np.zeros(channels)
    highest[[0, -1]] = 1.0
    before = Layer(weight=np.ones((channels, 1, 1, 1), np.float32), bias=None)
    before, after, shift = split(before, Layer(weight=weight, bias=None), highest)
    x = np.linspace(0, 20, 40001, dtype=np.float32)
    rounded = np.clip(np.rint(x / step + shift[:, None]), 0, 255) * step
    summed = after.weight.reshape(-1) @ rounded
    assert np.abs(summed - x).max() == pytest.approx(step / 2 / copies, rel=0.02)


def noise(quantized: Quantized, x: FloatArray) -> float:
    """Of the whole network, by the runtime that it is made for."""
    outputs = []
    for precision, layers in (("fp32", {}), ("int8", quantized.layers)):
        architecture = quantized.architecture if layers else quantized.exact
        metadata = ModelMetadata(name="one", precision=precision)
        file = ModelFile(model_bytes(architecture, metadata, quantized=layers), "one")
        backend = backends.open_backend(file, backends.choose(file, "openvino"))
        try:
            outputs.append(backend.run(x))
        finally:
            backend.close()
    return float(np.sqrt(np.square(outputs[1] - outputs[0], dtype=np.float64).mean()))


def test_a_network_with_idle_channels_loses_less(network: Architecture, patches: FloatArray):
    plain, finer = (
        quantize(network, patches, QuantizationSettings(split=on)) for on in (False, True)
    )
    assert not plain.shifts
    # Layer 2 has none idle before it.
    assert sorted(finer.shifts) == [1, 3]
    assert noise(finer, patches) < 0.9 * noise(plain, patches)
    assert finer.digest != plain.digest


def test_a_layers_cost_counts_its_shifts(network: Architecture, patches: FloatArray):
    costs = [
        layer_costs(
            quantize(network, patches, QuantizationSettings(split=on, weight_bits=8)), patches
        )
        for on in (False, True)
    ]
    alone = [{cost.table.layer: cost.alone for cost in one} for one in costs]
    assert alone[1][1] < 0.8 * alone[0][1]
    assert alone[1][3] < 0.8 * alone[0][3]
