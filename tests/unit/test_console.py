"""What is said while a picture is in work."""

from __future__ import annotations

import pytest

from vdsr.cli.progress import ProgressDisplay
from vdsr.inference.plan import Progress


def said(
    capsys: pytest.CaptureFixture[str], *reports: tuple[int, float], quiet: bool = False
) -> str:
    """On stderr, after reports of pixels done, of 10 million, and seconds."""
    with ProgressDisplay("a.png", quiet=quiet) as display:
        for done, seconds in reports:
            display(Progress(done=done, total=10_000_000, seconds=seconds, memory=2**30))
    return capsys.readouterr().err


def test_how_long_it_will_take_is_told_from_a_tile_that_was_no_warming_up(
    capsys: pytest.CaptureFixture[str],
):
    # 50,000 px in 0.5 s, most of it warming up; then 1 Mpixel in 2 s.
    assert said(capsys, (50_000, 0.5)) == ""
    text = said(capsys, (50_000, 0.5), (1_050_000, 2.5), (2_050_000, 4.5))
    assert text == "a.png: 10.0 Mpixel will take about 20 s and 1.0 GiB of memory\n"


def test_a_slow_first_tile_tells_enough(capsys: pytest.CaptureFixture[str]):
    text = said(capsys, (50_000, 1.5), (1_050_000, 30.0))
    assert text == "a.png: 10.0 Mpixel will take about 5 min 0 s and 1.0 GiB of memory\n"


def test_of_what_is_soon_done_or_done_already_nothing_is_said(capsys: pytest.CaptureFixture[str]):
    assert said(capsys, (50_000, 0.1), (5_000_000, 1.0)) == ""
    assert said(capsys, (50_000, 0.1), (10_000_000, 20.0)) == ""
    assert said(capsys, (50_000, 1.5), (1_050_000, 30.0), quiet=True) == ""
