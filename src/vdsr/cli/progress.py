"""How far a command is, on stderr: on a terminal it moves, elsewhere plain lines come."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from vdsr.cli.console import duration, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from vdsr.inference.plan import Progress

# A job that is expected to take longer is announced.
_LONG_JOB_SECONDS = 5.0
_PLAIN_INTERVAL_SECONDS = 5.0
# A first tile that took less has mostly shown how long a network takes to warm up.
_TELLING_SECONDS = 1.0


class ProgressDisplay:
    """Progress of one picture on stderr: a bar on a terminal, plain lines elsewhere.

    Args:
        label: what is being done.
        quiet: say nothing at all.
    """

    def __init__(self, label: str, *, quiet: bool) -> None:
        self._label = label
        self._quiet = quiet
        self._bar: RichProgress | None = None
        self._first: Progress | None = None
        self._announced = False
        self._last_line = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(self._label, total=None, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Take a report; see `vdsr.inference.plan.Progress`."""
        if self._quiet:
            return
        rate = progress.done / max(progress.seconds, 1e-9)
        if not self._announced:
            self._announce(progress)
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(
                task,
                total=progress.total,
                completed=progress.done,
                rate=f"{rate / 1e6:.2f} Mpixel/s",
            )
        elif (
            progress.done < progress.total
            and time.monotonic() - self._last_line >= _PLAIN_INTERVAL_SECONDS
        ):
            self._last_line = time.monotonic()
            left = duration((progress.total - progress.done) / rate)
            share = 100.0 * progress.done / progress.total
            say(f"{self._label}: {share:.0f} %, {rate / 1e6:.2f} Mpixel/s, {left} left")

    def _announce(self, progress: Progress) -> None:
        """Say how long it will take, as soon as that can be told."""
        if self._first is None:
            self._first = progress
            if progress.seconds < _TELLING_SECONDS:
                return
            done, seconds = progress.done, progress.seconds
        else:
            done = progress.done - self._first.done
            seconds = progress.seconds - self._first.seconds
        self._announced = True
        seconds *= progress.total / max(done, 1)
        if seconds < _LONG_JOB_SECONDS or progress.done == progress.total:
            return
        from vdsr.inference.memory import format_size

        text = (
            f"{self._label}: {progress.total / 1e6:.1f} Mpixel will take about"
            f" {duration(seconds)} and {format_size(progress.memory)} of memory"
        )
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, soft_wrap=True)
        else:
            say(text)


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        # Ten times a second is smooth, and costs nothing beside the network.
        refresh_per_second=10,
    )


class Counter:
    """How far a count is, on stderr: one line that changes, or a plain one now and then."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        self._shown = False

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")

    def __call__(self, done: int, total: int, label: str) -> None:
        """Take a count, and what it is of; `total` is 0 where it is not known."""
        if self._quiet:
            return
        text = f"{done}/{total} {label}" if total else f"{done} {label}"
        if self._terminal:
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif time.monotonic() - self._last >= _PLAIN_INTERVAL_SECONDS:
            self._last = time.monotonic()
            say(text)
