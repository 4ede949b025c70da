"""Frames of FFmpeg's into enlarged ones: by their planes, or as pictures of red, green, blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vdsr.imaging.color import RANGES
from vdsr.inference import memory, pictures
from vdsr.inference.order import Order
from vdsr.inference.target import Target, plan_passes
from vdsr.inference.tiling import MAX_TILE_PIXELS
from vdsr.video.enlarge import FrameEnlarger, Luma
from vdsr.video.planes import PlaneFormat, read_planes, write_planes
from vdsr.video.source import CAPTIONS, COLOR_TAGS, Film

if TYPE_CHECKING:
    from av import VideoFrame

    from vdsr.inference.engine import Engine

# Part of the memory that a tile may take; the rest is for pictures on their way.
_TILE_SHARE = 0.5
_TILE_BYTES = 36.0
_LEAST_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class Made:
    """An enlarged picture.

    Attributes:
        frame: it.
        computed, kept: px, see `vdsr.video.enlarge.Work`.
    """

    frame: VideoFrame
    computed: int
    kept: int


def most_pixels(engine: Engine) -> int:
    """Most px that a tile may read, within the memory that there is."""
    architecture = engine.model.architecture
    per_pixel = memory.network_bytes_per_pixel(architecture) + _TILE_BYTES
    fold = architecture.fold
    least = (2 * architecture.halo + _LEAST_SIDE * fold) ** 2
    affordable = int(_TILE_SHARE * (engine.max_memory or 0) / per_pixel)
    return min(MAX_TILE_PIXELS * fold**2, max(least, affordable))


@dataclass(kw_only=True)
class FrameMaker:
    """Enlarges frames in order.

    Attributes:
        engine: the network.
        film: what they are of.
        target: the size they get.
        enlarger: of planes.
        side_by_side: see `FrameEnlarger`.
        pad: columns at the right and rows at the bottom that are added, mirrored.
    """

    engine: Engine
    film: Film
    target: Target
    enlarger: FrameEnlarger
    side_by_side: bool = False
    pad: tuple[int, int] = (0, 0)
    _before: Any = None
    _after: Any = None

    @classmethod
    def of(
        cls,
        engine: Engine,
        film: Film,
        target: Target,
        goal: PlaneFormat,
        max_pixels: int | None = None,
    ) -> FrameMaker:
        """What enlarges the frames of a film.

        Args:
            engine: the network.
            film: the film.
            target: the size.
            goal: pixel format of the result.
            max_pixels: most px that a tile reads; None for what memory allows.
        """
        model = engine.model
        luma = Luma(
            passes=plan_passes(film.height, film.width, target),
            run=engine.network.run,
            halo=model.architecture.halo,
            fold=model.architecture.fold,
            color=RANGES[model.metadata.luma],
            max_pixels=max_pixels or most_pixels(engine),
        )
        enlarger = FrameEnlarger(
            luma=luma,
            source=film.pixels,
            goal=goal,
            color_range=film.color[0],
            siting=film.siting,
        )
        return cls(engine=engine, film=film, target=target, enlarger=enlarger)

    def forget(self) -> None:
        """See `FrameEnlarger.forget`."""
        self.enlarger.forget()
        self._before = self._after = None

    def make(self, frame: VideoFrame) -> Made:
        """Enlarge the next frame; it keeps its time."""
        if self.film.pixels.rgb:
            return self._picture(frame)
        self.enlarger.side_by_side = self.side_by_side
        before = (self.enlarger.work.computed, self.enlarger.work.kept)
        planes = self.enlarger.enlarge(read_planes(frame, self.film.pixels))
        # Chroma of half the size has its last column and row for an odd side already.
        whole = [0, len(planes) - 1] if self.enlarger.goal.alpha else [0]
        planes = [self._padded(p) if i in whole else p for i, p in enumerate(planes)]
        new = self._empty(frame, planes[0].shape)
        write_planes(new, planes)
        for name, value in zip(COLOR_TAGS, self.film.color, strict=True):
            setattr(new, name, value)
        work = self.enlarger.work
        return Made(
            frame=_timed(new, frame),
            computed=work.computed - before[0],
            kept=work.kept - before[1],
        )

    def _padded(self, samples: Any) -> Any:  # noqa: ANN401
        right, bottom = self.pad
        if not (right or bottom):
            return samples
        rest = [(0, 0)] * (samples.ndim - 2)
        return np.pad(samples, [(0, bottom), (0, right), *rest], mode="symmetric")

    def _empty(self, frame: VideoFrame, shape: tuple[int, ...]) -> VideoFrame:
        import av

        height, width = shape
        name = self.enlarger.goal.name
        beside: Any = frame.side_data
        if any(one.type.name == CAPTIONS for one in beside):
            # PyAV hands side data on by this way alone; the pixels are rewritten.
            return frame.reformat(width=width, height=height, format=name, interpolation="POINT")
        return av.VideoFrame(width, height, name)

    def _picture(self, frame: VideoFrame) -> Made:
        """A picture of red, green and blue, as still pictures are enlarged."""
        import av

        deep, alpha = self.film.pixels.bits > 8, self.film.pixels.alpha
        format = ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")
        array = frame.to_ndarray(format=format)
        same = self._before is not None and np.array_equal(array, self._before)
        if not same:
            self._before, self._after = array.copy(), self._enlarged(array)
        after = self._after
        if self.side_by_side:
            after = self._compared(array, after)
        after = np.ascontiguousarray(self._padded(after))
        new = av.VideoFrame.from_ndarray(after, format=format)
        goal = self.enlarger.goal
        if not goal.rgb:
            new = new.reformat(
                format=goal.name, dst_colorspace="ITU709", src_color_range=2, dst_color_range=1
            )
        elif goal.name != format:
            new = new.reformat(format=goal.name)
        pixels = self._after.shape[0] * self._after.shape[1]
        return Made(
            frame=_timed(new, frame), computed=0 if same else pixels, kept=pixels if same else 0
        )

    def _enlarged(self, array: Any) -> Any:  # noqa: ANN401
        if array.shape[2] == 4 and (array[..., 3] == np.iinfo(array.dtype).max).all():
            colors = self._still(np.ascontiguousarray(array[..., :3]))
            opaque = np.full((*colors.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
            return np.concatenate([colors, opaque], axis=2)
        return self._still(array)

    def _still(self, array: Any) -> Any:  # noqa: ANN401
        with pictures.opened(array) as picture:
            return self.engine.into_memory(picture, Order(target=self.target))

    def _compared(self, array: Any, after: Any) -> Any:  # noqa: ANN401
        values = array.astype(np.float32).transpose(2, 0, 1)
        for bicubic in self.enlarger.luma.passes:
            if bicubic.shape_in != bicubic.shape_out:
                values = bicubic.window(values)
        left = np.clip(np.rint(values), 0, np.iinfo(array.dtype).max).astype(array.dtype)
        keep = after.shape[1] // 4 * 4
        return np.concatenate([left.transpose(1, 2, 0)[:, :keep], after[:, :keep]], axis=1)


def _timed(new: VideoFrame, frame: VideoFrame) -> VideoFrame:
    """The new frame with the old one's time; the encoder decides what kind of picture it is."""
    new.pts, new.time_base, new.duration = frame.pts, frame.time_base, frame.duration
    new.pict_type = 0
    return new
