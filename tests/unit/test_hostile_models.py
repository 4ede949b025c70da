"""Model files that are not what this program writes: refused before any runtime sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from networks import int8_network, small_network
from vdsr.errors import ModelError
from vdsr.export.source import network_of
from vdsr.model.file import ModelFile, append_digest, load_model, shipped_models
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes

FILES = {
    "fp32": small_network(),
    "fp16": ModelFile(network_of(small_network(), "fp16").onnx(), "fp16"),
    "int8": int8_network(),
    "folded": small_network(fold=2, planes=3),
    "fixed": ModelFile(network_of(small_network(), "fp32").onnx(shape=(1, 1, 32, 48)), "fixed"),
}


@pytest.fixture(autouse=True)
def no_runtime(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a runtime saw the file")

    monkeypatch.setattr(openvino, "Core", refuse)


def edited(kind, change):
    """A model file with its protocol buffer changed, and a checksum that fits."""
    model = onnx.load_from_string(FILES[kind].data)
    del model.metadata_props[-1]
    change(model)
    return append_digest(model.SerializeToString(deterministic=True))


def refused(data, message):
    with pytest.raises(ModelError, match=message) as caught:
        ModelFile(data, "a.onnx")
    text = str(caught.value)
    assert text.startswith("a.onnx: ")
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize("kind", FILES)
def test_an_unchanged_file_is_read(kind):
    read = ModelFile(edited(kind, lambda model: None), "a.onnx")
    assert read.digest == FILES[kind].digest
    assert read.architecture.depth == 4
    assert read.fixed_shape == ((1, 1, 32, 48) if kind == "fixed" else None)


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_models_need_no_runtime(name):
    assert load_model(name).architecture.depth >= 3


def outside(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def branch(model):
    inner = helper.make_graph([], "then", [], [])
    model.graph.node.append(helper.make_node("If", ["output"], ["x"], then_branch=inner))


def typed(name, array):
    def change(model):
        for tensor in model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


def function(model):
    model.functions.append(helper.make_function("x", "f", [], [], [], []))


def renamed(model):
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace("layers.1", "layers.7")
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = name.replace("layers.1.w", "layers.7.w").replace(
                "layers.1.b", "layers.7.b"
            )


def of(path, **values):
    """A change of the fields of one message of the graph."""

    def change(model):
        target = eval(f"model.{path}", {}, {"model": model})
        for key, value in values.items():
            setattr(target, key, value)

    return change


GRAPHS = {
    "weights outside": ("fp32", outside, "another file, which is never read"),
    "a subgraph": ("fp32", branch, "never written"),
    "a function": ("fp32", function, "operators of its own"),
    "another domain": ("fp32", of("graph.node[0]", domain="evil"), "not ONNX's own"),
    "a second operator set": (
        "fp32",
        lambda m: m.opset_import.append(helper.make_opsetid("evil", 1)),
        "not ONNX's own",
    ),
    "old operators": ("fp32", of("opset_import[0]", version=1), "version is unknown"),
    "operators of no time": ("fp32", of("opset_import[0]", version=2**60), "version is unknown"),
    "operators below 0": ("fp32", of("opset_import[0]", version=-5), "version is unknown"),
    "operators too old for int8": ("int8", of("opset_import[0]", version=11), "too old for int8"),
    "no version": ("fp32", lambda m: m.ClearField("ir_version"), "version is unknown"),
    "another operator": ("fp32", of("graph.node[1]", op_type="Sigmoid"), "another node"),
    "another kernel": (
        "fp32",
        lambda m: m.graph.node[0].attribute[0].ints.__setitem__(0, 5),
        "another node",
    ),
    "strides": ("fp32", lambda m: m.graph.node[0].attribute[2].ints.__setitem__(0, 2), "another n"),
    "huge pads": (
        "fp32",
        lambda m: m.graph.node[0].attribute[1].ints.__setitem__(0, 2**62),
        "another node",
    ),
    "dilations": (
        "fp32",
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("dilations", [9, 9])),
        "another node",
    ),
    "a text": (
        "fp32",
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("auto_pad", "VALID")),
        "never written",
    ),
    "one node more": (
        "fp32",
        lambda m: m.graph.node.append(helper.make_node("Relu", ["output"], ["x"])),
        "nodes, not",
    ),
    "one node less": ("fp32", lambda m: m.graph.node.pop(), "nodes, not"),
    "a node of two outputs": (
        "fp32",
        lambda m: m.graph.node[0].output.append("x"),
        "does not have one output",
    ),
    "a loop": (
        "fp32",
        lambda m: m.graph.node[0].input.__setitem__(0, "output"),
        "another node",
    ),
    "no graph": ("fp32", lambda m: m.ClearField("graph"), "not a readable ONNX"),
    "no layers": ("fp32", lambda m: m.graph.ClearField("initializer"), "at least one layer"),
    "a layer missing": ("fp32", renamed, "channels"),
    "a constant more": (
        "fp32",
        lambda m: m.graph.initializer.append(
            numpy_helper.from_array(np.ones(3, np.float32), "more")
        ),
        "other constants: more",
    ),
    "a constant twice": (
        "fp32",
        lambda m: m.graph.initializer.append(m.graph.initializer[0]),
        "'layers.0.weight' twice",
    ),
    "not a number": (
        "fp32",
        typed("layers.1.weight", np.full((8, 8, 3, 3), np.nan, np.float32)),
        "infinite or not a number",
    ),
    "an infinite bias": (
        "fp16",
        typed("layers.1.bias", np.full(8, np.inf, np.float16)),
        "infinite or not a number",
    ),
    "another type": (
        "fp32",
        typed("layers.1.weight", np.zeros((8, 8, 3, 3), np.float16)),
        "another type, shape or value",
    ),
    "doubles": (
        "fp32",
        typed("layers.1.weight", np.zeros((8, 8, 3, 3), np.float64)),
        "type or shape that is never written",
    ),
    "a bias of another length": (
        "fp32",
        typed("layers.1.bias", np.zeros(9, np.float32)),
        "a bias of",
    ),
    "an even kernel": ("fp32", typed("layers.1.weight", np.zeros((8, 8, 2, 2), np.float32)), "odd"),
    "a vector for a kernel": ("fp32", typed("layers.1.weight", np.zeros(8, np.float32)), "k odd"),
    "a shape larger than its bytes": (
        "fp32",
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**40),
        "cut short or too long",
    ),
    "an empty axis": (
        "fp32",
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 0),
        "shape that is never written",
    ),
    "a length below 0": (
        "fp32",
        lambda m: m.graph.initializer[0].dims.__setitem__(0, -1),
        "shape that is never written",
    ),
    "a note": ("fp32", of("graph", doc_string="x"), "never written"),
    "another producer": ("fp32", lambda m: setattr(m, "producer_name", "x"), "of this program"),
    "another name": ("fp32", of("graph", name="x"), "another name"),
    "an input of another type": (
        "fp32",
        of("graph.input[0].type.tensor_type", elem_type=TensorProto.DOUBLE),
        "input or output is another",
    ),
    "an axis of no length": (
        "fp32",
        lambda m: m.graph.input[0].type.tensor_type.shape.dim[0].Clear(),
        "without a length or a name",
    ),
    "an output of another shape": (
        "fixed",
        of("graph.output[0].type.tensor_type.shape.dim[2]", dim_value=7),
        "input or output is another",
    ),
    "an input below 0": (
        "fixed",
        of("graph.input[0].type.tensor_type.shape.dim[2]", dim_value=-7),
        "input or output is another",
    ),
    "two inputs": (
        "fp32",
        lambda m: m.graph.input.append(m.graph.input[0]),
        "input or output is another",
    ),
    "no input": ("fp32", lambda m: m.graph.ClearField("input"), "input or output is another"),
    "a scale of 0": (
        "int8",
        typed("layers.1.weight_scale", np.zeros(8, np.float32)),
        "finite and above 0",
    ),
    "a scale that is not a number": (
        "int8",
        typed("layers.1.input_scale", np.array(np.nan, np.float32)),
        "finite and above 0",
    ),
    "scales of another length": (
        "int8",
        typed("layers.1.weight_scale", np.ones(9, np.float32)),
        "do not fit",
    ),
    "another zero": (
        "int8",
        typed("layers.1.input_zero", np.array(7, np.uint8)),
        "input_zero has another",
    ),
    "a bias of other units": (
        "int8",
        typed("layers.1.bias_scale", np.ones(8, np.float32)),
        "bias_scale has another",
    ),
    "int8 that is none": (
        "fp32",
        lambda m: properties(m, precision="int8"),
        "says that it holds int8",
    ),
    "floats that are int8": (
        "int8",
        lambda m: properties(m, precision="fp32"),
        "says that it holds fp32",
    ),
    "no residual": ("fp32", lambda m: properties(m, residual="false"), "another node"),
    "another fold": ("folded", lambda m: properties(m, fold="3"), "channels"),
    "a fold of 5": ("folded", lambda m: properties(m, fold="5"), "fold is one of"),
    "other planes": ("folded", lambda m: properties(m, planes="2"), "planes is one of"),
    "squares of another size": (
        "folded",
        lambda m: m.graph.node[1].attribute[0].__setattr__("i", 2**40),
        "another node",
    ),
    "channels of another number": (
        "folded",
        typed("planes.shape", np.array([-1, 7, 0, 0], np.int64)),
        "planes.shape has another",
    ),
    "a key twice": (
        "fp32",
        lambda m: m.metadata_props.add(key="vdsr.name", value="b"),
        "'vdsr.name' twice",
    ),
    "a control character": ("fp32", lambda m: properties(m, name="a\x1b[2Jb"), r"U\+001B"),
}


def properties(model, **values):
    for entry in model.metadata_props:
        entry.value = values.get(entry.key.removeprefix("vdsr."), entry.value)


@pytest.mark.parametrize("case", GRAPHS)
def test_another_graph(case):
    kind, change, message = GRAPHS[case]
    refused(edited(kind, change), message)


def test_fields_that_come_twice():
    """One reader takes the first, another the last, a third joins them."""
    body = onnx.load_from_string(FILES["fp32"].data).SerializeToString()
    other = onnx.load_from_string(model_bytes(FILES["fp32"].architecture, ModelMetadata(name="b")))
    del other.metadata_props[:]
    refused(append_digest(body + other.SerializeToString()), "twice")


@pytest.mark.parametrize(
    "more", [b"\x0b\x0c", b"\x0d\0\0\0\0", b"\x72\xff\xff\xff\xff\x0f", b"\x80"]
)
def test_encodings_that_are_never_written(more):
    body = onnx.load_from_string(FILES["fp32"].data).SerializeToString()
    refused(append_digest(body + more), "not a readable ONNX")


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\x00",
        "a\x7f",
        "\x9b2J",
        "\ud800",
        "a\u2028b",
        "\u202eevil",
        "\u2066",
        "x" * 30_000,
    ],
)
@pytest.mark.parametrize("key", ["name", "training_data", "psnr", "calibration"])
def test_texts_that_are_no_texts(key, text):
    value = {text: 1.0} if key in ("psnr", "calibration") else text
    with pytest.raises(ModelError, match="its metadata hold"):
        replace(ModelMetadata(name="a"), **{key: value})


def test_texts_of_all_languages():
    text = "naïve, 真实, простой, עברית, عربي, 👩‍🔬, narrow\u202fspace, 3\u00a0dB"
    assert ModelMetadata(name="a", training_data=text).training_data == text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scales", "[1e400]"),
        ("scales", "[2, 999999999999]"),
        ("scales", "[-1]"),
        ("scales", "[NaN]"),
        ("psnr", '{"a": NaN}'),
        ("psnr", '{"a": 1e400}'),
        ("psnr", '{"a": ' + "9" * 400 + "}"),
        ("psnr", '{"a": ' + "9" * 5000 + "}"),
        ("calibration", '{"weight_bits": [1]}'),
        ("calibration", '{"weight_bits": Infinity}'),
        ("calibration", '["weight_bits"]'),
        ("calibration", '"weight_bits"'),
        ("format", "9" * 5000),
        ("residual", "[" * 100_000),
        ("name", ""),
    ],
)
def test_values_out_of_range(key, value):
    text = {**ModelMetadata(name="a").to_properties(), f"vdsr.{key}": value}
    with pytest.raises(ModelError):
        ModelMetadata.from_properties(text)


def test_every_cut_and_every_flipped_byte_is_a_model_error():
    body = FILES["int8"].data[:-90]
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        data = bytearray(body)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        cut = bytes(data[: rng.integers(1, len(data))]) if rng.random() < 0.3 else bytes(data)
        try:
            ModelFile(append_digest(cut), "a.onnx")
            outcomes.add(True)
        except ModelError as error:
            assert str(error).isprintable()
            outcomes.add(False)
    assert False in outcomes


def test_too_many_layers(tmp_path):
    """A deep graph overruns the stack of a runtime that walks it by recursion."""
    one = np.ones((1, 1, 1, 1), np.float32)

    def deeper(model):
        for i in range(4, 40_000):
            model.graph.initializer.append(numpy_helper.from_array(one, f"layers.{i}.weight"))

    refused(edited("fp32", deeper), "more than .* layers")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_and_a_device_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", "/dev/zero"):
        with pytest.raises(ModelError, match="not an ordinary file"):
            load_model(path)
    with pytest.raises(ModelError, match="it is a folder"):
        load_model(tmp_path)


def test_info_loads_no_runtime():
    code = (
        "import sys; from vdsr.model.file import load_model;"
        " print(load_model('vdsr').architecture.depth, 'openvino' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["20", "False"]
