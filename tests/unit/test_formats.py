"""Exports: what is refused, what is checked, and that nothing is left of one that fails."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from networks import int8_network, small_network
from vdsr import Upscaler
from vdsr.errors import BackendError, InputError, MissingExtra, ModelError, OutputError, UsageError
from vdsr.evaluation.candidates import write_picture
from vdsr.export import FORMATS, ExportOptions, check, export, format_of
from vdsr.export.onnx_image import phases
from vdsr.export.pictures import MOST, check_pictures, drawn
from vdsr.export.source import network_of
from vdsr.export.tensorrt_engine import build_engine
from vdsr.imaging.files import FORMATS as FILES
from vdsr.imaging.files import PictureWriter, PixelLayout
from vdsr.imaging.resample import imresize
from vdsr.inference import backends
from vdsr.model.file import ModelFile, load_model
from vdsr.model.onnx_writer import model_bytes

UNCHECKED = ExportOptions(check=False)
NAMES = {
    "onnx": "a.onnx",
    "openvino": "a.xml",
    "ncnn": "a.param",
    "torchscript": "a.pt",
    "onnx-image": "a.onnx",
    "tensorrt": "a",
}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def options(format: str, **others) -> ExportOptions:
    return ExportOptions(scale=2 if format == "onnx-image" else None, **others)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch):
    """What is generated for a check is small here: the tests are not about figures."""
    monkeypatch.setattr(
        "vdsr.export.check_pictures",
        lambda folder, *, side: check_pictures(folder, side=min(side, 40)),
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("format", [name for name in NAMES if name != "torchscript"])
def test_the_same_bytes_every_time(tmp_path: Path, format: str, precision: str):
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        asked = options(format, precision=precision, check=False)
        export(small_network(), format, folder / NAMES[format], asked)
        found.append(digests(folder))
    assert found[0] == found[1]
    assert len(found[0]) >= 1


def test_torchscript_has_the_same_tensors(tmp_path: Path):
    file = small_network()
    for name in ("a.pt", "b.pt"):
        export(file, "torchscript", tmp_path / name, UNCHECKED)
    with pytest.warns(DeprecationWarning):
        a, b = (torch.jit.load(str(tmp_path / name)).state_dict() for name in ("a.pt", "b.pt"))
    assert list(a) == [f"layers.{i}.{part}" for i in range(4) for part in ("weight", "bias")]
    for i, layer in enumerate(file.architecture):
        for part in ("weight", "bias"):
            name = f"layers.{i}.{part}"
            assert torch.equal(a[name], b[name])
            np.testing.assert_array_equal(a[name].numpy(), getattr(layer, part))


@pytest.mark.parametrize(
    ("format", "output", "asked", "message"),
    [
        ("caffe", "a.caffe", {}, r"unknown format 'caffe': onnx, openvino, ncnn"),
        ("onnx", "a.xml", {}, r"a\.xml: the format onnx is written to a file that ends in \.onnx"),
        ("tensorrt", "a.onnx", {}, "the format tensorrt is written to a folder"),
        ("ncnn", "a.param", {"opset": 13}, "opset does not apply to the format ncnn"),
        (
            "ncnn",
            "a.param",
            {"shape": (1, 1, 8, 8)},
            "a static shape does not apply to the format ncnn",
        ),
        ("onnx", "a.onnx", {"scale": 2}, "scale does not apply to the format onnx"),
        ("onnx", "a.onnx", {"opset": 9}, "opset 9: these layers can be written in 10 to"),
        ("onnx", "a.onnx", {"opset": 99}, "opset 99: these layers can be written in 10 to"),
        (
            "onnx",
            "a.onnx",
            {"precision": "int8"},
            "not a model in int8: it holds fp32.*vdsr quantize",
        ),
        ("ncnn", "a.param", {"precision": "int8"}, "ncnn is made in fp32, fp16, not in int8"),
        ("onnx-image", "a.onnx", {}, "scale of 2, 3 or 4; none was given"),
        ("onnx-image", "a.onnx", {"scale": 5}, "scale of 2, 3 or 4; not 5"),
        ("onnx-image", "a.onnx", {"scale": 2, "opset": 9}, "opset 9"),
    ],
)
def test_what_a_format_does_not_have(tmp_path: Path, format, output, asked, message):
    with pytest.raises(UsageError, match=message):
        export(small_network(), format, tmp_path / output, ExportOptions(**asked))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, 0, 8)])
def test_shapes_that_no_luma_network_takes(shape):
    with pytest.raises(UsageError, match="an input shape is N x 1 x H x W"):
        ExportOptions(shape=shape)


@pytest.mark.parametrize(
    ("format", "asked", "message"),
    [
        (
            "onnx",
            {"precision": "fp32"},
            "is not a model in fp32: it holds int8 weights; export what",
        ),
        ("onnx", {"opset": 12}, "opset 12: int8 weights per channel can be written in 13 to"),
        ("ncnn", {}, "the format ncnn is made in fp32, fp16, not in int8"),
        ("torchscript", {}, "the format torchscript is made in fp32, fp16, not in int8"),
        ("tensorrt", {}, "the format tensorrt is made in fp32, fp16, not in int8"),
    ],
)
def test_what_cannot_be_made_of_int8(tmp_path: Path, format, asked, message):
    with pytest.raises(UsageError, match=message):
        export(int8_network(), format, tmp_path / NAMES[format], ExportOptions(**asked))
    assert list(tmp_path.iterdir()) == []


def test_integers_are_read_back_exactly():
    file = int8_network()
    again = model_bytes(file.architecture, file.metadata, quantized=file.quantized, opset=13)
    assert again == file.data
    assert small_network().quantized == {}


@pytest.mark.parametrize("opset", [10, 13, 17])
@pytest.mark.parametrize("format", ["onnx", "onnx-image"])
def test_the_opset_is_the_one_asked_for(tmp_path: Path, format: str, opset: int):
    export(small_network(), format, tmp_path / "a.onnx", options(format, opset=opset))
    written = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", opset)]


def test_a_model_file_of_one_shape(tmp_path: Path):
    file = small_network()
    report = export(file, "onnx", tmp_path / "a.onnx", ExportOptions(shape=(1, 1, 24, 40)))
    made = load_model(tmp_path / "a.onnx")
    assert made.fixed_shape == (1, 1, 24, 40)
    assert file.fixed_shape is None
    assert made.metadata.source == file.digest
    assert report.facts == {"shape": "1x1x24x40", "opset": 13}
    with pytest.raises(ModelError, match=r"a\.onnx: made for 1x1x24x40 alone; pictures of any"):
        Upscaler(made)
    for name in backends.BACKENDS:
        network = backends.open_backend(made, backends.choose(made, name))
        y = np.random.default_rng(0).random((1, 1, 24, 40), np.float32)
        assert network.run(y).shape == y.shape
        with pytest.raises(BackendError, match="made for 1x1x24x40 alone, not for 1x1x40x24"):
            network.run(y.transpose(0, 1, 3, 2))
        network.close()
    # It can be exported again, with its sizes free.
    export(made, "onnx", tmp_path / "b.onnx")
    assert load_model(tmp_path / "b.onnx").fixed_shape is None


def test_figures_are_kept_only_for_the_numbers_they_were_measured_with():
    file = small_network()
    card = dataclasses.replace(file.metadata, psnr={"Set5 x2 paper": 36.0})
    file = ModelFile(model_bytes(file.architecture, card), "test")
    assert network_of(file, "fp32").metadata.psnr == {"Set5 x2 paper": 36.0}
    assert network_of(file, "fp16").metadata.psnr == {}


def broken(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let exports have a last layer that is off by this factor."""

    def bytes_of_another(architecture, metadata, **others):
        last = dataclasses.replace(
            architecture.layers[-1], weight=architecture.layers[-1].weight * np.float32(factor)
        )
        layers = (*architecture.layers[:-1], last)
        return model_bytes(dataclasses.replace(architecture, layers=layers), metadata, **others)

    monkeypatch.setattr("vdsr.export.source.model_bytes", bytes_of_another)


