"""The command `vdsr benchmark` on a small network."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import networks
from vdsr.evaluation.candidates import write_picture


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    for path, model in zip(paths, (networks.small_network(), networks.int8_network()), strict=True):
        path.write_bytes(model.data)
    return paths


def test_everything_small(vdsr, models: tuple[Path, Path], tmp_path: Path):
    pytest.importorskip("torch")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    write_picture(pictures / "one.png", rng.integers(0, 255, (40, 48, 3), np.uint8))
    record, plot = tmp_path / "record.json", tmp_path / "plot.svg"
    # Halves are measured, too, where the processor has them.
    options = ["--backend", "openvino", "--precision", "fp32,int8"]
    options += ["--sizes", "32x24", "--batches", "1,2", "--repeats", 1]
    options += ["--program", "64x48", "--quality", pictures, "--plot", plot, "--json", record]
    code, out, err = vdsr("benchmark", "-m", models[0], "-m", models[1], *options)
    assert code == 0, err
    figures = json.loads(record.read_text())
    rows = [(r["backend"], r["precision"], r["batch"]) for r in figures["network"]]
    each = [("openvino", "fp32"), ("openvino", "int8"), ("eager", "fp32")]
    assert rows == [(*who, batch) for batch in (1, 2) for who in each]
    assert [(r["backend"], r["precision"]) for r in figures["start"]] == each
    assert all(r["peak_memory_bytes"] > 10e6 for r in figures["start"])
    assert [r["what"] for r in figures["program"]] == [
        *["network"] * 3,
        *["file to file"] * 2,
        *["process start to file"] * 3,
    ]
    assert figures["ceiling"]["gflops"] > 0
    assert [r["precision"] for r in figures["quality"]] == [None, "fp32", "int8"]
    assert "The whole program" in out
    drawn = ElementTree.fromstring(plot.read_text())
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == 3
    code, _, err = vdsr("benchmark", "--plot", plot, "--quality", pictures)
    assert (code, "exists already" in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "a.svg"], "--quality"),
        (["--plot", "a.png", "--quality", "."], ".svg or .html"),
        (["--batches", "x"], "--batches"),
        (["--sizes", "12"], "not a size"),
        (["--precision", "fp64"], "nothing to measure"),
        (["--backend", "nothing"], "unknown backend"),
    ],
)
def test_wrong_usage(vdsr, options: list[str], message: str):
    code, out, err = vdsr("benchmark", *options)
    assert (code, out) == (2, "")
    assert message in err
