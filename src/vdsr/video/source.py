"""What a film file holds: found out before any work."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdsr.errors import InputError, VdsrError
from vdsr.video.planes import PlaneFormat, plane_format

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

COLOR_TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")
# Pictures that are decoded to see whether they are interlaced, and what is beside them.
_LOOKED_AT = 12
_BUFFER = 1 << 20
# Pictures a second; anything above is not a rate.
_MOST_RATE = 1000
# What the times of these begin with may be any hour of a day.
_CLOCKS = {"mpegts", "mpeg"}
# These name other files; a film is one.
_PLAYLISTS = {"hls", "dash", "concat", "imf", "applehttp", "webm_dash_manifest"}
_DYNAMIC = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}
# Side data of a picture: closed captions, which encoders of H.264 and HEVC write.
CAPTIONS = "A53_CC"
_SITINGS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_log_level = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film file, as far as its pictures go.

    Attributes:
        path: of the file.
        container: name of its format, as FFmpeg has it.
        index: of the stream that is enlarged.
        codec: of it.
        width, height: px, as they are stored.
        pixels: what its samples are.
        time_base: seconds of one unit of its times.
        rate: pictures a second, on average.
        frames: number of pictures: as declared, or reckoned from the duration; 0 if unknown.
        declared: number of pictures that the file declares; 0 if it does not.
        duration: seconds; 0 if unknown.
        end: seconds at which the last picture goes; None if that is not told.
        shape: width of a px by its height, 0 if that is not told.
        color: range, matrix, primaries and transfer, as FFmpeg numbers them.
        siting: where chroma lies, as FFmpeg names it; None if that is not told.
        matrix: of display, nine numbers as they are stored; None where nothing is turned.
        mastering, light: side data of HDR10, as FFmpeg's structures; None where there are none.
        dynamic: names of dynamic HDR data, which cannot be kept.
        captions: whether there are closed captions in its first pictures.
        interlaced: whether the first pictures are flagged so.
        clocked: whether the container's times are those of a clock that runs on.
        begin: seconds that this clock shows at the beginning; times are counted from there.
    """

    path: Path
    container: str
    index: int
    codec: str
    width: int
    height: int
    pixels: PlaneFormat
    time_base: Fraction
    rate: Fraction
    frames: int
    declared: int
    duration: float
    end: Fraction | None
    shape: Fraction
    color: tuple[int, int, int, int]
    siting: str | None
    matrix: tuple[int, ...] | None
    mastering: bytes | None
    light: bytes | None
    dynamic: tuple[str, ...]
    interlaced: bool
    captions: bool = False
    clocked: bool = False
    begin: Fraction = Fraction(0)


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A film file, open for reading.

    Raises:
        InputError: if it is missing, or no film.
    """
    import av

    try:
        # Not by name: a name may be a protocol of FFmpeg's.
        with (
            path.open("rb") as file,
            av.open(file, "r", metadata_errors="replace", buffer_size=_BUFFER) as container,
        ):
            if _PLAYLISTS & set(container.format.name.split(",")):
                raise InputError(f"{path}: it is a playlist, not a film: name the film")
            yield container
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: it is a folder: name a film in it") from error
    except PermissionError as error:
        raise InputError(f"{path}: it cannot be read: permission denied") from error
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: it cannot be read as a film: {error.strerror}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, VdsrError):
            raise
        raise InputError(f"{path}: it cannot be read: {error}") from error


def main_stream(container: InputContainer) -> VideoStream | None:
    """The stream of pictures that is a film, and not the cover of a record."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def examine(path: Path) -> Film:
    """Find out what a film file holds; its first pictures are decoded for that.

    Raises:
        InputError: if it is missing, no film, or nothing of it can be decoded.
    """
    with opened(path) as container:
        stream = main_stream(container)
        if stream is None:
            kinds = sorted({s.type for s in container.streams if s.type in ("audio", "subtitle")})
            held = f"only {' and '.join(kinds)}" if kinds else "nothing that can be shown"
            raise InputError(f"{path}: it has no pictures that can be decoded, {held}")
        siting = _siting(container, stream.index)
        first, side, interlaced = _look(path, container, stream)
        context = stream.codec_context
        rate = stream.average_rate
        if not rate or rate > _MOST_RATE:  # the average of raw DV is that of its clock
            rate = stream.guessed_rate or Fraction(25)
        duration = _duration(container, stream)
        clocked = container.format.name in _CLOCKS
        pixels = plane_format(first.format.name)
        color = tuple(int(getattr(first, t) or 0) for t in COLOR_TAGS)
        return Film(
            path=path,
            container=container.format.name,
            index=stream.index,
            codec=context.codec.canonical_name,
            width=first.width,
            height=first.height,
            pixels=pixels,
            time_base=stream.time_base or Fraction(1, 1000),
            rate=rate,
            frames=stream.frames or round(duration * rate),
            declared=stream.frames,
            duration=duration,
            # Those containers do not tell durations: they are reckoned from the size.
            end=None if clocked else _end(stream),
            shape=stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(0),
            color=(2 if pixels.full else color[0], color[1], color[2], color[3]),
            siting=siting if pixels.chroma and pixels.sub_x == 2 else None,
            matrix=_matrix(side.get("DISPLAYMATRIX")),
            mastering=side.get("MASTERING_DISPLAY_METADATA"),
            light=side.get("CONTENT_LIGHT_LEVEL"),
            dynamic=tuple(sorted({_DYNAMIC[name] for name in side if name in _DYNAMIC})),
            interlaced=interlaced,
            captions=CAPTIONS in side,
            clocked=clocked,
            begin=Fraction(container.start_time or 0, 1_000_000) if clocked else Fraction(0),
        )