@pytest.mark.parametrize("format", ["onnx", "openvino", "ncnn", "tensorrt"])
def test_nothing_is_written_outside_of_the_tolerance(tmp_path: Path, monkeypatch, format: str):
    broken(monkeypatch, 1.01)
    path = tmp_path / NAMES[format]
    with pytest.raises(
        OutputError, match=r"not written: .*largest difference .* \(allowed 0\.01\)"
    ):
        export(small_network(), format, path)
    assert list(tmp_path.iterdir()) == []
    broken(monkeypatch, 1.0)
    export(small_network(), format, path)
    before = digests(tmp_path)
    broken(monkeypatch, 1.01)
    with pytest.raises(OutputError, match="not written"):
        export(small_network(), format, path, ExportOptions(overwrite=True))
    assert digests(tmp_path) == before


def test_what_is_there_is_kept_or_replaced(tmp_path: Path):
    path = tmp_path / "a.xml"
    (tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"a\.bin: it exists already: overwrite=True replaces it"):
        export(small_network(), "openvino", path, UNCHECKED)
    assert digests(tmp_path).keys() == {"a.bin"}
    export(small_network(), "openvino", path, ExportOptions(overwrite=True))
    assert digests(tmp_path).keys() == {"a.bin", "a.xml"}
    with pytest.raises(OutputError, match="does not exist: make it first"):
        export(small_network(), "openvino", tmp_path / "none" / "a.xml", UNCHECKED)
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        export(small_network(), "openvino", tmp_path / "folder.xml", ExportOptions(overwrite=True))


