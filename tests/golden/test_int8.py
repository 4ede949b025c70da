"""What int8 costs, by the figures that are printed: shipped weights, and public tensors.

On this processor's own kind, and on the lower one: oneDNN, which OpenVINO computes with, is kept
to AVX2 by its environment variable, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.data.datasets import open_dataset
from vdsr.evaluation import evaluate
from vdsr.evaluation.candidates import Candidate, read_picture
from vdsr.inference import cpu
from vdsr.model.file import ModelFile, load_model
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.quantization.pictures import prepare
from vdsr.quantization.search import trials
from vdsr.quantization.settings import QuantizationSettings

MOST_DB = 0.02
PICTURES = 48
FLOAT = evaluate.EvaluationSettings(protocol="float", scales=(2, 3, 4))
KINDS = ["as it is", "AVX2"]
NETWORKS = ["vdsr", "vdsr-fast", "vdsr-photo"]


def losses(
    floats: ModelFile, integers: ModelFile, folder: Path, settings: evaluate.EvaluationSettings
) -> dict[int, float]:
    """Mean PSNR of the floats less that of the integers, by scale."""
    with (
        closing(Candidate(floats, backend="openvino", precision="fp32")) as exact,
        closing(Candidate(integers, backend="openvino", precision="int8")) as rough,
    ):
        rows = list(evaluate.evaluate(open_dataset(str(folder)), settings, [exact, rough]))
    return {
        wanted.scale: wanted.psnr - given.psnr
        for _, wanted, given in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
    }


def shipped_losses(network: str, kind: str, folder: Path) -> dict[int, float]:
    """The same of a shipped pair, on a kind of processor, in a process of its own."""
    if kind != "as it is" and (not cpu.is_x86() or "AVX2" not in cpu.instructions()):
        pytest.skip("this processor has no AVX2 to be kept to")
    environment = dict(os.environ)
    if kind != "as it is":
        environment["ONEDNN_MAX_CPU_ISA"] = kind
    done = subprocess.run(
        [sys.executable, __file__, network, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    if kind == "AVX2":
        assert found["kind"] == "AVX2 without VNNI"
    return {int(scale): loss for scale, loss in found["losses"].items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["Set5", pytest.param("Set14", marks=pytest.mark.slow)])
def test_the_shipped_int8_loses_nothing_that_shows(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    network: str,
    kind: str,
):
    monkeypatch.setenv("VDSR_DATA", str(tmp_path))
    found = shipped_losses(network, kind, shared / "data/eval" / name)
    print(f"{network}-int8 loses on {name}, {kind}, dB: {found}")
    assert set(found) == {2, 3, 4}
    assert max(found.values()) <= MOST_DB


@pytest.mark.parametrize(
    ("network", "data", "scale", "protocol"),
    [
        *[("vdsr-photo", "Set5", 2, p) for p in ("jpeg:30", "jpeg:85", "noise:2", "noise:10")],
        *[("vdsr-restore", "classic5", 1, f"restore-jpeg:{q}") for q in (10, 40)],
    ],
)
def test_nor_does_it_on_damaged_pictures(
    shared: Path, network: str, data: str, scale: int, protocol: str
):
    settings = evaluate.EvaluationSettings(protocol=protocol, scales=(scale,))
    floats, integers = load_model(network), load_model(f"{network}-int8")
    found = losses(floats, integers, shared / "data/eval" / data, settings)
    print(f"{network}-int8 loses on {data}, {protocol}, dB: {found}")
    assert found[scale] <= MOST_DB


def test_public_tensors_in_int8(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VDSR_DATA", str(tmp_path))
    photographs = sorted((shared / "data/train/cc0").glob("*.png"))
    if not photographs:
        pytest.skip("shared/data/train/cc0 is missing: nothing to calibrate on")
    chosen = photographs[:: len(photographs) // PICTURES][:PICTURES]
    architecture = read_checkpoint(shared / "reference/pytorch-vdsr.safetensors")
    # Made for studio luma, but fixed256 gives the network full-range luma as it is: so does
    # the calibration.
    metadata = ModelMetadata(name="public", luma="full")
    floats = ModelFile(model_bytes(architecture, metadata), "public")
    ready = prepare(
        [read_picture(path) for path in chosen],
        [path.name for path in chosen],
        metadata,
        patches=12,
    )
    settings = [QuantizationSettings(method="minmax")]
    (trial,) = trials(floats, ready, settings, backend="openvino")
    fixed256 = evaluate.EvaluationSettings(
        protocol="fixed256", scales=(4,), inputs=shared / "reference/set5-scale4"
    )
    found = losses(floats, trial.model, shared / "data/eval/Set5", fixed256)
    print(f"fixed256: int8 loses {found[4]:.4f} dB; the vendor's card: 0.739")
    assert found[4] <= MOST_DB


if __name__ == "__main__":
    pair = (load_model(sys.argv[1]), load_model(f"{sys.argv[1]}-int8"))
    measured = losses(*pair, Path(sys.argv[2]), FLOAT)
    print(json.dumps({"kind": cpu.kind(), "losses": measured}))
