"""What people and machines read: messages, progress, JSON, exit codes."""

from __future__ import annotations

import contextlib
import functools
import json as json_module
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import typer

from vdsr.errors import VdsrError
from vdsr.outputs import refuse_existing, write_whole

INTERRUPTED = 130
# By a signal: hung up, terminated.
ENDED = (129, 143)
STDOUT = "-"
_SHOWN_LEFT_OUT = 5

Json = Mapping[str, Any] | Sequence[Mapping[str, Any]]

P = ParamSpec("P")


def say(text: str) -> None:
    """Talk to people, on stderr; where nobody can listen, that does not end the work."""
    with contextlib.suppress(OSError):
        typer.echo(_lines(text), err=True)


def tell(text: str) -> None:
    """Give people a result, on stdout."""
    typer.echo(_lines(text))


class _Sayer(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextlib.contextmanager
def told_of(name: str, *, quiet: bool) -> Iterator[None]:
    """Say what a logger of the library is told meanwhile."""
    logger, handler = logging.getLogger(name), _Sayer()
    level = logger.level
    if not quiet:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Make errors of this package one line and an exit code, and end cleanly on Ctrl-C."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        _end_cleanly_on_signals()
        try:
            function(*args, **kwargs)
        except VdsrError as error:
            say(f"vdsr: error: {_worded(error)}")
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            # What a system says of a name only when it is looked for, that it is too long say.
            if error.filename is None:
                raise
            name = os.fsdecode(error.filename) if not isinstance(error.filename, int) else "a file"
            say(f"vdsr: error: {printable(f'{name:.200}: {error.strerror}')}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            say("vdsr: interrupted: only what is finished is kept")
            raise typer.Exit(INTERRUPTED) from error

    return wrapper


def _worded(error: VdsrError) -> str:
    """An error in one line, its way out as an option instead of an argument."""
    return printable(" ".join(as_options(str(error)).split()))


def printable(text: str) -> str:
    """A text as it is, but for what a terminal would obey: names of files are strangers' texts.

    Line breaks are among these. Bytes that are not UTF-8 are left to the stream.
    """
    return "".join(c if c.isprintable() or _is_byte(c) else ascii(c)[1:-1] for c in text)


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def as_options(text: str) -> str:
    """A text with options of the command line in place of arguments of a function."""
    names = "deinterlace|overwrite|in_place|redo|restore|resume|retry_failed"
    text = re.sub(rf"\b({names})=True", _option, text)
    return re.sub(r"\braise max_memory\b", "raise --max-memory", text)


def _option(argument: re.Match[str]) -> str:
    return f"--{argument[1].replace('_', '-')}"


def _end_cleanly_on_signals() -> None:
    """Let what is unfinished be cleared away when the process is asked to end."""
    signal.signal(signal.SIGTERM, _terminate)
    # Missing on Windows; ignored under nohup, which is to stay so.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signal.signal(hangup, _terminate)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


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


def check_outputs(
    *goals: Path | None, json: str | None = None, overwrite: bool, folders: bool = False
) -> None:
    """Find out before the work what would stop its results from being written.

    Args:
        goals: files or folders to be made; None for one that is not asked for.
        json: where JSON goes, as `report` takes it.
        overwrite: whether what is there may be replaced.
        folders: whether `goals` are folders, whose parents are made where they are missing.

    Raises:
        OutputError: see `vdsr.outputs.refuse_existing`.
    """
    refuse_existing(*filter(None, goals), overwrite=overwrite, folder=folders)
    if json is not None and json != STDOUT:
        refuse_existing(Path(json), overwrite=overwrite)


def report(text: str, content: Json, *, quiet: bool, json: str | None) -> None:
    """Give the result of a command: to people, to machines, or to both.

    Args:
        text: for people, on stdout; not with JSON there, nor if `quiet`.
        content: an object for JSON, or a list of them.
        quiet: whether people want to read nothing.
        json: a file for the JSON, `-` for stdout; None for no JSON.

    Raises:
        OutputError: if the file cannot be written.
    """
    if not quiet and json != STDOUT:
        tell(text)
    if json is not None:
        written = _as_json(content)
        if json == STDOUT:
            typer.echo(written)
        else:
            write_whole(Path(json), written + "\n")


def _as_json(content: Json) -> str:
    """As people read it; where a file name is not UTF-8, with escapes throughout."""
    written = json_module.dumps(content, indent=2, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json_module.dumps(content, indent=2)
    return written


def say_left_out(lines: Sequence[str], *, quiet: bool) -> None:
    """Say which pictures were left out, the first of them by name."""
    if quiet:
        return
    for line in lines[:_SHOWN_LEFT_OUT]:
        say(f"left out: {line}")
    if len(lines) > _SHOWN_LEFT_OUT:
        say(f"left out: {len(lines) - _SHOWN_LEFT_OUT} more pictures")


def duration(seconds: float) -> str:
    """Seconds for people: `7 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
