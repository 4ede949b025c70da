"""What is to become of a film."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from vdsr.errors import UsageError, among
from vdsr.inference.target import Target

# Pictures between two points from which an interrupted run goes on; each begins with a
# key picture, about as often as encoders set them anyway.
SEGMENT = 240


@dataclass(frozen=True, kw_only=True)
class FilmProgress:
    """How far a film has come.

    Attributes:
        done: pictures that are made, those of an earlier run included.
        total: pictures in all, as far as that can be told; 0 if not.
        seconds: since this run began with them.
        before: pictures of an earlier run.
        kept: share of the px that stayed as they were, and were not computed again.
        expected: seconds that the network will take for what is left where nothing stands
            still, from a short measurement; in the report before the first picture alone.
    """

    done: int
    total: int
    seconds: float
    before: int
    kept: float
    expected: float | None = None


@dataclass(frozen=True, kw_only=True)
class FilmResult:
    """What became of a film.

    Attributes:
        input, output: names.
        width, height: px.
        scale: that is asked for; where a size is, by which the side grows that grows more.
        frames: pictures.
        codec, pix_fmt: of the pictures.
        model, precision, backend: what enlarged them.
        seconds: of this run.
        frames_per_second: of this run.
        kept: share of the px that stayed as they were, and were not computed again.
        resumed: pictures that an earlier run had made.
        notices: what is to be said.
    """

    input: str
    output: str
    width: int
    height: int
    scale: float
    frames: int
    codec: str
    pix_fmt: str
    model: str
    precision: str
    backend: str
    seconds: float
    frames_per_second: float
    kept: float
    resumed: int
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


OnFilmProgress = Callable[[FilmProgress], None]


@dataclass(frozen=True, kw_only=True)
class FilmOrder:
    """What is to become of a film.

    Attributes:
        scale, width, height, fit, restore, target: see `Target`.
        codec: `h264`, `hevc`, `av1`, `vp9`, `prores` or `ffv1`; None fits the container.
        crf: constant rate factor; less is better and larger. None is the codec's default.
        preset: of the encoder; None is its default.
        pix_fmt: pixel format, as FFmpeg names it; None is the film's, or the nearest.
        deinterlace: whether interlaced pictures are made whole first.
        strict: whether damage, and what cannot be kept, is an error.
        start, end: seconds of the film; None is all of it.
        preview: seconds of a clip, bicubic beside the result; None is the film.
        drop: kinds of streams that are left out: `audio`, `subtitles`, `attachments`,
            `video` (covers, and others beside the film), `data`.
        overwrite: whether an existing output may be replaced.
        redo: whether what an interrupted run of other settings left is thrown away.
        segment: pictures between two points from which an interrupted run goes on.
        format: suffix of the goal where that is a file object: `mkv`, `mp4` and so on.
        progress: called before the first picture and after every one.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    restore: bool = False
    target: Target | None = None
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    deinterlace: bool = False
    strict: bool = False
    start: float | Fraction | None = None
    end: float | Fraction | None = None
    preview: float | None = None
    drop: tuple[str, ...] = ()
    overwrite: bool = False
    redo: bool = False
    segment: int = SEGMENT
    format: str | None = None
    progress: OnFilmProgress | None = None

    def __post_init__(self) -> None:
        for name in ("start", "end", "preview"):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
                raise UsageError(f"{name} is a number of seconds, not {value!r:.60}")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise UsageError(f"it would end at {self.end:g} s, before it starts: {self.start:g} s")
        if self.preview is not None and not 0 < self.preview <= 600:
            raise UsageError(f"a preview has up to 600 seconds, not {self.preview:g}")
        if self.segment < 1:
            raise UsageError(f"a segment has at least 1 picture, not {self.segment}")

    @classmethod
    def of(cls, options: dict[str, Any]) -> FilmOrder:
        """The order that options make.

        Raises:
            UsageError: for unknown ones, and values that are out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise UsageError(f"video takes no {name}: {among(name, known)}")
        return cls(**options)

    @property
    def size(self) -> Target:
        """The size.

        Raises:
            UsageError: see `Target`.
        """
        if self.target is not None:
            return self.target
        return Target(
            scale=self.scale,
            width=self.width,
            height=self.height,
            fit=self.fit,
            restore=self.restore,
        )

    @property
    def cut(self) -> tuple[Fraction | None, Fraction | None]:
        """Start and end, exactly."""
        return (
            Fraction(self.start).limit_denominator(1_000_000) if self.start else None,
            None if self.end is None else Fraction(self.end).limit_denominator(1_000_000),
        )
