"""A picture's path through the network, planned so that it fits the memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vdsr.errors import OutOfMemory
from vdsr.imaging.color import RANGES
from vdsr.imaging.files import PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.resample import Bicubic
from vdsr.inference import memory
from vdsr.inference.pipeline import Pass, ValueRange, Wanted
from vdsr.inference.target import Target, plan_passes
from vdsr.inference.tiling import MAX_TILE_PIXELS, Band, Run, TileLimits, plan_tiles
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

# Bytes per pixel of a tile beside the network: luma, residual, samples; and per plane.
_TILE_BYTES = 24.0
_PLANE_BYTES = 12.0
# A band of samples is held as it is, joined from its tiles, and while it is written.
_BAND_COPIES = 3.0
# Rows of the result and of the picture that encoder and decoder hold in all their
# buffers (measured with PNG and TIFF of 4000 to 64000 px across).
_ENCODER_ROWS = 1200
_DECODER_ROWS = 800
# How the rest of the memory is divided between the tile in progress and the bands of all passes.
_TILE_SHARE = 0.6
_BAND_SHARE = 0.35
# Side in px, without halo, below which a tile is all halo.
_SMALLEST_TILE = 16


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a picture has come.

    Attributes:
        done, total: pixels that the network has given, and will give in all.
        seconds: since the network was first called.
        memory: bytes of working memory that it is planned for.
    """

    done: int
    total: int
    seconds: float
    memory: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A picture's path through the network, planned.

    Attributes:
        layout: of the result.
        scale: that is asked for; where a size is, by which the side grows that grows more.
        passes: one after the other.
        memory: estimated working memory, bytes.
    """

    layout: PixelLayout
    scale: float
    passes: tuple[Pass, ...]
    memory: int

    @property
    def pixels(self) -> int:
        """Pixels that the network will give."""
        return sum(math.prod(p.bicubic.shape_out) for p in self.passes)

    def without_network(self) -> Plan:
        """The same way with bicubic interpolation alone; its bands are float32, unrounded."""
        passes = (replace(p, run=_unchanged, dtype_out="float32") for p in self.passes)
        return replace(self, passes=tuple(passes))

    def unrounded(self) -> Plan:
        """The same way, with bands of float32 in the picture's own range."""
        *first, last = self.passes
        return replace(self, passes=(*first, replace(last, dtype_out="float32")))

    def run(
        self, strips: Iterable[Samples], progress: OnProgress | None, *, skip: int = 0
    ) -> Iterator[Samples]:
        """Enlarge; strips of samples in, bands of samples out, from top to bottom.

        Args:
            strips: of the picture.
            progress: called after every tile, of what is wanted.
            skip: bands of the result that are not wanted, from the top.
        """
        return self.pick(strips, self.counter(progress, skip=skip), lambda _: True, skip=skip)

    def pick(
        self, strips: Iterable[Samples], count: Counter, wanted: Wanted, *, skip: int = 0
    ) -> Iterator[Samples]:
        """Some bands of the result, from top to bottom.

        Args:
            strips: of the picture.
            count: see `counter`.
            wanted: whether a band is: asked before each is made, and not before.
            skip: bands that are not wanted, from the top.
        """
        if skip == len(self.passes[-1].bands):
            return iter(())
        bands, top = iter(strips), 0
        skips = self._skips(skip)
        for one, first in zip(self.passes[:-1], skips, strict=False):
            bands = one.enlarge(bands, count, skip=first, top=top)
            top = one.bands[first].rows.start
        return self.passes[-1].enlarge(bands, count, skip=skip, top=top, wanted=wanted)

    def counter(self, progress: OnProgress | None, *, skip: int = 0) -> Counter:
        """What counts the pixels below so many bands, and reports them to `progress`."""
        last = len(self.passes[-1].bands)
        total = 0 if skip == last else self._pixels_after(self._skips(skip))
        return Counter(total, self.memory, progress)

    def _skips(self, last: int) -> list[int]:
        """Bands that each pass may leave out, if the last one leaves out so many."""
        skips = [last]
        for one, later in zip(self.passes[-2::-1], self.passes[:0:-1], strict=True):
            row = later.first_row(skips[0])
            skips.insert(0, sum(band.rows.stop <= row for band in one.bands))
        return skips

    def _pixels_after(self, skips: Iterable[int]) -> int:
        left = 0
        for one, first in zip(self.passes, skips, strict=True):
            height, width = one.bicubic.shape_out
            left += (height - one.bands[first].rows.start) * width
        return left


def _unchanged(y: FloatArray) -> FloatArray:
    return y


class Counter:
    """Adds up finished pixels and reports them; see `Plan.counter`."""

    def __init__(self, total: int, memory: int, report: OnProgress | None) -> None:
        self._total = total
        self._memory = memory
        self._report = report
        self._done = 0
        self._start = time.perf_counter()

    def __call__(self, pixels: int) -> None:
        """Count so many pixels more."""
        # What others made is counted, too, and what was made twice is no more than all.
        self._done = min(self._done + pixels, self._total)
        if self._report is not None:
            seconds = time.perf_counter() - self._start
            self._report(
                Progress(
                    done=self._done,
                    total=self._total,
                    seconds=seconds,
                    memory=self._memory,
                )
            )


