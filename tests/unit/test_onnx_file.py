"""Model files written from layers: exact, deterministic, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch.nn import functional

import vdsr
from vdsr.checkpoints.reader import read_checkpoint
from vdsr.errors import MissingExtra, OutputError, UsageError
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.file import load_model, verify_digest
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes, write_model

METADATA = ModelMetadata(
    name="tiny",
    version="3",
    scales=(2, 4),
    luma="full",
    training_data="noise",
    license="CC0-1.0",
    recipe="none",
    psnr={"Set5 x2 paper": 33.66, "Set5 x4 paper": 28.421},
)
PLAIN = ModelMetadata(name="plain", residual=False)


def chain(*channels, kernels=None, bias=True, residual=True):
    rng = np.random.default_rng(0)
    kernels = kernels or [3] * (len(channels) - 1)
    layers = []
    for inner, outer, k in zip(channels[:-1], channels[1:], kernels, strict=True):
        weight = rng.normal(size=(outer, inner, k, k)).astype(np.float32)
        values = rng.normal(size=outer).astype(np.float32)
        layers.append(Layer(weight=weight, bias=values if bias else None))
    return Architecture(layers=tuple(layers), residual=residual)


CHAINS = {
    "with biases": (chain(1, 4, 4, 1), METADATA),
    "without biases": (chain(1, 4, 4, 1, bias=False), METADATA),
    "SRCNN": (chain(1, 6, 3, 1, kernels=[9, 1, 5], residual=False), PLAIN),
    "one layer": (chain(1, 1), METADATA),
    "one layer, not residual": (chain(1, 1, bias=False, residual=False), PLAIN),
}


def assert_same(read, written):
    assert read.residual == written.residual
    assert read.depth == written.depth
    for a, b in zip(read, written, strict=True):
        assert a.weight.dtype == np.float32
        np.testing.assert_array_equal(a.weight, b.weight)
        assert (a.bias is None) == (b.bias is None)
        if b.bias is not None:
            np.testing.assert_array_equal(a.bias, b.bias)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("opset", [10, 13, 18])
def test_round_trip(tmp_path, name, opset):
    architecture, metadata = CHAINS[name]
    digest = write_model(architecture, metadata, tmp_path / "a.onnx", opset=opset)
    model = load_model(tmp_path / "a.onnx")
    assert model.digest == digest
    assert model.metadata == metadata
    assert_same(model.architecture, architecture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.parametrize("name", CHAINS)
def test_computes_the_chain(name):
    architecture, metadata = CHAINS[name]
    x = np.random.default_rng(1).random((2, 1, 9, 11), np.float32)
    model = onnx.load_from_string(model_bytes(architecture, metadata))
    (output,) = ReferenceEvaluator(model).run(None, {"input": x})
    h = torch.from_numpy(x)
    for i, layer in enumerate(architecture):
        bias = None if layer.bias is None else torch.from_numpy(layer.bias)
        h = functional.conv2d(
            h if i == 0 else h.relu(),
            torch.from_numpy(layer.weight),
            bias,
            padding=layer.kernel // 2,
        )
    expected = h.numpy() + (x if architecture.residual else 0)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("opset", "ir_version"), [(10, 5), (11, 6), (12, 7), (13, 7)])
def test_form_of_the_file(opset, ir_version):
    model = onnx.load_from_string(model_bytes(*CHAINS["with biases"], opset=opset))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == ir_version
    assert (model.producer_name, model.producer_version) == ("vdsr", vdsr.__version__)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    for value, name in ((model.graph.input[0], "input"), (model.graph.output[0], "output")):
        axes = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        assert (value.name, axes) == (name, ["N", 1, "H", "W"])
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node] == [*["Conv", "Relu"] * 2, "Conv", "Add"]
    assert [tensor.name for tensor in model.graph.initializer] == [
        f"layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")
    ]
    keys = [entry.key for entry in model.metadata_props]
    assert keys == [*sorted(METADATA.to_properties()), "vdsr.sha256"]


def test_the_same_bytes_every_time():
    architecture, metadata = CHAINS["with biases"]
    data = model_bytes(architecture, metadata)
    again = chain(1, 4, 4, 1)
    assert model_bytes(again, ModelMetadata(**vars(metadata))) == data
    other = Layer(weight=again.layers[0].weight + np.float32(1e-3), bias=again.layers[0].bias)
    changed = Architecture(layers=(other, *again.layers[1:]), residual=True)
    assert verify_digest(model_bytes(changed, metadata)) != verify_digest(data)


def test_known_to_the_newest_onnx():
    newest = onnx.defs.onnx_opset_version()
    onnx.checker.check_model(
        onnx.load_from_string(model_bytes(*CHAINS["with biases"], opset=newest)), full_check=True
    )


@pytest.mark.parametrize("opset", [-1, 9, onnx.defs.onnx_opset_version() + 1])
def test_opsets_out_of_range(opset):
    with pytest.raises(
        UsageError, match=rf"opset {opset}: these layers can be written in 10 to \d+"
    ):
        model_bytes(*CHAINS["with biases"], opset=opset)


def test_metadata_that_do_not_fit():
    with pytest.raises(UsageError, match="residual=False, the layers True"):
        model_bytes(chain(1, 1), PLAIN)
    with pytest.raises(UsageError, match="cannot be labeled int8"):
        model_bytes(chain(1, 1), ModelMetadata(name="a", precision="int8"))


def test_without_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"onnx is not installed.*vdsr\[models\]"):
        model_bytes(*CHAINS["with biases"])


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")

    def no_space(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match=r"a\.onnx: .*No space left on device"):
        write_model(*CHAINS["with biases"], path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.onnx", b"old")]


def test_places_that_cannot_be_written(tmp_path):
    for path in (tmp_path / "none" / "a.onnx", tmp_path):
        with pytest.raises(OutputError, match="cannot be written"):
            write_model(*CHAINS["with biases"], path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")
    digest = write_model(*CHAINS["SRCNN"], path)
    assert load_model(path).digest == digest


def test_from_checkpoint_to_model_file(shared, tmp_path):
    network = read_checkpoint(shared / "weights" / "bootstrap.safetensors")
    write_model(network, ModelMetadata(name="bootstrap"), tmp_path / "a.onnx")
    assert_same(load_model(tmp_path / "a.onnx").architecture, network)
