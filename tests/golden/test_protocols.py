"""Published figures: bicubic and the public implementation on Set5, by both protocols."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.errors import UsageError
from vdsr.evaluation.protocols import compare, luma
from vdsr.imaging.files import PictureReader
from vdsr.inference import backends
from vdsr.inference.tiling import run_tiled
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes

# Means over Set5: bicubic, then pytorch-vdsr's network.
PUBLISHED = {
    ("float", 2): (33.690, 37.653),
    ("float", 3): (30.408, 33.773),
    ("float", 4): (28.432, 31.453),
    ("paper", 2): (33.661, 37.589),
    ("paper", 3): (30.392, 33.748),
    ("paper", 4): (28.421, 31.434),
}


def picture(path: Path) -> NDArray[np.uint8]:
    pixels = np.concatenate(list(PictureReader(path).strips()))
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


@pytest.fixture(scope="module")
def public_model(shared: Path) -> ModelFile:
    """The public implementation's tensors as a model file, imported as a user would."""
    architecture = read_checkpoint(shared / "reference/pytorch-vdsr.safetensors")
    return ModelFile(model_bytes(architecture, ModelMetadata(name="public")), "public")


@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize(("protocol", "scale"), PUBLISHED)
def test_set5(shared: Path, public_model: ModelFile, backend: str, protocol: str, scale: int):
    rows = json.loads((shared / "reference/expected.json").read_text("utf-8"))["rows"]
    expected = {
        row["image"]: row[protocol]
        for row in rows
        if row["dataset"] == "Set5" and row["scale"] == scale
    }
    network = backends.open_backend(public_model, backends.choose(public_model, backend))
    halo = public_model.architecture.halo
    scores = {
        path.name: compare(
            picture(path),
            scale,
            protocol,
            lambda y: run_tiled(network.run, y, halo),
            model_luma="studio",
        )
        for path in sorted((shared / "data/eval/Set5").iterdir())
    }
    network.close()
    assert scores.keys() == expected.keys()
    for name, score in scores.items():
        assert score.bicubic.psnr == pytest.approx(expected[name]["bicubic_psnr"], abs=1e-3)
        assert score.bicubic.ssim == pytest.approx(expected[name]["bicubic_ssim"], abs=5e-4)
        assert score.restored.psnr == pytest.approx(expected[name]["psnr"], abs=1e-3)
        assert score.restored.ssim == pytest.approx(expected[name]["ssim"], abs=5e-4)
    bicubic, restored = PUBLISHED[protocol, scale]
    assert np.mean([s.bicubic.psnr for s in scores.values()]) == pytest.approx(bicubic, abs=1e-3)
    assert np.mean([s.restored.psnr for s in scores.values()]) == pytest.approx(restored, abs=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_gray_file_is_its_own_luma(shared: Path, scale: int):
    rows = json.loads((shared / "reference/expected.json").read_text("utf-8"))["rows"]
    bridge = picture(shared / "data/eval/Set14/bridge.png")
    assert bridge.ndim == 2
    for protocol in ("paper", "float"):
        expected = next(
            row[protocol] for row in rows if row["image"] == "bridge.png" and row["scale"] == scale
        )
        score = compare(bridge, scale, protocol, lambda y: y, model_luma="studio").bicubic
        assert score.psnr == pytest.approx(expected["bicubic_psnr"], abs=1e-3)
        assert score.ssim == pytest.approx(expected["bicubic_ssim"], abs=5e-4)


def test_paper_rounds_the_luma_and_float_does_not():
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    rounded, exact = luma(image, "paper"), luma(image, "float")
    assert np.array_equal(rounded, np.floor(exact + 0.5))
    assert not np.array_equal(rounded, exact)


def test_a_network_on_full_range_luma_is_given_full_range():
    image = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    seen = {}
    for name in ("studio", "full"):
        compare(image, 2, "float", lambda y, n=name: seen.setdefault(n, y), model_luma=name)
    studio = seen["studio"] * 255.0
    assert np.allclose(seen["full"] * 255.0, (studio - 16.0) * 255.0 / 219.0, atol=1e-4)


def test_unknown_protocol():
    with pytest.raises(UsageError, match="unknown protocol 'matlab'"):
        luma(np.zeros((20, 20), np.uint8), "matlab")
