"""The shipped weights give the figures that their card and their metadata print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vdsr.evaluation.protocols import compare
from vdsr.imaging.files import PictureReader
from vdsr.inference import backends
from vdsr.model.file import load_model, shipped_models


def test_every_shipped_model_loads_and_has_a_card():
    weights = Path(load_model.__globals__["__file__"]).parents[1] / "weights"
    assert "vdsr" in shipped_models()
    for name in shipped_models():
        model = load_model(name)
        card = (weights / f"{name}.md").read_text("utf-8")
        assert model.metadata.name == name
        assert card.startswith(f"# {name} {model.metadata.version}\n")
        assert model.metadata.license in card
        assert f"{model.architecture.parameters:,}" in card


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_figures_are_those_of_the_metadata(shared: Path, scale: int):
    model = load_model()
    network = backends.open_backend(model, backends.choose(model))
    scores = []
    for path in sorted((shared / "data/eval/Set5").iterdir()):
        pixels = np.concatenate(list(PictureReader(path).strips()))
        result = compare(
            pixels,
            scale,
            "paper",
            lambda y: network.run(y[None, None])[0, 0],
            model_luma=model.metadata.luma,
        )
        scores.append(result.restored.psnr)
    assert np.mean(scores) == pytest.approx(model.metadata.psnr[f"Set5 x{scale} paper"], abs=0.006)
