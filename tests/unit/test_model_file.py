"""Model files: what they carry, and that damage is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from networks import random_layers, small_network
from vdsr.errors import ModelError
from vdsr.model.architecture import Architecture
from vdsr.model.file import ModelFile, append_digest, load_model, shipped_models, verify_digest
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes, write_model

FULL = ModelMetadata(
    name="all of it",
    version="1.2",
    scales=(2, 8),
    luma="full",
    residual=False,
    training_data="mine, ünïcode",
    license="CC0-1.0",
    recipe="sha256:0",
    psnr={"Set5 x2 paper": 35.5},
)


def test_metadata_comes_back(tmp_path: Path):
    net = Architecture(layers=random_layers(9, 5, 5, width=4), residual=False)
    digest = write_model(net, FULL, tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    assert loaded.metadata == FULL
    assert loaded.digest == digest
    assert [la.kernel for la in loaded.architecture] == [9, 5, 5]
    for got, given in zip(loaded.architecture, net, strict=True):
        assert np.array_equal(got.weight, given.weight)
        assert np.array_equal(got.bias, given.bias)
    onnx.checker.check_model(onnx.load(tmp_path / "m.onnx"))


def test_every_damaged_byte_is_found():
    data = small_network().data
    for position in np.linspace(0, len(data) - 1, 300).astype(int):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(ModelError):
            verify_digest(bytes(damaged))


@pytest.mark.parametrize("cut", [0, 1, 80, 81, 500])
def test_a_cut_file_is_found(cut: int):
    data = small_network().data
    with pytest.raises(ModelError):
        ModelFile(data[: len(data) - cut - 1], "cut")


def test_an_edited_file_is_found():
    model = onnx.load_from_string(small_network().data)
    model.doc_string = "edited"
    with pytest.raises(ModelError, match="edited"):
        ModelFile(model.SerializeToString(), "edited")


def test_other_onnx_files_are_named_as_such(tmp_path: Path):
    model = onnx.load_from_string(small_network().data)
    del model.metadata_props[:]
    path = tmp_path / "other.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"other\.onnx: it is not a model file of this program"):
        load_model(path)
    with pytest.raises(ModelError, match="its metadata cannot be read"):
        ModelFile(append_digest(model.SerializeToString()), "nameless")
    with pytest.raises(ModelError, match="not a readable ONNX"):
        ModelFile(append_digest(b"text"), "text")


def test_a_later_format_asks_for_an_upgrade():
    properties = FULL.to_properties() | {"vdsr.format": "2"}
    with pytest.raises(ModelError, match="upgrade vdsr"):
        ModelMetadata.from_properties(properties)


@pytest.mark.parametrize(
    "values", [{"name": ""}, {"name": "a", "precision": "int3"}, {"name": "a", "luma": "half"}]
)
def test_senseless_metadata_is_refused(values):
    with pytest.raises(ModelError):
        ModelMetadata(**values)


def test_names_and_paths(tmp_path: Path):
    assert load_model("vdsr").metadata.name == "vdsr"
    assert "vdsr" in shipped_models()
    with pytest.raises(ModelError, match=r"no model named 'best': .*vdsr"):
        load_model("best")
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_the_same_network_gives_the_same_bytes():
    net = Architecture(layers=random_layers(3, 3, width=4), residual=True)
    assert model_bytes(net, ModelMetadata(name="a")) == model_bytes(net, ModelMetadata(name="a"))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("format", "one"),
        ("scales", "2"),
        ("scales", '["two"]'),
        ("scales", "[" * 200_000),
        ("residual", '"false"'),
        ("residual", "tru"),
        ("psnr", "[31]"),
        ("psnr", '{"Set5": "high"}'),
        ("precision", "fp8"),
    ],
)
def test_malformed_metadata_is_a_model_error(key: str, text: str):
    with pytest.raises(ModelError):
        ModelMetadata.from_properties(FULL.to_properties() | {f"vdsr.{key}": text})


def test_keys_of_later_programs_are_left_alone():
    properties = FULL.to_properties() | {"vdsr.color": "red", "other": "x"}
    assert ModelMetadata.from_properties(properties) == FULL


def test_an_impossible_path_is_a_model_error():
    with pytest.raises(ModelError, match="cannot be read"):
        load_model("folder/a\0b.onnx")


@pytest.mark.parametrize("more", [b"\0", b"x" * 81, b"vdsr.sha256"])
def test_appended_bytes_are_found(more: bytes):
    with pytest.raises(ModelError):
        ModelFile(small_network().data + more, "longer")
