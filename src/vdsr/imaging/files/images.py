"""Whole pictures: read into an array, written from one; wherever their bytes are."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, OutputError, UnsupportedType, UsageError, VdsrError
from vdsr.imaging.arrays import as_pixels, as_samples, from_pillow, is_pillow
from vdsr.imaging.files import deep_zoom
from vdsr.imaging.files.decode import PictureReader
from vdsr.imaging.files.encode import PictureWriter
from vdsr.imaging.files.formats import Format, PixelLayout, format_of
from vdsr.outputs import work_folder

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

AnyPath = str | os.PathLike[str]
# A picture file: where it is, its content, or a binary file object to read it from.
Encoded = AnyPath | bytes | bytearray | memoryview | IO[bytes]
# Where a picture file goes: a path, or a binary file object to write it to.
Goal = AnyPath | IO[bytes]

_BLOCK = 1024**2
_ROWS = 64
_log = logging.getLogger(__name__)


def is_encoded(image: object) -> TypeGuard[Encoded]:
    """Whether it is a path, bytes, or a file object that can be read."""
    buffers = (str, os.PathLike, bytes, bytearray, memoryview)
    return isinstance(image, buffers) or callable(getattr(image, "read", None))


def is_goal(goal: object) -> TypeGuard[Goal]:
    """Whether it is a path, or a file object that can be written."""
    return isinstance(goal, str | os.PathLike) or callable(getattr(goal, "write", None))


def name_of(source: object) -> str:
    """How a picture file is named in messages."""
    if isinstance(source, str | os.PathLike):
        return str(Path(os.fsdecode(source)))  # as errors write it: without `./` and the like
    if isinstance(source, bytes | bytearray | memoryview):
        return f"<{len(source)} bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else f"<{type(source).__name__}>"


@contextmanager
def on_disk(source: Encoded) -> Iterator[Path]:
    """The path of a picture file: its own, or that of a copy that is kept meanwhile.

    A file object is read from where it stands to its end, and left open. Errors raised
    inside name the source, not the copy.

    Raises:
        InputError: if a file object cannot be read, or gives text.
    """
    if isinstance(source, str | os.PathLike):
        yield Path(source)
        return
    with work_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / "picture"
        _copy(source, path)
        try:
            yield path
        except VdsrError as error:
            error.args = (str(error).replace(str(path), name_of(source)),)
            raise


def _copy(source: bytes | bytearray | memoryview | IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        if isinstance(source, bytes | bytearray | memoryview):
            file.write(source)
            return
        try:
            while block := source.read(_BLOCK):
                if not isinstance(block, bytes | bytearray | memoryview):
                    raise UnsupportedType(
                        f"{name_of(source)}: it gives {type(block).__name__}, not bytes:"
                        " open it in binary mode"
                    )
                file.write(block)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            if isinstance(error, VdsrError):
                raise
            raise InputError(f"{name_of(source)}: it cannot be read: {error}") from error


@contextmanager
def delivered(goal: Goal, format: str | None) -> Iterator[tuple[Path, Format]]:
    """Where to write a picture file, and in which format; then it is brought to its goal.

    Raises:
        UsageError: if neither `format` nor a suffix tells the format.
        OutputError: if a file object cannot be written.
    """
    if isinstance(goal, str | os.PathLike):
        path, found = Path(goal), format_of(Path(goal), format)
        yield deep_zoom.goal_of(path) if found.name == "dz" else path, found
        return
    name = getattr(goal, "name", None)
    if format is None and not (isinstance(name, str) and Path(name).suffix):
        raise UsageError("a file object has no suffix to tell the format by: name the format")
    kind = format_of(Path(name if isinstance(name, str) else "picture"), format)
    with work_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / f"picture{kind.suffixes[0]}"
        try:
            yield path, kind
        except VdsrError as error:
            error.args = (str(error).replace(str(path), name_of(goal)),)
            raise
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, goal)
            if callable(flush := getattr(goal, "flush", None)):
                flush()
        except (OSError, ValueError, TypeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"{name_of(goal)}: it cannot be written: {text}") from error


def read_image(source: Encoded) -> NDArray[Any]:
    """Read a picture file, upright, as its samples are stored.

    Args:
        source: its path, its content as bytes, or a binary file object.

    Returns:
        `[H, W]` gray, `[H, W, 2]` gray and alpha, `[H, W, 3]` RGB or `[H, W, 4]` RGBA;
        uint8, uint16 (whole range) or float32. Alpha is not premultiplied. CMYK and
        CIELAB are converted to sRGB, palettes are expanded. What could not be kept is
        said to the logger `vdsr`.

    Raises:
        InputError: if it cannot be read, is damaged, or not a picture of a known format.
        UnsupportedType: for anything else than a path, bytes or a file object.
    """
    if not is_encoded(source):
        raise UnsupportedType(
            f"a path, bytes or a binary file object is taken, not {type(source).__name__}"
        )
    with on_disk(source) as path:
        reader = PictureReader(path)
        samples = np.empty((reader.height, reader.width, reader.bands), reader.dtype)
        top = 0
        for strip in reader.strips():
            samples[top : top + len(strip)] = strip
            top += len(strip)
    log_notices(name_of(source), reader.notices)
    return as_pixels(samples)


def write_image(
    goal: Goal,
    image: NDArray[Any] | PillowImage,
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a picture file: whole, or not at all.

    Args:
        goal: its path, or a binary file object (which needs a `format`).
        image: `[H, W]` gray, `[H, W, 2]` gray and alpha, `[H, W, 3]` RGB or `[H, W, 4]`
            RGBA; uint8, uint16 (whole range), or float16, float32 or float64 with 0 black
            and 1 white. Alpha is not premultiplied. Or a Pillow image. Formats without
            floats or 16 bits get rounded samples.
        format: `png`, `jpeg`, `webp`, `tiff`, `avif`, `gif` or `dz`; by the suffix if None.
        quality: 1..100, for lossy formats; None is 95 for JPEG, 90 for AVIF, lossless WebP.
        overwrite: whether an existing file may be replaced.

    Raises:
        UsageError: for an unknown format, or a quality that does not apply.
        InputError: for an array of another shape or dtype.
        UnsupportedType: for anything else than an array or a Pillow image.
        OutputError: if the file exists already, or cannot be written.
    """
    if not is_goal(goal):
        raise UsageError(
            f"the goal is a path or a binary file object, not {type(goal).__name__}:"
            " write_image(goal, image)"
        )
    pixels = from_pillow(image) if is_pillow(image) else image
    if not isinstance(pixels, np.ndarray):
        raise UnsupportedType(f"an array or a Pillow image is written, not {type(image).__name__}")
    samples = as_samples(pixels)
    height, width, bands = samples.shape
    layout = PixelLayout(width=width, height=height, bands=bands, dtype=samples.dtype.name)
    with delivered(goal, format) as (path, kind):
        writer = PictureWriter(path, layout, kind, quality=quality, overwrite=overwrite)
        with writer:
            for top in range(0, height, _ROWS):
                writer.write(np.ascontiguousarray(samples[top : top + _ROWS]))
    log_notices(name_of(goal), writer.notices)


def log_notices(name: str, notices: tuple[str, ...]) -> None:
    """Tell the logger what was changed or could not be kept."""
    for notice in notices:
        _log.warning("%s: %s", name, notice)
