"""GIF, APNG and WebP: pictures alone, in red, green and blue, without a codec to choose."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from vdsr.errors import OutputError, UsageError
from vdsr.video.source import Film, opened
from vdsr.video.webp import is_webp

if TYPE_CHECKING:
    from av import VideoFrame

_ENCODERS = {"gif": "gif", "apng": "apng", "webp": "libwebp_anim"}
_LOOP = {"gif": "loop", "apng": "plays", "webp": "loop"}
_BASES = {"gif": Fraction(1, 100), "apng": Fraction(1, 1000), "webp": Fraction(1, 1000)}
# One entry of a palette is what is not seen.
_COLORS = 255


def write_animation(
    file: IO[bytes],
    frames: Iterator[VideoFrame],
    *,
    kind: str,
    size: tuple[int, int],
    alpha: bool,
    loops: int,
    last: Fraction,
    name: str,
) -> int:
    """Write moving pictures: WebP and APNG without a loss, GIF in 255 colors a picture.

    Args:
        file: where to, open for writing, seekable.
        frames: the pictures; each has a time, and is shown until the next one.
        kind: `gif`, `apng` or `webp`.
        size: (width, height) in px.
        alpha: whether some of it is transparent.
        loops: how often it is shown; 0 is without an end.
        last: seconds that the last picture is shown.
        name: of the goal, for errors.

    Returns:
        Number of pictures.

    Raises:
        OutputError: if the encoder refuses them.
    """
    import av

    count = 0
    base = _BASES[kind]
    format = {"gif": "pal8", "apng": "rgba" if alpha else "rgb24", "webp": "bgra"}[kind]
    # A GIF counts otherwise: -1 is once, n is n times more.
    told = loops if kind != "gif" or loops == 0 else loops - 1 or -1
    try:
        options = {_LOOP[kind]: str(told)}
        if kind != "webp":
            shown = max(1, round(last / base))
            options["final_delay"] = f"{shown}/1000" if kind == "apng" else str(shown)
        with av.open(file, "w", format=kind, options=options) as goal:
            stream: Any = goal.add_stream(_ENCODERS[kind], rate=Fraction(1) / base)
            stream.width, stream.height = size
            stream.pix_fmt = format
            stream.time_base = stream.codec_context.time_base = base
            if kind == "webp":
                stream.options = {"lossless": "1", "compression_level": "4"}
            before = -1
            for frame in frames:
                new = _in_format(frame, format, alpha)
                time = round((frame.pts or 0) * (frame.time_base or base) / base)
                new.pts, new.time_base = max(time, before + 1), base
                length = frame.duration * (frame.time_base or base) if frame.duration else last
                new.duration = max(1, round(length / base))
                before = new.pts
                goal.mux(stream.encode(new))
                count += 1
            goal.mux(stream.encode(None))
        if kind == "webp":
            _set_last(file, max(1, round(last / base)))
    except (av.error.FFmpegError, ValueError) as error:
        raise OutputError(f"{name}: {kind} refuses it: {error}") from error
    return count


def _set_last(file: IO[bytes], milliseconds: int) -> None:
    """Write how long the last picture of a WebP is shown: its encoder takes the mean."""
    file.seek(12)
    place = None
    while len(head := file.read(8)) == 8:
        if head[:4] == b"ANMF":
            place = file.tell() + 12
        length = int.from_bytes(head[4:], "little")
        file.seek(length + length % 2, 1)
    if place is not None:
        file.seek(place)
        file.write(milliseconds.to_bytes(3, "little"))
    file.seek(0, 2)


def _in_format(frame: VideoFrame, format: str, alpha: bool) -> VideoFrame:
    import av

    if format != "pal8":
        return frame.reformat(format=format)
    pixels = frame.to_ndarray(format="rgba" if alpha else "rgb24")
    return av.VideoFrame.from_ndarray(_palette(pixels, alpha), format="pal8")  # type: ignore[arg-type]


def _palette(pixels: Any, alpha: bool) -> tuple[Any, Any]:  # noqa: ANN401
    """uint8 `[H, W]` and `[256, 4]` of alpha, red, green and blue."""
    from PIL import Image

    colors = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    found = colors.quantize(_COLORS, dither=Image.Dither.FLOYDSTEINBERG)
    indices = np.array(found, np.uint8)
    table = np.zeros((256, 4), np.uint8)
    given = np.array(found.getpalette("RGB"), np.uint8).reshape(-1, 3)[:_COLORS]
    table[: len(given), 1:] = given
    table[:_COLORS, 0] = 255
    if alpha:
        indices[pixels[..., 3] < 128] = _COLORS
    return indices, table


def beside_animation(film: Film, drop: tuple[str, ...]) -> list[str]:
    """What is lost where a film becomes pictures alone.

    Raises:
        UsageError: for other streams that are not left out.
    """
    if is_webp(film.path):
        return []
    kinds = {"audio": "audio", "subtitle": "subtitles", "attachment": "attachments"}
    with opened(film.path) as source:
        held = sorted({kinds[s.type] for s in source.streams if s.type in kinds})
        others = [s for s in source.streams if s.type == "video" and s.index != film.index]
        beside = {
            "closed captions": film.captions,
            "chapters": bool(source.chapters()),
            "covers and other video": bool(others) and "video" not in drop,
        }
    lost = [
        f"left out: {what}: moving pictures hold none" for what, there in beside.items() if there
    ]
    left = [kind for kind in held if kind not in drop]
    if left:
        raise UsageError(
            f"{film.path}: moving pictures hold no {' and no '.join(left)}: name a .mkv, or leave"
            f" them out (drop {' '.join(left)})"
        )
    return lost
