"""One picture at a time through one network, as an array or from file to file."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, OutOfMemory
from vdsr.imaging.files import PictureReader, PictureWriter, PixelLayout, format_of
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.encode import check_goal
from vdsr.imaging.files.formats import check_quality
from vdsr.inference import memory
from vdsr.inference.backends import Backend, Choice
from vdsr.inference.pipeline import ValueRange
from vdsr.inference.plan import Job, OnProgress, plan_job
from vdsr.inference.selection import int8_notice
from vdsr.inference.target import Target, plan_passes
from vdsr.model.file import ModelFile
from vdsr.version import __version__

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


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How results are written.

    Attributes:
        format: name of the file format; None for that of the suffix.
        quality: 1..100, for lossy formats; None for the format's own.
        overwrite: whether an existing output may be replaced.
    """

    format: str | None = None
    quality: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Enlarger:
    """A network, and what a picture may cost. Holds nothing of a picture between two.

    Attributes:
        model: the model file.
        choice: backend and precision.
        network: where it runs.
        max_memory: bytes of working memory; None is half of what is free at the start of
            each picture.
        tile: largest side of a tile in px; None lets the memory decide.
    """

    model: ModelFile
    choice: Choice
    network: Backend
    max_memory: int | None
    tile: int | None

    def array(
        self,
        image: NDArray[Any],
        target: Target,
        progress: OnProgress | None = None,
        values: ValueRange | None = None,
    ) -> NDArray[Any]:
        """Enlarge an array.

        Args:
            image: see `Upscaler.upscale`.
            target: what it is to become.
            progress: called after every tile.
            values: what is black and white in it; None finds out.

        Returns:
            An array of the same dtype (float64 becomes float32) and number of axes.

        Raises:
            UsageError, InputError, OutOfMemory: see `Upscaler.upscale`.
        """
        samples = _as_samples(image)
        height, width, bands = samples.shape
        layout = PixelLayout(width=width, height=height, bands=bands, dtype=samples.dtype.name)
        values = values or ValueRange.of(layout.dtype, [samples], layout.has_alpha)
        job = self._plan(layout, values, target)
        rows = list(job.run([samples], progress))
        result = rows[0] if len(rows) == 1 else np.concatenate(rows)
        return result[..., 0] if image.ndim == 2 else result

    def file(
        self,
        path: Path,
        goal: Path,
        target: Target,
        options: FileOptions,
        progress: OnProgress | None = None,
    ) -> Result:
        """Enlarge a file into another.

        Raises:
            UsageError, InputError, OutputError, OutOfMemory: see `Upscaler.upscale`.
        """
        start = time.perf_counter()
        format = format_of(goal, options.format)
        check_quality(format, options.quality)
        reader = PictureReader(path)
        notices = list(reader.notices)
        if (notice := int8_notice(self.model)) is not None:
            notices.append(notice)
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
        check_goal(goal, job.layout, format, overwrite=options.overwrite)
        writer = PictureWriter(
            goal,
            job.layout,
            format,
            source=reader,
            quality=options.quality,
            provenance=self._provenance(job.scale),
            values=(values.low, values.high),
            overwrite=options.overwrite,
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
            precision=self.choice.precision,
            backend=self.choice.backend,
            seconds=seconds,
            megapixels_per_second=job.layout.width * job.layout.height / seconds / 1e6,
            peak_memory_bytes=memory.peak_resident(),
            notices=(*notices, *writer.notices),
        )

    def _provenance(self, scale: float) -> dict[str, str]:
        metadata = self.model.metadata
        return {
            "Program": f"vdsr {__version__}",
            "Model": f"{metadata.name} {metadata.version}",
            "ModelDigest": f"sha256:{self.model.digest}",
            "Scale": f"{scale:g}",
            "Precision": self.choice.precision,
        }

    def _plan(self, layout: PixelLayout, values: ValueRange, target: Target) -> Job:
        return plan_job(
            layout,
            values,
            target,
            model=self.model,
            run=self.network.run,
            budget=self.max_memory or memory.available() // 2,
            tile=self.tile,
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
