"""How far a job of many pictures is, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vdsr.cli.console import duration, printable, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from vdsr.jobs.progress import JobProgress

_PLAIN_INTERVAL_SECONDS = 5.0
_NAME_LENGTH = 32


class JobDisplay:
    """One bar over the megapixels of all pictures, with what is in progress.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: RichProgress | None = None
        self._last_line = time.monotonic()
        self._phase = ""

    def __enter__(self) -> JobDisplay:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task("looking for pictures", total=None, state="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: JobProgress) -> None:
        """Take a report; see `JobProgress`."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                description=_description(progress),
                total=progress.pixels_in_all or None,
                completed=progress.pixels,
                state=_state(progress),
            )
        elif progress.phase in ("finding", "working"):
            self._line(progress)
        elif progress.phase != self._phase:
            say(_description(progress))
        self._phase = progress.phase

    def _line(self, progress: JobProgress) -> None:
        if time.monotonic() - self._last_line < _PLAIN_INTERVAL_SECONDS:
            return
        self._last_line = time.monotonic()
        state = _state(progress)
        say(f"{_description(progress)}{': ' if state else ''}{state}")


def _description(progress: JobProgress) -> str:
    if progress.phase == "finding":
        return f"looking for pictures: {progress.found} files"
    if progress.phase == "watching":
        return f"{progress.done} done, {progress.failed} failed: watching for new files"
    ended = progress.done + progress.failed
    text = f"{ended}/{progress.pictures} pictures"
    if progress.failed:
        text += f", {progress.failed} failed"
    if progress.phase == "waiting for others":
        return f"{text}: waiting for another process"
    return text


def _state(progress: JobProgress) -> str:
    """Rate, time left, and the picture that has been in progress longest."""
    parts = []
    left = progress.seconds_left
    if progress.phase == "working" and left is not None:
        share = 100.0 * progress.pixels / max(progress.pixels_in_all, 1.0)
        parts += [f"{share:.0f} %", f"{progress.rate / 1e6:.2f} Mpixel/s", f"{duration(left)} left"]
    if progress.phase == "working" and progress.current:
        parts.append(_shortened(Path(progress.current[0]).name))
    return ", ".join(parts)


def _shortened(name: str) -> str:
    text = printable(name.encode("utf-8", "replace").decode())
    return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 1]}…"


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}", markup=False),
        console=Console(stderr=True),
        # Ten times a second is smooth, and costs nothing beside the network.
        refresh_per_second=10,
    )
