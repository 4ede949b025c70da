"""Films: all that was beside the pictures is there afterwards, and nothing done is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from film_facts import facts, luma, run
from films import FILMS, WORDS, Recipe, damage, make_film, pattern, shorter
from networks import model, random_layers, small_network, zero_network
from vdsr import Upscaler
from vdsr.errors import InputError, OutputError, OutputExists, UsageError
from vdsr.imaging.metrics import psnr
from vdsr.imaging.resample import Bicubic, imresize
from vdsr.video.order import FilmProgress
from vdsr.video.planes import PlaneFormat, chroma_axes, plane_format
from vdsr.video.spool import spool_folder

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")

# ProRes has chroma of half the width at least.
ALL_CHROMA = {"prores": {"pix_fmt": "yuv422p10le"}}
WHOLE = [n for n in FILMS if n not in ("interlaced.mkv", "damaged.mkv", "no-video.mkv")]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all small films."""
    folder = tmp_path_factory.mktemp("films")
    for name, recipe in FILMS.items():
        make_film(folder / name, recipe)
    damage(folder / "damaged.mkv")
    return folder


@pytest.fixture(scope="module")
def plain() -> Iterator[Upscaler]:
    """What enlarges by bicubic interpolation alone."""
    with Upscaler(zero_network()) as upscaler:
        yield upscaler


def planes(frame: Any) -> list[np.ndarray]:
    """The planes of a frame, as they are stored."""
    item = np.dtype("<u2" if "10" in frame.format.name else np.uint8)
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        found.append(rows[:, : plane.width * item.itemsize].view(item).copy())
    return found


def planes_of(path: Path) -> list[list[np.ndarray]]:
    with av.open(path) as file:
        return [planes(frame) for frame in file.decode(video=0)]


@pytest.mark.parametrize("name", WHOLE)
def test_everything_is_kept(name: str, films: Path, plain: Upscaler, tmp_path: Path):
    goal = tmp_path / name
    result = run(plain, films / name, goal, segment=7)
    before, after = facts(films / name), facts(goal)
    size = before.pop("size")
    assert after.pop("size") == (2 * size[0], 2 * size[1]) == (result.width, result.height)
    assert after == before
    assert result.notices == ()
    assert result.frames == len(before["times"])
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WHOLE)
def test_ffprobe_agrees(name: str, films: Path, plain: Upscaler, tmp_path: Path):
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe, of Debian's ffmpeg")
    run(plain, films / name, tmp_path / name)
    before, after = probed(films / name), probed(tmp_path / name)
    for one in after["streams"]:
        if one["codec_type"] == "video":
            one["width"], one["height"] = one["width"] // 2, one["height"] // 2
    assert after == before


def probed(path: Path) -> dict[str, Any]:
    entries = (
        "stream=codec_type,codec_name,width,height,pix_fmt,color_range,color_space,time_base"
        ",color_transfer,color_primaries,chroma_location,sample_aspect_ratio,side_data_list"
        ":stream_disposition:stream_tags=language:chapter=start_time,end_time:format_tags=title"
        ":frame=pts_time,stream_index"
    )
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(path)]
    told: dict[str, Any] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    told["frames"].sort(key=lambda f: (f.get("stream_index", -1), float(f.get("pts_time", 0))))
    return told


@pytest.mark.parametrize("codec", ["ffv1", "h264", "hevc", "av1", "vp9", "prores"])
def test_luma_is_that_of_the_reference_path(
    codec: str, films: Path, tmp_path: Path, plain: Upscaler
):
    name = "ten-bits.mkv" if codec in ("prores", "hevc") else "variable.mkv"
    goal = tmp_path / "out.mkv"
    result = run(plain, films / name, goal, codec=codec, **ALL_CHROMA.get(codec, {}))
    assert result.codec == codec
    top = 1023 if "ten" in name else 255
    for small, large in zip(luma(films / name), luma(goal), strict=True):
        exact = np.clip(np.rint(imresize(small.astype(np.float64), scale=2)), 0, top)
        if codec == "ffv1":
            assert np.abs(large.astype(int) - exact).max() <= 1
            assert np.count_nonzero(large != exact) <= exact.size / 1000
        else:
            assert psnr(exact / top, large / top, data_range=1.0, border=0) > 40


