"""pytorch-vdsr's tensors to the accelerator's files and back: the figures of `fixed256`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.data.datasets import open_dataset
from vdsr.export import ExportOptions, export
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.vacc.layout import read_manifest
from vdsr.vacc.measure import measure, subjects
from vdsr.vacc.runner import STAND_IN, run_inputs


def test_the_stand_in_reaches_what_the_protocol_gives(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VDSR_DATA", str(tmp_path / "home"))
    architecture = read_checkpoint(shared / "reference/pytorch-vdsr.safetensors")
    model = ModelFile(model_bytes(architecture, ModelMetadata(name="public")), "public")
    card = tmp_path / "card"
    options = ExportOptions(pictures=shared / "reference/set5-scale4", check=False)
    export(model, "vacc", card, options)
    outputs = card / "outputs" / "fp32"
    run_inputs(card, read_manifest(card), STAND_IN, "fp32", outputs)
    data = open_dataset(str(shared / "data/eval/Set5"))
    scale, pictures = subjects(data, outputs)
    row = measure(outputs, pictures, dataset=data.name, scale=scale).row
    assert scale == 4
    assert row.psnr == pytest.approx(30.938, abs=6e-4)
    assert row.further["psnr_rounded"] == pytest.approx(30.930, abs=6e-4)
    # The vendor's own figure, from a GPU.
    assert row.further["published"] == 30.958
    assert np.mean([image.psnr for image in row.images]) == pytest.approx(row.psnr)