def test_folders_of_others_are_not_replaced(tmp_path: Path):
    folder = tmp_path / "a"
    replace = ExportOptions(overwrite=True)
    folder.write_bytes(b"")
    with pytest.raises(OutputError, match="a file is there, and a folder is to be made"):
        export(small_network(), "tensorrt", folder, replace)
    folder.unlink()
    folder.mkdir()
    (folder / "model.engine").write_bytes(b"old")
    (folder / "photo.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"it also holds photo\.png, which is not part"):
        export(small_network(), "tensorrt", folder, replace)
    (folder / "photo.png").unlink()
    export(small_network(), "tensorrt", folder, replace)
    assert digests(tmp_path).keys() == {"a/README.md", "a/build.sh", "a/model.onnx"}


def test_without_the_runtime(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(backends, "is_installed", lambda name: name != "onnxruntime")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "ncnn", None)
    for format, extra in (
        ("onnx", "onnxruntime"),
        ("onnx-image", "onnxruntime"),
        ("ncnn", "export"),
    ):
        with pytest.raises(MissingExtra, match=rf"vdsr\[{extra}\]"):
            export(small_network(), format, tmp_path / NAMES[format], options(format))
        assert list(tmp_path.iterdir()) == []
    report = export(small_network(), "onnx", tmp_path / "a.onnx", UNCHECKED)
    assert report.findings == ()
    assert load_model(tmp_path / "a.onnx").metadata.name == "test"


@pytest.mark.parametrize(
    ("package", "format", "extra"), [("pnnx", "ncnn", "export"), ("torch", "torchscript", "train")]
)
def test_without_what_writes_it(tmp_path: Path, monkeypatch, package, format, extra):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*vdsr\[{extra}\]"):
        export(small_network(), format, tmp_path / NAMES[format], UNCHECKED)


def test_a_program_that_fails_is_quoted(tmp_path: Path, monkeypatch):
    program = tmp_path / "pnnx"
    program.write_text("#!/bin/sh\necho 'no such operator' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("vdsr.export.ncnn._pnnx", lambda: program)
    with pytest.raises(OutputError, match=r"pnnx failed \(3\): no such operator"):
        export(small_network(), "ncnn", tmp_path / "a.param")
    assert digests(tmp_path).keys() == {"pnnx"}


def test_every_format_is_named_in_its_module():
    for name in FORMATS:
        assert format_of(name).name == name


# The check.


def finding(run) -> check.Finding:
    one = check.luma_check("runtime", lambda folder: run, "fp32")
    return check.compare(one, Path(), small_network(), check_pictures(None, side=48))


def test_the_figures_of_a_check():
    expected = check.reference(small_network())
    assert finding(expected).psnr is None
    assert finding(expected).within
    off = finding(lambda y: expected(y) + np.float32(0.1))
    assert off.levels == pytest.approx(25.5, rel=1e-5)
    assert off.psnr == pytest.approx(20.0, abs=1e-4)
    assert not off.within
    assert (off.count, off.pictures) == (2, "generated")


@pytest.mark.parametrize("wrong", [lambda y: y * np.nan, lambda y: y[:, :, :-1]])
def test_results_that_are_no_numbers_or_of_another_shape(wrong):
    found = finding(wrong)
    assert (found.levels, found.psnr, found.within) == (np.inf, 0.0, False)


def test_what_the_network_gets_of_a_picture():
    rgb = drawn(50)[:, :31]
    y = check.luma_input(rgb, "studio")
    assert (y.shape, y.dtype) == ((1, 1, 50, 31), np.float32)
    assert 0.0 < y.min() < y.max() < 1.0
    filled = check.luma_input(rgb, "studio", (2, 1, 70, 20))
    assert filled.shape == (2, 1, 70, 20)
    np.testing.assert_array_equal(filled[1], np.roll(filled[0], 1, -1))
    assert check.luma_input(rgb[:1, :1], "full").shape == (1, 1, 1, 1)


def test_pictures_of_a_folder(tmp_path: Path):
    with pytest.raises(InputError, match="there are no pictures directly in this folder"):
        check_pictures(tmp_path, side=64)
    with pytest.raises(InputError, match="the pictures cannot be read"):
        check_pictures(tmp_path / "none", side=64)
    rgb = drawn(80)
    write_picture(tmp_path / "a.png", rgb)
    write_picture(tmp_path / "b.png", rgb[..., 0])
    deep = np.full((9, 7, 4), 65535, np.uint16)
    with PictureWriter(
        tmp_path / "c.png", PixelLayout(width=7, height=9, bands=4, dtype="uint16"), FILES["png"]
    ) as writer:
        writer.write(deep)
    a, b, c = check_pictures(tmp_path, side=64).pictures
    np.testing.assert_array_equal(a, rgb[8:72, 8:72])
    np.testing.assert_array_equal(b, np.repeat(rgb[8:72, 16:64, :1], 3, axis=2))
    np.testing.assert_array_equal(c, np.full((9, 7, 3), 255, np.uint8))
    for i in range(MOST):
        write_picture(tmp_path / f"d{i:02}.png", rgb[:4, :4])
    assert len(check_pictures(tmp_path, side=64).pictures) == MOST


# The graph around the network.


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_phases_are_bicubic_interpolation(scale: int):
    rng = np.random.default_rng(0)
    plane = rng.random((9, 11))
    padded = np.pad(plane, 2, "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    found = np.einsum("hwab,pab->hwp", windows, phases(scale)[:, 0].astype(np.float64))
    found = found.reshape(9, 11, scale, scale).transpose(0, 2, 1, 3).reshape(9 * scale, 11 * scale)
    np.testing.assert_allclose(found, imresize(plane, scale=scale), atol=1e-6)


# TensorRT, by a module that writes down what it is asked for.


class FakeTensorRT(types.ModuleType):
    def __init__(self, *, typed: bool = True, parses: bool = True, builds: bool = True) -> None:
        super().__init__("tensorrt")
        self.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
        self.calls: list[tuple] = []
        calls = self.calls

        class Logger:
            WARNING = "warning"

            def __init__(self, level):
                calls.append(("Logger", level))

        class Flags:
            EXPLICIT_BATCH = 0

        if typed:
            Flags.STRONGLY_TYPED = 1

        class BuilderFlag:
            FP16, TF32 = "FP16", "TF32"

        class Profile:
            def set_shape(self, *arguments):
                calls.append(("set_shape", *arguments))

        class Config:
            def set_flag(self, flag):
                calls.append(("set_flag", flag))

            def clear_flag(self, flag):
                calls.append(("clear_flag", flag))

            def add_optimization_profile(self, profile):
                calls.append(("add_optimization_profile",))

        class Builder:
            def __init__(self, logger):
                calls.append(("Builder",))

            def create_network(self, flags):
                calls.append(("create_network", flags))

            def create_builder_config(self):
                return Config()

            def create_optimization_profile(self):
                return Profile()

            def build_serialized_network(self, network, config):
                calls.append(("build_serialized_network",))
                return bytearray(b"engine") if builds else None

        class OnnxParser:
            num_errors = 2

            def __init__(self, network, logger):
                pass

            def parse(self, data):
                calls.append(("parse", data))
                return parses

            def get_error(self, i):
                return f"error {i}"

        self.Logger, self.Builder, self.OnnxParser = Logger, Builder, OnnxParser
        self.NetworkDefinitionCreationFlag, self.BuilderFlag = Flags, BuilderFlag


SHAPES = ((1, 1, 64, 64), (1, 1, 512, 512), (1, 1, 1088, 1920))


@pytest.mark.parametrize(("typed", "flags"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("shapes", [SHAPES, None])
def test_the_calls_that_build_an_engine(monkeypatch, typed, flags, half, shapes):
    fake = FakeTensorRT(typed=typed)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    assert build_engine(b"onnx", half=half, shapes=shapes) == b"engine"
    profile = [("set_shape", "input", *SHAPES), ("add_optimization_profile",)] if shapes else []
    assert fake.calls == [
        ("Logger", "warning"),
        ("Builder",),
        ("create_network", flags),
        ("parse", b"onnx"),
        ("clear_flag", "TF32"),
        *([("set_flag", "FP16")] if half and not typed else []),
        *profile,
        ("build_serialized_network",),
    ]


def test_engines_that_cannot_be_built(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(parses=False))
    with pytest.raises(BackendError, match="refuses the ONNX file: error 0; error 1"):
        build_engine(b"onnx", half=False, shapes=None)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(builds=False))
    with pytest.raises(BackendError, match="could not build the engine"):
        build_engine(b"onnx", half=False, shapes=None)


def test_the_engine_is_built_where_tensorrt_is(tmp_path: Path, monkeypatch):
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    report = export(small_network(), "tensorrt", tmp_path / "a")
    assert (tmp_path / "a" / "model.engine").read_bytes() == b"engine"
    assert report.facts["engine"] == "built"
    assert ("parse", (tmp_path / "a" / "model.onnx").read_bytes()) in fake.calls


@pytest.mark.skipif(sys.platform == "win32", reason="runs a shell script")
@pytest.mark.parametrize(
    ("knows", "precision", "shape", "expected"),
    [
        (
            "--stronglyTyped",
            "fp16",
            None,
            "--minShapes=input:1x1x64x64 --optShapes=input:1x1x512x512"
            " --maxShapes=input:1x1x999x999 --stronglyTyped --noTF32",
        ),
        ("", "fp16", (1, 1, 8, 8), "--fp16 --noTF32"),
        ("", "fp32", (1, 1, 8, 8), "--noTF32"),
    ],
)
def test_the_script_runs_trtexec(tmp_path: Path, knows, precision, shape, expected):
    export(
        small_network(), "tensorrt", tmp_path / "a", ExportOptions(precision=precision, shape=shape)
    )
    program = tmp_path / "trtexec"
    program.write_text(f'#!/bin/sh\n[ "$1" = --help ] && echo "{knows}" || echo "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "a" / "build.sh", "--verbose"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MAX_SHAPE": "1x1x999x999"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (f"--onnx=model.onnx --saveEngine=model.engine {expected} --verbose\n")
