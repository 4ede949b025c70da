"""The upscaler: open once, enlarge arrays and files of any size, close."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

import vdsr
from vdsr.errors import InputError, ModelError, OutOfMemory, UsageError
from vdsr.imaging.files import Format, PictureReader, PictureWriter, PixelLayout, format_of
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.encode import check_goal
from vdsr.imaging.files.formats import check_quality
from vdsr.inference import backends, memory
from vdsr.inference.geometry import PASS_SCALE, Target, plan_passes
from vdsr.inference.job import Job, OnProgress, plan_job
from vdsr.inference.model_file import DEFAULT_MODEL, ModelFile, load_model
from vdsr.inference.pipeline import ValueRange

AnyPath = str | os.PathLike[str]
Array = TypeVar("Array", NDArray[np.uint8], NDArray[np.uint16], NDArray[np.float32])

PREVIEW_SIDE = 512
# Bands are handed to the encoder in pieces, so that few of their bytes are held twice.
_WRITE_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was done to a file.

    Attributes:
        input, output: paths.
        width, height: of the output, px.
        scale: by which its sides grew.
        model: name of the model.
        precision, backend: that were used.
        seconds: from opening the input to the finished output.
        megapixels_per_second: of the output.
        peak_memory_bytes: largest resident size of the process so far.
        notices: what was changed or could not be kept, a line each.
    """

    input: str
    output: str
    width: int
    height: int
    scale: float
    model: str
    precision: str
    backend: str
    seconds: float
    megapixels_per_second: float
    peak_memory_bytes: int
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


