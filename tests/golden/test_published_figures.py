"""Figures that others published, from the same tensors and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.data.datasets import Dataset, open_dataset
from vdsr.evaluation.candidates import Candidate
from vdsr.evaluation.evaluate import EvaluationSettings, Row, evaluate
from vdsr.evaluation.reference_values import doubt
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes

# Small ones, gray `bridge` left to test_protocols.py: the whole set takes minutes.
SET14 = ("comic.png", "face.png", "foreman.png")


@pytest.fixture(scope="module")
def public(shared: Path):
    """pytorch-vdsr's tensors, on the default backend."""
    architecture = read_checkpoint(shared / "reference/pytorch-vdsr.safetensors")
    model = ModelFile(model_bytes(architecture, ModelMetadata(name="public")), "public")
    candidate = Candidate(model, backend="openvino")
    yield candidate
    candidate.close()


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("VDSR_DATA", str(tmp_path))


def measure(folder: Path, candidates: list[Candidate], **settings) -> list[Row]:
    return list(evaluate(open_dataset(str(folder)), EvaluationSettings(**settings), candidates))


def test_cropping_for_all_scales_in_turn_gives_the_figure_of_its_script(shared, public):
    # Published elsewhere as 31.464.
    _, row = measure(
        shared / "data/eval/Set5", [public], protocol="float", scales=(4,), crop="cumulative"
    )
    assert row.psnr == pytest.approx(31.465, abs=1e-3)


def test_a_compiled_network_of_256_px(shared, public):
    pytest.importorskip("cv2")
    # An accelerator vendor publishes 30.958.
    _, row = measure(
        shared / "data/eval/Set5",
        [public],
        protocol="fixed256",
        scales=(4,),
        inputs=shared / "reference/set5-scale4",
    )
    assert row.psnr == pytest.approx(30.938, abs=3e-3)
    assert row.further["psnr_rounded"] == pytest.approx(30.930, abs=3e-3)


def check(rows: list[Row], shared: Path) -> None:
    """Every picture of every row against the independent computation."""
    expected = {
        (row["dataset"], row["image"], row["scale"]): row
        for row in json.loads((shared / "reference/expected.json").read_text("utf-8"))["rows"]
    }
    for row in rows:
        prefix = "bicubic_" if row.model == "bicubic" else ""
        for image in row.images:
            figures = expected[row.dataset, image.image, row.scale][row.protocol]
            assert image.psnr == pytest.approx(figures[f"{prefix}psnr"], abs=1e-3)
            assert image.ssim == pytest.approx(figures[f"{prefix}ssim"], abs=5e-4)


@pytest.mark.parametrize("protocol", ["paper", "float"])
def test_pictures_of_set14(shared, public, protocol: str):
    folder = shared / "data/eval/Set14"
    some = Dataset("Set14", tuple(folder / name for name in SET14))
    rows = list(evaluate(some, EvaluationSettings(protocol=protocol, scales=(3,)), [public]))
    assert [row.model for row in rows] == ["bicubic", "public"]
    check(rows, shared)


@pytest.mark.parametrize("protocol", ["paper", "float"])
def test_bicubic_beyond_black_and_white(shared, protocol: str):
    # White paper with black letters: clipping alone is worth 0.008 dB.
    slides = Dataset("Set14", (shared / "data/eval/Set14/ppt3.png",))
    check(list(evaluate(slides, EvaluationSettings(protocol=protocol, scales=(4,)), [])), shared)


@pytest.mark.parametrize(
    ("name", "protocol"), [("Set5", "paper"), ("Set5", "float"), ("Set14", "paper")]
)
def test_bicubic_is_as_known_on_the_known_pictures(shared, name: str, protocol: str):
    (row,) = measure(shared / "data/eval" / name, [], protocol=protocol, scales=(3,))
    assert doubt(row) is None
    assert "is known" in str(doubt(replace(row, psnr=row.psnr + 0.01)))
    assert doubt(replace(row, psnr=row.psnr + 0.01, crop="cumulative")) is None


def test_the_whole_program_from_file_to_file_is_near_the_float_figure(shared, public):
    # Known: an 8-bit low-resolution file costs 0.01 dB; 8 bits of RGB at the end a little more.
    bird = Dataset("Set5", (shared / "data/eval/Set5/bird_GT.png",))
    figures = {}
    for protocol in ("float", "file"):
        *_, row = evaluate(bird, EvaluationSettings(protocol=protocol, scales=(4,)), [public])
        figures[protocol] = row.psnr
    assert np.isclose(figures["file"], figures["float"], atol=0.15)
    assert figures["file"] != figures["float"]
