"""The upscaler: open once, enlarge pictures of any size and kind, close."""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.files.formats import check_quality, format_of
from vdsr.imaging.files.images import Encoded, Goal, is_encoded, is_goal
from vdsr.inference import cpu, memory
from vdsr.inference.backends import Backend
from vdsr.inference.engine import Engine, EngineFor, Result
from vdsr.inference.engines import Engines
from vdsr.inference.mapping import Mapped, check_many, map_pictures
from vdsr.inference.order import FileOptions, FilmOptions, Order, SizeOptions
from vdsr.inference.pages import enlarge_pages
from vdsr.inference.pictures import Picture, opened, opened_file
from vdsr.inference.plan import OnProgress
from vdsr.inference.preview import preview
from vdsr.inference.selection import AUTO
from vdsr.model.file import ModelFile

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from vdsr.inference.mapping import Item
    from vdsr.inference.pictures import Image

AnyPath = str | os.PathLike[str]
Array = TypeVar(
    "Array", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float16], NDArray[np.float32]
)
EncodedT = TypeVar("EncodedT", bound=Encoded)
PairT = TypeVar("PairT", bound="tuple[Image, Goal]")

# Pictures of `Upscaler.map` in progress for each that the network computes: the others are
# decoded and encoded meanwhile.
_PER_STREAM = 4


class UpscalerOptions(TypedDict, total=False):
    """What an `Upscaler` is opened with: see there."""

    model: AnyPath | ModelFile
    backend: str | Backend
    precision: str
    threads: int | None
    max_memory: int | str | None
    tile: int | None


