"""What is made beside a result: what was added, as a picture, and a page that compares."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import pyvips

import vdsr
from vdsr.errors import OutputExists, UsageError
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.inference import comparison
from vdsr.inference.comparison_page import GAIN, MIDDLE
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import write_model


@pytest.fixture(scope="module")
def constant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that adds 10 levels of 219 to every luma: 11.64 of 255 to every sample."""
    layers = (Layer(weight=np.zeros((1, 1, 3, 3), np.float32), bias=np.full(1, 10 / 255, "f4")),)
    path = tmp_path_factory.mktemp("model") / "constant.onnx"
    write_model(Architecture(layers=layers, residual=True), ModelMetadata(name="constant"), path)
    return path


def written(path: Path, samples: np.ndarray) -> Path:
    height, width, bands = samples.shape
    layout = PixelLayout(width=width, height=height, bands=bands, dtype=samples.dtype.name)
    with PictureWriter(path, layout, FORMATS["tiff"]) as writer:
        writer.write(samples)
    return path


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(PictureReader(path).strips()))


ADDED = 255 / 219 * 10


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [{"scale": 2}, {"scale": 6}, {"restore": True}])
def test_a_residual_is_what_was_added(tmp_path: Path, constant: Path, dtype, bands, size):
    rng = np.random.default_rng(0)
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    samples = (rng.uniform(0.3, 0.6, (24, 20, bands)) * top).astype(dtype)
    if bands in (2, 4):
        samples[..., -1] = top
        samples[:4, :4, -1] = 0
    source = written(tmp_path / "in.tif", samples)
    residual = tmp_path / "r.png"
    result = vdsr.upscale(source, tmp_path / "out.tif", model=constant, residual=residual, **size)
    shown = read(residual)
    assert shown.shape == (result.height, result.width, 1)
    # Two passes add twice; samples of 8 bits are rounded before they are compared.
    passes = 2 if size.get("scale") == 6 else 1
    expected = MIDDLE + GAIN * ADDED * passes
    opaque = shown if bands in (1, 3) else shown[30:, 30:] if passes == 2 else shown[12:, 12:]
    assert np.abs(opaque.astype(float) - expected).max() <= 0.5 + (2 if dtype == "uint8" else 0.5)
    if bands in (2, 4) and "restore" in size:
        assert (shown[:4, :4] == MIDDLE).all()
    (line,) = [text for text in result.notices if str(residual) in text]
    assert "128 + 4 x (result - bicubic)" in line
    assert "128 + 4 x" in str(pyvips.Image.new_from_file(str(residual)).get("xmp-data"))


def test_in_strips_it_is_the_same(tmp_path: Path, constant: Path):
    samples = np.random.default_rng(1).integers(60, 180, (300, 40, 3), dtype=np.uint8)
    source = written(tmp_path / "in.tif", samples)
    shown = []
    for name, memory in (("a", None), ("b", 14 << 20)):
        with vdsr.Upscaler(constant, max_memory=memory) as upscaler:
            residual = tmp_path / f"{name}.png"
            upscaler.upscale(source, tmp_path / f"{name}.tif", scale=3, residual=residual)
            shown.append(read(residual))
    assert np.array_equal(*shown)


def pictures_of(page: Path) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,([\w+/=]+)", page.read_text("utf-8"))
    return [pyvips.Image.new_from_buffer(base64.b64decode(data), "").numpy() for data in found]


def test_a_page_shows_bicubic_and_result(tmp_path: Path, constant: Path, monkeypatch):
    samples = np.random.default_rng(2).integers(60, 180, (50, 40, 3), dtype=np.uint8)
    source, page = written(tmp_path / "in.tif", samples), tmp_path / "c.html"
    vdsr.upscale(source, tmp_path / "o.png", model=constant, scale=2, compare=page)
    plain, result, added, *_ = pictures_of(page)
    assert np.array_equal(result, read(tmp_path / "o.png"))
    planes = vdsr.imresize(samples.transpose(2, 0, 1).astype(float), scale=2)
    expected = planes.transpose(1, 2, 0).clip(0, 255)
    assert np.abs(plain - expected).max() <= 0.51
    assert np.abs(added - (MIDDLE + GAIN * ADDED)).max() <= 3
    text = page.read_text("utf-8")
    assert '<input type="range"' in text
    assert "the whole picture, 80x100 px" in text
    # Of a large picture, the middle.
    monkeypatch.setattr(comparison, "WINDOW", 64)
    again = vdsr.upscale(
        source, tmp_path / "o.png", model=constant, scale=2, compare=page, overwrite=True
    )
    plain, result, *_ = pictures_of(page)
    assert np.array_equal(result, read(tmp_path / "o.png")[18:82, 8:72])
    assert any("64x64 px from (8, 18) on, of 80x100 px" in text for text in again.notices)


def test_nothing_is_replaced_and_nothing_half_done_is_left(tmp_path: Path, constant: Path):
    samples = np.full((8, 8, 3), 100, np.uint8)
    source, residual = written(tmp_path / "in.tif", samples), tmp_path / "r.png"
    residual.write_bytes(b"mine")
    with pytest.raises(OutputExists):
        vdsr.upscale(source, tmp_path / "o.png", model=constant, residual=residual)
    assert residual.read_bytes() == b"mine"
    assert not (tmp_path / "o.png").exists()
    for same in ("o.png", "in.tif"):
        with pytest.raises(UsageError, match="two things"):
            vdsr.upscale(
                source,
                tmp_path / "o.png",
                model=constant,
                residual=tmp_path / same,
                overwrite=True,
            )
    with pytest.raises(UsageError, match="unknown suffix"):
        vdsr.upscale(source, tmp_path / "o.png", model=constant, residual=tmp_path / "r.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "r.png"}
