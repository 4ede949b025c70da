"""`auto`: which of its models a picture gets, and where that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damaged_pictures import noisy, scene, through_jpeg
from networks import small_network
from vdsr import Upscaler
from vdsr.errors import BackendError
from vdsr.inference import engines, selection
from vdsr.inference.backends import supplied
from vdsr.model.file import ModelFile, shipped_models
from vdsr.model.onnx_writer import model_bytes


def named(name: str, file: ModelFile) -> ModelFile:
    metadata = replace(file.metadata, name=name)
    return ModelFile(model_bytes(file.architecture, metadata), name)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelFile]:
    """As if two networks were shipped."""
    files = {
        "vdsr-fast": named("vdsr-fast", small_network(1, fold=2)),
        "vdsr-photo": named("vdsr-photo", small_network(2, fold=2, planes=3)),
    }
    monkeypatch.setattr(selection, "shipped_models", lambda: tuple(files))
    for module in (selection, supplied):
        monkeypatch.setattr(module, "load_model", lambda name: files[str(name)])
    return files


def test_each_kind_of_picture_has_its_model(two: dict[str, ModelFile]):
    with Upscaler(precision="fp32") as upscaler:
        assert upscaler.model.metadata.name == "vdsr-fast"
        for picture, name in (
            (scene(), "vdsr-fast"),
            (through_jpeg(scene(), 50), "vdsr-photo"),
            (noisy(scene(), 10), "vdsr-photo"),
        ):
            with Upscaler(two[name], precision="fp32") as alone:
                expected = alone.upscale(picture, scale=1.5)
            assert np.array_equal(upscaler.upscale(picture, scale=1.5), expected)


def test_files_say_which_and_why(two: dict[str, ModelFile], tmp_path: Path):
    with Upscaler(precision="fp32") as upscaler:
        clean = upscaler.upscale(scene(), tmp_path / "clean.png", scale=2)
        spoiled = upscaler.upscale(noisy(scene(), 10), tmp_path / "spoiled.png", scale=2)
    assert (clean.model, clean.why) == ("vdsr-fast", "neither blocks of JPEG nor noise were found")
    assert spoiled.model == "vdsr-photo"
    assert spoiled.why is not None and spoiled.why.startswith("noise of about 6.")
    assert spoiled.as_dict()["why"] == spoiled.why
    for result, path in ((clean, "clean.png"), (spoiled, "spoiled.png")):
        text = (tmp_path / path).read_bytes()
        assert result.why is not None and result.why.encode() in text
        assert result.model.encode() in text


def test_map_chooses_for_each(two: dict[str, ModelFile]):
    given = [scene(), noisy(scene(), 10), scene(1), through_jpeg(scene(), 30)]
    with Upscaler(precision="fp32") as upscaler:
        found = list(upscaler.map(given, scale=2))
        assert [np.array_equal(one.result, upscaler.upscale(one.source, scale=2)) for one in found]
    assert [one.model for one in found] == ["vdsr-fast", "vdsr-photo"] * 2
    assert all(one.why for one in found)


def test_restoring_is_for_the_network_that_restores(two: dict[str, ModelFile], tmp_path: Path):
    with Upscaler(precision="fp32") as upscaler:
        result = upscaler.upscale(scene(), tmp_path / "a.png", restore=True)
    assert result.model == "vdsr-photo"


def test_what_keeps_its_size_has_a_network_of_its_own(two: dict[str, ModelFile], tmp_path: Path):
    two["vdsr-restore"] = named("vdsr-restore", small_network(3, fold=2, planes=3))
    with Upscaler(precision="fp32") as upscaler:
        result = upscaler.upscale(noisy(scene(), 10), tmp_path / "a.png", restore=True)
        larger = upscaler.upscale(noisy(scene(), 10), tmp_path / "b.png", scale=2)
    assert (result.model, larger.model) == ("vdsr-restore", "vdsr-photo")
    assert result.why == "it is restored in its own size"


def test_a_model_that_is_named_is_taken(two: dict[str, ModelFile], tmp_path: Path):
    with Upscaler("vdsr-fast", precision="fp32") as upscaler:
        result = upscaler.upscale(noisy(scene(), 10), tmp_path / "a.png", scale=2)
    assert (result.model, result.why) == ("vdsr-fast", None)


def test_a_closed_upscaler_closes_both(two: dict[str, ModelFile]):
    upscaler = Upscaler(precision="fp32")
    upscaler.upscale(noisy(scene(), 10), scale=2)
    networks = [one.network for one in upscaler._engines._engines.values()]
    upscaler.close()
    assert len(networks) == 2
    for network in networks:
        with pytest.raises(BackendError, match="closed"):
            network.run(np.zeros((1, 1, 8, 8), np.float32))


def test_with_one_model_shipped_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "shipped_models", lambda: ("srcnn", "vdsr"))
    monkeypatch.setattr(engines, "judge", lambda picture: pytest.fail("nothing to judge for"))
    assert selection.automatic_models() == ("vdsr", "vdsr", "vdsr")
    with Upscaler() as upscaler:
        assert next(upscaler.map([scene(side=32)], scale=2)).why is None


def test_the_models_of_auto_are_shipped():
    names = selection.automatic_models()
    assert set(names) <= set(shipped_models())
    # A folder may need them all, in the precision that it is enlarged with.
    assert all(map(selection.int8_form, names))


def test_a_backend_of_the_callers_own_has_one_network(two: dict[str, ModelFile]):
    class Own:
        def run(self, y: np.ndarray) -> np.ndarray:
            assert y.shape[1] == 1
            return y

        def close(self) -> None:
            pass

    with Upscaler(backend=Own()) as upscaler:
        upscaler.upscale(noisy(scene(), 10), scale=2)
