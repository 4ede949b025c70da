"""A few hundred spoiled files and options of all kinds; `benchmarks/fuzz.py` reads 20,000."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
SUMMARY = re.compile(
    r"inputs (\d+), tracebacks of foreign types (\d+), crashes (\d+), hangs over (\d+) s (\d+),"
    r" peak memory (\d+) MiB"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches readers as Linux can")


def fuzz(*options):
    done = subprocess.run(
        [sys.executable, FUZZ, *options, "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    found = SUMMARY.search(done.stdout)
    assert found, done.stdout + done.stderr
    return done, [int(number) for number in found.groups()]


def test_no_input_is_neither_read_nor_refused_in_words():
    done, (inputs, tracebacks, crashes, _, hangs, peak) = fuzz("--inputs", "280")
    assert (inputs, tracebacks, crashes, hangs) == (280, 0, 0, 0), done.stdout
    assert peak <= 1024
    assert done.returncode == 0
    # Both happen: what is spoiled is not all refused at the door.
    read, refused = (
        sum(map(int, re.findall(rf"(\d+) {word}", done.stdout))) for word in ("read", "refused")
    )
    assert read >= 20
    assert refused >= 100


def test_faults_are_caught_and_named():
    done, (inputs, tracebacks, crashes, _, hangs, _) = fuzz(
        "--only", "faults", "--inputs", "8", "--patience", "1"
    )
    assert (inputs, tracebacks, crashes, hangs) == (8, 2, 2, 2), done.stdout
    assert "faults 0: ZeroDivisionError" in done.stdout
    assert "faults 1: exit code -6" in done.stdout
    assert "faults 2: over 1 s" in done.stdout
    assert done.returncode == 1
