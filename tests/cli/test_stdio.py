"""`vdsr upscale - -`: a picture from standard input, on to standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

from networks import small_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(small_network().data)
    return path


def picture() -> pyvips.Image:
    rows, columns = np.mgrid[0:20, 0:30]
    pixels = np.stack([rows * 9, columns * 7, rows + columns], 2).astype(np.uint8)
    return pyvips.Image.new_from_array(pixels, interpretation="srgb")


def run(model: Path, folder: Path, *arguments: str, given: bytes = b"") -> tuple[int, bytes, str]:
    done = subprocess.run(
        [sys.executable, "-m", "vdsr", "upscale", *arguments, "-m", str(model), "-s", "2"],
        input=given,
        capture_output=True,
        check=False,
        cwd=folder,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_through_both_in_the_format_of_the_input(model: Path, tmp_path: Path, suffix: str) -> None:
    given = picture().write_to_buffer(suffix)
    code, out, err = run(model, tmp_path, "-", "-", given=given)
    assert (code, out[:2]) == (0, given[:2]), err
    large = pyvips.Image.new_from_buffer(out, "")
    assert (large.width, large.height) == (60, 40)
    assert err.startswith("<stdout>: 60x40 px, x2 in ")
    assert list(tmp_path.iterdir()) == []


def test_from_and_to_files(model: Path, tmp_path: Path) -> None:
    given = picture().pngsave_buffer()
    (tmp_path / "in.png").write_bytes(given)
    code, out, err = run(model, tmp_path, "in.png", "-", "--format", "webp", "-q", "--json=a.json")
    assert (code, out[8:12], err) == (0, b"WEBP", "")
    assert json.loads((tmp_path / "a.json").read_text())["output"] == "<stdout>"
    code, text, err = run(model, tmp_path, "-", "out.png", "--json", given=given)
    assert (code, err) == (0, "")
    assert json.loads(text)["input"] == "<stdin>"
    assert pyvips.Image.new_from_buffer((tmp_path / "out.png").read_bytes(), "").width == 60


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-", "-"), 1, "<stdin>: damaged, cut short"),
        (("-", "-", "--json"), 2, "the picture goes to standard output"),
        (("-", "-", "--in-place"), 2, "--in-place is for a file"),
        (("-", "out.xyz"), 2, "unknown suffix"),
        (("none.png", "-"), 1, "none.png: there is no such file"),
    ],
)
def test_nothing_half_done_goes_out(
    model: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    given = picture().pngsave_buffer()[:60]
    found = run(model, tmp_path, *arguments, given=given)
    assert found[:2] == (code, b"")
    assert said in found[2]
    assert len(found[2].splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_in_place_of_the_one_picture_that_is_named(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture().pngsave_buffer())
    code, out, err = run(model, tmp_path, "a.png")
    assert (code, out, b"or --in-place, to replace it" in err.encode()) == (2, b"", True)
    width = pyvips.Image.new_from_file(path).width
    for times, arguments in ((2, ("a.png", "--in-place")), (4, ("--in-place", "a.png", "a.png"))):
        code, out, err = run(model, tmp_path, *arguments)
        assert (code, out[:6], err) == (0, b"a.png:", "")
        assert pyvips.Image.new_from_buffer(path.read_bytes(), "").width == times * width
    assert run(model, tmp_path, "a.png", "b.png", "--in-place")[0] == 2
    assert run(model, tmp_path, ".", "--in-place")[0] == 2
    assert run(model, tmp_path, "-", "--in-place")[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_that_are_not_utf8_are_said_as_they_are(model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(picture().pngsave_buffer())
    code, out, err = run(model, tmp_path, name, os.fsdecode(b"\xe9t\xe9.png"))
    assert (code, out[:8], err) == (0, b"\xe9t\xe9.png:", "")
    code, out, err = run(model, tmp_path, name, "a.png", "--json")
    assert (code, json.loads(out)["input"], err) == (0, name, "")