class Upscaler:
    """Enlarges pictures on one backend. Safe to use from several threads.

    Args:
        model: name of a shipped model, or path of a model file. `auto` chooses by the
            picture: one for clean pictures, one for those with blocks of JPEG or noise; see
            `vdsr.inference.damage`.
        backend: `auto`, `openvino`, `onnxruntime` or `torch`; or an object of your own
            with `run` and `close`, see `Backend`. It is closed with the upscaler.
        precision: `auto`, `fp32`, `fp16` or `int8`; `auto` is that of a model file, and int8
            for a shipped model where this CPU is faster in it; see `selection.select`. With
            the model `auto`, `int8` holds for those of its models that have an int8 form.
        threads: CPU threads; None leaves it to the backend.
        max_memory: working memory, above what the process holds when idle: bytes, or a text
            like `"1GiB"`. None is half of what is free at the start of each picture.
        tile: largest side of a tile in px; None lets the memory decide.

    Attributes:
        model: the model file; with `auto`, that for clean pictures.
        backend, precision: what it is used with.

    Raises:
        UsageError: if the model, backend or precision is not available; see its subclasses.
    """

    def __init__(
        self,
        model: AnyPath | ModelFile = AUTO,
        *,
        backend: str | Backend = "auto",
        precision: str = "auto",
        threads: int | None = None,
        max_memory: int | str | None = None,
        tile: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"at least 1 thread, not {threads}")
        if tile is not None and tile < 1:
            raise UsageError(f"a tile is at least 1 px, not {tile}")
        self._threads = threads
        self._engines = Engines(
            model,
            backend,
            precision,
            threads=threads,
            max_memory=memory.as_bytes(max_memory),
            tile=tile,
        )
        first = self._engines.first
        self.model = first.model
        self.backend = first.choice.backend
        self.precision = first.choice.precision

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        name = self.model.metadata.name
        return f"Upscaler({name!r}, backend={self.backend!r}, precision={self.precision!r})"

    def close(self) -> None:
        """Release the networks. Nothing can be enlarged afterwards."""
        self._engines.close()

    @overload
    def upscale(
        self, image: Array, *, progress: OnProgress | None = None, **size: Unpack[SizeOptions]
    ) -> Array: ...

    @overload
    def upscale(
        self,
        image: NDArray[np.float64],
        *,
        progress: OnProgress | None = None,
        **size: Unpack[SizeOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def upscale(
        self, image: PillowImage, *, progress: OnProgress | None = None, **size: Unpack[SizeOptions]
    ) -> PillowImage: ...

    @overload
    def upscale(
        self, image: Encoded, *, progress: OnProgress | None = None, **size: Unpack[SizeOptions]
    ) -> NDArray[Any]: ...

    @overload
    def upscale(
        self,
        image: Image,
        output: Goal,
        *,
        progress: OnProgress | None = None,
        **options: Unpack[FileOptions],
    ) -> Result: ...

    def upscale(
        self,
        image: Image,
        output: Goal | None = None,
        *,
        progress: OnProgress | None = None,
        **options: Unpack[FileOptions],
    ) -> NDArray[Any] | PillowImage | Result:
        """Enlarge one picture: into memory, or into a file.

        Args:
            image: an array, a Pillow image, the path of a picture file, its content as
                bytes, or a binary file object.
                Arrays are `[H, W]`, `[H, W, 1]` gray, `[H, W, 2]` gray and alpha,
                `[H, W, 3]` RGB or `[H, W, 4]` RGBA, or batches of these, `[N, H, W, C]`;
                uint8, uint16 (whole range), or float16, float32 or float64 in 0..1
                (floats beyond 0..1 are enlarged within their own range). Alpha is not
                premultiplied.
            output: path of the result, or a binary file object, which needs a `format`.
                None gives the result back.
            progress: called after every tile.
            options: of the size, at most one of `scale` (a number above 1 up to 16),
                `width` and `height` (px), `fit` (a pair: the box to fit into), `restore`
                (keeps the size) and `target` (a `Target`, which says the same as one
                object); x4 if none is given. `consistent` adjusts the result until,
                shrunk again and rounded, it is the picture itself; `ensemble` averages the
                network over eight flips and rotations. Of the file, `format` (`png`, `jpeg`,
                `webp`, `tiff`, `avif`, `gif` or `dz`; by the suffix if None), `quality`
                (1..100, for lossy formats), of TIFF `compression` (`none`, `lzw`, `deflate` or
                `jpeg`), `tiled` and `pyramid`, `resume` (whether finished strips are kept beside
                the output until it is whole, for the next call; None: from 100 megapixels on),
                `overwrite` (whether an existing one may be replaced) and `in_place` (whether
                the output is the input itself, replaced when the new one is whole). Of several
                pages in a TIFF file, `page` (from 1), or `pages="all"` into another.

        Returns:
            With an output, a `Result`. Else for an array one of the same dtype and number
            of axes (float64 becomes float32); for a Pillow image such an image, of mode
            RGB or RGBA if it had a palette, with its profile, EXIF, XMP and resolution;
            for a picture file an array, `[H, W]` if it is gray.

        Raises:
            UsageError: for options that contradict each other or are out of range.
            InputError: if the picture cannot be read or enlarged.
            UnsupportedType: (an `InputError`) if it is none of the kinds named.
            OutputError: if the result cannot be written. No part of it is left.
            OutOfMemory: if not even the smallest tile fits, the result included where it
                is given back.
        """
        return self._enlarge(image, output, Order.of(options, caller="upscale", progress=progress))

    def _enlarge(
        self, image: Image, output: Goal | None, order: Order
    ) -> NDArray[Any] | PillowImage | Result:
        self._engines.check_open()
        if output is None:
            if order.names_file:
                raise UsageError(
                    "format, quality, overwrite and the like are for an output: name one"
                )
            if isinstance(image, np.ndarray) and image.ndim == 4 and len(image) > 0:
                return self._batch(image, order)
            with opened(image, order.page) as picture:
                return self._engine(picture, order).into_memory(picture, order)
        if not is_goal(output):
            raise UsageError(
                f"the output is a path or a binary file object, not {type(output).__name__}"
            )
        if order.pages is not None and is_encoded(image):
            return enlarge_pages(lambda one: self._engine(one, order), image, output, order)
        with opened(image, order.page) as picture:
            return self._engine(picture, order).into_file(picture, output, order)

    def _engine(self, picture: Picture, order: Order) -> Engine:
        return self._engines.of(picture, restore=order.target.restore)

    def _batch(self, images: NDArray[Any], order: Order) -> NDArray[Any]:
        """Each picture by itself, floats in their own range: as if given one by one."""
        result: NDArray[Any] | None = None
        for i, image in enumerate(images):
            with opened(image) as picture:
                engine = self._engine(picture, order)
                large = np.asarray(engine.into_memory(picture, order))
            if result is None:
                result = np.empty((len(images), *large.shape), large.dtype)
            result[i] = large
        assert result is not None  # the caller checks that there is a picture
        return result

    @overload
    def map(
        self,
        images: Iterable[Array],
        *,
        in_flight: int | None = None,
        **options: Unpack[FileOptions],
    ) -> Generator[Mapped[Array, Array], None, None]: ...

    @overload
    def map(
        self,
        images: Iterable[EncodedT],
        *,
        in_flight: int | None = None,
        **options: Unpack[FileOptions],
    ) -> Generator[Mapped[EncodedT, NDArray[Any]], None, None]: ...

    @overload
    def map(
        self,
        images: Iterable[PairT],
        *,
        in_flight: int | None = None,
        **options: Unpack[FileOptions],
    ) -> Generator[Mapped[PairT, Result], None, None]: ...

    @overload
    def map(
        self,
        images: Iterable[Item],
        *,
        in_flight: int | None = None,
        **options: Unpack[FileOptions],
    ) -> Generator[Mapped, None, None]: ...

    def map(
        self,
        images: Iterable[Any],
        *,
        in_flight: int | None = None,
        **options: Unpack[FileOptions],
    ) -> Generator[Mapped[Any, Any], None, None]:
        """Enlarge many pictures, several at once, in order.

        Pictures are read from `images` as they are needed, at most `in_flight` ahead of
        what was given back, and share the memory. A picture that fails does not stop the
        others. Closing the iterator early (`break` in a loop that holds the only reference,
        `close()`, an exception, Ctrl-C) cancels what has not begun and waits for what has.

        Args:
            images: any iterable, an endless one too, of pictures (see `upscale`; no batches;
                arrays are left as they are until given back), whose results are
                returned, or of pairs (picture, output), which become files.
            in_flight: most pictures that are read and not yet returned; each may take
                one in `in_flight` parts of the memory. None is 4 for each core.
            options: see `upscale`; those of files are for pairs.

        Yields:
            One `Mapped` per picture, in the order of `images`.

        Raises:
            UsageError: at once, for options that contradict each other or are out of range,
                and for a single picture.
            BackendError: where the next picture is asked for, if the upscaler is closed.
            Exception: what `images` raises, and errors other than `VdsrError`: in their
                place, after the pictures before; nothing is in progress then.
        """
        order = Order.of(options, caller="map")
        threads = self._threads or cpu.cores()
        if in_flight is None:
            in_flight = _PER_STREAM * threads
        if in_flight < 1:
            raise UsageError(f"at least 1 picture in flight, not {in_flight}")
        check_many(images)
        # Without a format each suffix tells; any lossy one tells the range of the quality.
        lossy = order.storage.is_lossy
        check_quality(format_of(Path("lossy.jpg"), order.format), order.quality, lossy=lossy)
        share, streams = 1 / in_flight, min(in_flight, threads)
        return map_pictures(
            iter(images),
            lambda: self._part(share, streams, order),
            order,
            in_flight=in_flight,
            workers=min(in_flight, _PER_STREAM * streams),
        )

    def _part(self, share: float, streams: int, order: Order) -> EngineFor:
        """For one of several pictures: its share of the memory, `streams` networks at once."""
        self._engines.check_open()
        budget = self._engines.budget(share)

        def engine_for(picture: Picture) -> Engine:
            engine = self._engine(picture, order)
            network = self._engines.several(engine, streams)
            return replace(engine, network=network, max_memory=budget)

        return engine_for

    def preview(
        self, image: AnyPath, output: AnyPath, **options: Unpack[FileOptions]
    ) -> tuple[int, int, int, int]:
        """Enlarge only the middle of a picture file, as it will be in the whole.

        Args:
            image, output: paths.
            options: what the whole picture is to become: see `upscale`.

        Returns:
            (left, top, width, height) of the preview in the result, px.

        Raises:
            As `upscale`.
        """
        order = Order.of(options, caller="preview")
        self._engines.check_open()
        picture = opened_file(Path(image), order.page)
        return preview(self._engine(picture, order), picture, Path(output), order)

    def video(
        self, film: Encoded, output: Goal | None = None, **options: Unpack[FilmOptions]
    ) -> Any:  # noqa: ANN401
        """Enlarge a film, with all that is beside its pictures; needs the extra `video`.

        One network does all of it: with `auto`, that for clean pictures.

        Args:
            film: the path of a film, its content as bytes, or a binary file object.
            output: path of the result, whose suffix says what it becomes, or a binary file
                object, which needs a `format`. None gives the pictures back, one by one.
            options: `scale` to `target` as in `upscale`; `codec`, `crf`, `preset`, `pix_fmt`,
                `deinterlace`, `strict`, `start`, `end`, `preview`, `drop`, `overwrite`, `redo`,
                `segment`, `format`, `progress`: see docs/video.md.

        Returns:
            With an output, a `FilmResult`. Else a generator of PyAV's `VideoFrame`, with the
            film's times and colors.

        Raises:
            UsageError, InputError, OutputError, OutOfMemory: as `upscale`.
        """
        self._engines.check_open()
        engine = replace(self._engines.first, max_memory=self._engines.budget(1.0))
        # Imports run down only: films are made of pictures.
        enlarge_film = importlib.import_module("vdsr.video.entry").enlarge_film
        return enlarge_film(engine, film, output, dict(options))
