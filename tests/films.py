"""Small films that tests make: a pattern that moves, and whatever a container can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

MILLI = Fraction(1, 1000)
T90K = Fraction(1, 90000)
BT709 = {"color_range": 1, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
BT601_FULL = {"color_range": 2, "colorspace": 5, "color_primaries": 5, "color_trc": 6}
PQ = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
HDR10 = (
    "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,50):max-cll=1000,400"
)
# Variable rate, in ms.
UNEVEN = (0, 40, 80, 90, 200, 240, 400, 410, 480, 520, 700, 740, 1000, 1040, 1080, 1500, 1600)
CHAPTERS = [
    {"id": 1, "start": 0, "end": 1000, "time_base": MILLI, "metadata": {"title": "Anfang"}},
    {"id": 2, "start": 1000, "end": 1640, "time_base": MILLI, "metadata": {"title": "Ende"}},
]
WORDS = [(100, 700, "One"), (900, 1200, "Zwei äö"), (1300, 1500, "三")]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a film is made of."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    width: int = 96
    height: int = 64
    pts: tuple[int, ...] = tuple(range(0, 480, 40))  # ms
    base: Fraction = MILLI
    color: dict[str, int] = field(default_factory=lambda: dict(BT709))
    options: dict[str, str] = field(default_factory=dict)
    shape: Fraction | None = None
    rotation: int | None = None
    audio: str | None = "aac"
    subtitles: str | None = None
    chapters: list[dict[str, Any]] | None = None
    attachment: bytes | None = None
    interlaced: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    muxer: dict[str, str] = field(default_factory=dict)


FILMS: dict[str, Recipe] = {
    "constant.mp4": Recipe(base=T90K, metadata={"title": "A film"}),
    "variable.mkv": Recipe(pts=UNEVEN),
    "sound-and-words.mp4": Recipe(base=T90K, pts=UNEVEN, subtitles="mov_text"),
    "ten-bits.mkv": Recipe(
        codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=none"}
    ),
    "full-range.mp4": Recipe(base=T90K, color=dict(BT601_FULL)),
    "rotated.mp4": Recipe(base=T90K, rotation=-90),
    "anamorphic.mkv": Recipe(width=90, height=72, shape=Fraction(16, 11)),
    "odd.webm": Recipe(codec="libvpx-vp9", width=95, height=63, audio="libopus"),
    "interlaced.mkv": Recipe(interlaced=True, options={"x264-params": "tff=1:interlaced=1"}),
    "chapters.mkv": Recipe(
        pts=UNEVEN,
        subtitles="subrip",
        chapters=CHAPTERS,
        attachment=b"no real font" * 10,
        metadata={"title": "A film"},
    ),
    "hdr10.mkv": Recipe(
        codec="libx265", pix_fmt="yuv420p10le", color=dict(PQ), options={"x265-params": HDR10}
    ),
    "damaged.mkv": Recipe(pts=tuple(range(0, 1600, 40)), options={"g": "10"}),
    "no-video.mkv": Recipe(),
}


PAL = {"color_range": 1, "colorspace": 5, "color_primaries": 5, "color_trc": 6}
NTSC = {"color_range": 1, "colorspace": 6, "color_primaries": 6, "color_trc": 6}
R25 = Fraction(1, 25)
_DV = Recipe(
    codec="dvvideo", width=720, height=576, base=R25, color=PAL, audio="pcm_s16le", pts=(0, 40, 80)
)
_MPEG2 = Recipe(
    codec="mpeg2video", base=R25, color=PAL, audio="mp2", options={"b": "2M", "bf": "2"}
)
# Other codecs and containers that archives hold.
INPUTS: dict[str, Recipe] = {
    "mpeg2.mpg": _MPEG2,
    "mpeg2.ts": replace(_MPEG2, muxer={"output_ts_offset": "3600"}),
    "mpeg2-interlaced.mpg": replace(_MPEG2, interlaced=True),
    "mjpeg.avi": Recipe(codec="mjpeg", pix_fmt="yuvj420p", base=R25, color=BT601_FULL, audio="mp2"),
    "mjpeg.mov": Recipe(codec="mjpeg", pix_fmt="yuvj422p", base=T90K, color=BT601_FULL),
    "pal.dv": _DV,
    "pal.avi": replace(_DV, shape=Fraction(16, 15)),
    "ntsc.mov": replace(
        _DV, pix_fmt="yuv411p", height=480, base=Fraction(1001, 30000), color=NTSC, pts=(0, 33, 67)
    ),
    "prores.mov": Recipe(codec="prores_ks", pix_fmt="yuv422p10le", base=T90K, audio="pcm_s16le"),
    "av1.mp4": Recipe(codec="libsvtav1", base=T90K, options={"preset": "8"}),
    "av1.webm": Recipe(
        codec="libsvtav1", pix_fmt="yuv420p10le", audio="libopus", options={"preset": "8"}
    ),
    "ffv1.mkv": Recipe(codec="ffv1", pix_fmt="yuv422p10le"),
    "vp9.webm": Recipe(codec="libvpx-vp9", audio="libopus"),
    "hevc.mp4": Recipe(codec="libx265", base=T90K, options={"x265-params": "log-level=none"}),
    "mpeg4.avi": Recipe(codec="mpeg4", base=R25, audio="mp2", options={"bf": "2", "b": "1M"}),
}


def pattern(width: int, height: int, i: int) -> np.ndarray:
    """The i-th picture, 0..1: waves, and a square that moves."""
    y, x = np.mgrid[:height, :width]
    waves = 0.5 + 0.25 * np.sin((x + 2 * i) / 5.0) + 0.2 * np.cos((y - i) / 7.0)
    left = (5 * i) % max(1, width - 12)
    waves[height // 4 : height // 4 + 12, left : left + 12] = 1.0
    return waves


def make_film(path: Path, recipe: Recipe, picture: Callable[..., np.ndarray] = pattern) -> Path:
    """Make a film."""
    import av

    from vdsr.video.encode import usual_scheduling

    with usual_scheduling(), av.open(path, "w", options=dict(recipe.muxer)) as goal:
        stream = None if path.stem == "no-video" else _screen(goal, recipe)
        goal.metadata.update(recipe.metadata)
        sound = goal.add_stream(recipe.audio, rate=48000) if recipe.audio else None
        if sound is not None:
            sound.layout = "stereo"
            sound.metadata["language"] = "deu"
        words: Any = None
        if recipe.subtitles:
            words = goal.add_mux_stream(recipe.subtitles, time_base=MILLI)
            words.metadata["language"] = "eng"
        if recipe.attachment:
            goal.add_attachment("font.ttf", "font/ttf", recipe.attachment)
        if recipe.chapters:
            goal.set_chapters(recipe.chapters)  # type: ignore[arg-type]
        if stream is not None:
            _show(goal, stream, recipe, picture)
        if sound is not None:
            _sing(goal, sound, recipe.pts[-1] / 1000 + 0.04)
        if words is not None:
            _speak(goal, words, recipe.subtitles == "mov_text")
    return path


def _screen(goal: Any, recipe: Recipe) -> Any:
    from av.codec.context import Flags

    stream = goal.add_stream(recipe.codec, rate=25, options=dict(recipe.options))
    stream.width, stream.height = recipe.width, recipe.height
    stream.pix_fmt = recipe.pix_fmt
    stream.time_base = stream.codec_context.time_base = recipe.base
    stream.codec_context.flags |= Flags.frame_duration
    if recipe.interlaced:
        stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
    for name, value in recipe.color.items():
        setattr(stream.codec_context, name, value)
    if recipe.shape:
        stream.codec_context.sample_aspect_ratio = recipe.shape
    if recipe.rotation is not None:
        stream.set_display_rotation(recipe.rotation)
    return stream


def _show(goal: Any, stream: Any, recipe: Recipe, picture: Callable[..., np.ndarray]) -> None:
    ticks = [round(p * MILLI / recipe.base) for p in recipe.pts]
    steps = [*np.diff(ticks), round(40 * MILLI / recipe.base)]
    for i, (pts, step) in enumerate(zip(ticks, steps, strict=True)):
        frame = _frame(recipe, picture(recipe.width, recipe.height, i))
        frame.pts, frame.time_base, frame.duration = pts, recipe.base, int(step)
        goal.mux(stream.encode(frame))
    goal.mux(stream.encode(None))


def _frame(recipe: Recipe, values: np.ndarray) -> Any:
    import av

    deep = "10" in recipe.pix_fmt
    step = 4 if deep else 1
    full = recipe.color.get("color_range") == 2
    low, high = (0, 256 * step - 1) if full else (16 * step, 235 * step)
    frame = av.VideoFrame(recipe.width, recipe.height, recipe.pix_fmt)
    _put(frame.planes[0], np.clip(low + values * (high - low), low, high), deep)
    for j, plane in enumerate(frame.planes[1:]):
        ramp = np.linspace(100 + 20 * j, 140 + 20 * j, plane.width) * step
        _put(plane, np.tile(ramp, (plane.height, 1)), deep)
    for name, value in recipe.color.items():
        setattr(frame, name, value)
    return frame


def _put(plane: Any, values: np.ndarray, deep: bool) -> None:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    item = np.dtype("<u2" if deep else np.uint8)
    rows[:, : plane.width * item.itemsize].view(item)[:] = np.rint(values)


def _sing(goal: Any, stream: Any, seconds: float) -> None:
    import av

    size = stream.codec_context.frame_size or 960
    for start in range(0, int(seconds * 48000), size):
        t = (np.arange(size) + start) / 48000
        tone = (np.sin(2 * np.pi * 440 * t) * 0.3).astype("f4")
        packed = stream.codec_context.format.name == "flt"
        data = np.repeat(tone, 2)[None] if packed else np.stack([tone, tone])
        frame = av.AudioFrame.from_ndarray(
            data, format="flt" if packed else "fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        goal.mux(stream.encode(frame))
    goal.mux(stream.encode(None))


def _speak(goal: Any, stream: Any, mov_text: bool) -> None:
    import av

    for start, end, text in WORDS:
        data = text.encode()
        packet: Any = av.Packet(len(data).to_bytes(2, "big") + data if mov_text else data)
        packet.stream, packet.time_base = stream, MILLI
        packet.pts = packet.dts = start
        packet.duration, packet.is_keyframe = end - start, True
        goal.mux(packet)


def damage(path: Path) -> Path:
    """Flip bytes in the middle of a film."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for place in rng.integers(len(data) // 3, len(data) * 2 // 3, 60):
        data[place] ^= 0x55
    path.write_bytes(bytes(data))
    return path


def shorter(recipe: Recipe, frames: int) -> Recipe:
    """The same with as many pictures, without a sound."""
    return replace(recipe, pts=tuple(range(0, 40 * frames, 40)), audio=None)
