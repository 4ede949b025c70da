"""A film into another one: decoded, enlarged, encoded, put together.

Decoding, the network and encoding run at the same time, each a few pictures ahead of the
next. Finished segments of packets go to the disk, so that an interrupted run resumes from the
last of them; the container is written at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import InputError, UsageError
from vdsr.inference import cpu
from vdsr.inference.target import plan_passes
from vdsr.outputs import refuse_existing, refuse_same, write_atomic
from vdsr.version import __version__
from vdsr.video.animation import beside_animation, write_animation
from vdsr.video.decode import Damage, Pictures, ahead, interlaced
from vdsr.video.encode import encode, ended, fitted, open_encoder
from vdsr.video.enlarge import side_by_side_width
from vdsr.video.formats import (
    CODECS,
    CONTAINERS,
    CROPPING,
    Coding,
    choose_codec,
    choose_pixels,
    container_of,
    encoder_options,
    padding,
    pixels_lost,
    shown_color,
)
from vdsr.video.frames import FrameMaker, Made, most_pixels
from vdsr.video.mux import write_film
from vdsr.video.order import FilmOrder, FilmProgress, FilmResult
from vdsr.video.planes import PlaneFormat
from vdsr.video.source import Film, examine, stamp
from vdsr.video.spool import SegmentFile, Spool
from vdsr.video.streams import StreamPlan, plan_streams
from vdsr.video.webp import examine_webp, is_webp, loops

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

    from vdsr.inference.engine import Engine

# Pictures that each step may be ahead of the next: with those in progress, what is held.
AHEAD = 3


def examined(path: Path) -> Film:
    """What a film holds; raises `InputError` if it is not one."""
    return examine_webp(path) if is_webp(path) else examine(path)


def check_interlaced(film: Film, order: FilmOrder) -> None:
    """Refuse an interlaced film that is not to be deinterlaced, by an `InputError`."""
    if film.interlaced and not order.deinterlace:
        raise InputError(interlaced(film))


@dataclass
class _Counts:
    frames: int = 0
    computed: int = 0
    kept: int = 0

    def add(self, frames: int, computed: int, kept: int) -> None:
        self.frames += frames
        self.computed += computed
        self.kept += kept

    @property
    def share(self) -> float:
        return self.kept / max(1, self.kept + self.computed)


class FilmWork:
    """One film on its way into a file.

    Args:
        engine: the network.
        path: the film.
        goal: the result.
        order: what it is to become.

    Raises:
        UsageError, InputError, OutputError: see `vdsr.inference.upscaler.Upscaler.video`.
    """

    def __init__(self, engine: Engine, path: Path, goal: Path, order: FilmOrder) -> None:
        self.engine, self.order = engine, order
        self.film = examined(path)
        self.goal = goal if order.preview is None else preview_of(goal)
        self.container = container_of(goal)
        if path.exists():
            refuse_same(path, self.goal, in_place=False)
        refuse_existing(self.goal, overwrite=order.overwrite)
        check_interlaced(self.film, order)
        self.passes = plan_passes(self.film.height, self.film.width, order.size)
        self.height, self.width = self.passes[-1].shape_out
        self.cut = self._cut()
        self.pictures = Pictures(
            film=self.film, deinterlace=order.deinterlace, start=self.cut[0], end=self.cut[1]
        )
        self.notices: list[str] = []
        self._keep_colors()
        self.counts = _Counts()
        self.added = (0, 0)  # columns and rows that stay in the result
        self.begin = time.perf_counter()
        self.started: float | None = None
        self.before = 0

    def _keep_colors(self) -> None:
        wide = side_by_side_width(self.width) if self.order.preview is not None else self.width
        color = shown_color(self.film, wide, self.height)
        if color != self.film.color:
            self.film = replace(self.film, color=color)
            self.notices.append(
                "its colors are not tagged: now they are, as those of BT.601, for which players"
                " take it at its own size"
            )

    def _cut(self) -> tuple[Fraction | None, Fraction | None]:
        start, end = self.order.cut
        if self.order.preview is not None:
            length = Fraction(self.order.preview).limit_denominator(1000)
            middle = Fraction(self.film.duration).limit_denominator(1000) / 2 - length / 2
            start = start if self.order.start is not None else max(Fraction(0), middle)
            end = (start or Fraction(0)) + length
        if start and self.film.duration and start >= self.film.duration:
            raise InputError(
                f"{self.film.path}: it has {self.film.duration:.1f} s: nothing is left"
                f" from {float(start):g} s on"
            )
        return start or None, end

    @property
    def total(self) -> int:
        """Pictures to be made, as far as that can be told."""
        if not self.film.frames:
            return 0
        start = self.cut[0] or Fraction(0)
        end = self.film.duration if self.cut[1] is None else float(self.cut[1])
        if self.cut == (None, None):
            return self.film.frames
        seconds = min(end, self.film.duration or end) - float(start)
        return min(self.film.frames, max(1, round(seconds * float(self.film.rate))))

    def run(self) -> FilmResult:
        """Do it; raises as the class does."""
        order = self.order
        wide = side_by_side_width(self.width) if order.preview is not None else self.width
        if self.goal.suffix.lower() not in CONTAINERS:
            return self._animation(wide)
        codec = choose_codec(self.goal, self.film, order.codec)
        pixels = choose_pixels(codec, self.film, order.pix_fmt)
        pad = self._pad(codec, pixels, wide)
        plan = plan_streams(self.film, self.container, order.drop, later=self.cut[0] is not None)
        threads = cpu.cores()
        options, lost = encoder_options(
            codec, self.film, pixels, crf=order.crf, preset=order.preset, threads=threads
        )
        if order.pix_fmt is None:
            lost += pixels_lost(codec, self.film.pixels, pixels)
        self._tell([*plan.lost, *lost, *(f"left out: {n} data" for n in self.film.dynamic)])
        film = self.film
        coding = Coding(
            codec=codec,
            container=self.container,
            pix_fmt=pixels.name,
            width=wide + pad[0],
            height=self.height + pad[1],
            pad_right=pad[0],
            pad_bottom=pad[1],
            time_base=film.time_base,
            rate=film.rate,
            shape=film.shape,
            # Colors that come as red, green and blue are coded as those of HD television are.
            color=(1, 1, 1, 13) if film.pixels.rgb and not pixels.rgb else film.color,
            options=options,
            threads=threads,
        )
        chosen = {"threads": threads, "max_pixels": most_pixels(self.engine)}
        with Spool(self.goal, self._settings(coding), chosen, redo=order.redo) as spool:
            threads = spool.chosen["threads"]
            options, _ = encoder_options(
                codec, film, pixels, crf=order.crf, preset=order.preset, threads=threads
            )
            coding = fitted(replace(coding, threads=threads, options=options))
            open_encoder(coding)
            for done in spool.done:
                self.counts.add(len(done.frames), done.computed, done.kept)
            self.before = self.counts.frames
            if not (spool.done and spool.done[-1].last):
                self._segments(spool, coding, pixels)
            self._finish(spool, coding, plan)
        return self._result(codec, coding.pix_fmt)

    def _finish(self, spool: Spool, coding: Coding, plan: StreamPlan) -> None:
        self._tell(spool.done[-1].told)
        with write_atomic(self.goal, overwrite=self.order.overwrite) as file:
            self.notices += write_film(file, self.film, coding, spool, plan, self.cut)
        spool.remove()

    def _tell(self, lines: list[str]) -> None:
        if lines and self.order.strict:
            raise InputError(f"{self.film.path}: {lines[0]}")
        self.notices += lines

    def _pad(self, codec: str, pixels: PlaneFormat, width: int) -> tuple[int, int]:
        """Columns and rows that are added for the encoder; told, and what can be done."""
        right, bottom = padding(codec, pixels, width, self.height)
        if not (right or bottom):
            return 0, 0
        added = " and ".join(["a column"] * right + ["a row"] * bottom)
        told = (
            f"{codec} takes no {width}x{self.height} px of {pixels.name}: coded as"
            f" {width + right}x{self.height + bottom}, {added} mirrored"
        )
        if self.container in CROPPING:
            self.notices.append(f"{told}, which players cut off again")
        else:
            others = [c for c in CONTAINERS[self.goal.suffix.lower()][1] if not CODECS[c].even]
            ways = ["an even size", "a .mkv (there it is cut off)", *(f"codec {c}" for c in others)]
            self._tell([f"{told}: {' or '.join(ways)} would do without"])
            self.added = (right, bottom)
        return right, bottom

    def _settings(self, coding: Coding) -> dict[str, Any]:
        """All that the bytes depend on, but for what the machine chose."""
        import av

        content = coding.as_dict()
        del content["threads"]
        content["options"] = {k: v for k, v in coding.options.items() if k != "x265-params"}
        return {
            "program": __version__,
            "av": av.__version__,
            "input": {"path": str(self.film.path.absolute()), **stamp(self.film.path)},
            "size": [self.width, self.height],
            "model": self.engine.model.digest,
            "precision": self.engine.choice.precision,
            "backend": self.engine.choice.backend,
            "deinterlace": self.order.deinterlace,
            "cut": [None if one is None else str(one) for one in self.cut],
            "preview": self.order.preview is not None,
            "segment": self.order.segment,
            "drop": list(self.order.drop),
            "coding": content,
        }

    def _segments(self, spool: Spool, coding: Coding, pixels: PlaneFormat) -> None:
        pad = (coding.pad_right, coding.pad_bottom)
        maker = self._maker(pixels, spool.chosen["max_pixels"], pad)
        self._foretell(maker)
        made = self._made(maker, self.before)
        file: SegmentFile | None = None
        encoder: VideoCodecContext | None = None
        try:
            with closing(ahead(made, AHEAD)) as results:
                for result in results:
                    if file is not None and len(file.segment.frames) == self.order.segment:
                        spool.done.append(ended(file, encoder))
                        file = None
                    if file is None:
                        file, encoder = spool.begin(), open_encoder(coding)
                    encode(file, encoder, result)
                    self._progress(result)
                damage = self.pictures.damage
                if self.cut == (None, None) and not self.film.container.startswith("image2"):
                    damage.missing = max(0, self.film.declared - self.counts.frames)
                if file is None:
                    raise InputError(f"{self.film.path}: there are no pictures in what is wanted")
                self._check_strict()
                file.segment.last, file.segment.told = True, damage.told()
                spool.done.append(ended(file, encoder))
                file = None
        finally:
            if file is not None:
                file.discard()

    def _made(self, maker: FrameMaker, skipped: int) -> Iterator[Made]:
        with closing(ahead(self.pictures, AHEAD)) as frames:
            for i, frame in enumerate(frames):
                if i < skipped:
                    continue
                if self.started is None:
                    self.started = time.perf_counter()
                self._check_strict()
                if i % self.order.segment == 0:
                    maker.forget()
                yield maker.make(frame)

    def _check_strict(self) -> None:
        if self.order.strict and (told := self.pictures.damage.told()):
            raise InputError(f"{self.film.path}: {told[0]}")

    def _maker(
        self, pixels: PlaneFormat, max_pixels: int | None = None, pad: tuple[int, int] = (0, 0)
    ) -> FrameMaker:
        maker = FrameMaker.of(self.engine, self.film, self.order.size, pixels, max_pixels)
        maker.side_by_side, maker.pad = self.order.preview is not None, pad
        return maker

    def _progress(self, made: Made | None, expected: float | None = None) -> None:
        if made is not None:
            self.counts.add(1, made.computed, made.kept)
        if self.order.progress is not None:
            now = time.perf_counter()
            self.order.progress(
                FilmProgress(
                    done=self.counts.frames,
                    total=max(self.total, self.counts.frames) if self.total else 0,
                    seconds=0.0 if made is None else now - (self.started or self.begin),
                    before=self.before,
                    kept=self.counts.share,
                    expected=expected,
                )
            )

    def _foretell(self, maker: FrameMaker) -> None:
        """Say how long it will take before it begins."""
        if self.order.progress is not None:
            left = max(0, self.total - self.before)
            self._progress(None, maker.enlarger.seconds() * left if left else 0.0)

    def _animation(self, width: int) -> FilmResult:
        for name in ("codec", "crf", "preset", "pix_fmt"):
            if getattr(self.order, name) is not None:
                raise UsageError(f"{self.container} has no choice of {name}")
        plan = beside_animation(self.film, self.order.drop)
        self._tell(plan)
        pixels = self.film.pixels
        maker = self._maker(pixels)
        self._foretell(maker)

        def frames() -> Iterator[VideoFrame]:
            with closing(ahead(self._made(maker, 0), AHEAD)) as results:
                for made in results:
                    self._progress(made)
                    yield made.frame

        with write_atomic(self.goal, overwrite=self.order.overwrite) as file:
            write_animation(
                file,
                frames(),
                kind=self.container,
                size=(width, self.height),
                alpha=pixels.alpha,
                loops=loops(self.film.path),
                last=self._last_shown(),
                name=str(self.goal),
            )
        self._check_strict()
        self._tell(self.pictures.damage.told())
        return self._result(self.container, "rgba" if pixels.alpha else "rgb24")

    def _last_shown(self) -> Fraction:
        """Seconds that the last picture is shown: a GIF has to know at its beginning."""
        last = None
        for frame in replace(self.pictures, damage=Damage()):
            last = frame.duration
        return (last or 0) * self.film.time_base or 1 / self.film.rate

    def _result(self, codec: str, pix_fmt: str) -> FilmResult:
        film, engine, seconds = self.film, self.engine, time.perf_counter() - self.begin
        return FilmResult(
            input=str(film.path),
            output=str(self.goal),
            width=self.added[0]
            + (side_by_side_width(self.width) if self.order.preview else self.width),
            height=self.height + self.added[1],
            scale=self.order.size.asked_scale
            or max(self.height / film.height, self.width / film.width),
            frames=self.counts.frames,
            codec=codec,
            pix_fmt=pix_fmt,
            model=engine.model.metadata.name,
            precision=engine.choice.precision,
            backend=engine.choice.backend,
            seconds=seconds,
            frames_per_second=(self.counts.frames - self.before) / max(seconds, 1e-9),
            kept=self.counts.share,
            resumed=self.before,
            notices=tuple(self.notices),
        )


def preview_of(goal: Path) -> Path:
    """Where the preview of a film goes."""
    return goal.with_name(f"{goal.stem[:200]}.preview{goal.suffix}")
