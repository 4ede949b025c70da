"""The page of `vdsr serve` in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs 'vdsr[serve]'")
import serving
from vdsr.server.process import TILE

# Screenshots go there, for looking at.
SHOTS = os.environ.get("VDSR_SCREENSHOTS")
NAMES = ("one photo.png", "two.jpg")
# Milliseconds until what should happen has happened, on a machine that is busy.
PATIENCE = 180_000


def _axe() -> Path | None:
    """The script of npm's axe-core, where it is installed."""
    named = os.environ.get("VDSR_AXE")
    found = Path(named or Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js")
    return found if named or found.is_file() else None


AXE = _axe()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    with serving.serving(tmp_path_factory.mktemp("serve"), "--workers", "3") as one:
        yield one


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for i, name in enumerate(NAMES):
        path = folder / name
        path.write_bytes(serving.photograph(150, 220, seed=i, suffix=path.suffix))
        made.append(path)
    return made


def _open(browser: Any, server: serving.Server, **options: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    outside: list[str] = said
    page.on(
        "request",
        lambda r: None if r.url.startswith((server.address, "blob:")) else outside.append(r.url),
    )
    page.goto(server.address)
    page.wait_for_selector("#limits:not(:empty)")
    return page, said


DROP = """([box, files]) => {
  const data = new DataTransfer();
  for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
  box.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def _drop(page: Any, pictures: list[Path]) -> None:
    files = [[one.name, list(one.read_bytes())] for one in pictures]
    page.evaluate(DROP, [page.query_selector("#drop"), files])
    page.locator("#list [data-do=show]").nth(len(pictures) - 1).wait_for()
    page.wait_for_selector("#stage:not([aria-busy]) .slider")


def _shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_pictures_are_dropped_compared_and_downloaded(server, browser, pictures, tmp_path):
    page, said = _open(browser, server, accept_downloads=True)
    page.select_option("#scale", "2")
    _drop(page, pictures)
    slider = page.locator("#stage .slider input")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == pytest.approx(50.5)
    assert "50.5%" in page.get_attribute("#stage .slider", "style")
    bounds = slider.bounding_box()
    page.mouse.click(bounds["x"] + bounds["width"] * 0.2, bounds["y"] + 20)
    assert float(slider.input_value()) == pytest.approx(20, abs=3)
    page.get_by_text("PSNR").wait_for()
    _shot(page, "desktop-light")
    for zoom, side in (("1", 440), ("4", 1760)):
        page.check(f"#zoom input[value='{zoom}']")
        page.wait_for_selector("#stage:not([aria-busy]) .slider")
        width = page.locator("#stage .slider").bounding_box()["width"]
        assert width == pytest.approx(min(side, 1120), abs=8)
    page.get_by_role("button", name="left").click()
    page.check("#residual")
    page.wait_for_selector("#stage:not([aria-busy]) img.flat")
    _shot(page, "desktop-residual")
    for i, picture in enumerate(pictures):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download: {picture.name}").click()
        named = f"{picture.stem}_x2{picture.suffix}"
        assert download.value.suggested_filename == named
        got = tmp_path / f"got-{i}{picture.suffix}"
        download.value.save_as(got)
        want = tmp_path / named
        model = serving.tiny_model(server.folder.parent)
        command = [sys.executable, "-m", "vdsr", "upscale", str(picture), str(want), "-s", "2"]
        subprocess.run([*command, "-q", "--model", str(model)], check=True)
        assert got.read_bytes() == want.read_bytes()
    assert said == []
    page.close()


def test_both_languages_a_broken_file_and_removal(server, browser, pictures, tmp_path):
    page, _ = _open(browser, server, locale="zh-CN")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    page.get_by_text("选择文件").wait_for()
    page.select_option("#language", "en")
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:900])
    page.set_input_files("#files", str(broken))
    page.get_by_text("failed:").wait_for()
    assert "damaged" in page.inner_text("#list")
    page.get_by_role("button", name="Remove").click()
    assert page.locator("#list li").count() == 0
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_it_fits(server, browser, pictures, language, scheme, width):
    page = _dressed(browser, server, language, scheme, width)
    _drop(page, pictures[:1])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    _shot(page, f"{width}-{scheme}-{language}")
    page.close()


@pytest.mark.skipif(AXE is None, reason="needs axe-core of npm: name its axe.min.js by VDSR_AXE")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_it_is_accessible(server, browser, pictures, tmp_path, language, scheme, width):
    assert AXE is not None
    page = _dressed(browser, server, language, scheme, width)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#files", str(broken))
    page.wait_for_selector("#list .bad")
    _drop(page, pictures[:1])
    page.evaluate(AXE.read_text("utf-8"))
    for zoom in ("fit", "4"):
        page.check(f"#zoom input[value='{zoom}']")
        page.wait_for_selector("#stage:not([aria-busy]) .slider")
        found = page.evaluate("axe.run()")["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious] == []
    page.close()


def _dressed(browser: Any, server: serving.Server, language: str, scheme: str, width: int) -> Any:
    viewport = {"width": width, "height": 844}
    look = {"viewport": viewport, "color_scheme": scheme, "locale": language}
    page, _ = _open(browser, server, **look, bypass_csp=True)
    return page


def test_the_page_is_light(server):
    import httpx

    parts = ("", "static/style.css", "static/slider.css", "static/slider.js", "static/app.js")
    parts += ("static/api.js", "static/text.js", "static/viewer.js", "static/icon.svg")
    answers = [httpx.get(f"{server.address}/{part}") for part in parts]
    assert all(answer.status_code == 200 for answer in answers)
    assert sum(len(answer.content) for answer in answers) < 100_000
    assert "default-src 'none'" in answers[0].headers["content-security-policy"]
    assert "http://" not in "".join(a.text for a in answers[:-1]).replace("http://www.w3.org", "")


@pytest.mark.slow
def test_thirty_megapixels(browser, tmp_path):
    """The page stays usable: it looks at views of the result, and never holds the whole."""
    picture, got, want = (tmp_path / name for name in ("giant.jpg", "got.jpg", "want.jpg"))
    picture.write_bytes(serving.photograph(5000, 6000, suffix=".jpg"))
    with serving.serving(tmp_path, "--max-pixels", "150000000") as server:
        page, said = _open(browser, server, accept_downloads=True)
        page.select_option("#scale", "2")
        page.set_input_files("#files", str(picture))
        page.wait_for_selector("#stage:not([aria-busy]) .slider", timeout=3 * PATIENCE)
        slider = page.locator("#stage .slider input")
        slider.focus()
        before = float(slider.input_value())
        page.keyboard.press("ArrowRight")
        assert float(slider.input_value()) > before
        _shot(page, "giant")
        page.check("#zoom input[value='4']")
        page.wait_for_selector("#stage:not([aria-busy]) .slider")
        page.get_by_role("button", name="left").click()
        page.wait_for_selector("#stage:not([aria-busy]) .slider")
        _shot(page, "giant-400")
        # 120 megapixels of RGBA would be 480 MB for each of both.
        sizes = page.locator("#stage img").evaluate_all(
            "all => all.map(one => one.naturalWidth * one.naturalHeight)"
        )
        assert sizes
        assert max(sizes) < 8e6
        with page.expect_download(timeout=PATIENCE) as download:
            page.get_by_role("button", name="Download: giant.jpg").click()
        download.value.save_as(got)
        assert said == []
        page.close()
        model = serving.tiny_model(tmp_path)
        # Another tile rounds a few samples another way.
        command = [sys.executable, "-m", "vdsr", "upscale", str(picture), str(want), "-s", "2"]
        command += ["-q", "--model", str(model), "--tile", str(TILE)]
        subprocess.run(command, check=True)
    assert got.read_bytes() == want.read_bytes()
