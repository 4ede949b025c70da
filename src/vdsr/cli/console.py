"""What people and machines read: messages, progress, JSON, exit codes."""

from __future__ import annotations

import functools
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from vdsr.errors import OutputError, VdsrError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from vdsr.inference.plan import Progress

INTERRUPTED = 130
TERMINATED = 143
# A job that is expected to take longer is announced.
_LONG_JOB_SECONDS = 5.0
_PLAIN_INTERVAL_SECONDS = 5.0
# A first tile that took less has mostly shown how long a network takes to warm up.
_TELLING_SECONDS = 1.0

P = ParamSpec("P")


def say(text: str) -> None:
    """Talk to people, on stderr."""
    typer.echo(text, err=True)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Make errors of this package one line and an exit code, and end cleanly on Ctrl-C."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(signal.SIGTERM, _terminate)
        try:
            function(*args, **kwargs)
        except VdsrError as error:
            say(f"vdsr: error: {' '.join(str(error).split())}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            say("vdsr: interrupted: nothing half-done is left")
            raise typer.Exit(INTERRUPTED) from error

    return wrapper


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(TERMINATED)


def json_argument(arguments: list[str]) -> list[str]:
    """Give a bare `--json` the value `-`, for standard output.

    The value of `--json` may be left out, so a following argument is taken for it only
    if it ends in `.json`; `--json=FILE` takes any name.
    """
    result: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--":
            return result + arguments[i:]
        result.append(argument)
        following = arguments[i + 1] if i + 1 < len(arguments) else ""
        if argument == "--json" and not following.endswith(".json") and following != "-":
            result.append("-")
    return result


def write_json(content: Mapping[str, Any] | Sequence[Mapping[str, Any]], target: str) -> None:
    """Write an object, or a list of them, to the file `target`, or to stdout for `-`.

    Raises:
        OutputError: if the file cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if target == "-":
        typer.echo(text)
        return
    try:
        Path(target).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{target}: it cannot be written: {error.strerror}") from error


def duration(seconds: float) -> str:
    """Seconds for people: `7 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


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