def plan_picture(
    layout: PixelLayout,
    values: ValueRange,
    target: Target,
    *,
    model: ModelFile,
    run: Run,
    budget: int,
    tile: int | None,
    held: int = 0,
) -> Plan:
    """Cut the work into passes, bands and tiles.

    Args:
        layout: of the picture.
        values: what is black and white in it.
        target: what it is to become.
        model: the network's description.
        run: the network.
        budget: bytes of working memory that may be used.
        tile: largest side of a tile in px; None for what memory allows.
        held: bytes of the budget that something else takes: a result that is returned.

    Raises:
        UsageError: see `Target.axes`.
        OutOfMemory: if not even the smallest tiles and bands fit the budget.
    """
    sizes = plan_passes(layout.height, layout.width, target)
    planes = layout.bands * (2 if layout.has_alpha else 1)
    per_pixel = (
        memory.network_bytes_per_pixel(model.architecture) + _TILE_BYTES + _PLANE_BYTES * planes
    )
    halo, fold = model.architecture.halo, model.architecture.fold
    least_pixels = (2 * halo + _SMALLEST_TILE * fold) ** 2
    dtypes = ["float32"] * (len(sizes) - 1) + [layout.dtype]
    costs = [_band_cost(b, layout, d, halo) for b, d in zip(sizes, dtypes, strict=True)]
    files = _file_bytes(layout, sizes[-1]) + held
    # What even bands of one row and the smallest tiles take: planning more would be pointless.
    _check(sizes[-1], files + sum(map(sum, costs)), budget)
    rest = budget - files
    passes: list[Pass] = []
    tile_bytes = band_bytes = 0.0
    for bicubic, dtype, (row, margin) in zip(sizes, dtypes, costs, strict=True):
        limits = TileLimits(
            # Tiles of single pixels would not be planned in reasonable time, let alone run.
            max_pixels=min(
                MAX_TILE_PIXELS * fold**2, max(least_pixels, int(_TILE_SHARE * rest / per_pixel))
            ),
            max_side=tile,
            # Every pass holds a band of its own at the same time.
            max_band_rows=max(1, int((_BAND_SHARE * rest / len(sizes) - margin) / row)),
        )
        bands = plan_tiles(*bicubic.shape_out, halo, limits, fold)
        tile_bytes = max(tile_bytes, _largest_tile(bands) * per_pixel)
        band_bytes += margin + row * max(b.rows.stop - b.rows.start for b in bands)
        passes.append(
            Pass(
                bicubic=bicubic,
                bands=bands,
                halo=halo,
                fold=fold,
                planes=model.architecture.planes,
                color=RANGES[model.metadata.luma],
                alpha=layout.has_alpha,
                run=run,
                values=values,
                dtype_out=dtype,
            )
        )
    used = files + tile_bytes + band_bytes
    _check(sizes[-1], used, budget)
    height, width = sizes[-1].shape_out
    return Plan(
        layout=PixelLayout(width=width, height=height, bands=layout.bands, dtype=layout.dtype),
        # Sides are whole px: 2.5 times 199 px is 498, and still x2.5.
        scale=target.asked_scale or max(height / layout.height, width / layout.width),
        passes=tuple(passes),
        memory=int(used),
    )


def _check(last: Bicubic, needed: float, budget: int) -> None:
    if needed > budget:
        height, width = last.shape_out
        raise OutOfMemory(
            f"{width}x{height} px need about {memory.format_size(needed)} of memory, and"
            f" {memory.format_size(budget)} may be used: raise max_memory, or cut the picture"
        )


def _file_bytes(layout: PixelLayout, last: Bicubic) -> float:
    """What reading and writing the files takes."""
    sample = np.dtype(layout.dtype).itemsize * layout.bands
    columns = last.columns.length_out * _ENCODER_ROWS + layout.width * _DECODER_ROWS
    return float(sample * columns)


def _band_cost(bicubic: Bicubic, layout: PixelLayout, dtype: str, halo: int) -> tuple[float, float]:
    """What each row of a band costs, and what its margin costs, in bytes.

    A row costs its samples, and the input rows behind it. These are held as samples,
    twice while they are joined, and as planes: premultiplied beside the others for alpha.
    """
    bands = layout.bands
    samples = bicubic.columns.length_out * bands * np.dtype(dtype).itemsize * _BAND_COPIES
    planes = 4.0 * (4 * bands + 3 if layout.has_alpha else bands)
    source = bicubic.columns.length_in * (8.0 * bands + planes)
    # The halo, as much again to continue colors into transparent areas, and the kernel.
    margin = (4 if layout.has_alpha else 2) * halo / bicubic.rows.scale + 8
    return samples + source / bicubic.rows.scale, source * margin


def _largest_tile(bands: tuple[Band, ...]) -> int:
    return max(
        band.rows.outer_length * max(columns.outer_length for columns in band.columns)
        for band in bands
    )
