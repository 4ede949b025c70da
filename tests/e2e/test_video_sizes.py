"""Odd sizes and px that are not square: what encoders and containers do not take by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from film_facts import facts, luma, run
from films import FILMS, MILLI, T90K, Recipe, make_film
from networks import zero_network
from vdsr import Upscaler
from vdsr.errors import InputError
from vdsr.video.encode import fitted, open_encoder
from vdsr.video.formats import Coding
from vdsr.video.matroska import describe, display_size

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")

ODD = Recipe(codec="libx264", pix_fmt="yuv444p", width=63, height=41, base=T90K)
CROP_RIGHT, CROP_BOTTOM = b"\x54\xdd\x81\x01", b"\x54\xaa\x81\x01"


@pytest.fixture(scope="module")
def plain() -> Iterator[Upscaler]:
    """What enlarges by bicubic interpolation alone."""
    with Upscaler(zero_network()) as upscaler:
        yield upscaler


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_an_odd_size_is_coded_as_an_even_one(
    codec: str, suffix: str, plain: Upscaler, tmp_path: Path
):
    """With a row and a column mirrored; where the container can say so, they are cut off again."""
    film = make_film(tmp_path / "in.mp4", ODD)
    goal = tmp_path / f"out.{suffix}"
    result = run(plain, film, goal, scale=3, codec=codec, pix_fmt="yuv420p")
    (told,) = (n for n in result.notices if "mirrored" in n)
    head = goal.read_bytes()[:2000]
    assert (CROP_RIGHT in head) == (CROP_BOTTOM in head) == (suffix == "mkv")
    if suffix == "mkv":
        assert (result.width, result.height) == (189, 123)
        assert "cut off again" in told
    else:
        assert (result.width, result.height) == (190, 124)
        assert "an even size or a .mkv" in told
        assert "codec vp9 would do" in told
        with pytest.raises(InputError, match="would do without"):
            run(
                plain,
                film,
                tmp_path / "strict.mp4",
                scale=3,
                codec=codec,
                pix_fmt="yuv420p",
                strict=True,
            )
    for large in luma(goal):
        assert large.shape == (124, 190)
        assert np.abs(large[-1].astype(int) - large[-2]).mean() < 3
        assert np.abs(large[:, -1].astype(int) - large[:, -2]).mean() < 3


def test_what_takes_an_odd_size_gets_it(plain: Upscaler, tmp_path: Path):
    film = make_film(tmp_path / "in.mp4", ODD)
    for name, options in (
        ("vp9.webm", {"pix_fmt": "yuv420p", "drop": ("audio",)}),
        ("ffv1.mkv", {"pix_fmt": "yuv420p", "codec": "ffv1"}),
        ("full.mp4", {"pix_fmt": "yuv444p"}),
    ):
        run(plain, film, tmp_path / name, scale=3, **options)
        assert facts(tmp_path / name)["size"] == (189, 123)


def test_ffv1_takes_large_pictures():
    """Of 7680x4320 px it takes no four slices."""
    coding = Coding(
        codec="ffv1",
        container="matroska",
        pix_fmt="yuv420p",
        width=7680,
        height=4320,
        time_base=MILLI,
        rate=Fraction(25),
        shape=Fraction(0),
        color=(1, 1, 1, 1),
        options={"level": "3"},
        threads=1,
    )
    assert fitted(replace(coding, width=640, height=480)).options["slices"] == "4"
    found = fitted(coding)
    assert found.options["slices"] == "9"
    open_encoder(found)


def test_a_gif_of_an_odd_size_becomes_a_film(plain: Upscaler, tmp_path: Path):
    from PIL import Image

    Image.new("RGB", (21, 15), (200, 30, 60)).save(tmp_path / "in.gif")
    result = run(plain, tmp_path / "in.gif", tmp_path / "out.mp4", scale=3)
    assert (result.width, result.height) == facts(tmp_path / "out.mp4")["size"] == (64, 46)


@pytest.mark.parametrize("codec", ["ffv1", "vp9", "av1", "prores", "h264"])
def test_px_that_are_not_square(codec: str, plain: Upscaler, tmp_path: Path):
    """FFV1, VP9, AV1 and ProRes do not carry their shape: the container does."""
    film = make_film(tmp_path / "in.mkv", FILMS["anamorphic.mkv"])
    pixels = {"pix_fmt": "yuv422p10le"} if codec == "prores" else {}
    run(plain, film, tmp_path / "out.mkv", codec=codec, **pixels)
    assert facts(tmp_path / "out.mkv")["shape"] == Fraction(16, 11)


def test_what_is_written_into_the_head_moves_nothing(plain: Upscaler, tmp_path: Path):
    """Chapters, attachments, tags and the index are found where they were."""
    recipe = replace(FILMS["chapters.mkv"], shape=Fraction(64, 45))
    film = make_film(tmp_path / "in.mkv", recipe)
    run(plain, film, tmp_path / "out.mkv", codec="ffv1", segment=4)
    before, after = facts(film), facts(tmp_path / "out.mkv")
    for name in ("chapters", "attachments", "title", "times", "shape", "streams"):
        assert after[name] == before[name]
    with av.open(tmp_path / "out.mkv") as file:
        file.seek(1_100_000)
        frame = next(file.decode(video=0))
        assert 0 < frame.pts * frame.time_base <= Fraction(11, 10)


def test_a_file_without_room_stays_as_it_is(tmp_path: Path):
    for data in (b"", b"no film at all" * 9, b"\x18\x53\x80\x67\x84\x16\x54\xae\x6b"):
        path = tmp_path / "x.mkv"
        path.write_bytes(data)
        with path.open("r+b") as file:
            assert not describe(file, (64, 48), (85, 48), (0, 0))
        assert path.read_bytes() == data


def test_display_sizes_are_exact_where_they_can_be():
    assert display_size(1440, 1152, Fraction(16, 15)) == (1536, 1152)
    assert display_size(1440, 960, Fraction(32, 27)) == (1440, 810)
    assert display_size(95, 63, Fraction(16, 11)) == (138, 63)
