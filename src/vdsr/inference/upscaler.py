"""The upscaler: open once, enlarge arrays and files of any size, close."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import BackendError, ModelError, UsageError
from vdsr.imaging.files.formats import check_quality, format_of
from vdsr.inference import backends, cpu, memory
from vdsr.inference.engine import Enlarger, FileOptions, Result
from vdsr.inference.mapping import Item, Mapped, map_pictures
from vdsr.inference.plan import OnProgress
from vdsr.inference.preview import preview
from vdsr.inference.selection import select
from vdsr.inference.target import Target
from vdsr.model.file import DEFAULT_MODEL, ModelFile

AnyPath = str | os.PathLike[str]
Array = TypeVar("Array", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32])

# Pictures of `Upscaler.map` in work for each that the network computes: the others are
# decoded and encoded meanwhile.
_PER_STREAM = 4


class Upscaler:
    """Enlarges pictures with one model on one backend. Safe to use from several threads.

    Args:
        model: name of a shipped model, or path of a model file.
        backend: `auto`, `openvino`, `onnxruntime` or `torch`.
        precision: `auto`, `fp32`, `fp16` or `int8`; `auto` is that of a model file, and int8
            for a shipped model where this CPU is faster in it; see `selection.select`.
        threads: CPU threads; None leaves it to the backend.
        max_memory: bytes of working memory, above what the process holds when idle; None
            is half of what is free at the start of each picture.
        tile: largest side of a tile in px; None lets the memory decide.

    Attributes:
        model: the model file.
        backend, precision: what is used.

    Raises:
        UsageError: if the model, backend or precision cannot be had; see its subclasses.
    """

    def __init__(
        self,
        model: AnyPath | ModelFile = DEFAULT_MODEL,
        *,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        max_memory: int | None = None,
        tile: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"at least 1 thread, not {threads}")
        if tile is not None and tile < 1:
            raise UsageError(f"a tile is at least 1 px, not {tile}")
        file, choice = select(model, backend, precision)
        if file.fixed_shape is not None:
            raise ModelError(
                f"{file.source}: made for {'x'.join(map(str, file.fixed_shape))} alone;"
                " pictures of any size need a model file whose sizes are free"
            )
        self.model = file
        self.backend = choice.backend
        self.precision = choice.precision
        self._threads = threads
        self._enlarger = Enlarger(
            model=file,
            choice=choice,
            network=backends.open_backend(file, choice, threads=threads),
            max_memory=max_memory,
            tile=tile,
        )
        # Networks for several pictures at once, by their number; opened by `map`.
        self._parallel: dict[int, backends.Backend] = {}
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the network. Nothing can be enlarged afterwards."""
        with self._lock:
            self._closed = True
            for network in (self._enlarger.network, *self._parallel.values()):
                network.close()

    @overload
    def upscale(
        self,
        image: Array,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        fit: tuple[int, int] | None = None,
        restore: bool = False,
        progress: OnProgress | None = None,
    ) -> Array: ...

    @overload
    def upscale(
        self,
        image: AnyPath,
        output: AnyPath,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        fit: tuple[int, int] | None = None,
        restore: bool = False,
        format: str | None = None,
        quality: int | None = None,
        overwrite: bool = False,
        progress: OnProgress | None = None,
    ) -> Result: ...

    def upscale(
        self,
        image: NDArray[Any] | AnyPath,
        output: AnyPath | None = None,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        fit: tuple[int, int] | None = None,
        restore: bool = False,
        format: str | None = None,
        quality: int | None = None,
        overwrite: bool = False,
        progress: OnProgress | None = None,
    ) -> NDArray[Any] | Result:
        """Enlarge an array, or one file into another.

        Args:
            image: `[H, W]`, `[H, W, 1]` gray, `[H, W, 2]` gray and alpha, `[H, W, 3]` RGB or
                `[H, W, 4]` RGBA; uint8, uint16 (whole range), or float32 or float64 in 0..1
                (floats beyond 0..1 are enlarged within their own range). Alpha is not
                premultiplied. Or the path of a picture file.
            output: path of the result, if `image` is a path.
            scale, width, height, fit, restore: see `Target`; x4 if none is given.
            format: `png`, `jpeg`, `webp`, `tiff`, `avif` or `gif`; by the suffix if None.
            quality: 1..100, for lossy formats.
            overwrite: whether an existing output may be replaced.
            progress: called after every tile.

        Returns:
            For an array, an array of the same dtype and number of axes (float64 becomes
            float32); for a path, a `Result`.

        Raises:
            UsageError: for options that contradict each other or are out of range.
            InputError: if the picture cannot be read or enlarged.
            OutputError: if the result cannot be written. No part of it is left.
            OutOfMemory: if not even the smallest tile fits.
        """
        target = Target(scale=scale, width=width, height=height, fit=fit, restore=restore)
        if isinstance(image, np.ndarray):
            if output is not None or format is not None or quality is not None:
                raise UsageError("an array is enlarged into an array: no output, format or quality")
            return self._enlarger.array(image, target, progress)
        if output is None:
            raise UsageError("name the output file")
        options = FileOptions(format=format, quality=quality, overwrite=overwrite)
        return self._enlarger.file(Path(image), Path(output), target, options, progress)

    def map(
        self,
        images: Iterable[Item],
        *,
        in_flight: int | None = None,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        fit: tuple[int, int] | None = None,
        restore: bool = False,
        format: str | None = None,
        quality: int | None = None,
        overwrite: bool = False,
    ) -> Generator[Mapped, None, None]:
        """Enlarge many pictures, several at once, in order.

        Pictures are read from `images` as they are needed, at most `in_flight` ahead of
        what was given back, and share the memory. A picture that fails does not stop the
        others. Closing the iterator early (`break` in a loop that holds the only reference,
        `close()`, an exception, Ctrl-C) cancels what has not begun and waits for what has.

        Args:
            images: any iterable, an endless one too, of arrays (see `upscale`; left as they
                are until given back), of paths (the result is an array), or of pairs
                (input path, output path).
            in_flight: most pictures that are read and not yet given back; each may take
                one in `in_flight` parts of the memory. None is 4 for each core.
            scale, width, height, fit, restore: see `Target`; x4 if none is given.
            format, quality, overwrite: see `upscale`; for pairs.

        Yields:
            One `Mapped` per picture, in the order of `images`.

        Raises:
            UsageError: at once, for options that contradict each other or are out of range,
                and for a single path.
            BackendError: where the next picture is asked for, if the upscaler is closed.
            Exception: what `images` raises, and errors that are no `VdsrError`: in their
                place, after the pictures before; nothing is in work then.
        """
        threads = self._threads or cpu.cores()
        if in_flight is None:
            in_flight = _PER_STREAM * threads
        if in_flight < 1:
            raise UsageError(f"at least 1 picture in flight, not {in_flight}")
        if isinstance(images, str | os.PathLike):  # a string is an iterable, of letters
            raise UsageError(f"{os.fspath(images)!r:.60} is one path: put it in a list")
        target = Target(scale=scale, width=width, height=height, fit=fit, restore=restore)
        # Without a format each suffix tells; any lossy one tells the range of the quality.
        check_quality(format_of(Path("lossy.jpg"), format), quality)
        options = FileOptions(format=format, quality=quality, overwrite=overwrite)
        share, streams = 1 / in_flight, min(in_flight, threads)
        return map_pictures(
            iter(images),
            lambda: self._part(share, streams),
            target,
            options,
            in_flight=in_flight,
            workers=min(in_flight, _PER_STREAM * streams),
        )

    def _part(self, share: float, streams: int) -> Enlarger:
        """For one of several pictures: its share of the memory, `streams` networks at once."""
        with self._lock:
            if self._closed:
                raise BackendError("this upscaler is closed")
            network = self._enlarger.network
            if streams > 1:
                if streams not in self._parallel:
                    self._parallel[streams] = backends.open_backend(
                        self.model, self._enlarger.choice, threads=self._threads, parallel=streams
                    )
                network = self._parallel[streams]
        budget = self._enlarger.max_memory or memory.available() // 2
        return replace(self._enlarger, network=network, max_memory=max(1, int(share * budget)))

    def preview(
        self,
        image: AnyPath,
        output: AnyPath,
        *,
        target: Target,
        format: str | None = None,
        overwrite: bool = False,
    ) -> tuple[int, int, int, int]:
        """Enlarge only the middle of a picture file, as it will be in the whole.

        Args:
            image, output, format, overwrite: see `upscale`.
            target: what the whole picture is to become.

        Returns:
            (left, top, width, height) of the preview in the result, px.

        Raises:
            As `upscale`.
        """
        options = FileOptions(format=format, overwrite=overwrite)
        return preview(self._enlarger, Path(image), Path(output), target, options)


def upscale(
    image: AnyPath,
    output: AnyPath,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    fit: tuple[int, int] | None = None,
    restore: bool = False,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    model: AnyPath | ModelFile = DEFAULT_MODEL,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    max_memory: int | None = None,
) -> Result:
    """Enlarge one picture file: `vdsr.upscale("in.jpg", "out.png", scale=4)`.

    Args:
        image, output, scale, width, height, fit, restore, format, quality, overwrite: see
            `Upscaler.upscale`.
        model, backend, precision, threads, max_memory: see `Upscaler`.

    Returns:
        What was done.

    Raises:
        VdsrError: see `Upscaler` and `Upscaler.upscale`.
    """
    with Upscaler(
        model, backend=backend, precision=precision, threads=threads, max_memory=max_memory
    ) as upscaler:
        return upscaler.upscale(
            image,
            output,
            scale=scale,
            width=width,
            height=height,
            fit=fit,
            restore=restore,
            format=format,
            quality=quality,
            overwrite=overwrite,
        )
