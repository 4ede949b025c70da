"""Whether a picture is what the network made of a source."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdsr
from vdsr.errors import ModelError
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout

SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp", "tiff": "tif", "avif": "avif"}


def scene(bands: int = 3, dtype: str = "uint8", noise: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:30, :26]
    planes = [0.5 + 0.35 * np.sin((x + i * y) / (2 + i)) for i in range(bands)]
    shown = (np.stack(planes, -1) + rng.normal(0, noise, (30, 26, bands))).clip(0, 1)
    return (shown * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "in.png"
    vdsr.write_image(path, scene())
    return path


def made(source: Path, goal: Path, **options: Any) -> Path:
    vdsr.upscale(source, goal, **({"scale": 2} | options))
    return goal


@pytest.mark.parametrize("format", [*SUFFIXES, "gif"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_yes_in_every_format_and_precision(source, tmp_path: Path, format: str, precision: str):
    goal = made(source, tmp_path / f"o.{SUFFIXES.get(format, format)}", precision=precision)
    found = vdsr.verify(goal, source)
    assert (found.verdict, found.difference, found.metadata) == ("yes", None, ())
    if format == "gif":  # it cannot say how it was made: usual settings are tried
        assert found.provenance == {}
    else:
        assert found.provenance["Precision"] == precision


def test_a_gif_of_a_noisy_source_is_compared_by_the_model_for_noise(tmp_path: Path):
    source = tmp_path / "in.png"
    vdsr.write_image(source, np.tile(scene(noise=0.03), (2, 2, 1)))  # enough to tell noise
    result = vdsr.upscale(source, tmp_path / "o.gif", scale=2)
    assert "noise" in result.why
    assert vdsr.verify(tmp_path / "o.gif", source).verdict == "yes"


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 1.7},
        {"scale": None, "width": 61},
        {"scale": None, "fit": (70, 65)},
        {"scale": None, "restore": True},
        {"scale": 6},
        {"consistent": True},
        {"ensemble": True},
        {"backend": "onnxruntime", "precision": "fp32"},
    ],
)
def test_yes_with_every_option(source, tmp_path: Path, options: dict[str, Any]):
    goal = made(source, tmp_path / "o.png", **options)
    assert vdsr.verify(goal, source).verdict == "yes"


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_halves_are_made_again_in_halves_or_compared_with_floats(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
):
    """torch computes in halves on every processor, if slowly: it stands for one that is meant to.

    Where nothing does, floats are compared, and what halves round off is found and said.
    """
    torch = pytest.importorskip("vdsr.inference.backends.torch", reason="needs torch")
    goal = tmp_path / f"o.{suffix}"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "precisions", lambda: ("fp32", "fp16"))
        made(source, goal, backend="torch", precision="fp16")
        found = vdsr.verify(goal, source)
        assert (found.verdict, found.provenance["Precision"]) == ("yes", "fp16")
        assert "halves" not in " ".join(found.reasons)
        assert not np.array_equal(
            vdsr.read_image(goal), vdsr.upscale(vdsr.read_image(source), scale=2, precision="fp32")
        )
    found = vdsr.verify(goal, source)
    assert (found.verdict, found.difference.largest) == ("altered", pytest.approx(1.0))
    assert "made with the precision fp16, which is not available here" in found.reasons[0]
    assert "a tolerance of 1 counts it as equal" in found.reasons[-1]
    found = vdsr.verify(goal, source, tolerance=1)
    assert (found.verdict, found.metadata) == ("yes", ())
    assert found.reasons[-1].endswith("within 1 levels")
    vdsr.write_image(tmp_path / "other.png", 255 - scene())
    assert vdsr.verify(goal, tmp_path / "other.png", tolerance=1).verdict == "no"


def test_a_backend_that_is_not_here_is_named_and_no_change(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    goal = made(source, tmp_path / "o.png", backend="onnxruntime", precision="fp32")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "vdsr.inference.backends.onnxruntime", raising=False)
    found = vdsr.verify(goal, source, tolerance=1)
    assert (found.verdict, found.metadata) == ("yes", ())
    assert "the backend onnxruntime, which is not available here" in found.reasons[0]


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_lossy_formats_lose_the_same_twice(source, tmp_path: Path, suffix: str, quality: int):
    goal = made(source, tmp_path / f"o.{suffix}", quality=quality)
    assert vdsr.verify(goal, source).verdict == "yes"


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (4, "uint8"), (3, "uint16")])
def test_gray_alpha_and_16_bits(tmp_path: Path, bands: int, dtype: str):
    vdsr.write_image(tmp_path / "in.tif", scene(bands, dtype))
    goal = made(tmp_path / "in.tif", tmp_path / "o.tif")
    assert vdsr.verify(goal, tmp_path / "in.tif").verdict == "yes"


def changed(path: Path, goal: Path, change: Any) -> Path:
    """The same file with other pixels, and all that it says of itself."""
    reader = PictureReader(path)
    samples = change(np.concatenate(list(reader.strips())).copy())
    layout = PixelLayout(
        width=samples.shape[1], height=samples.shape[0], bands=reader.bands, dtype=reader.dtype
    )
    with PictureWriter(goal, layout, FORMATS[reader.format.name], source=reader) as writer:
        writer.write(samples)
    return goal


@pytest.mark.parametrize("by", [1, 40])
def test_one_changed_pixel_is_found(source, tmp_path: Path, by: int):
    def change(samples: np.ndarray) -> np.ndarray:
        value = int(samples[17, 33, 1])
        samples[17, 33, 1] = value + by if value < 128 else value - by
        return samples

    goal = changed(made(source, tmp_path / "o.png"), tmp_path / "c.png", change)
    found = vdsr.verify(goal, source)
    place = (found.difference.left, found.difference.top)
    assert (found.verdict, place, found.difference.pixels) == ("altered", (33, 17), 1)
    assert found.difference.largest == pytest.approx(by)
    assert (vdsr.verify(goal, source, tolerance=1).verdict == "yes") == (by == 1)


def test_no_for_a_cropped_one_and_for_other_pixels(source, tmp_path: Path):
    plain = made(source, tmp_path / "o.png")
    cropped = changed(plain, tmp_path / "c.png", lambda samples: samples[1:])
    found = vdsr.verify(cropped, source)
    assert found.verdict == "no"
    assert "52x59 px, and would be 52x60 px" in found.reasons[-1]
    other = changed(plain, tmp_path / "d.png", lambda samples: 255 - samples)
    assert vdsr.verify(other, source).verdict == "no"


def test_no_for_another_source_and_another_model(source, tmp_path: Path, zero_model: Path):
    goal = made(source, tmp_path / "o.png")
    vdsr.write_image(tmp_path / "other.png", 255 - scene())
    found = vdsr.verify(goal, tmp_path / "other.png")
    assert (found.verdict, "not the file that it names" in found.reasons[0]) == ("no", True)
    assert vdsr.verify(goal, source, model=zero_model).verdict == "no"
    mine = made(source, tmp_path / "z.png", model=zero_model)
    assert vdsr.verify(mine, source, model=zero_model).verdict == "yes"
    assert vdsr.verify(mine, source, model="vdsr").verdict == "no"
    with pytest.raises(ModelError, match="not among the shipped ones"):
        vdsr.verify(mine, source)


def test_metadata_that_were_changed(source, tmp_path: Path):
    goal = made(source, tmp_path / "o.png")
    data = goal.read_bytes()
    text = b"tEXtComment\0changed"
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    end = data.rindex(b"IEND") - 4
    goal.write_bytes(data[:end] + chunk + data[end:])
    found = vdsr.verify(goal, source)
    assert (found.verdict, found.metadata, found.difference) == ("altered", ("chunks",), None)
    goal.write_bytes(data.replace(b'vdsr:Scale="2"', b'vdsr:Scale="3"'))
    found = vdsr.verify(goal, source)
    assert (found.verdict, found.metadata) == ("altered", ("provenance",))


def test_what_says_nothing_is_not_called_altered(source, tmp_path: Path):
    vdsr.write_image(tmp_path / "o.png", np.zeros((60, 52, 3), np.uint8))
    found = vdsr.verify(tmp_path / "o.png", source)
    assert (found.verdict, "says nothing" in found.reasons[0]) == ("no", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Target", "scale many"),
        ("Target", "fit 1x2x3"),
        ("Precision", "../fp8"),
        ("Quality", "9" * 6000),
        ("Page", "9" * 6000),
    ],
)
def test_nonsense_that_a_picture_says_of_itself(source, tmp_path: Path, name: str, value: str):
    said = vdsr.verify(made(source, tmp_path / "o.png"), source).provenance
    samples = np.concatenate(list(PictureReader(tmp_path / "o.png").strips()))
    layout = PixelLayout(width=52, height=60, bands=3, dtype="uint8")
    goal = tmp_path / "n.png"
    with PictureWriter(goal, layout, FORMATS["png"], provenance=said | {name: value}) as writer:
        writer.write(samples)
    assert vdsr.verify(goal, source).verdict in ("no", "altered")


def test_the_command(source, tmp_path: Path):
    goal = made(source, tmp_path / "o.png")
    command = [sys.executable, "-m", "vdsr", "verify", "--quiet"]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [*command, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = run(goal, "--source", source, "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "yes"
    vdsr.write_image(tmp_path / "other.png", 255 - scene())
    assert run(goal, "--source", tmp_path / "other.png").returncode == 1
    missing = run(goal, "--source", tmp_path / "gone.png")
    assert (missing.returncode, "there is no such file" in missing.stderr) == (1, True)
