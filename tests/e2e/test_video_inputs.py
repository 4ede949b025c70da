"""Films as archives hold them: other codecs, interlaced ones, clocks that run on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from film_facts import facts, luma, run
from films import BT709, INPUTS, Recipe, make_film
from networks import zero_network
from vdsr import Upscaler
from vdsr.errors import InputError
from vdsr.imaging.resample import imresize
from vdsr.video.source import examine

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")

CODECS = {
    "mpeg2": "mpeg2video",
    "mpeg2-interlaced": "mpeg2video",
    "pal": "dvvideo",
    "ntsc": "dvvideo",
}
INTERLACED = ("mpeg2-interlaced.mpg", "pal.dv", "pal.avi", "ntsc.mov")
UNTAGGED = 2
MILLI = 0.00101


@pytest.fixture(scope="module")
def plain() -> Iterator[Upscaler]:
    """What enlarges by bicubic interpolation alone."""
    with Upscaler(zero_network()) as upscaler:
        yield upscaler


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder for the films that tests ask for."""
    return tmp_path_factory.mktemp("inputs")


def film_of(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        try:
            av.Codec(INPUTS[name].codec, "w")
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this PyAV has no encoder {INPUTS[name].codec} to make the film with")
        make_film(path, INPUTS[name])
    return path


def starts(found: dict[str, Any]) -> Fraction:
    """When the first of all streams begins."""
    return min([found["times"][0], *(t for t, _ in found["audio"][:1])])


@pytest.mark.parametrize("name", INPUTS)
def test_what_archives_hold(name: str, films: Path, plain: Upscaler, tmp_path: Path):
    film, goal = film_of(films, name), tmp_path / "out.mkv"
    whole = examine(film)
    assert whole.codec == CODECS.get(film.stem, film.stem)
    assert whole.interlaced == (name in INTERLACED)
    result = run(plain, film, goal, codec="ffv1", deinterlace=True)
    before, after = facts(film), facts(goal)
    assert after["size"] == (2 * before["size"][0], 2 * before["size"][1])
    # One shift for all streams, and no drift.
    shift = starts(after) - starts(before)
    assert after["times"] == pytest.approx([t + shift for t in before["times"]], abs=MILLI)
    assert [d for _, d in after["audio"]] == [d for _, d in before["audio"]]
    assert [t for t, _ in after["audio"]] == pytest.approx(
        [t + shift for t, _ in before["audio"]], abs=MILLI
    )
    step = before["times"][-1] - before["times"][-2]
    assert after["shape"] == before["shape"]
    assert after["end"] == pytest.approx(after["times"][-1] + step, abs=2 * MILLI)
    tagged = [a for a, b in zip(after["tags"], before["tags"], strict=True) if b != UNTAGGED]
    assert tagged == [tag for tag in before["tags"] if tag != UNTAGGED]
    assert not any("damage" in notice for notice in result.notices)
    if name not in INTERLACED:
        top = 1023 if "10" in before["pixels"] else 255
        for small, large in zip(luma(film), luma(goal), strict=True):
            exact = np.clip(np.rint(imresize(small.astype(np.float64), scale=2)), 0, top)
            assert np.abs(large - exact).max() <= 1


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_ones_are_told_by_their_flags(
    name: str, films: Path, plain: Upscaler, tmp_path: Path
):
    film, goal = film_of(films, name), tmp_path / "out.mkv"
    with pytest.raises(InputError, match=r"interlaced.*deinterlace=True"):
        run(plain, film, goal)
    assert list(tmp_path.iterdir()) == []
    run(plain, film, goal, deinterlace=True)
    with av.open(goal) as file:
        assert not any(frame.interlaced_frame for frame in file.decode(video=0))


@pytest.mark.parametrize("name", INPUTS)
def test_into_mp4(name: str, films: Path, plain: Upscaler, tmp_path: Path):
    film, goal = film_of(films, name), tmp_path / "out.mp4"
    run(plain, film, goal, codec="h264", deinterlace=True, drop=("audio",))
    before, after = facts(film), facts(goal)
    steps, kept = np.diff(before["times"]), np.diff(after["times"])
    assert kept == pytest.approx(steps, abs=MILLI)
    assert after["tags"][1:] == before["tags"][1:] or UNTAGGED in before["tags"]
    assert after["shape"] == before["shape"]


def test_times_are_counted_from_where_a_broadcast_begins(
    films: Path, plain: Upscaler, tmp_path: Path
):
    """Its clock may show anything: nobody wants an hour of nothing before the film."""
    film, goal = film_of(films, "mpeg2.ts"), tmp_path / "out.mp4"
    assert facts(film)["times"][0] >= 3600
    run(plain, film, goal)
    after = facts(goal)
    assert starts(after) < Fraction(1, 20)
    part = run(plain, film, tmp_path / "part.mp4", start=0.2, end=0.36)
    assert part.frames == 4
    assert facts(tmp_path / "part.mp4")["times"][0] < Fraction(1, 25)


def test_untagged_colors_stay_what_players_took_them_for(
    films: Path, plain: Upscaler, tmp_path: Path
):
    """Above 576 rows they would take BT.709: DV would change its colors by growing."""
    film = film_of(films, "pal.avi")
    assert facts(film)["tags"][1:] == (UNTAGGED,) * 3
    result = run(plain, film, tmp_path / "large.mkv", deinterlace=True, strict=True)
    assert facts(tmp_path / "large.mkv")["tags"][1:3] == (5, 5)
    assert any("BT.601" in notice for notice in result.notices)
    recipe = Recipe(color={name: UNTAGGED for name in BT709 if name != "color_range"})
    small = make_film(tmp_path / "small.mkv", recipe)
    assert not run(plain, small, tmp_path / "still-small.mkv").notices
    assert facts(tmp_path / "still-small.mkv")["tags"][1:] == (UNTAGGED,) * 3


def test_a_container_that_refuses_is_named(films: Path, plain: Upscaler, tmp_path: Path):
    """And not the film that is read: it is whole."""
    made = run(plain, film_of(films, "pal.dv"), tmp_path / "out.mp4", deinterlace=True)
    assert made.frames == 3
    assert examine(tmp_path / "out.mp4").rate == 25
