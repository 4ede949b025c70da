"""`vdsr evaluate` and `vdsr data`, as they are typed."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vdsr.evaluation.candidates import write_picture
from vdsr.evaluation.protocols import cropped
from vdsr.imaging.degrade import degrade
from vdsr.imaging.metrics import psnr
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import write_model

KEYS = [
    "dataset",
    "scale",
    "protocol",
    "model",
    "precision",
    "backend",
    "psnr",
    "ssim",
    "seconds",
    "images",
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a smooth color picture and a gray one, and a file that is no picture."""
    folder = tmp_path / "some"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:101, :98]
    wave = np.sin(rows / 5.0) * np.cos(columns / 7.0) * 90 + 120
    color = wave[..., None] + [0, 20, -20] + rng.normal(0, 3, (101, 98, 3))
    write_picture(folder / "b.png", color.clip(0, 255).astype(np.uint8))
    write_picture(folder / "a.png", wave[:60, :70].clip(0, 255).astype(np.uint8))
    (folder / "note.txt").write_text("")
    return folder


def write(path: Path, name: str, *, residual: bool, gain: float) -> Path:
    """A model of one layer: the identity, or a sharpening that goes with `gain`."""
    kernel = np.full((1, 1, 3, 3), -gain / 8, np.float32)
    kernel[0, 0, 1, 1] = gain if residual else 1.0 + gain
    layers = (Layer(weight=kernel),)
    metadata = ModelMetadata(name=name, residual=residual)
    write_model(Architecture(layers=layers, residual=residual), metadata, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A residual network that adds nothing: bicubic by another way."""
    return write(tmp_path / "identity.onnx", "identity", residual=True, gain=0.0)


def test_rows_of_json_have_these_keys(vdsr, pictures: Path, model: Path):
    code, out, err = vdsr("evaluate", "--json", "-d", pictures, "-m", model, "-s", "2,3")
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert [list(row) for row in rows] == [KEYS] * 4
    assert [(row["scale"], row["model"]) for row in rows] == [
        (2, "bicubic"),
        (2, "identity"),
        (3, "bicubic"),
        (3, "identity"),
    ]
    assert {(row["dataset"], row["protocol"]) for row in rows} == {("some", "paper")}
    assert [(row["precision"], row["backend"]) for row in rows[:2]] == [
        (None, None),
        ("fp32", "openvino"),
    ]
    for row in rows:
        images = row["images"]
        assert [image["image"] for image in images] == ["a.png", "b.png"]
        assert [list(image) for image in images] == [["image", "psnr", "ssim", "seconds"]] * 2
        for key in ("psnr", "ssim"):
            assert row[key] == pytest.approx(np.mean([image[key] for image in images]))
        assert row["seconds"] == pytest.approx(sum(image["seconds"] for image in images))
    for bicubic, identity in (rows[:2], rows[2:]):
        assert identity["psnr"] == pytest.approx(bicubic["psnr"], abs=1e-3)
        assert identity["ssim"] == pytest.approx(bicubic["ssim"], abs=1e-4)


def test_a_direct_network_is_measured_like_a_residual_one(vdsr, pictures: Path, tmp_path: Path):
    models = [
        write(tmp_path / f"{name}.onnx", name, residual=residual, gain=0.4)
        for name, residual in (("added", True), ("direct", False))
    ]
    options = ("-m", models[0], "-m", models[1], "-s", 2, "-p", "float,file", "--json")
    rows = json.loads(vdsr("evaluate", "-d", pictures, *options)[1])
    figures = {(row["model"], row["protocol"]): row["psnr"] for row in rows}
    assert len(figures) == 6
    for protocol in ("float", "file"):
        added, direct = figures["added", protocol], figures["direct", protocol]
        assert direct == pytest.approx(added, abs=2e-3)
        assert abs(direct - figures["bicubic", protocol]) > 0.05


def test_the_file_protocol_goes_through_the_whole_program(vdsr, pictures: Path, model: Path):
    (pictures / "a.png").unlink()
    rows = json.loads(
        vdsr("evaluate", "-d", pictures, "-m", model, "-s", 2, "-p", "file", "--json")[1]
    )
    assert list(rows[0]) == [*KEYS[:-1], "psnr_rgb", "ssim_rgb", "images"]
    # Bicubic in 8 bits is what a network that adds nothing gives, but for the rounding.
    for key in ("psnr", "psnr_rgb"):
        assert rows[1][key] == pytest.approx(rows[0][key], abs=0.05)
    assert rows[0]["psnr"] - rows[0]["psnr_rgb"] > 0.5  # luma's noise is less, and 219/255 of it


def test_the_crop_changes_what_is_measured(vdsr, tmp_path: Path):
    folder = tmp_path / "one"
    folder.mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (53, 59), dtype=np.uint8)
    write_picture(folder / "noise.png", noise)
    # 53 -> 52; but 53 -> 52 -> 51 -> 48.
    for crop, sides in (("single", (52, 56)), ("cumulative", (48, 56))):
        original = noise[: sides[0], : sides[1]].astype(np.float64)
        expected = psnr(degrade(original, 4), original, data_range=255.0, border=4)
        options = ("-s", 4, "-p", "float", "--crop", crop, "--json")
        rows = json.loads(vdsr("evaluate", "-d", folder, *options)[1])
        assert rows[0]["psnr"] == pytest.approx(expected, abs=1e-9)
        assert rows[0].get("crop", "single") == crop


def test_further_metrics(vdsr, pictures: Path, model: Path, tmp_path: Path):
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3]),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "means", ends[:1], ends[1:])
    network = tmp_path / "means.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        network,
    )
    options = ("--metrics", "consistency,speed,fid", "--fid-network", network, "-s", 2, "--json")
    rows = json.loads(vdsr("evaluate", "-d", pictures, "-m", model, *options)[1])
    for row in rows:
        assert set(row) - set(KEYS) == {"consistency", "seconds_per_megapixel", "fid"}
        pixels = 60 * 70 + 100 * 98
        assert row["seconds_per_megapixel"] == pytest.approx(row["seconds"] / pixels * 1e6)
        assert 0.0 <= row["fid"] < 5.0
        # Bicubic, shrunk again, is nearly what it was made from.
        assert row["consistency"] > row["psnr"] + 5
        assert {"consistency", "seconds_per_megapixel"} < set(row["images"][0])


def test_table_csv_and_page(vdsr, pictures: Path, model: Path, tmp_path: Path):
    goal, sheet = tmp_path / "out.html", tmp_path / "out.csv"
    options = ("-s", "2,4", "-p", "paper,float", "--report", goal, "--csv", sheet)
    code, out, err = vdsr("evaluate", "-d", pictures, "-m", model, *options)
    assert (code, err) == (0, "")
    tables = out.split("\n\n")
    assert len(tables) == 2
    assert all(len(table.strip().splitlines()) == 5 for table in tables)
    assert re.search(r"some +x2 +paper +identity +fp32 +openvino +\d+\.\d{3} ", tables[0])
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert list(rows[0]) == KEYS[:-1]
    assert f"{float(rows[0]['psnr']):.3f}" in tables[0]

    page = goal.read_text("utf-8")
    assert page.count("<table>") == 2
    assert page.count("<svg") == 2
    # Two pictures, scales and protocols, and four cut-outs of each.
    assert page.count('<img src="data:image/png;base64,') == 2 * 2 * 2 * 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("its residual, times 4") == 2 * 2 * 2 * 2  # alt text and caption

    assert vdsr("evaluate", "-d", pictures, "-m", model, "--report", goal)[0] == 1
    assert goal.read_text("utf-8") == page
    nowhere = tmp_path / "missing" / "rows.csv"
    code, out, err = vdsr("evaluate", "-d", pictures, "-m", model, "--csv", nowhere)
    assert (code, out) == (1, "")
    assert "does not exist: make it first" in err


def test_text_from_names_is_escaped_in_the_page(vdsr, pictures: Path, tmp_path: Path):
    name = "<script>alert(1)</script>"
    model = write(tmp_path / "model.onnx", name, residual=True, gain=0.0)
    goal = tmp_path / "out.html"
    code, *_ = vdsr("evaluate", "-q", "-d", pictures, "-m", model, "-s", 2, "--report", goal)
    assert code == 0
    assert "<script" not in goal.read_text("utf-8")


def test_other_pictures_under_a_known_name_are_a_warning(vdsr, tmp_path: Path, model: Path):
    folder = tmp_path / "Set5"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for i in range(5):
        write_picture(folder / f"{i}.png", rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    code, out, err = vdsr("evaluate", "-d", folder, "-m", model, "-s", 2)
    assert code == 0
    assert "identity" in out
    assert err.count("warning") == 1
    assert "33.661 dB is known" in err
    # The folder was given once: now its name is enough.
    assert "Set5" in vdsr("evaluate", "-d", "set5", "-m", model, "-s", 2)[1]


def test_every_backend_and_model_has_its_row(vdsr, pictures: Path, model: Path, tmp_path: Path):
    other = write(tmp_path / "other.onnx", "identity", residual=True, gain=0.1)
    options = ("-m", model, "-m", other, "--backend", "openvino,onnxruntime", "-s", 2, "--json")
    rows = json.loads(vdsr("evaluate", "-d", pictures, *options)[1])
    assert [(row["model"], row["backend"]) for row in rows] == [
        ("bicubic", None),
        (str(model), "openvino"),
        (str(model), "onnxruntime"),
        (str(other), "openvino"),
        (str(other), "onnxruntime"),
    ]
    assert rows[1]["psnr"] == pytest.approx(rows[2]["psnr"], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-s", "two"], "whole numbers with commas between, as 2,3,4"),
        (["-s", "1"], "scales are 2 to 8"),
        (["-p", "matlab"], "unknown protocol 'matlab'"),
        (["--crop", "none"], "unknown crop 'none'"),
        (["--metrics", "lpips"], "unknown metric 'lpips'"),
        (["--metrics", "fid"], "vdsr data fetch inception"),
        (["--fid-network", "x.onnx"], "goes with --metrics fid"),
        (["-p", "fixed256", "--crop", "cumulative"], "crops nothing"),
        (["-p", "fixed256", "--metrics", "consistency"], "no low-resolution picture"),
        (["--inputs", "."], "makes its own low-resolution pictures"),
        (["--backend", "caffe"], "unknown backend 'caffe'"),
        (["-m", "unknown"], "no model named 'unknown'"),
        (["-d", "unknown"], "no such folder, and no dataset of that name"),
    ],
)
def test_wrong_usage(vdsr, pictures: Path, options: list[str], message: str):
    code, out, err = vdsr("evaluate", "-d", pictures, *options)
    assert (code, out) == (2, "")
    assert err.startswith("vdsr: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_pictures_that_cannot_be_measured(vdsr, pictures: Path, model: Path):
    def error() -> str:
        code, out, err = vdsr("evaluate", "-d", pictures, "-m", model, "-s", 2)
        assert (code, out) == (1, "")
        return err

    small = pictures / "c.png"
    write_picture(small, np.zeros((14, 40), np.uint8))
    assert "c.png: it cannot be measured at x2" in error()
    small.write_bytes(b"\x89PNG\r\n\x1a\n nonsense")
    assert "c.png" in error()


def test_pictures_given_for_fixed256(vdsr, pictures: Path, model: Path, tmp_path: Path):
    pytest.importorskip("cv2")
    given = tmp_path / "given"
    given.mkdir()
    for path in pictures.glob("*.png"):
        (given / f"{path.stem}_scale_4.png").write_bytes(path.read_bytes())
    options = ("-p", "fixed256", "-s", 4, "--json")
    rows = json.loads(vdsr("evaluate", "-d", pictures, "-m", model, "--inputs", given, *options)[1])
    assert rows[0]["psnr"] is None  # equal pictures: no finite number
    assert rows[0]["ssim"] == 1.0
    assert rows[1]["psnr_rounded"] is None
    assert json.loads(vdsr("evaluate", "-d", pictures, "-m", model, *options)[1])[0]["psnr"] > 20
    (given / "a_scale_4.png").unlink()
    code, _, err = vdsr("evaluate", "-d", pictures, "-m", model, "--inputs", given, *options)
    assert (code, "no picture for a.png, as a_scale_4.png" in err) == (1, True)


def test_data_fetch_knows_its_names(vdsr):
    code, out, err = vdsr("data", "fetch", "imagenet")
    assert (code, out) == (2, "")
    assert "set5, set14, b100, urban100, inception" in err


def test_the_help_loads_no_heavy_package():
    script = (
        "import sys\nfrom vdsr.cli import main\nsys.argv = ['vdsr', 'evaluate', '--help']\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'pyvips', 'openvino', 'torch', 'onnx', 'cv2'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "fixed256" in done.stdout


def test_the_crops_by_hand():
    picture = np.zeros((53, 59, 3))
    assert cropped(picture, 4, "single", channels_last=True).shape == (52, 56, 3)
    # 53 -> 52 -> 51 -> 48, and 59 -> 58 -> 57 -> 56
    assert cropped(picture, 4, "cumulative", channels_last=True).shape == (48, 56, 3)
