"""What lies beside a film's pictures: covers, captions in the pictures, time codes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from film_facts import facts, run
from films import FILMS, INPUTS, make_film
from networks import zero_network
from vdsr import Upscaler
from vdsr.errors import InputError, UsageError

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vdsr[video]'")

# Two pairs of line 21, as they lie in A/53 part 4, table 6.9.
CAPTION = bytes([0xFC, 0x94, 0x20, 0xFC, 0xC8, 0xE9])
KINDS = {
    "mjpeg": ("JPEG", "yuvj420p", "jpg", "image/jpeg"),
    "png": ("PNG", "rgb24", "png", "image/png"),
}


@pytest.fixture(scope="module")
def plain() -> Iterator[Upscaler]:
    """What enlarges by bicubic interpolation alone."""
    with Upscaler(zero_network()) as upscaler:
        yield upscaler


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of H.264 with sound."""
    return make_film(tmp_path_factory.mktemp("beside") / "in.mp4", FILMS["constant.mp4"])


def picture(codec: str) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 20, 90)).save(data, KINDS[codec][0])
    return data.getvalue()


def sei(captions: bytes) -> bytes:
    """A unit of H.264 that holds captions (user_data_registered_itu_t_t35), with its length."""
    data = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | (len(captions) // 3), 0xFF]) + captions + b"\xff"
    unit, zeros = bytearray(b"\x06"), 0
    for byte in bytes([4, len(data)]) + data + b"\x80":
        if zeros >= 2 and byte <= 3:
            unit.append(3)
            zeros = 0
        unit.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return len(unit).to_bytes(4, "big") + bytes(unit)


def again(film: Path, goal: Path, *, cover: str | None = None, captions: bool = False) -> Path:
    """The film once more, with something beside it."""
    with av.open(film) as source, av.open(goal, "w") as made:
        streams = {s.index: made.add_stream_from_template(s) for s in source.streams}
        if cover is not None and goal.suffix == ".mkv":
            _, _, suffix, mime = KINDS[cover]
            made.add_attachment(f"cover.{suffix}", mime, picture(cover))
        elif cover is not None:
            stream = made.add_stream(cover, rate=1)
            stream.width = stream.height = 32
            stream.pix_fmt = KINDS[cover][1]
            stream.disposition = av.stream.Disposition.attached_pic
            made.start_encoding()
            packet = av.Packet(picture(cover))
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            packet.time_base, packet.is_keyframe = Fraction(1, 90000), True
            made.mux(packet)
        for packet in source.demux():
            if not packet.size:
                continue
            new = packet
            if captions and packet.stream.type == "video":
                new = av.Packet(sei(CAPTION) + bytes(packet))
                new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
                new.time_base, new.is_keyframe = packet.time_base, packet.is_keyframe
            new.stream = streams[packet.stream.index]
            made.mux(new)
    return goal


def covers(path: Path) -> list[bytes]:
    with av.open(path) as file:
        attached = av.stream.Disposition.attached_pic
        streams = [s for s in file.streams if s.disposition & attached]
        return [bytes(p) for s in streams for p in file.demux(s) if p.size]


def packets(path: Path, index: int) -> list[tuple[Any, bytes]]:
    with av.open(path) as file:
        return [(p.pts, bytes(p)) for p in file.demux(file.streams[index]) if p.size]


def captions_of(path: Path) -> list[bytes]:
    with av.open(path) as file:
        frames = file.decode(video=0)
        return [bytes(d) for f in frames for d in f.side_data if d.type.name == "A53_CC"]


@pytest.mark.parametrize("codec", ["mjpeg", "png"])
@pytest.mark.parametrize("before", ["mkv", "mp4"])
@pytest.mark.parametrize("after", ["mkv", "mp4"])
def test_a_cover_stays_one(
    codec: str, before: str, after: str, film: Path, plain: Upscaler, tmp_path: Path
):
    """A stream of its own in MP4, an attachment in Matroska."""
    source = again(film, tmp_path / f"in.{before}", cover=codec)
    assert covers(source) == [picture(codec)]
    result = run(plain, source, tmp_path / f"out.{after}", strict=True)
    assert result.notices == ()
    assert covers(tmp_path / f"out.{after}") == [picture(codec)]
    assert len(facts(tmp_path / f"out.{after}")["streams"]) == 3


@pytest.mark.parametrize("suffix", ["mov", "webm"])
def test_where_no_cover_goes_it_is_named(suffix: str, film: Path, plain: Upscaler, tmp_path: Path):
    source = again(film, tmp_path / "in.mp4", cover="mjpeg")
    options: dict[str, Any] = {"drop": ("audio",)} if suffix == "webm" else {}
    with pytest.raises(InputError, match=f"{suffix} holds no cover|as asked for"):
        run(plain, source, tmp_path / f"out.{suffix}", strict=True, **options)
    result = run(plain, source, tmp_path / f"out.{suffix}", **options)
    assert any(f"{suffix} holds no cover: video stream 2 (mjpeg)" in n for n in result.notices)


def test_other_video_is_kept_or_left_out(film: Path, plain: Upscaler, tmp_path: Path):
    with av.open(film) as one, av.open(film) as two, av.open(tmp_path / "in.mkv", "w") as made:
        pairs = [(f, made.add_stream_from_template(f.streams.video[0])) for f in (one, two)]
        for source, stream in pairs:
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    made.mux(packet)
    run(plain, tmp_path / "in.mkv", tmp_path / "out.mkv", codec="ffv1")
    with av.open(tmp_path / "out.mkv") as file:
        found = [(s.codec_context.name, s.width) for s in file.streams]
    assert found == [("ffv1", 192), ("h264", 96)]
    assert packets(tmp_path / "out.mkv", 1) == packets(tmp_path / "in.mkv", 1)
    with pytest.raises(UsageError, match=r"webm takes no h264.*drop video"):
        run(plain, tmp_path / "in.mkv", tmp_path / "out.webm")
    run(plain, tmp_path / "in.mkv", tmp_path / "out.webm", drop=("video",))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_captions_in_the_pictures_are_kept(codec: str, film: Path, plain: Upscaler, tmp_path: Path):
    source = again(film, tmp_path / "in.mp4", captions=True)
    assert captions_of(source) == [CAPTION] * 12
    run(plain, source, tmp_path / "out.mkv", codec=codec, strict=True)
    assert captions_of(tmp_path / "out.mkv") == [CAPTION] * 12


@pytest.mark.parametrize("goal", ["av1.mkv", "vp9.webm", "ffv1.mkv", "prores.mov", "webp.webp"])
def test_where_no_captions_go_it_is_said_before_the_work(
    goal: str, plain: Upscaler, tmp_path: Path
):
    codec = {} if goal == "webp.webp" else {"codec": goal.split(".", maxsplit=1)[0]}
    quiet = make_film(tmp_path / "quiet.mp4", replace(FILMS["constant.mp4"], audio=None))
    source = again(quiet, tmp_path / "in.mp4", captions=True)
    frames: list[Any] = []
    with pytest.raises(InputError, match="closed captions"):
        run(plain, source, tmp_path / goal, strict=True, progress=frames.append, **codec)
    assert frames == []
    assert any("closed captions" in n for n in run(plain, source, tmp_path / goal, **codec).notices)


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_a_time_code_is_kept(suffix: str, plain: Upscaler, tmp_path: Path):
    tagged = replace(FILMS["constant.mp4"], metadata={"timecode": "01:02:03:04"})
    source = make_film(tmp_path / "in.mov", tagged)
    goal = tmp_path / f"out.{suffix}"
    assert run(plain, source, goal).notices == ()
    with av.open(source) as before, av.open(goal) as after:
        assert any(s.type == "data" for s in before.streams)
        assert any(s.type == "data" for s in after.streams) == (suffix != "mkv")
        video = {k.lower(): v for k, v in after.streams.video[0].metadata.items()}
        assert video["timecode"] == "01:02:03:04"
    part = run(plain, source, tmp_path / f"part.{suffix}", start=0.2)
    assert any("the time code" in notice for notice in part.notices)
    with av.open(tmp_path / f"part.{suffix}") as file:
        assert not any("timecode" in {k.lower() for k in s.metadata} for s in file.streams)


def test_data_that_nothing_can_write_is_named(film: Path, plain: Upscaler, tmp_path: Path):
    with av.open(film) as source, av.open(tmp_path / "in.ts", "w") as made:
        video = made.add_stream_from_template(source.streams.video[0])
        data = made.add_data_stream("klv")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                made.mux(packet)
        packet = av.Packet(np.arange(40, dtype=np.uint8).tobytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = data, 0, 0, Fraction(1, 90000)
        made.mux(packet)
    result = run(plain, tmp_path / "in.ts", tmp_path / "out.mkv")
    assert any("data stream 1" in notice for notice in result.notices)


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.ts"])
def test_damage_beside_the_pictures_does_not_end_it(name: str, plain: Upscaler, tmp_path: Path):
    """After hours of work nothing may be refused for a time that lies before another."""
    recipe = replace(FILMS["damaged.mkv"], pts=tuple(range(0, 1200, 40)))
    if name == "in.ts":
        recipe = replace(INPUTS["mpeg2.ts"], pts=recipe.pts)
    good = make_film(tmp_path / name, recipe).read_bytes()
    told = 0
    for seed in range(8):
        data, random = bytearray(good), np.random.default_rng(seed)
        for place in random.integers(len(data) // 10, len(data) * 9 // 10, 60):
            data[place] ^= int(random.integers(1, 256))
        (tmp_path / name).write_bytes(data)
        try:
            result = run(plain, tmp_path / name, tmp_path / "out.mkv", overwrite=True)
        except InputError as error:
            assert "can be decoded" in str(error)
        else:
            told += any("damage" in notice for notice in result.notices)
            facts(tmp_path / "out.mkv")
    assert told > 2