def _look(
    path: Path, container: InputContainer, stream: VideoStream
) -> tuple[Any, dict[str, bytes], bool]:
    """The first picture, the side data of the first ones, and whether they are interlaced."""
    import av

    first: Any = None
    side: dict[str, bytes] = {}
    interlaced, seen = False, 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            first = first or frame
            interlaced = interlaced or frame.interlaced_frame
            beside: Any = frame.side_data
            for one in beside:
                side.setdefault(one.type.name, bytes(one))
        seen += len(frames)
        if seen >= _LOOKED_AT:
            break
    if first is None:
        raise InputError(f"{path}: none of its pictures can be decoded")
    return first, side, interlaced


def _matrix(data: bytes | None) -> tuple[int, ...] | None:
    return None if data is None else tuple(int(n) for n in np.frombuffer(data, "<i4")[:9])


def _duration(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if (seconds := _tagged_duration(stream)) is not None:
        return seconds
    return container.duration / 1e6 if container.duration else 0.0


def _end(stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return ((stream.start_time or 0) + stream.duration) * stream.time_base
    seconds = _tagged_duration(stream)
    return None if seconds is None else Fraction(seconds).limit_denominator(1000)


def _tagged_duration(stream: VideoStream) -> float | None:
    """The duration that Matroska has as a tag, which is the time of the end."""
    told = stream.metadata.get("DURATION", "")
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)\s*", told)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _siting(container: InputContainer, index: int) -> str | None:
    """Where chroma lies: FFmpeg says it in its description of a stream, and PyAV nowhere else."""
    import av

    with _log_level:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        try:
            text: str = container.dumps_format()  # type: ignore[attr-defined]
        finally:
            av.logging.set_libav_level(av.logging.INFO)  # as it is by itself
            av.logging.set_level(before)
    lines = [line for line in text.splitlines() if re.search(rf"Stream #0:{index}\b.*Video:", line)]
    words = re.findall(r"[a-z]+", " ".join(re.findall(r"\(([^()]*)\)", " ".join(lines))))
    return next((word for word in words if word in _SITINGS), None)


def stamp(path: Path) -> dict[str, Any]:
    """What tells whether a file is still the same: its size and time."""
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
