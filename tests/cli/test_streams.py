"""Streams that are closed, full or no longer read: no traceback, nothing that hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

from networks import zero_network

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a shell of the POSIX kind")
VDSR = f"{sys.executable} -m vdsr"
FULL = "full" if Path("/dev/full").exists() else ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "zero.onnx").write_bytes(zero_network().data)
    samples = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    pyvips.Image.new_from_array(samples).write_to_file(tmp_path / "in.png")
    return tmp_path


def shell(folder, line):
    """What a shell line leaves: its exit code, and what it said."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


UPSCALE = f"{VDSR} upscale in.png out.png -s 2 -m zero.onnx"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(folder, closed):
    """The picture is whole: nothing that was said went into it."""
    assert shell(folder, f"{UPSCALE} {closed}")[0] == 0
    assert pyvips.Image.new_from_file(folder / "out.png", fail_on="warning").avg() > 0
    assert shell(folder, f"{UPSCALE} {closed}")[0] == 1  # it exists now


@pytest.mark.skipif(not FULL, reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["info zero.onnx", "info zero.onnx --json", "--help", "doctor"])
def test_nowhere_to_write_a_result(folder, command):
    code, _, said = shell(folder, f"{VDSR} {command} > /dev/full")
    assert code == 1
    assert said == "vdsr: error: standard output cannot be written: No space left on device\n"


@pytest.mark.skipif(not FULL, reason="this system has no /dev/full")
def test_nowhere_to_talk(folder):
    assert shell(folder, f"{UPSCALE} 2> /dev/full")[0] == 0
    assert shell(folder, f"{VDSR} upscale none.png out2.png 2> /dev/full")[0] == 1
    for wrong in ("upscale --bogus", "upscale", "nothing", "info a b", "upscale in.png out.xyz"):
        assert shell(folder, f"{VDSR} {wrong} 2> /dev/full")[0] == 2
    assert shell(folder, f"{VDSR} upscale --bogus > /dev/full 2> /dev/full")[0] == 2


@pytest.mark.parametrize("command", ["info zero.onnx", "--help"])
def test_a_reader_that_goes_away(folder, command):
    _, _, said = shell(folder, f"{VDSR} {command} | true")
    assert said == ""


def test_names_that_a_terminal_would_obey(folder):
    code, _, said = shell(folder, rf"{VDSR} upscale $'no\e[2J\xffne.png' out3.png")
    assert code == 1
    assert r"no\x1b[2J" in said
    assert "\x1b" not in said


def test_what_is_said_of_results_is_not_obeyed_either(folder):
    """Names in notes and in the result itself, in lines and in folders."""
    name = "a\x1b[2J\nb\r.png"
    image = pyvips.Image.new_from_file(folder / "in.png").copy()
    image.set_type(pyvips.GValue.blob_type, "exif-data", b"no EXIF at all")
    image.write_to_file(os.fspath(folder / name))
    quoted = r"$'a\e[2J\nb\r.png'"
    options = "-s 2 -m zero.onnx"
    for line in (
        rf"{VDSR} upscale {quoted} $'b\e[2J\n.gif' {options}",
        rf"{VDSR} upscale {quoted} $'b\e[2J\n.png' --preview {options}",
        rf"{VDSR} upscale {quoted} $'o\e[2Jut/' {options}",
        rf"{VDSR} upscale {quoted} $'o\e[2Jut/' --dry-run {options}",
        rf"{VDSR} status $'o\e[2Jut/'",
    ):
        code, out, said = shell(folder, line)
        assert code == 0
        assert r"\x1b[2J" in out
        assert not {"\x1b", "\r"} & set(out + said)


@pytest.mark.parametrize("place", ["upscale {} out4.png", "upscale in.png {}", "vacc {}"])
def test_names_that_are_too_long(folder, place):
    code, _, said = shell(folder, f"{VDSR} {place.format('x' * 300)}")
    assert code in (1, 2)
    assert said.startswith("vdsr: error: ")


NUMBERS = ["9" * 30, "-" + "9" * 30, "9" * 5000, "1e400", "-1e400", "nan", "0", "-0.0", "1e-400"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:8])
def test_huge_numbers_in_options(folder, number):
    """All options of a picture in one process: each is refused in words."""
    code = """
import subprocess, sys
from typer.testing import CliRunner
from vdsr.cli.main import app
number = sys.argv[1]
options = ["scale", "width", "height", "tile", "threads", "quality", "max-memory", "fit"]
values = {"fit": f"{number}x{number}", "max-memory": f"{number}GiB"}
for option in options:
    line = ["upscale", "in.png", f"{option}.png", "-m", "zero.onnx",
            f"--{option}={values.get(option, number)}"]
    result = CliRunner().invoke(app, line)
    ended = isinstance(result.exception, SystemExit | None)
    assert ended, (option, result.exception)
    assert result.exit_code in (0, 1, 2), (option, result.exit_code)
for line in (["info", "zero.onnx", f"--size={number}x{number}"],
             ["benchmark", "-m", "zero.onnx", f"--size={number}x{number}", f"--rounds={number}"]):
    result = CliRunner().invoke(app, line)
    assert isinstance(result.exception, SystemExit | None), (line, result.exception)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, number],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
