"""The way in: a film from a path, bytes or a file object, into a file or frame by frame."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import UnsupportedType, UsageError
from vdsr.extras import require
from vdsr.video.decode import Pictures, ahead
from vdsr.video.film import AHEAD, FilmWork, check_interlaced, examined
from vdsr.video.frames import FrameMaker
from vdsr.video.order import FilmOrder, FilmResult
from vdsr.video.planes import plane_format

if TYPE_CHECKING:
    from av import VideoFrame

    from vdsr.inference.engine import Engine


def enlarge_film(
    engine: Engine, source: object, goal: object | None, options: dict[str, Any]
) -> FilmResult | Generator[VideoFrame, None, None]:
    """See `Upscaler.video`."""
    require("av")
    order = FilmOrder.of(options)
    if engine.model.architecture.planes != 1:
        raise UsageError(
            f"{engine.model.source}: it restores chroma, too; films take networks of luma alone,"
            " since chroma of films is kept as it is sampled"
        )
    if goal is None:
        return _frames(engine, source, order)
    with tempfile.TemporaryDirectory(prefix="vdsr-film-") as folder:
        path = _as_file(source, Path(folder))
        if isinstance(goal, str | os.PathLike):
            return FilmWork(engine, path, Path(goal), order).run()
        if not hasattr(goal, "write"):
            raise UsageError(f"the output is a path or a file object, not {type(goal).__name__}")
        if order.format is None:
            raise UsageError("a file object has no suffix: format says what it is to be: 'mkv'")
        made = Path(folder) / f"out.{order.format.lstrip('.')}"
        result = FilmWork(engine, path, made, order).run()
        with made.open("rb") as file:
            shutil.copyfileobj(file, goal)
        return replace(result, output=str(getattr(goal, "name", "<file>")))


def _frames(engine: Engine, source: object, order: FilmOrder) -> Generator[VideoFrame, None, None]:
    with tempfile.TemporaryDirectory(prefix="vdsr-film-") as folder:
        film = examined(_as_file(source, Path(folder)))
        check_interlaced(film, order)
        start, end = order.cut
        pictures = Pictures(film=film, deinterlace=order.deinterlace, start=start, end=end)
        goal = plane_format(order.pix_fmt) if order.pix_fmt else film.pixels
        maker = FrameMaker.of(engine, film, order.size, goal)
        with closing(ahead(pictures, AHEAD)) as frames:
            for frame in frames:
                yield maker.make(frame).frame


def _as_file(source: object, folder: Path) -> Path:
    """The source as the path of a file: what has none is copied, since it is read twice."""
    if isinstance(source, str | os.PathLike):
        return Path(os.fsdecode(source))
    copy = folder / "in"
    if isinstance(source, bytes):
        copy.write_bytes(source)
    elif hasattr(source, "read"):
        with copy.open("wb") as file:
            shutil.copyfileobj(source, file)
    else:
        raise UnsupportedType(f"a film is a path, bytes or a file object, not {source!r:.60}")
    return copy