class Upscaler:
    """Enlarges pictures with one model on one backend. Safe to use from several threads.

    Args:
        model: name of a shipped model, or path of a model file.
        backend: `auto`, `openvino`, `onnxruntime` or `torch`.
        precision: `auto` (that of the model), `fp32`, `fp16` or `int8`.
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
        if not isinstance(model, ModelFile):
            model = load_model(model if isinstance(model, str) else Path(model))
        if model.fixed_shape is not None:
            raise ModelError(
                f"{model.source}: made for {'x'.join(map(str, model.fixed_shape))} alone;"
                " pictures of any size need a model file whose sizes are free"
            )
        self.model = model
        choice = backends.choose(model, backend, precision)
        self.backend = choice.backend
        self.precision = choice.precision
        self._max_memory = max_memory
        self._tile = tile
        self._network = backends.open_backend(model, choice, threads=threads)

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
        self._network.close()

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
            return self._upscale_array(image, target, progress)
        if output is None:
            raise UsageError("name the output file")
        goal = Path(output)
        return self._upscale_file(
            Path(image),
            goal,
            target,
            format=format_of(goal, format),
            quality=quality,
            overwrite=overwrite,
            progress=progress,
        )

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
        goal = Path(output)
        reader = PictureReader(Path(image))
        height, width = plan_passes(reader.height, reader.width, target)[-1].shape_out
        halo = self.model.architecture.halo
        rows = _Middle.of(reader.height, height, halo)
        columns = _Middle.of(reader.width, width, halo)
        part = reader.crop(columns.first, rows.first, columns.length, rows.length)
        inner = target if target.restore else Target(width=columns.grown, height=rows.grown)
        values = ValueRange.of(reader.dtype, reader.strips(), reader.has_alpha)
        large = self._upscale_array(part, inner, None, values)[rows.cut, columns.cut]
        layout = PixelLayout(
            width=large.shape[1], height=large.shape[0], bands=reader.bands, dtype=reader.dtype
        )
        with PictureWriter(
            goal,
            layout,
            format_of(goal, format),
            source=reader,
            values=(values.low, values.high),
            overwrite=overwrite,
        ) as writer:
            writer.write(large)
        return columns.start, rows.start, layout.width, layout.height

    def _upscale_array(
        self,
        image: NDArray[Any],
        target: Target,
        progress: OnProgress | None,
        values: ValueRange | None = None,
    ) -> NDArray[Any]:
        samples = _as_samples(image)
        height, width, bands = samples.shape
        layout = PixelLayout(width=width, height=height, bands=bands, dtype=samples.dtype.name)
        values = values or ValueRange.of(layout.dtype, [samples], layout.has_alpha)
        job = self._plan(layout, values, target)
        rows = list(job.run([samples], progress))
        result = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return result[..., 0] if image.ndim == 2 else result

    def _upscale_file(
        self,
        path: Path,
        goal: Path,
        target: Target,
        *,
        format: Format,
        quality: int | None,
        overwrite: bool,
        progress: OnProgress | None,
    ) -> Result:
        start = time.perf_counter()
        check_quality(format, quality)
        reader = PictureReader(path)
        notices = list(reader.notices)
        layout = PixelLayout(
            width=reader.width, height=reader.height, bands=reader.bands, dtype=reader.dtype
        )
        # Sizes and goal are checked before a float picture is searched for its range.
        plan_passes(layout.height, layout.width, target)
        try:
            values = ValueRange.of(reader.dtype, reader.strips(), reader.has_alpha)
            job = self._plan(layout, values, target)
        except (InputError, OutOfMemory) as error:
            raise type(error)(f"{path}: {error}") from error
        if reader.dtype == "float32" and not values.is_unit:
            notices.append(
                f"float samples were taken as {values.low:g} (black) to {values.high:g} (white)"
            )
        check_goal(goal, job.layout, format, overwrite=overwrite)
        writer = PictureWriter(
            goal,
            job.layout,
            format,
            source=reader,
            quality=quality,
            provenance=self._provenance(job.scale),
            values=(values.low, values.high),
            overwrite=overwrite,
        )
        with writer:
            for band in job.run(reader.strips(), progress):
                for top in range(0, len(band), _WRITE_ROWS):
                    writer.write(band[top : top + _WRITE_ROWS])
        seconds = time.perf_counter() - start
        return Result(
            input=str(path),
            output=str(goal),
            width=job.layout.width,
            height=job.layout.height,
            scale=job.scale,
            model=self.model.metadata.name,
            precision=self.precision,
            backend=self.backend,
            seconds=seconds,
            megapixels_per_second=job.layout.width * job.layout.height / seconds / 1e6,
            peak_memory_bytes=memory.peak_resident(),
            notices=(*notices, *writer.notices),
        )

    def _provenance(self, scale: float) -> dict[str, str]:
        metadata = self.model.metadata
        return {
            "Program": f"vdsr {vdsr.__version__}",
            "Model": f"{metadata.name} {metadata.version}",
            "ModelDigest": f"sha256:{self.model.digest}",
            "Scale": f"{scale:g}",
            "Precision": self.precision,
        }

    def _plan(self, layout: PixelLayout, values: ValueRange, target: Target) -> Job:
        return plan_job(
            layout,
            values,
            target,
            model=self.model,
            run=self._network.run,
            budget=self._max_memory or memory.available() // 2,
            tile=self._tile,
        )


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


def _as_samples(image: NDArray[Any]) -> Samples:
    """An array as `[H, W, bands]` of a sample type that files have.

    Raises:
        InputError: for another shape or dtype.
    """
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.dtype.name not in ("uint8", "uint16", "float32"):
        raise InputError(f"an array of {image.dtype}: uint8, uint16, float32 or float64 is taken")
    samples = image[..., None] if image.ndim == 2 else image
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        raise InputError(
            f"an array of shape {list(image.shape)}: [H, W] or [H, W, 1..4] with H, W >= 1 is taken"
        )
    return samples


@dataclass(frozen=True)
class _Middle:
    """The middle of one axis, for a preview: what is read, and what is kept of it.

    Attributes:
        first, length: input px that are read.
        grown: their length in the result.
        start: where the preview begins in the whole result.
        cut: what is kept of the grown part.
    """

    first: int
    length: int
    grown: int
    start: int
    cut: slice

    @classmethod
    def of(cls, axis_in: int, axis_out: int, halo: int) -> _Middle:
        scale = axis_out / axis_in
        side = min(PREVIEW_SIDE, axis_out)
        start = (axis_out - side) // 2
        margin = math.ceil(2 * halo / min(scale, PASS_SCALE)) + 6
        first = max(0, math.floor(start / scale) - margin)
        last = min(axis_in, math.ceil((start + side) / scale) + margin)
        offset = start - round(first * scale)
        grown = max(round((last - first) * scale), offset + side)
        return cls(first, last - first, grown, start, slice(offset, offset + side))
