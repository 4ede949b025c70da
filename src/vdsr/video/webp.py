"""Animated WebP, which FFmpeg does not decode: libvips does."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdsr.errors import InputError
from vdsr.video.planes import plane_format
from vdsr.video.source import Film

if TYPE_CHECKING:
    from av import VideoFrame

_BASE = Fraction(1, 1000)
_USUAL_MILLISECONDS = 100


def is_webp(path: Path) -> bool:
    """Whether a file begins as WebP does."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def examine_webp(path: Path) -> Film:
    """What an animated WebP holds.

    Raises:
        InputError: if it cannot be decoded.
    """
    image = _open(path)
    delays = _delays(image)
    seconds = sum(delays) / 1000
    height = image.get("page-height") if image.get_typeof("page-height") else image.height
    return Film(
        path=path,
        container="webp",
        index=0,
        codec="webp",
        width=image.width,
        height=height,
        pixels=plane_format("rgba" if image.hasalpha() else "rgb24"),
        time_base=_BASE,
        rate=Fraction(len(delays), 1) / Fraction(sum(delays), 1000),
        frames=len(delays),
        declared=len(delays),
        duration=seconds,
        end=None,
        shape=Fraction(0),
        color=(2, 2, 2, 2),
        siting=None,
        matrix=None,
        mastering=None,
        light=None,
        dynamic=(),
        interlaced=False,
    )


def webp_frames(path: Path) -> Iterator[VideoFrame]:
    """The pictures of an animated WebP, in red, green, blue and alpha where it has some."""
    import av

    image = _open(path)
    delays = _delays(image)
    height = image.height // len(delays)
    bands = image.bands
    now = 0
    for i, delay in enumerate(delays):
        data = image.crop(0, i * height, image.width, height).write_to_memory()
        pixels = np.frombuffer(data, np.uint8).reshape(height, image.width, bands)
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels), format="rgba" if bands == 4 else "rgb24"
        )
        frame.pts, frame.duration, frame.time_base = now, delay, _BASE
        now += delay
        yield frame


def loops(path: Path) -> int:
    """How often a GIF, WebP or APNG is shown; 0 is without an end, as for what cannot be told."""
    import pyvips

    try:
        with path.open("rb") as file:
            data = file.read(4096)
    except OSError:
        return 0
    if data.startswith(b"\x89PNG") and (place := data.find(b"acTL")) > 0:
        return int.from_bytes(data[place + 8 : place + 12], "big")
    if not (data.startswith(b"GIF8") or is_webp(path)):
        return 0
    try:
        image = pyvips.Image.new_from_file(str(path))
    except pyvips.Error:
        return 0
    return int(image.get("loop")) if image.get_typeof("loop") else 0


def _open(path: Path) -> Any:  # noqa: ANN401
    import pyvips

    try:
        return pyvips.Image.new_from_file(str(path), n=-1, fail_on="error")
    except pyvips.Error as error:
        raise InputError(f"{path}: it cannot be read as a film: {str(error).strip()}") from error


def _delays(image: Any) -> list[int]:  # noqa: ANN401
    """Milliseconds that each picture is shown; browsers show those of none for a tenth."""
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    given = list(image.get("delay")) if image.get_typeof("delay") else []
    found = [*given, *[0] * pages][:pages]
    return [delay if delay > 0 else _USUAL_MILLISECONDS for delay in found]
