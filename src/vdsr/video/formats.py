"""Codecs and containers: what goes where, and what is taken if nobody says."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vdsr.errors import UsageError, among
from vdsr.video.planes import PlaneFormat, plane_format
from vdsr.video.source import Film


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A way to encode pictures.

    Attributes:
        encoder: as FFmpeg names it.
        crf: constant rate factor if none is given; None for codecs without one.
        presets: names of `preset`; empty where there are none, a range of numbers else.
        preset: the one that is taken if none is given.
        even: whether sides must be even where chroma is halved.
    """

    encoder: str
    crf: int | None
    most: int
    presets: tuple[str, ...]
    preset: str
    even: bool = False


_X26 = tuple(
    "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split()  # noqa: SIM905
)
CODECS = {
    "h264": Codec(encoder="libx264", crf=16, most=51, presets=_X26, preset="medium", even=True),
    "hevc": Codec(encoder="libx265", crf=18, most=51, presets=_X26, preset="medium", even=True),
    "av1": Codec(
        encoder="libsvtav1",
        crf=24,
        most=63,
        presets=tuple(map(str, range(14))),
        preset="7",
        even=True,
    ),
    "vp9": Codec(
        encoder="libvpx-vp9", crf=24, most=63, presets=tuple(map(str, range(9))), preset="3"
    ),
    "prores": Codec(
        encoder="prores_ks",
        crf=None,
        most=0,
        presets=("proxy", "lt", "standard", "hq", "4444", "4444xq"),
        preset="hq",
    ),
    "ffv1": Codec(encoder="ffv1", crf=None, most=0, presets=(), preset=""),
}
# By suffix: the name of the container, and the codecs that go into it, the default first.
CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    ".mkv": ("matroska", ("h264", "hevc", "av1", "vp9", "prores", "ffv1")),
    ".mp4": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".m4v": ("mp4", ("h264", "hevc", "av1", "vp9")),
    ".mov": ("mov", ("h264", "hevc", "prores")),
    ".webm": ("webm", ("vp9", "av1")),
}
# Containers that say what of the pictures is not to be shown.
CROPPING = ("matroska", "webm")
# Files of moving pictures alone, by suffix.
ANIMATIONS = {".gif": "gif", ".apng": "apng", ".png": "apng", ".webp": "webp"}
# Color tags of this value say nothing.
_UNTOLD = 2
# The two that AV1 has a name for.
_AV1_SITING = {"left": "vertical", "topleft": "colocated"}


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How pictures are encoded. All of it together, and the pictures, make the bytes.

    Attributes:
        codec: a name of `CODECS`.
        container: as FFmpeg names it.
        pix_fmt: of the pictures.
        width, height: px.
        pad_right, pad_bottom: columns and rows of these that are not of the picture.
        time_base, rate, shape, color, siting: see `vdsr.video.source.Film`.
        options: of the encoder.
        threads: of the encoder.
    """

    codec: str
    container: str
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    shape: Fraction
    color: tuple[int, int, int, int]
    options: dict[str, str]
    threads: int
    pad_right: int = 0
    pad_bottom: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As it is written down."""
        return {
            name: [value.numerator, value.denominator] if isinstance(value, Fraction) else value
            for name, value in vars(self).items()
        } | {"color": list(self.color)}


def container_of(goal: Path) -> str:
    """The container, or the animated picture, that a suffix stands for.

    Raises:
        UsageError: for a suffix that stands for neither.
    """
    suffix = goal.suffix.lower()
    if suffix in CONTAINERS:
        return CONTAINERS[suffix][0]
    if suffix in ANIMATIONS:
        return ANIMATIONS[suffix]
    known = ", ".join((*CONTAINERS, *ANIMATIONS))
    raise UsageError(f"{goal.name}: a film ends in one of {known}: the suffix says what it becomes")


def choose_codec(goal: Path, film: Film, codec: str | None) -> str:
    """The codec that is asked for, or what fits the container and the film.

    Raises:
        UsageError: for an unknown name, or a codec that the container does not hold.
    """
    container, allowed = CONTAINERS[goal.suffix.lower()]
    if codec is not None:
        if codec not in CODECS:
            raise UsageError(f"unknown codec {codec!r}: {among(codec, CODECS)}")
        if codec not in allowed:
            fitting = [suffix for suffix, (_, held) in CONTAINERS.items() if codec in held]
            raise UsageError(
                f"{container} takes no {codec}, but {', '.join(allowed)};"
                f" {codec} goes into {', '.join(fitting)}"
            )
        return codec
    # What lost nothing so far is not to lose anything now.
    if film.codec in ("ffv1", "prores") and film.codec in allowed:
        return film.codec
    if film.pixels.bits > 8 and not film.pixels.rgb:
        return "hevc" if "hevc" in allowed else "av1"
    return allowed[0]


