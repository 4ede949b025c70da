"""How far a command is, on stderr: a bar on a terminal, elsewhere a line now and then.

What is shown comes from the clock, too: between two reports the share grows as fast as it
did before, and never reaches what the next report will say.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vdsr.cli.console import duration, printable, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

    from vdsr.inference.plan import Progress
    from vdsr.training.progress import TrainingProgress
    from vdsr.video.order import FilmProgress

# A job that is expected to take longer is announced.
_LONG_JOB_SECONDS = 5.0
_PLAIN_INTERVAL_SECONDS = 5.0
# A run lasts for hours.
_TRAINING_INTERVAL_SECONDS = 60.0
_TICK_SECONDS = 0.1
# A first tile that took less has mostly shown how long a network takes to warm up.
_TELLING_SECONDS = 1.0


class Estimate:
    """How far something is, between reports of how far it was."""

    def __init__(self) -> None:
        self.total = 0.0
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._step = 0.0

    def report(self, done: float, total: float, seconds: float) -> None:
        """Take note that `done` of `total` were done after `seconds`."""
        self.total = total
        if self._first is None:
            self._first = (done, seconds)
        self._step = done - self._last[0] or self._step
        self._last = (done, seconds)

    @property
    def rate(self) -> float:
        """Units a second, without those of the first report, which warms up; 0 if unknown."""
        done, seconds = self._last
        if self._first is not None and done > self._first[0]:
            done, seconds = done - self._first[0], seconds - self._first[1]
        return done / seconds if seconds > 0 else 0.0

    def done(self, seconds: float) -> float:
        """What is done after `seconds`, as far as can be told."""
        done, then = self._last
        if not self._step or done >= self.total:
            return done
        # The next step may be longer than the last one: what is shown slows down, and moves on.
        step = min(self._step, self.total - done)
        return done + step * -math.expm1(-self.rate * max(0.0, seconds - then) / step)

    def left(self, seconds: float) -> float | None:
        """Seconds to go after `seconds`; None where that cannot be told."""
        return (self.total - self.done(seconds)) / self.rate if self.rate else None


class Display:
    """Shows a share, a text and the time left, again and again until it is closed.

    Args:
        label: what is being done.
        quiet: show nothing at all.
        interval: seconds between two lines, where there is no terminal.
    """

    def __init__(
        self, label: str, *, quiet: bool, interval: float = _PLAIN_INTERVAL_SECONDS
    ) -> None:
        self.label = printable(label)
        self._interval = interval
        self.quiet = quiet
        self.estimate = Estimate()
        self.text = ""
        self._bar: RichBar | None = None
        self._start = self._last_line = time.monotonic()
        self._ended = threading.Event()
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._start = self._last_line = time.monotonic()
        if not self.quiet:
            if sys.stderr.isatty():
                self._bar = _bar()
                self._bar.start()
                self._bar.add_task(self.label, total=None, text="", left="")
            self._ticker = threading.Thread(target=self._tick, daemon=True, name="vdsr-progress")
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._ticker is not None:
            self._ticker.join()
        if self._bar is not None:
            if error is None:
                self.draw()
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since it was opened."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """A line of text above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
        else:
            say(text)

    def draw(self) -> None:
        """Show how far it is now."""
        seconds = self.seconds
        total, done = self.estimate.total, self.estimate.done(seconds)
        left = self.estimate.left(seconds) if total else None
        remaining = "" if left is None else f"{duration(left)} left"
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                description=self.label,
                total=total or None,
                completed=done,
                text=self.text,
                left=remaining,
            )
        elif done < total or not total:
            share = f"{100.0 * done / total:.0f} %" if total else ""
            facts = ", ".join(filter(None, (share, self.text, remaining)))
            say(f"{self.label}: {facts or f'at work for {duration(seconds)}'}")

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            now = time.monotonic()
            if self._bar is not None:
                self.draw()
            elif now - self._last_line >= self._interval:
                self._last_line = now
                self.draw()


