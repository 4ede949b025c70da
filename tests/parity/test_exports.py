"""Exports compute what the model does, each in its own runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

from networks import int8_network, model, random_layers, small_network, zero_network
from vdsr import Upscaler
from vdsr.errors import UsageError, VdsrError
from vdsr.evaluation.candidates import read_picture, write_picture
from vdsr.export import ExportOptions, export
from vdsr.export.onnx_image import image_bytes, run_by_onnxruntime
from vdsr.export.openvino import run_file
from vdsr.export.pictures import drawn
from vdsr.export.source import network_of
from vdsr.imaging.resample import imresize
from vdsr.model.architecture import Layer
from vdsr.model.file import ModelFile, load_model

NETWORKS = {
    "biases": small_network,
    "no biases": lambda: model(random_layers(3, 3, 3, width=8, bias=False)),
    "srcnn": lambda: model(random_layers(9, 1, 5, width=8), residual=False, luma="full"),
    "one layer": lambda: model(random_layers(5, width=1)),
    "fold 2": lambda: small_network(fold=2),
    "fold 3, color": lambda: small_network(fold=3, planes=3),
    "fold 4, no residual": lambda: model(random_layers(3, 3, 3, width=8, fold=4), residual=False),
    "color": lambda: small_network(planes=3),
}
NAMES = {"onnx": "a.onnx", "openvino": "a.xml", "ncnn": "a.param", "torchscript": "a.pt"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two small pictures of different shapes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_picture(folder / "a.png", drawn(40))
    write_picture(folder / "b.png", drawn(32)[:21])
    return folder


@pytest.mark.parametrize("format", NAMES)
@pytest.mark.parametrize(
    ("network", "precision"),
    [*((name, "fp32") for name in NETWORKS), ("biases", "fp16"), ("fold 3, color", "fp16")],
)
def test_floats(tmp_path: Path, pictures: Path, format: str, network: str, precision: str):
    options = ExportOptions(precision=precision, pictures=pictures)
    report = export(NETWORKS[network](), format, tmp_path / NAMES[format], options)
    (found,) = report.findings
    assert (found.count, found.pictures) == (2, str(pictures))
    if precision == "fp32":
        assert found.levels < 1e-3
    else:
        assert 1e-4 < found.levels < 0.5, "halves are not what was exported"


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("shape", [None, (1, 1, 24, 40), (3, 1, 33, 9)])
@pytest.mark.parametrize("network", [small_network, int8_network])
def test_shapes(tmp_path: Path, pictures: Path, format: str, shape, network):
    options = ExportOptions(shape=shape, pictures=pictures)
    export(network(), format, tmp_path / NAMES[format], options)
    made = openvino.Core().read_model(tmp_path / NAMES[format])
    for end in (made.input(0), made.output(0)):
        expected = [-1, 1, -1, -1] if shape is None else list(shape)
        assert [-1 if axis.is_dynamic else len(axis) for axis in end.partial_shape] == expected


@pytest.mark.parametrize("format", ["onnx", "openvino", "tensorrt"])
def test_shapes_of_folded_networks(tmp_path: Path, pictures: Path, format: str):
    network = small_network(fold=2, planes=3)
    goal = tmp_path / NAMES.get(format, "a")
    report = export(network, format, goal, ExportOptions(pictures=pictures))
    assert (report.facts["shape"], report.facts["sides"]) == ("Nx3xHxW", "multiples of 2 px")
    wide = ExportOptions(shape=(2, 3, 24, 40), planes=3, pictures=pictures, overwrite=True)
    export(network, format, goal, wide)
    for shape, message in (((1, 1, 24, 40), "N x 3 x H x W"), ((1, 3, 25, 40), "multiples of 2")):
        with pytest.raises(VdsrError, match=message):
            export(network, format, goal, replace(wide, shape=shape, planes=shape[1]))


def test_the_accelerator_takes_no_folded_network(tmp_path: Path, pictures: Path):
    for network in (small_network(fold=2), small_network(planes=3)):
        with pytest.raises(UsageError, match="luma networks that are not folded"):
            export(network, "vacc", tmp_path / "a", ExportOptions(pictures=pictures))


def test_int8_stays_int8(tmp_path: Path, pictures: Path):
    export(int8_network(), "openvino", tmp_path / "a.xml", ExportOptions(pictures=pictures))
    compiled = openvino.Core().compile_model(tmp_path / "a.xml", "CPU")
    kinds = {
        op.get_rt_info()["runtimePrecision"].astype(str)
        for op in compiled.get_runtime_model().get_ordered_ops()
        if op.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    assert kinds & {"i8", "u8"}, kinds


def test_halves_are_half_as_large(tmp_path: Path):
    sizes = {}
    for precision in ("fp32", "fp16"):
        for format, name in NAMES.items():
            folder = tmp_path / precision / format
            folder.mkdir(parents=True)
            wide = model(random_layers(3, 3, 3, width=64))
            options = ExportOptions(precision=precision, check=False)
            sizes[precision, format] = export(wide, format, folder / name, options).bytes
    for format in NAMES:
        assert sizes["fp16", format] < 0.75 * sizes["fp32", format], format


@pytest.mark.parametrize("format", ["onnx", "openvino", "ncnn", "torchscript", "tensorrt"])
def test_the_shipped_model_on_a_real_picture(shared: Path, tmp_path: Path, format: str):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = read_picture(shared / "data/eval/Set5/butterfly_GT.png")
    write_picture(folder / "butterfly.png", picture[60:108, 40:88])
    report = export(
        load_model(), format, tmp_path / NAMES.get(format, "a"), ExportOptions(pictures=folder)
    )
    (found,) = report.findings
    assert found.levels < 1e-3
    assert found.psnr is None or found.psnr > 120.0


# From picture to picture.

LARGE_RESIDUAL = model(
    (
        *random_layers(3, 3, width=8)[:1],
        Layer(weight=random_layers(3, 3, width=8)[1].weight * np.float32(0.4)),
    )
)
PICTURES = {
    "residual": lambda: LARGE_RESIDUAL,
    "full range": lambda: model(random_layers(3, 3, width=4), luma="full"),
    "srcnn": lambda: model(random_layers(9, 1, 5, width=8), residual=False),
    "fold 2": lambda: small_network(fold=2),
    "fold 3, color": lambda: small_network(fold=3, planes=3),
    "fold 4": lambda: small_network(fold=4),
}
RUNTIMES = {"onnxruntime": run_by_onnxruntime, "openvino": run_file}


def by_graph(tmp_path: Path, file: ModelFile, scale: int, runtime: str):
    path = tmp_path / "picture.onnx"
    path.write_bytes(image_bytes(network_of(file, file.metadata.precision), scale))
    return RUNTIMES[runtime](path)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("network", PICTURES)
def test_the_graph_is_the_program(tmp_path: Path, network: str, scale: int, runtime: str):
    file = PICTURES[network]()
    run = by_graph(tmp_path, file, scale, runtime)
    rng = np.random.default_rng(0)
    with Upscaler(file, backend="openvino") as upscaler:
        for shape in ((1, 1), (1, 7), (2, 2), (3, 1), (13, 18)):
            picture = rng.integers(0, 256, (*shape, 3), np.uint8)
            expected = upscaler.upscale(picture, scale=scale)
            (found,) = run(picture[None])
            assert (found.shape, found.dtype) == (expected.shape, np.uint8)
            difference = np.abs(found.astype(int) - expected)
            assert difference.max() <= 1, np.bincount(difference.ravel())
            assert np.mean(difference > 0) < 0.02


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_a_residual_it_is_bicubic_interpolation(tmp_path: Path, runtime: str):
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    (found,) = by_graph(tmp_path, zero_network(), 3, runtime)(picture[None])
    planes = imresize(picture.transpose(2, 0, 1).astype(np.float64), scale=3)
    exact = np.clip(planes, 0, 255).transpose(1, 2, 0)
    assert np.abs(found - exact).max() < 0.5 + 1e-3
    assert np.abs(found.astype(int)).max() == 255, "nothing is clipped: the test shows too little"


@pytest.mark.parametrize("network", [small_network, int8_network])
def test_the_graph_is_checked_by_both_runtimes(tmp_path: Path, pictures: Path, network):
    report = export(
        network(), "onnx-image", tmp_path / "a.onnx", ExportOptions(scale=2, pictures=pictures)
    )
    assert [found.runtime for found in report.findings] == ["ONNX Runtime", "OpenVINO"]
    assert all(found.levels <= 1.0 for found in report.findings)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_shipped_model_from_picture_to_picture(shared: Path, tmp_path: Path, scale: int):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = read_picture(shared / "data/eval/Set5/butterfly_GT.png")
    write_picture(folder / "butterfly.png", picture[60:76, 40:56])
    report = export(
        load_model(), "onnx-image", tmp_path / "a.onnx", ExportOptions(scale=scale, pictures=folder)
    )
    assert all(found.levels <= 1.0 for found in report.findings)


def test_weights_that_halves_cannot_hold(tmp_path: Path):
    layers = random_layers(3, 3, width=8)
    file = model((layers[0], Layer(weight=layers[1].weight * np.float32(1e6))))
    with pytest.raises(UsageError, match=r"layer 1 holds .*, and fp16 ends at 65504"):
        export(file, "onnx", tmp_path / "a.onnx", ExportOptions(precision="fp16"))
    assert list(tmp_path.iterdir()) == []