def choose_pixels(codec: str, film: Film, pix_fmt: str | None) -> PlaneFormat:
    """The pixel format that is asked for, or that nearest to the film's which the encoder takes.

    Raises:
        UsageError: for a format that the encoder does not take.
    """
    import av

    encoder = CODECS[codec].encoder
    taken = [format.name for format in av.Codec(encoder, "w").video_formats or []]
    if pix_fmt is not None:
        if pix_fmt not in taken or pix_fmt.startswith("yuvj"):
            known = [name for name in taken if not name.startswith(("yuvj", "nv"))]
            raise UsageError(f"{codec} takes no {pix_fmt!r}: {among(pix_fmt, known)}")
        return plane_format(pix_fmt)
    own = film.pixels
    if own.name in taken:
        return own
    other = re.compile(r"yuvj|nv|ya\d|yaf|.*f(16|32)")
    known_formats = [plane_format(name) for name in taken if not other.match(name)]
    if own.rgb:  # as players take it: chroma halved
        usual = [f for f in known_formats if f.chroma and not f.alpha]
        wanted = 8 if own.bits <= 8 else 10
        return min(usual, key=lambda f: (abs(f.bits - wanted), f.sub_x * f.sub_y != 4))
    return min(known_formats, key=lambda f: _distance(own, f))


def padding(codec: str, pixels: PlaneFormat, width: int, height: int) -> tuple[int, int]:
    """Columns and rows that are wanting for an encoder that halves chroma of even sides alone."""
    if not (CODECS[codec].even and pixels.chroma):
        return 0, 0
    return (
        width % 2 if pixels.sub_x == 2 else 0,
        height % 2 if pixels.sub_y == 2 else 0,
    )


def shown_color(film: Film, width: int, height: int) -> tuple[int, int, int, int]:
    """The color tags of an enlarged film: its own, or what players took in place of missing ones.

    Players take pictures without tags for BT.709 from 1280 px of width or 577 rows on, and for
    BT.601 below (mpv, libplacebo's `pl_color_system_guess_ycbcr`): what grows beyond that would
    change its colors, so that it gets the tags it was shown with.
    """
    light, matrix, primaries, transfer = film.color

    def small(width: int, height: int) -> bool:
        return width < 1280 and height <= 576

    if film.pixels.rgb or not small(film.width, film.height) or small(width, height):
        return film.color
    lines = {576: 5, 480: 6, 486: 6, 488: 6}.get(film.height, _UNTOLD)
    if matrix == _UNTOLD:
        matrix = 5 if lines == 5 else 6
    if primaries == _UNTOLD:
        primaries = lines
    return (light, matrix, primaries, transfer)


def pixels_lost(codec: str, own: PlaneFormat, other: PlaneFormat) -> list[str]:
    """What of the samples an encoder does not hold, in words."""
    lost = []
    if other.bits < own.bits and not own.rgb:
        lost.append(f"{codec} holds {other.bits} bits here, not {own.bits}: rounded")
    if own.alpha and not other.alpha:
        lost.append(f"{codec} holds no transparency here: left out")
    coarser = other.sub_x > own.sub_x or other.sub_y > own.sub_y
    if not own.rgb and own.chroma and (coarser or not other.chroma):
        lost.append(f"{codec} holds less chroma here: {own.name} becomes {other.name}")
    return lost


def _distance(own: PlaneFormat, other: PlaneFormat) -> tuple[float, ...]:
    """How much is lost, first, and how much is made up."""
    return (
        other.rgb,
        own.chroma and not other.chroma,
        own.alpha and not other.alpha,
        other.bits < own.bits,
        other.sub_x > own.sub_x or other.sub_y > own.sub_y,
        abs(other.bits - own.bits),
        own.sub_x * own.sub_y - other.sub_x * other.sub_y,
        other.alpha != own.alpha,
        other.chroma != own.chroma,
    )


