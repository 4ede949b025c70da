"""The middle of a picture, enlarged as it will be in the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vdsr.imaging.files import PictureWriter, PixelLayout, format_of
from vdsr.imaging.files.geotiff import Placement
from vdsr.inference.engine import Engine
from vdsr.inference.order import Order
from vdsr.inference.pictures import Picture, of_array
from vdsr.inference.pipeline import ValueRange
from vdsr.inference.target import PASS_SCALE, Target, plan_passes
from vdsr.outputs import refuse_same

PREVIEW_SIDE = 512


def preview(
    engine: Engine, picture: Picture, goal: Path, order: Order
) -> tuple[int, int, int, int]:
    """Enlarge only the middle of a picture file; see `Upscaler.preview`."""
    target, reader = order.target, picture.reader
    assert reader is not None  # a preview is of a file
    refuse_same(reader.path, goal, in_place=False)
    height, width = plan_passes(reader.height, reader.width, target)[-1].shape_out
    halo = engine.model.architecture.halo
    rows = _Middle.of(reader.height, height, halo)
    columns = _Middle.of(reader.width, width, halo)
    part = reader.crop(columns.first, rows.first, columns.length, rows.length)
    inner = target if target.restore else Target(width=columns.grown, height=rows.grown)
    values = ValueRange.of(reader.dtype, reader.strips(), reader.has_alpha)
    enlarged = engine.into_memory(
        of_array(part), Order(target=inner, ensemble=order.ensemble), values
    )
    large = np.asarray(enlarged)[rows.cut, columns.cut]
    layout = PixelLayout(
        width=large.shape[1], height=large.shape[0], bands=reader.bands, dtype=reader.dtype
    )
    with PictureWriter(
        goal,
        layout,
        format_of(goal, order.format),
        source=reader,
        quality=order.quality,
        storage=order.storage,
        values=(values.low, values.high),
        overwrite=order.overwrite,
        placement=Placement(
            x=width / reader.width, y=height / reader.height, left=columns.start, top=rows.start
        ),
    ) as writer:
        writer.write(large)
    return columns.start, rows.start, layout.width, layout.height


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