class PictureDisplay(Display):
    """Progress of one picture; takes the reports of an upscaler."""

    def __init__(self, label: str, *, quiet: bool) -> None:
        super().__init__(label, quiet=quiet)
        self._first: Progress | None = None
        self._announced = False

    def __call__(self, progress: Progress) -> None:
        """Take a report; see `vdsr.inference.plan.Progress`."""
        if self.quiet:
            return
        # Reading and planning came before, and do not count toward the rate.
        self._start = time.monotonic() - progress.seconds
        self.estimate.report(progress.done, progress.total, progress.seconds)
        self.text = f"{progress.done / max(progress.seconds, 1e-9) / 1e6:.2f} Mpixel/s"
        if not self._announced:
            self._announce(progress)

    def _announce(self, progress: Progress) -> None:
        """Say how long it will take, as soon as that can be told."""
        if self._first is None:
            self._first = progress
            if progress.seconds < _TELLING_SECONDS:
                return
        self._announced = True
        seconds = progress.total / self.estimate.rate if self.estimate.rate else 0.0
        if seconds < _LONG_JOB_SECONDS or progress.done == progress.total:
            return
        from vdsr.inference.memory import format_size

        self.say(
            f"{self.label}: {progress.total / 1e6:.1f} Mpixel will take about"
            f" {duration(seconds)} and {format_size(progress.memory)} of memory"
        )


class TrainingDisplay(Display):
    """Progress of a training run; takes the reports of a trainer."""

    def __init__(self, label: str, *, quiet: bool) -> None:
        super().__init__(label, quiet=quiet, interval=_TRAINING_INTERVAL_SECONDS)

    def __call__(self, progress: TrainingProgress) -> None:
        """Take a report; see `vdsr.training.progress.TrainingProgress`."""
        if self.quiet:
            return
        self._start = time.monotonic() - progress.seconds
        whole = 0.0 if progress.left is None else progress.seconds + progress.left
        self.estimate.report(progress.seconds, whole, progress.seconds)
        facts = [f"stage {progress.stage}/{progress.stages}", f"{progress.layers} layers"]
        if progress.loss is not None:
            facts.append(f"loss {progress.loss:.3g}")
        facts += [f"{name} {value:.2f} dB" for name, value in progress.psnr.items()]
        self.text = ", ".join(facts)


class FilmDisplay(Display):
    """Progress of a film; takes the reports of `Upscaler.video`.

    Attributes:
        done: frames that are made.
    """

    def __init__(self, label: str, *, quiet: bool) -> None:
        super().__init__(label, quiet=quiet)
        self.done = 0

    def __call__(self, progress: FilmProgress) -> None:
        """Take a report; see `vdsr.video.order.FilmProgress`."""
        self.done = progress.done
        if self.quiet:
            return
        if progress.expected is not None:
            self._announce(progress, progress.expected)
            return
        now = progress.done - progress.before
        self._start = time.monotonic() - progress.seconds
        self.estimate.report(
            now, max(0, progress.total - progress.before) if progress.total else 0, progress.seconds
        )
        count = f"{progress.done}/{progress.total}" if progress.total else str(progress.done)
        self.text = f"{count} frames, {self.estimate.rate:.2f} frames/s"
        if progress.kept >= 0.005:
            self.text += f", {100 * progress.kept:.0f} % unchanged"

    def _announce(self, progress: FilmProgress, seconds: float) -> None:
        before = f", {progress.before} of them made before" if progress.before else ""
        if seconds >= _LONG_JOB_SECONDS:
            self.say(
                f"{self.label}: {progress.total} frames{before}: the network will take about"
                f" {duration(seconds)}, less where they stand still"
            )
        elif progress.before:
            self.say(f"{self.label}: resumes after frame {progress.before}")


class Counter(Display):
    """Progress of many things of one kind, counted."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("", quiet=quiet)

    def __call__(self, done: int, total: int, label: str) -> None:
        """Take a count, and what it is of; `total` is 0 where it is not known."""
        if not self.quiet:
            self.label = f"{done}/{total} {label}" if total else f"{done} {label}"
            self.estimate.report(done, total, self.seconds)


def _bar() -> RichBar:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as RichBar

    return RichBar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True),
        # Ten times a second is smooth, and costs nothing beside the network.
        refresh_per_second=10,
    )
