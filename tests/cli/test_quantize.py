"""`vdsr quantize`: from a float model to an int8 one that two runtimes run as integers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from onnx import numpy_helper

from networks import model, small_network
from vdsr.evaluation.candidates import write_picture
from vdsr.inference import backends
from vdsr.model.architecture import Layer
from vdsr.model.file import load_model


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Eight smooth pictures, each another one."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:112, :120]
    for i in range(8):
        a, b, c = rng.uniform(0.02, 0.4, 3)
        wave = np.sin(a * y + i) * np.cos(b * x) + 0.5 * np.sin(c * (x + y))
        write_picture(folder / f"{i}.png", (120 + 60 * wave).clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture
def floats(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(small_network().data)
    return path


@pytest.fixture
def sharpening(tmp_path: Path) -> Path:
    """A network that does what it is for: what its int8 form cuts off, costs PSNR."""
    edges = np.zeros((8, 1, 3, 3), np.float32)
    edges[0, 0] = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    edges[1] = -edges[0]
    same = np.zeros((8, 8, 3, 3), np.float32)
    same[range(8), range(8), 1, 1] = 1.0
    added = np.zeros((1, 8, 3, 3), np.float32)
    added[0, :2, 1, 1] = 0.05, -0.05
    path = tmp_path / "sharpening.onnx"
    path.write_bytes(model(tuple(Layer(weight=w) for w in (edges, same, same, added))).data)
    return path


def test_from_a_float_model_to_integers(vdsr, floats: Path, photographs: Path, tmp_path: Path):
    goal, report, page = (tmp_path / name for name in ("i.onnx", "r.json", "r.html"))
    command = ("quantize", floats, "-c", photographs, "-o", goal, "--patches", 6)
    code, out, err = vdsr(*command, "--max-drop", 9, "--json", report, "--report", page)
    assert code == 0, err
    lines = out.splitlines()
    methods = [line.split()[0] for line in lines[1:5]]
    assert sorted(methods) == ["kl", "minmax", "mse", "percentile"]
    assert f"int8 by {methods[0]}" in lines[-1]
    assert "these cost most" in out
    assert "calibrating" in err
    found = json.loads(report.read_text("utf-8"))
    worst = [max(trial["loss"].values()) for trial in found["trials"]]
    assert worst == sorted(worst)
    assert [trial["settings"]["method"] for trial in found["trials"]] == methods
    assert found["layers"]
    html = page.read_text("utf-8")
    assert "<svg" in html
    assert all(f"layer {row['layer']}" in html for row in found["layers"])
    info = json.loads(vdsr("info", goal, "--json")[1])
    assert (info["precision"], info["name"]) == ("int8", "test-int8")

    # The same pictures, the same bytes; and nothing is replaced unasked.
    again = tmp_path / "again.onnx"
    assert vdsr(*command[:5], again, *command[6:], "--max-drop", 9, "--quiet")[0] == 0
    assert again.read_bytes() == goal.read_bytes()
    code, _, err = vdsr(*command)
    assert (code, "--overwrite replaces it" in err) == (1, True)

    # Both runtimes compute it, in integers: close to the floats, and closer to each other.
    model, exact = load_model(goal), load_model(floats)
    y = np.random.default_rng(1).random((1, 1, 40, 52), dtype=np.float32) * 0.5 + 0.2
    results = {}
    for name in ("openvino", "onnxruntime"):
        network = backends.open_backend(model, backends.choose(model, name))
        results[name] = network.run(y)
        network.close()
    network = backends.open_backend(exact, backends.choose(exact, "openvino"))
    wanted = network.run(y)
    network.close()
    apart = np.abs(results["openvino"] - results["onnxruntime"]).max()
    lost = np.abs(results["openvino"] - wanted).max()
    assert 0 < lost * 255 < 8
    assert apart <= lost

    code, _, err = vdsr("quantize", goal, "-c", photographs, "-o", again, "--overwrite")
    assert (code, "it is in int8 already" in err) == (2, True)


def test_both_runtimes_run_it_as_integers(vdsr, floats: Path, photographs: Path, tmp_path: Path):
    goal, optimized = tmp_path / "i.onnx", tmp_path / "optimized.onnx"
    command = ("quantize", floats, "-c", photographs, "-o", goal, "--patches", 3)
    assert vdsr(*command, "--method", "minmax", "--max-drop", 9, "--quiet") == (0, "", "")
    core = openvino.Core()
    if "INT8" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        config = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(load_model(goal).graph, "CPU", config)
        notes = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
        used = [
            note["runtimePrecision"].astype(str)
            for note in notes
            if note["layerType"].astype(str) == "Convolution"
        ]
        assert sorted(used) == ["f32", "f32", "u8", "u8"]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(goal, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(optimized).graph.node]
    # What follows the second one is in float, and takes its output unrounded: ONNX Runtime
    # computes that one in floats.
    assert kinds.count("QLinearConv") == 1


def test_the_gate_keeps_the_model_from_its_place(
    vdsr, sharpening: Path, photographs: Path, tmp_path: Path
):
    goal, report = tmp_path / "i.onnx", tmp_path / "r.json"
    command = ("quantize", sharpening, "-c", photographs, "-o", goal, "--patches", 3)
    clipping = ("--method", "percentile", "--percentile", 90)
    code, out, err = vdsr(*command, *clipping, "--max-drop", 0, "--json", report)
    assert code == 1
    assert "int8 by percentile loses " in err
    assert "and 0 may be lost (--max-drop): nothing is written" in err
    assert not goal.exists()
    # What was computed is kept, reported, and a way out is named.
    found = json.loads(report.read_text("utf-8"))
    kept = Path(found["output"])
    assert (kept.parent, kept.name[:11], found["passed"]) == (tmp_path, "i.rejected-", False)
    assert found["trials"][0]["loss"]["x2"] == max(found["trials"][0]["loss"].values()) > 0
    assert load_model(kept).digest == found["sha256"]
    assert str(kept) in err
    for help_text in ("the other methods", "cost most: 0,", "more pictures", "8-bit weights"):
        assert help_text in err
    before = kept.read_bytes()
    again = (*command, *clipping, "--max-drop", 0, "--json", report, "--overwrite", "--quiet")
    assert vdsr(*again)[:2] == (1, "")
    assert kept.read_bytes() == before
    code, out, _ = vdsr(*command, "--method", "kl_divergence", "--max-drop", 9)
    assert (code, goal.exists(), "int8 by kl" in out) == (0, True, True)


def test_weights_of_7_bits(vdsr, floats: Path, photographs: Path, tmp_path: Path):
    goal = tmp_path / "i.onnx"
    code, _, err = vdsr(
        *("quantize", floats, "-c", photographs, "-o", goal, "--patches", 3, "--max-drop", 9),
        *("--method", "minmax", "--target", "avx2", "--keep-float", "0", "--name", "seven"),
    )
    assert code == 0, err
    metadata = load_model(goal).metadata
    assert (metadata.name, metadata.calibration["weight_bits"]) == ("seven", 7)
    stored = {one.name: one for one in onnx.load(goal).graph.initializer}
    for i in (1, 2, 3):
        weight = numpy_helper.to_array(stored[f"layers.{i}.weight"])
        assert (weight.dtype, np.abs(weight).max()) == (np.dtype(np.int8), 63)
    assert numpy_helper.to_array(stored["layers.0.weight"]).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "z80"], 2, "unknown target 'z80'"),
        (["--method", "best"], 2, "unknown method 'best'"),
        (["--keep-float", "a"], 2, "'a' does not name layers: write 0,1,19"),
        (["--keep-float", "99"], 2, "there is no layer 99"),
        (["--percentile", "5"], 2, "a percentile lies in 90..100"),
        (["--patches", "0"], 2, "--patches is 1 or more"),
    ],
)
def test_wrong_usage(
    vdsr, floats: Path, photographs: Path, tmp_path: Path, options, code: int, message: str
):
    goal = tmp_path / "i.onnx"
    got, out, err = vdsr("quantize", floats, "-c", photographs, "-o", goal, *options)
    assert (got, out, message in err) == (code, "", True)
    assert not goal.exists()


def test_nothing_to_calibrate_on(vdsr, floats: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (empty, tmp_path / "missing"):
        code, _, err = vdsr("quantize", floats, "-c", folder, "-o", tmp_path / "i.onnx")
        assert (code, str(folder) in err) == (1, True)


def test_evaluation_pictures_are_left_out_and_named(
    vdsr, shared: Path, floats: Path, photographs: Path, tmp_path: Path
):
    source = shared / "data/eval/Set5/bird_GT.png"
    (photographs / "0a.png").write_bytes(source.read_bytes())
    code, _, err = vdsr(
        *("quantize", floats, "-c", photographs, "-o", tmp_path / "i.onnx"),
        *("--patches", 6, "--method", "minmax", "--max-drop", 9),
    )
    assert code == 0, err
    assert "0a.png: it is Set5/bird" in err
