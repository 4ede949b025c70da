"""The protocols of damaged pictures, and the intervals of a JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from damaged_pictures import jpeg, scene
from vdsr.errors import UsageError
from vdsr.evaluation.candidates import Automatic, Candidate
from vdsr.evaluation.damaged_protocols import DamagedProtocol
from vdsr.evaluation.evaluate import EvaluationSettings
from vdsr.evaluation.protocols import prepare
from vdsr.imaging.files.jpeg_tables import quantization_tables
from vdsr.imaging.jpeg_intervals import share_outside

GRAY = scene(side=96)[..., 1]


class Recorder:
    """Gives back what it is given, of the size that is expected, and keeps it."""

    model_luma, planes = "studio", 1

    def __init__(self) -> None:
        self.given: object = None

    def luma(self, y: np.ndarray) -> np.ndarray:
        raise AssertionError("from file to file")

    def picture(self, low: np.ndarray | bytes, scale: int) -> tuple[np.ndarray, float]:
        self.given = low
        pixels = np.array(Image.open(io.BytesIO(low))) if isinstance(low, bytes) else low
        return pixels.repeat(scale, 0).repeat(scale, 1), 0.0


@pytest.mark.parametrize("scale", [2, 3])
def test_what_is_enlarged_is_a_jpeg_file(scale: int):
    network = Recorder()
    case = prepare(scene(side=96), scale, "jpeg:40")
    case.restore(network)
    assert isinstance(network.given, bytes)
    with Image.open(io.BytesIO(network.given)) as image:
        assert (image.format, image.size) == ("JPEG", (96 // scale, 96 // scale))
        expected = Image.open(io.BytesIO(jpeg(scene(side=24), 40))).quantization
        assert image.quantization == expected


def test_a_gray_picture_becomes_a_gray_jpeg():
    network = Recorder()
    prepare(GRAY, 2, "jpeg:40").restore(network)
    assert isinstance(network.given, bytes)
    assert Image.open(io.BytesIO(network.given)).mode == "L"


def test_noise_is_seeded_and_of_its_deviation():
    network, again, clean = Recorder(), Recorder(), Recorder()
    for one, protocol in ((network, "noise:8"), (again, "noise:8"), (clean, "noise:0")):
        prepare(np.full((120, 120, 3), 128, np.uint8), 2, protocol).restore(one)
    assert np.array_equal(network.given, again.given)
    assert (np.asarray(clean.given) == 128).all()
    difference = np.asarray(network.given, float) - np.asarray(clean.given, float)
    assert difference.std() == pytest.approx(8, rel=0.03)
    assert abs(difference.mean()) < 0.3
    expected = np.random.default_rng(0).normal(0, 8, (60, 60, 3))
    assert np.abs(difference - expected).max() <= 0.5


def test_restoring_keeps_the_size_and_shaves_nothing():
    case = prepare(GRAY, 1, "restore-jpeg:20")
    decoded = np.array(Image.open(io.BytesIO(jpeg(GRAY, 20))))
    error = np.mean((decoded.astype(float) - GRAY) ** 2)
    assert np.array_equal(case.bicubic, decoded)
    assert case.reading.score(case.bicubic).psnr == pytest.approx(10 * np.log10(255**2 / error))


def test_color_has_its_own_figures():
    case = prepare(scene(side=96), 2, "jpeg:50")
    assert list(case.further) == ["rgb"]
    assert case.reading.score(case.bicubic).psnr != case.further["rgb"].score(case.bicubic).psnr


@pytest.mark.parametrize(
    "name",
    ["jpeg:", "jpeg:0", "jpeg:101", "jpeg:x", "jpeg:7.5", "noise:-1", "noise:101", "noise:1e1"],
)
def test_amounts_out_of_range_are_refused(name: str):
    with pytest.raises(UsageError, match=f"'{name}'"):
        EvaluationSettings(protocol=name, scales=(2,))


@pytest.mark.parametrize("name", ["jpeg", "jpeg:Q", "restore:10", "noise:S", "papers"])
def test_unknown_protocols_are_refused(name: str):
    with pytest.raises(UsageError):
        EvaluationSettings(protocol=name, scales=(2,))


def test_a_protocol_that_keeps_the_size_has_one_scale():
    with pytest.raises(UsageError, match="its scale is 1"):
        EvaluationSettings(protocol="restore-jpeg:10", scales=(2,))
    with pytest.raises(UsageError):
        EvaluationSettings(protocol="jpeg:10", scales=(1,))
    assert EvaluationSettings(protocol="restore-jpeg:10", scales=(1,)).baseline == "input"


def test_names_are_read():
    assert DamagedProtocol.parse("paper") is None
    assert DamagedProtocol.parse("noise:2.5") == DamagedProtocol("noise", 2.5)


def test_auto_is_for_files():
    candidate = Automatic()
    try:
        with pytest.raises(UsageError, match="gives luma alone"):
            candidate.open("paper")
        candidate.open("file")
    finally:
        candidate.close()
    assert isinstance(candidate.name, str) and not isinstance(candidate, Candidate)


@pytest.mark.parametrize("quality", [10, 40, 75, 90])
def test_a_jpeg_lies_in_its_own_intervals(quality: int):
    data = jpeg(GRAY, quality)
    decoded = np.array(Image.open(io.BytesIO(data))).astype(np.float64)
    steps = quantization_tables(data)[0]
    assert share_outside(decoded, decoded, steps) == 0.0
    # So does the original, which rounding put there; a shift of a step and a half does not.
    assert share_outside(GRAY.astype(np.float64), decoded, steps) < 0.01
    shifted = decoded + 1.5 * int(steps[0, 0]) / 8 + 2
    assert share_outside(shifted, decoded, steps) == pytest.approx(1 / 64)


def test_what_is_painted_lies_outside():
    data = jpeg(GRAY, 60)
    decoded = np.array(Image.open(io.BytesIO(data))).astype(np.float64)
    painted = decoded + np.random.default_rng(0).normal(0, 20, decoded.shape)
    steps = quantization_tables(data)[0]
    assert share_outside(painted, decoded, steps) > 0.3


def test_planes_that_do_not_fit_are_refused():
    steps = np.ones((8, 8), int)
    for result, decoded in (((8, 8), (8, 16)), ((7, 8), (7, 8))):
        with pytest.raises(UsageError, match="same shape"):
            share_outside(np.zeros(result), np.zeros(decoded), steps)


def test_a_case_counts_what_is_outside():
    case = prepare(scene(side=96), 2, "jpeg:30")
    assert case.outside is not None
    assert case.outside(case.bicubic) < case.outside(255 - case.bicubic)
    assert prepare(scene(side=96), 2, "noise:3").outside is None
