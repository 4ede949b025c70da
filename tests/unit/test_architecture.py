"""Counts of parameters, work and sight."""

from __future__ import annotations

import numpy as np
import pytest

from networks import random_layers
from vdsr.errors import ModelError
from vdsr.model.architecture import Architecture, Layer


def test_vdsr_without_biases_as_published():
    net = Architecture(layers=random_layers(*[3] * 20, bias=False), residual=True)
    assert net.parameters == 664_704
    assert net.macs(256, 256) == 664_704 * 65_536
    assert round(net.macs(256, 256) / 1e9, 3) == 43.562
    assert round(net.flops(256, 256) / 1e9, 3) == 87.124
    assert round(net.flops_with_bias_convention(256, 256) / 1e9, 3) == 96.805
    assert (net.depth, net.width, net.halo, net.receptive_field) == (20, 64, 20, 41)


def test_biases_count_as_parameters_and_not_as_work():
    net = Architecture(layers=random_layers(*[3] * 20), residual=True)
    assert net.parameters == 665_921
    assert net.macs_per_pixel == 664_704


def test_srcnn_9_5_5():
    shapes = [(64, 1, 9, 9), (32, 64, 5, 5), (1, 32, 5, 5)]
    layers = tuple(Layer(weight=np.zeros(s, np.float32)) for s in shapes)
    net = Architecture(layers=layers, residual=False)
    assert (net.parameters, net.halo, net.receptive_field, net.width) == (57_184, 8, 17, 64)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "at least one layer"),
        ([(4, 2, 3, 3)], "takes 2 channels, but gets 1"),
        ([(4, 1, 3, 3), (1, 5, 3, 3)], "layer 1 takes 5 channels, but gets 4"),
        ([(4, 1, 3, 3)], "gives 4 channels"),
    ],
)
def test_layers_that_do_not_fit(shapes, message: str):
    layers = tuple(Layer(weight=np.zeros(s, np.float32)) for s in shapes)
    with pytest.raises(ModelError, match=message):
        Architecture(layers=layers, residual=True)


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (1, 1, 3, 5), (1, 1, 3)])
def test_kernels_are_odd_squares(shape):
    with pytest.raises(ModelError, match="k odd"):
        Layer(weight=np.zeros(shape, np.float32))


def test_a_bias_has_one_number_per_output():
    with pytest.raises(ModelError, match="bias"):
        Layer(weight=np.zeros((2, 1, 3, 3), np.float32), bias=np.zeros(3, np.float32))


def test_srcnn_9_1_5_as_published():
    net = Architecture(layers=srcnn_9_1_5(), residual=False)
    # Dong et al., 2014: 8,032 weights, a receptive field of 13 px.
    assert (net.macs_per_pixel, net.parameters) == (8032, 8032 + 64 + 32 + 1)
    assert (net.halo, net.receptive_field) == (6, 13)


def srcnn_9_1_5() -> tuple[Layer, ...]:
    shapes = [(64, 1, 9, 9), (32, 64, 1, 1), (1, 32, 5, 5)]
    return tuple(
        Layer(weight=np.zeros(s, np.float32), bias=np.zeros(s[0], np.float32)) for s in shapes
    )
