"""`vdsr export`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from networks import small_network
from vdsr.evaluation.candidates import write_picture
from vdsr.export.check import Tolerance
from vdsr.export.pictures import check_pictures, drawn
from vdsr.model.file import load_model


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch):
    """What is generated for a check is small here: the tests are not about figures."""
    monkeypatch.setattr(
        "vdsr.export.check_pictures",
        lambda folder, *, side: check_pictures(folder, side=min(side, 40)),
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network().data)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_picture(folder / "a.png", drawn(40))
    return folder


@pytest.mark.parametrize(
    ("format", "name", "more"),
    [
        ("onnx", "out.onnx", ["--static", "1x1x24x32", "--opset", "11"]),
        ("openvino", "out.xml", ["--precision", "fp16"]),
        ("ncnn", "out.param", []),
        ("torchscript", "out.pt", []),
        ("onnx-image", "out.onnx", ["--scale", "3"]),
        ("tensorrt", "out", ["--static", "1x1x24x32"]),
    ],
)
def test_every_format(vdsr, model: Path, pictures: Path, tmp_path: Path, format, name, more):
    output = tmp_path / name
    arguments = ["export", model, "--format", format, "-o", output, *more]
    code, out, err = vdsr(*arguments, "--pictures", pictures)
    assert (code, err) == (0, "")
    precision = "fp16" if "fp16" in more else "fp32"
    assert out.startswith(f"{output}: {format} {precision}, ")
    assert f"on 1 pictures ({pictures}): largest difference" in out
    assert output.exists()
    code, out, err = vdsr(*arguments)
    assert code == 1
    assert f"{output}: it exists already: --overwrite replaces it" in err
    assert vdsr(*arguments, "--overwrite", "--no-check", "--quiet") == (0, "", "")


def test_exports_side_by_side_leave_each_other_whole(vdsr, model: Path, tmp_path: Path):
    """Both formats have weights beside: each keeps its own."""
    code, _, err = vdsr("export", model, "-f", "openvino", "-o", tmp_path / "net.xml")
    assert (code, err) == (0, "")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("net*")}
    assert len(before) == 2
    code, _, err = vdsr("export", model, "-f", "ncnn", "-o", tmp_path / "net.param")
    after = {path.name: path.read_bytes() for path in tmp_path.glob("net*")}
    assert (code, err) == (0, "")
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    # The other way round, and once more over what is there.
    again = ("export", model, "-f", "openvino", "-o", tmp_path / "net.xml")
    code, _, err = vdsr(*again)
    assert (code, "--overwrite replaces it" in err) == (1, True)
    code, _, err = vdsr(
        "export", model, "-f", "openvino", "-o", tmp_path / "net.xml", "--overwrite"
    )
    assert (code, err) == (0, "")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("net*")} == after


def test_the_figures_as_json(vdsr, model: Path, tmp_path: Path):
    output = tmp_path / "a.onnx"
    code, out, err = vdsr("export", model, "--format", "onnx", "-o", output, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["files"] == [str(output)]
    assert report["bytes"] == output.stat().st_size
    assert report["source"] == load_model(model).digest
    (finding,) = report["findings"]
    assert finding["pictures"] == "generated"
    assert finding["levels"] < 1e-3
    assert finding["allowed"] == {"levels": 0.01, "psnr": 100.0}


def test_outside_of_the_tolerance(vdsr, model: Path, tmp_path: Path, monkeypatch):
    strict = {"fp16": Tolerance(levels=1e-6, psnr=200.0)}
    monkeypatch.setattr("vdsr.export.check.LUMA", strict)
    output = tmp_path / "a.onnx"
    code, out, err = vdsr("export", model, "--format", "onnx", "-o", output, "--precision", "fp16")
    assert (code, out) == (1, "")
    assert "a.onnx: not written: ONNX Runtime on 2 pictures (generated): largest" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.onnx"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "caffe"], "unknown format 'caffe': onnx, openvino"),
        (
            ["--format", "onnx", "--static", "256x256"],
            "'256x256' is not an input shape: write 1x1x",
        ),
        (["--format", "onnx", "--static", "1x3x8x8"], "an input shape is N x 1 x H x W"),
        (["--format", "onnx", "--opset", "9"], "opset 9: these layers can be written in 10 to"),
        (["--format", "onnx-image"], "enlarges by a scale of 2, 3 or 4; none was given"),
        (["--format", "onnx", "--precision", "bf16"], "made in fp32, fp16, int8, not in bf16"),
    ],
)
def test_wrong_usage(vdsr, model: Path, tmp_path: Path, more, message):
    code, out, err = vdsr("export", model, "-o", tmp_path / "a.onnx", *more)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "a.onnx").exists()


def test_without_a_check_it_says_so(vdsr, model: Path, tmp_path: Path):
    output = tmp_path / "a.onnx"
    code, out, err = vdsr("export", model, "--format", "onnx", "-o", output, "--no-check")
    assert (code, err) == (0, "vdsr: the export was not run: --no-check\n")
    assert out.startswith(f"{output}: onnx fp32, shape Nx1xHxW, opset 13, ")


def test_a_model_of_one_shape_does_not_enlarge_pictures(vdsr, model: Path, tmp_path: Path):
    output = tmp_path / "a.onnx"
    vdsr("export", model, "--format", "onnx", "-o", output, "--static", "1x1x16x16")
    write_picture(tmp_path / "in.png", drawn(16))
    code, _, err = vdsr("upscale", tmp_path / "in.png", tmp_path / "out.png", "--model", output)
    assert code == 2
    assert "a.onnx: made for 1x1x16x16 alone; pictures of any size need" in err
