"""What is said while a command is at work."""

from __future__ import annotations

import io
import time

import pytest

from vdsr.cli.progress import Counter, Estimate, PictureDisplay, TrainingDisplay
from vdsr.inference.plan import Progress
from vdsr.training.progress import TrainingProgress, seconds_left
from vdsr.training.recipe import Stage


def said(
    capsys: pytest.CaptureFixture[str], *reports: tuple[int, float], quiet: bool = False
) -> str:
    """On stderr, after reports of pixels done, of 10 million, and seconds."""
    with PictureDisplay("a.png", quiet=quiet) as display:
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


def test_an_estimate_moves_between_reports_and_never_passes_the_next_one():
    estimate = Estimate()
    assert (estimate.done(3.0), estimate.left(3.0)) == (0.0, None)
    estimate.report(10, 100, 1.0)
    estimate.report(30, 100, 3.0)
    assert estimate.rate == 10.0
    shown = [estimate.done(3.0 + t) for t in (0.0, 0.1, 1.0, 2.0, 10.0, 1000.0)]
    assert shown[0] == 30.0
    assert shown[1] == pytest.approx(31.0, abs=0.1)
    assert shown == sorted(shown)
    assert shown[3] < 50.0
    assert shown[5] <= 50.0
    assert estimate.left(3.0) == 7.0
    estimate.report(100, 100, 9.0)
    assert (estimate.done(99.0), estimate.left(99.0)) == (100.0, 0.0)


def test_lines_come_although_no_tile_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    shown = ""
    with PictureDisplay("a.png", quiet=False) as display:
        monkeypatch.setattr(display, "_interval", 0.1)
        shown += _until(capsys, "a.png: at work for ")
        display(Progress(done=1_000_000, total=10_000_000, seconds=1.0, memory=2**30))
        shown = _until(capsys, "Mpixel/s, ")
    assert " left" in shown
    with Counter(quiet=False) as counter:
        monkeypatch.setattr(counter, "_interval", 0.1)
        counter(1, 4, "pictures of Set5")
        assert "1/4 pictures of Set5" in _until(capsys, "1/4")


def report_of_training(seconds: float, left: float | None) -> TrainingProgress:
    return TrainingProgress(
        stage=2,
        stages=3,
        layers=12,
        seconds=seconds,
        left=left,
        loss=0.00312,
        psnr={"x2": 36.714, "x3": 32.7},
    )


def test_a_run_shows_stage_share_time_loss_and_psnr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with TrainingDisplay("cpu", quiet=False) as display:
        display(report_of_training(600.0, 1800.0))
        display(report_of_training(624.0, 1776.0))
        monkeypatch.setattr(display, "_interval", 0.1)
        shown = _until(capsys, "left")
    line = shown.splitlines()[0]
    assert line.startswith(
        "cpu: 26 %, stage 2/3, 12 layers, loss 0.00312, x2 36.71 dB, x3 32.70 dB, 29 min "
    )


def test_a_run_without_an_end_shows_no_share(capsys: pytest.CaptureFixture[str]):
    with TrainingDisplay("trunk", quiet=False) as display:
        display(report_of_training(600.0, None))
        display.draw()
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("trunk: stage 2/3, 12 layers, loss 0.00312")
    assert "%" not in line and "left" not in line


def test_what_is_left_of_a_run_is_told_by_minutes_and_by_what_steps_took():
    timed = [Stage(minutes=m, rate=1e-3) for m in (10.0, 30.0)]
    assert seconds_left(timed, 0, step=0, seconds=0.0, before=0.0) == 2400.0
    assert seconds_left(timed, 1, step=7, seconds=900.0, before=610.0) == 900.0
    assert seconds_left(timed, 1, step=9, seconds=1801.0, before=610.0) == 0.0
    stepped = [Stage(steps=100, depth=8, rate=1e-3), Stage(steps=300, depth=20, rate=1e-3)]
    assert seconds_left(stepped, 0, step=0, seconds=0.0, before=0.0) is None
    assert seconds_left(stepped, 0, step=50, seconds=40.0, before=0.0) == 40.0 + 600.0
    assert seconds_left(stepped, 1, step=0, seconds=0.0, before=80.0) == 600.0
    assert seconds_left(stepped, 1, step=100, seconds=300.0, before=80.0) == 600.0
    mixed = [stepped[0], timed[1]]
    assert seconds_left(mixed, 0, step=50, seconds=40.0, before=0.0) == 40.0 + 1800.0
    assert seconds_left([timed[0], *stepped], 1, step=0, seconds=0.0, before=600.0) is None
    endless = [stepped[0], Stage(schedule="stable", rate=1e-3)]
    assert seconds_left(endless, 0, step=50, seconds=40.0, before=0.0) is None


def _until(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Everything that is said until `text` is."""
    shown = ""
    for _ in range(600):
        shown += capsys.readouterr().err
        if text in shown:
            return shown
        time.sleep(0.05)
    raise AssertionError(shown)


def test_a_bar_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with PictureDisplay("a.png", quiet=False) as display:
        display(Progress(done=1_000_000, total=10_000_000, seconds=1.0, memory=2**30))
        display(Progress(done=2_000_000, total=10_000_000, seconds=2.0, memory=2**30))
        for _ in range(600):
            if "25%" in terminal.getvalue():
                break
            time.sleep(0.02)
    shown = terminal.getvalue()
    assert "25%" in shown
    assert "a.png" in shown
    assert "1.00 Mpixel/s" in shown