def encoder_options(
    codec: str,
    film: Film,
    pixels: PlaneFormat,
    *,
    crf: int | None,
    preset: str | None,
    threads: int,
) -> tuple[dict[str, str], list[str]]:
    """Options of the encoder, and what of the film's tags it cannot write.

    Raises:
        UsageError: for a rate factor or preset that the codec does not have.
    """
    kind = CODECS[codec]
    if crf is not None and (kind.crf is None or not 0 <= crf <= kind.most):
        told = f"0 to {kind.most}" if kind.crf is not None else "no crf: it is near to lossless"
        raise UsageError(f"{codec} takes {told}")
    if preset is not None and preset not in kind.presets:
        known = among(preset, kind.presets) if kind.presets else "it has none"
        raise UsageError(f"{codec} has no preset {preset!r}: {known}")
    options: dict[str, str] = {}
    if film.siting is not None and pixels.chroma:
        options["chroma_sample_location"] = film.siting
        if codec == "av1" and film.siting in _AV1_SITING:
            options["svtav1-params"] = f"chroma-sample-position={_AV1_SITING[film.siting]}"
    if codec == "hevc":
        options["a53cc"] = "1"
    if kind.crf is not None:
        options["crf"] = str(kind.crf if crf is None else crf)
    taken = preset or ("4444" if codec == "prores" and pixels.sub_x == 1 else kind.preset)
    if kind.presets:
        options[{"vp9": "cpu-used", "prores": "profile"}.get(codec, "preset")] = taken
    options |= _settled(codec, threads)
    lost = _tell_hdr(codec, film, options)
    if film.captions and codec not in ("h264", "hevc"):
        lost.append(f"{codec} cannot carry closed captions: h264 and hevc can")
    return options, lost


def _settled(codec: str, threads: int) -> dict[str, str]:
    """What would else follow from the machine, or is said aloud."""
    if codec == "h264":
        # Without it the bytes differ from run to run where there is AVX-512 (in mbtree).
        return {"x264-params": "cpu-independent=1"}
    if codec == "hevc":
        frames = min(4, max(1, threads))
        return {"x265-params": f"log-level=none:pools={threads}:frame-threads={frames}"}
    if codec == "vp9":
        return {"row-mt": "1", "deadline": "good", "b": "0"}
    if codec == "ffv1":
        return {"level": "3", "g": "1", "slicecrc": "1"}
    return {}


def _tell_hdr(codec: str, film: Film, options: dict[str, str]) -> list[str]:
    """Put mastering display and light level among an encoder's parameters."""
    display = _display(film.mastering)
    light = struct.unpack("=II", film.light[:8]) if film.light else None
    if display is None and light is None:
        return []
    key = {"h264": "x264-params", "hevc": "x265-params", "av1": "svtav1-params"}.get(codec)
    if key is None:
        return [f"{codec} cannot carry mastering display and light level: hevc and av1 can"]
    whole = codec != "av1"
    parts = [options[key]] if key in options else []
    names = {
        "h264": ("mastering-display", "cll"),
        "hevc": ("master-display", "max-cll"),
        "av1": ("mastering-display", "content-light"),
    }[codec]
    if display is not None:
        parts.append(f"{names[0]}={_display_text(display, whole=whole)}")
    if light is not None:
        parts.append(f"{names[1]}={light[0]},{light[1]}")
    options[key] = ":".join(parts)
    return []


def _display(data: bytes | None) -> list[Fraction] | None:
    """AVMasteringDisplayMetadata: red, green, blue, white (x, y), least and most light."""
    if data is None or len(data) < 88:
        return None
    numbers = struct.unpack("=20i2i", data[:88])
    if not (numbers[20] and numbers[21]):
        return None
    pairs = zip(numbers[0:20:2], numbers[1:20:2], strict=True)
    return [Fraction(a, b) if b else Fraction(0) for a, b in pairs]


def _display_text(v: list[Fraction], *, whole: bool) -> str:
    """G(x,y)B(x,y)R(x,y)WP(x,y)L(most,least), in 1/50000 and 1/10000 cd/m2 where `whole`."""

    def point(i: int) -> str:
        pair = v[i : i + 2]
        return ",".join(str(round(n * 50000)) if whole else f"{float(n):.5f}" for n in pair)

    least, most = v[8], v[9]
    if whole:
        light = f"{round(most * 10000)},{round(least * 10000)}"
    else:
        light = f"{float(most):.4f},{float(least):.4f}"
    return f"G({point(2)})B({point(4)})R({point(0)})WP({point(6)})L({light})"
