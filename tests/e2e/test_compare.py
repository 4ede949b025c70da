"""Two pictures compared: the figures, and the page in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vdsr
from vdsr.errors import InputError, OutputExists, UsageError
from vdsr.imaging.color import FULL, STUDIO
from vdsr.inference import comparison


def scene(height: int = 60, width: int = 50, bands: int = 3) -> np.ndarray:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    planes = [127 + 90 * np.sin((x + i * y) / (3 + i)) for i in range(bands)]
    noise = rng.normal(0, 6, (height, width, bands))
    return (np.stack(planes, -1) + noise).clip(0, 255).astype(np.uint8)


def enlarged(small: np.ndarray, scale: int) -> np.ndarray:
    large = vdsr.imresize(small.transpose(2, 0, 1).astype(float), scale=scale)
    return large.transpose(1, 2, 0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A picture, a result x3, and an original."""
    small = scene()
    original = enlarged(small, 3) + np.random.default_rng(1).normal(0, 9, (180, 150, 3))
    original = original.clip(0, 255).astype(np.uint8)
    result = (0.5 * enlarged(small, 3) + 0.5 * original).clip(0, 255).astype(np.uint8)
    result[70, 33] = 255 - result[70, 33]
    paths = tuple(tmp_path / f"{name}.png" for name in ("small", "result", "original"))
    for path, pixels in zip(paths, (small, result, original), strict=True):
        vdsr.write_image(path, pixels)
    return paths  # type: ignore[return-value]


@pytest.mark.parametrize("block", [128, 16])
def test_figures_are_those_of_the_whole_pictures(files, monkeypatch, block: int):
    monkeypatch.setattr(comparison, "BLOCK", block)
    small, result, original = files
    found = vdsr.compare(small, result, original=original)
    a = enlarged(vdsr.read_image(small), 3).clip(0, 255)
    b, c = (vdsr.read_image(path).astype(float) for path in (result, original))
    planes = np.tensordot(FULL.matrix, (b - a).transpose(2, 0, 1), 1)
    for shift, plane in zip((found.luma, found.cb, found.cr), planes, strict=True):
        assert shift.mean == pytest.approx(plane.mean(), abs=1e-3)
        assert shift.mean_absolute == pytest.approx(np.abs(plane).mean(), abs=1e-3)
        row, column = np.unravel_index(np.abs(plane).argmax(), plane.shape)
        assert (shift.column, shift.row) == (column, row)
        assert shift.largest == pytest.approx(plane[row, column], abs=1e-2)
    assert found.psnr == pytest.approx(vdsr.psnr(b, a, data_range=255, border=0), abs=1e-3)
    assert sum(found.histogram.values()) == 180 * 150
    assert found.histogram[0] == pytest.approx((np.abs(planes[0]) < 0.5).sum(), abs=3)
    again = vdsr.imresize(b.transpose(2, 0, 1), scale=1 / 3)
    apart = again - vdsr.read_image(small).transpose(2, 0, 1)
    assert found.consistency[1].largest == pytest.approx(np.abs(apart).max(), abs=1e-2)
    expected = 10 * np.log10(255**2 / np.square(apart).mean())
    assert found.consistency[1].psnr == pytest.approx(expected, abs=1e-2)
    lumas = [STUDIO.luma(one.transpose(2, 0, 1)) for one in (a, b, c)]
    for quality, luma in zip(found.quality, lumas[:2], strict=True):
        assert quality.psnr == pytest.approx(
            vdsr.psnr(luma, lumas[2], data_range=255, border=0), abs=1e-2
        )
        assert quality.ssim == pytest.approx(
            vdsr.ssim(luma, lumas[2], data_range=255, border=0), abs=1e-3
        )
    left, top = found.most[0]
    assert left % block == top % block == 0


def test_two_results_of_one_size_and_equal_ones(files):
    _, result, original = files
    found = vdsr.compare(result, original)
    assert (found.first, found.second) == ("result.png", "original.png")
    assert found.consistency is None
    same = vdsr.compare(result, result)
    assert (same.psnr, same.luma.largest, same.most) == (None, 0.0, ())
    assert same.histogram == {0: 180 * 150}


@pytest.mark.parametrize("bands", [(1, 3), (4, 4), (3, 4), (1, 1)])
def test_gray_color_and_alpha(tmp_path: Path, bands: tuple[int, int]):
    for name, count, side in (("a", bands[0], 20), ("b", bands[1], 40)):
        vdsr.write_image(tmp_path / f"{name}.png", np.full((side, side, count), 90, np.uint8))
    found = vdsr.compare(tmp_path / "a.png", tmp_path / "b.png", output=tmp_path / "c.html")
    assert abs(found.luma.largest) < 0.01
    assert found.consistency[1].largest < 0.01


def test_what_cannot_be_compared(files, tmp_path: Path):
    small, result, original = files
    vdsr.write_image(tmp_path / "wide.png", scene(40, 400))
    with pytest.raises(InputError, match="neither is an enlargement"):
        vdsr.compare(result, tmp_path / "wide.png")
    with pytest.raises(InputError, match="the original has 50x60 px"):
        vdsr.compare(result, original, original=small)
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputExists):
        vdsr.compare(small, result, output=tmp_path / "page.html")
    with pytest.raises(UsageError, match="the same page"):
        vdsr.upscale(small, tmp_path / "o.png", report="a.html", compare="b.html")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vdsr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command(files, tmp_path: Path):
    small, result, original = files
    done = run("compare", small, result, "--original", original, "--json", tmp_path / "c.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bicubic against the original (luma)" in done.stdout
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["page"] == str(result) + ".html"
    assert found["quality"]["second"]["psnr"] > found["quality"]["first"]["psnr"]
    assert (tmp_path / "result.png.html").is_file()
    again = run("compare", small, result)
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_in_a_browser(files, tmp_path: Path, browser: Any, width: int):
    small, result, original = files
    goal = tmp_path / "page.html"
    vdsr.compare(small, result, original=original, output=goal)
    page = browser.new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda one: said.append(one.url) if one.url.startswith("http") else None)
    page.goto(goal.as_uri())
    slider = page.get_by_role("slider", name="How much is shown of: bicubic")
    slider.focus()
    edge = "getComputedStyle(document.querySelector('.slider .after')).clipPath"
    assert "50%" in page.evaluate(edge)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "52"
    assert "52%" in page.evaluate(edge)
    page.keyboard.press("End")
    assert "100%" in page.evaluate(edge)
    box = page.locator(".slider")
    fitting = box.bounding_box()["width"]
    assert fitting == min(150, width)
    page.get_by_label("Zoom").select_option("4")
    assert box.bounding_box()["width"] == 600
    page.get_by_label("Zoom").select_option("")
    assert box.bounding_box()["width"] == fitting
    # Nothing makes a phone scroll sideways, and every picture is there.
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    assert said == []
    page.close()