@pytest.mark.parametrize("recipe", ["constant.mp4", "full-range.mp4", "ten-bits.mkv"])
def test_the_network_adds_what_it_adds_to_luma(recipe: str, films: Path, tmp_path: Path):
    """In studio range a film's luma is what the network was trained on; full range is fitted."""
    with Upscaler(small_network(), precision="fp32") as upscaler:
        run(upscaler, films / recipe, tmp_path / "out.mkv", codec="ffv1")
        network = upscaler._engines.first.network
        small = luma(films / recipe)[3].astype(np.float32)
        step, full = (4, False) if "ten" in recipe else (1, "full" in recipe)
        black, span = (0.0, 255.0) if full else (16.0 * step, 219.0 * step)
        large = imresize((small - black) / span, scale=2)
        given = (16 + 219 * large) / 255
        exact = (network.run(given[None, None].astype(np.float32))[0, 0] * 255 - 16) / 219
        exact = np.clip(np.rint(exact * span + black), 0, 256 * step - 1)
    got = luma(tmp_path / "out.mkv")[3].astype(int)
    assert np.abs(got - exact).max() <= 1
    assert np.count_nonzero(got != exact) <= exact.size / 100


@pytest.mark.parametrize("siting", [None, "left", "center", "topleft", "top", "bottomleft"])
@pytest.mark.parametrize("names", [("yuv420p", "yuv420p"), ("yuv420p", "yuv444p")])
@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_chroma_stays_where_it_is(siting: str | None, names: tuple[str, str], scale: float):
    """What rises with the place, in luma px, does so afterwards, with the same values."""
    formats = (plane_format(names[0]), plane_format(names[1]))
    size, goal = (40, 48), (round(40 * scale), round(48 * scale))
    axes = chroma_axes(size, goal, formats, (scale, scale), siting)
    across, down = {"left": (0.5, 1), "center": (1, 1), "topleft": (0.5, 0.5), "top": (1, 0.5)}.get(
        siting or "left", (0.5, 1.5)
    )

    def places(format: PlaneFormat, length: int, sub: int, first: float, by: float) -> np.ndarray:
        return (sub * np.arange(-(-length // sub)) + (first if sub == 2 else 0.5)) / by

    small = np.add.outer(
        places(formats[0], size[0], 2, down, 1.0), places(formats[0], size[1], 2, across, 1.0)
    )
    large = np.add.outer(
        places(formats[1], goal[0], formats[1].sub_y, down, scale),
        places(formats[1], goal[1], formats[1].sub_x, across, scale),
    )
    got = Bicubic(*axes).window(small)
    inner = (slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(got[inner], large[inner], atol=1e-9)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_gone_on_with_it_is_the_same(codec: str, films: Path, tmp_path: Path):
    with Upscaler(small_network()) as upscaler:
        film = films / "variable.mkv"
        whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
        run(upscaler, film, whole, codec=codec, segment=4)
        for stop in (3, 6, 11, 17):

            def progress(at: FilmProgress, stop: int = stop) -> None:
                if at.done == stop:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                run(upscaler, film, broken, codec=codec, segment=4, progress=progress)
            assert not broken.exists()
        result = run(upscaler, film, broken, codec=codec, segment=4)
        assert result.resumed == 16
        assert broken.read_bytes() == whole.read_bytes()
        assert not spool_folder(broken).exists()


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux alone"
)
def test_an_encoder_takes_no_real_time_priority(films: Path, plain: Upscaler, tmp_path: Path):
    """SVT-AV1 does, where root runs it, for all that the process does from then on."""
    seen: set[int] = set()

    def look(_: FilmProgress) -> None:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                seen.add(os.sched_getscheduler(int(thread.name)))

    before = os.sched_getscheduler(0)
    plain.video(films / "chapters.mkv", tmp_path / "out.mkv", scale=2, codec="av1", progress=look)
    assert seen == {before} == {os.sched_getscheduler(0)}


def test_other_settings_are_refused_until_redo(films: Path, plain: Upscaler, tmp_path: Path):
    film, goal = films / "variable.mkv", tmp_path / "out.mkv"

    def stop(at: FilmProgress) -> None:
        if at.done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plain, film, goal, segment=4, progress=stop)
    with pytest.raises(UsageError, match=r"other settings \(coding\).*redo=True"):
        run(plain, film, goal, segment=4, crf=30)
    assert run(plain, film, goal, segment=4, crf=30, redo=True).resumed == 0


def test_interlaced(films: Path, plain: Upscaler, tmp_path: Path):
    film, goal = films / "interlaced.mkv", tmp_path / "out.mkv"
    with pytest.raises(InputError, match=r"interlaced.*deinterlace=True"):
        run(plain, film, goal)
    assert list(tmp_path.iterdir()) == []
    run(plain, film, goal, deinterlace=True)
    before, after = facts(film), facts(goal)
    assert after["times"] == before["times"]
    with av.open(goal) as file:
        assert not any(frame.interlaced_frame for frame in file.decode(video=0))


def test_damage_is_said(films: Path, plain: Upscaler, tmp_path: Path):
    film, goal = films / "damaged.mkv", tmp_path / "out.mkv"
    result = run(plain, film, goal)
    assert any("damage" in notice for notice in result.notices)
    assert result.frames == len(facts(goal)["times"])
    with pytest.raises(InputError, match="damage"):
        run(plain, film, tmp_path / "strict.mkv", strict=True)
    assert not (tmp_path / "strict.mkv").exists()


def test_pictures_that_are_missing_are_counted(films: Path, plain: Upscaler, tmp_path: Path):
    make_film(tmp_path / "long.mp4", Recipe(pts=tuple(range(0, 2000, 40)), base=Fraction(1, 90000)))
    data = (tmp_path / "long.mp4").read_bytes()
    # The table of contents lies at the end: what is cut is put back as zeros.
    half = data.index(b"moov") // 2
    cut = data[:half] + bytes(data.index(b"moov") - 4 - half) + data[data.index(b"moov") - 4 :]
    (tmp_path / "cut.mp4").write_bytes(cut)
    result = run(plain, tmp_path / "cut.mp4", tmp_path / "out.mp4")
    assert result.frames < 50
    assert any("the file declares are not there" in notice for notice in result.notices)


def test_what_is_no_film(films: Path, plain: Upscaler, tmp_path: Path):
    (tmp_path / "text.mkv").write_text("no film at all")
    (tmp_path / "list.mkv").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n")
    for path, words in (
        (films / "no-video.mkv", "no pictures that can be decoded, only audio"),
        (tmp_path / "text.mkv", "cannot be read as a film"),
        (tmp_path / "list.mkv", "playlist|cannot be read as a film"),
        (tmp_path / "gone.mkv", "no such file"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(InputError, match=words):
            run(plain, path, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


def test_what_a_container_cannot_hold(films: Path, plain: Upscaler, tmp_path: Path):
    refused = [
        ("chapters.mkv", "out.mp4", {}, "mp4 takes no attachments.*drop attachments"),
        ("constant.mp4", "out.webm", {}, "webm takes no aac.*drop audio"),
        ("variable.mkv", "out.mp4", {"codec": "prores"}, "mp4 takes no prores.*goes into .mkv"),
        ("variable.mkv", "out.mov", {"codec": "av1"}, "mov takes no av1"),
        ("variable.mkv", "out.gif", {}, "no audio"),
        ("variable.mkv", "out.xyz", {}, "a film ends in one of"),
        ("variable.mkv", "out.mkv", {"codec": "x"}, "unknown codec"),
        ("variable.mkv", "out.mkv", {"crf": 99}, "h264 takes 0 to 51"),
        ("variable.mkv", "out.mkv", {"codec": "ffv1", "crf": 9}, "no crf"),
        ("variable.mkv", "out.mkv", {"preset": "fsat"}, "did you mean 'fast'"),
        ("variable.mkv", "out.mkv", {"pix_fmt": "rgb24"}, "h264 takes no 'rgb24'"),
        ("variable.mkv", "out.mkv", {"drop": ("sound",)}, "no 'sound' to leave out"),
        ("variable.mkv", "out.mkv", {"start": 3, "end": 2}, "before it starts"),
        ("variable.mkv", "out.mkv", {"colour": 3}, "video takes no colour"),
    ]
    for name, goal, options, words in refused:
        with pytest.raises(UsageError, match=words):
            run(plain, films / name, tmp_path / goal, **options)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out.mkv").touch()
    with pytest.raises(OutputExists):
        run(plain, films / "variable.mkv", tmp_path / "out.mkv")
    with pytest.raises(OutputError, match="does not exist"):
        run(plain, films / "variable.mkv", tmp_path / "none" / "out.mkv")


def test_subtitles_are_converted(films: Path, plain: Upscaler, tmp_path: Path):
    run(plain, films / "sound-and-words.mp4", tmp_path / "out.mkv")
    run(plain, films / "chapters.mkv", tmp_path / "out.mp4", drop=("attachments",))
    words, other = facts(tmp_path / "out.mkv"), facts(tmp_path / "out.mp4")
    texts = [text.encode() for _, _, text in WORDS]
    assert [data for _, data in words["subtitle"]] == texts
    shift = words["subtitle"][0][0] - Fraction(WORDS[0][0], 1000)
    assert [t for t, _ in words["subtitle"]] == [
        Fraction(start, 1000) + shift for start, _, _ in WORDS
    ]
    assert words["times"][0] == shift  # one shift for all
    assert [data[2:] for _, data in other["subtitle"] if len(data) > 2] == texts
    assert other["chapters"] == facts(films / "chapters.mkv")["chapters"]


def test_a_part_of_it(films: Path, plain: Upscaler, tmp_path: Path):
    result = run(plain, films / "chapters.mkv", tmp_path / "out.mkv", start=0.4, end=1.05)
    got = facts(tmp_path / "out.mkv")
    wanted = [Fraction(p - 400, 1000) for p in FILMS["chapters.mkv"].pts if 400 <= p < 1050]
    assert got["times"] == wanted
    assert result.frames == len(wanted)
    assert got["audio"][0][0] < Fraction(1, 40)
    assert [data for _, data in got["subtitle"]] == ["Zwei äö".encode()]
    assert [c[:2] for c in got["chapters"]] == [
        (0, Fraction(6, 10)),
        (Fraction(6, 10), Fraction(65, 100)),
    ]


@pytest.mark.parametrize("name", ["constant.mp4", "ten-bits.mkv", "full-range.mp4"])
def test_a_preview_shows_both_frame_by_frame(name: str, films: Path, tmp_path: Path):
    """At the left what bicubic interpolation makes, at the right what the network makes."""
    film, goal = films / name, tmp_path / "out.mkv"
    with Upscaler(small_network()) as upscaler:
        result = run(upscaler, film, goal, preview=0.2, codec="ffv1")
        wholes = list(upscaler.video(film, scale=2))
    assert result.output == str(tmp_path / "out.preview.mkv")
    assert (result.width, result.height) == (384, 128)
    assert result.frames == 5
    # The middle of 0.48 s: from 0.14 s on.
    times = [float(t) for t in facts(film)["times"]]
    shown = [i for i, t in enumerate(times) if 0.1399 <= t < 0.3399]
    assert len(shown) == 5
    clip = planes_of(tmp_path / "out.preview.mkv")
    assert len(clip) == 5
    small = luma(film)
    top = 1023 if "ten" in name else 255
    for i, (y, cb, cr) in zip(shown, clip, strict=True):
        bicubic = np.clip(np.rint(imresize(small[i].astype(np.float64), scale=2)), 0, top)
        assert np.abs(y[:, :192].astype(int) - bicubic).max() <= 1
        whole = planes(wholes[i])
        assert np.abs(y[:, 192:].astype(int) - whole[0]).max() <= 1
        assert np.abs(y[:, :192].astype(int) - y[:, 192:]).max() > 2
        for plane, exact in ((cb, whole[1]), (cr, whole[2])):
            assert np.array_equal(plane[:, :96], exact)
            assert np.array_equal(plane[:, 96:], exact)


def test_how_long_it_will_take_is_told_first(films: Path, tmp_path: Path):
    reports: list[FilmProgress] = []
    with Upscaler(small_network()) as upscaler:
        run(upscaler, films / "constant.mp4", tmp_path / "out.mkv", progress=reports.append)
        assert (reports[0].done, reports[0].total, reports[0].seconds) == (0, 12, 0.0)
        assert reports[0].expected is not None
        assert reports[0].expected > 0
        assert [r.done for r in reports[1:]] == list(range(1, 13))
        assert all(r.expected is None for r in reports[1:])


def test_still_regions_are_not_computed_again(tmp_path: Path):
    def slides(width: int, height: int, i: int) -> np.ndarray:
        values = pattern(width, height, i // 6)
        values[:20, :20] = i % 2  # a cursor that blinks
        return values

    def noise(width: int, height: int, i: int) -> np.ndarray:
        return np.random.default_rng(i).uniform(0.2, 0.8, (height, width))

    recipe = shorter(Recipe(codec="ffv1", width=256, height=192), 18)
    with Upscaler(small_network()) as upscaler:
        shares = {}
        for name, picture in (("slides", slides), ("noise", noise)):
            film = make_film(tmp_path / f"{name}.mkv", recipe, picture)
            result = run(upscaler, film, tmp_path / f"{name}.out.mkv", codec="ffv1", segment=6)
            shares[name] = result.kept
        whole = upscaler.video(tmp_path / "slides.mkv", scale=2)
        got = luma(tmp_path / "slides.out.mkv")
        for i, frame in enumerate(whole):
            exact = np.frombuffer(frame.planes[0], np.uint8).reshape(384, -1)[:, :512]
            assert np.abs(got[i].astype(int) - exact).max() <= 1
    assert shares["slides"] > 0.6
    assert shares["noise"] == 0.0


def test_file_objects_bytes_and_generators(films: Path, plain: Upscaler, tmp_path: Path):
    data = (films / "variable.mkv").read_bytes()
    goal = io.BytesIO()
    plain.video(io.BytesIO(data), goal, scale=2, format="mkv")
    run(plain, films / "variable.mkv", tmp_path / "out.mkv")
    (tmp_path / "object.mkv").write_bytes(goal.getvalue())
    assert facts(tmp_path / "object.mkv") == facts(tmp_path / "out.mkv")
    frames = plain.video(data, scale=2)
    first = next(frames)
    assert (first.width, first.height, first.pts) == (192, 128, 0)
    frames.close()
    with pytest.raises(UsageError, match="no suffix"):
        plain.video(data, io.BytesIO(), scale=2)
    with pytest.raises(InputError, match="a film is a path"):
        plain.video(3, io.BytesIO(), format="mkv")  # type: ignore[arg-type]


def test_networks_of_three_planes_are_not_for_films(films: Path, tmp_path: Path):
    with (
        Upscaler(small_network(planes=3)) as upscaler,
        pytest.raises(UsageError, match="luma alone"),
    ):
        run(upscaler, films / "variable.mkv", tmp_path / "out.mkv")


def test_a_folded_network(films: Path, tmp_path: Path):
    with Upscaler(small_network(fold=2)) as upscaler:
        assert run(upscaler, films / "odd.webm", tmp_path / "out.webm").frames == 12


@pytest.mark.parametrize("suffix", ["gif", "apng", "webp"])
def test_moving_pictures(suffix: str, tmp_path: Path, plain: Upscaler):
    from PIL import Image

    times = [100, 40, 200, 120]
    pictures = []
    for i in range(4):
        gray = (pattern(48, 32, 3 * i) * 255).clip(0, 255).astype(np.uint8)
        opaque = np.full_like(gray, 255)
        opaque[:8, :8] = 0
        pictures.append(Image.fromarray(np.stack([gray, gray[::-1], 255 - gray, opaque], -1)))
    film = tmp_path / f"in.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"disposal": 2}
    kind = {"gif": "GIF", "apng": "PNG", "webp": "WEBP"}[suffix]
    pictures[0].save(
        film, kind, save_all=True, append_images=pictures[1:], duration=times, loop=3, **options
    )
    goal = tmp_path / f"out.{suffix}"
    assert run(plain, film, goal).frames == 4
    with Image.open(film) as before, Image.open(goal) as after:
        assert (after.size, after.n_frames) == ((96, 64), 4)
        assert after.info["loop"] == before.info["loop"]
        for i in range(4):
            before.seek(i)
            after.seek(i)
            small = np.asarray(before.convert("RGBA"))
            large = np.asarray(after.convert("RGBA"))
            assert after.info["duration"] == times[i]
            exact = plain.upscale(small, scale=2)
            assert np.abs(large[..., 3].astype(int) - exact[..., 3]).max() <= (
                128 if suffix == "gif" else 1
            )
            seen = exact[..., 3] == 255
            assert np.abs(large.astype(int) - exact)[seen].mean() < (6 if suffix == "gif" else 1)
    assert run(plain, film, tmp_path / "out.mp4").pix_fmt == "yuv420p"


def test_a_film_as_moving_pictures(films: Path, tmp_path: Path, plain: Upscaler):
    from PIL import Image

    run(plain, films / "variable.mkv", tmp_path / "out.webp", drop=("audio",))
    with Image.open(tmp_path / "out.webp") as picture:
        assert (picture.size, picture.n_frames) == ((192, 128), 17)


def test_a_network_that_fails_leaves_nothing_and_says_so(films: Path, tmp_path: Path):
    class Failing:
        def run(self, y: Any) -> Any:
            raise MemoryError

        def close(self) -> None:
            pass

    with (
        Upscaler(model(random_layers(3, 3)), backend=Failing()) as upscaler,
        pytest.raises(MemoryError),
    ):
        run(upscaler, films / "variable.mkv", tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_killed_ten_times(codec: str, tmp_path: Path):
    """SIGKILL at ten moments, as the command; the bytes are those of an unbroken run."""
    film = make_film(tmp_path / "in.mkv", replace(Recipe(), pts=tuple(range(0, 4800, 40))))
    network = tmp_path / "net.onnx"
    network.write_bytes(small_network().data)
    command = [sys.executable, "-m", "vdsr", "video", film, "--scale", "2", "--model", network]
    command += ["--segment", "6", "--codec", codec, "--quiet"]
    subprocess.run([*command, tmp_path / "whole.mkv"], check=True)
    broken, kills = tmp_path / "broken.mkv", 0
    for wanted in range(1, 11):
        process = subprocess.Popen([*command, broken])
        while process.poll() is None:
            if len(list(spool_folder(broken).glob("*.segment"))) >= wanted:
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
    assert kills >= 8
    assert not broken.exists() or kills < 10
    subprocess.run([*command, "--overwrite", broken], check=True)
    assert broken.read_bytes() == (tmp_path / "whole.mkv").read_bytes()
