"""One picture of a job, from its file to a finished file beside its goal.

What is here knows nothing of manifests and processes: whoever runs a job calls it with a
task, and gets an outcome, both of which can be sent from one machine to another.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vdsr.errors import OutOfMemory, VdsrError
from vdsr.inference.engine import Result
from vdsr.inference.plan import OnProgress
from vdsr.inputs import file_digest

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_FULL_WORDS = tuple(os.strerror(number) for number in _FULL)

# How a picture ended: it is made; it is as it was, and so is its output; it cannot be made; it
# needs more than its share of the memory; the disk is full.
DONE, UNCHANGED, FAILED, TOO_LARGE, DISK_FULL = "done", "unchanged", "failed", "too large", "full"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be done with one picture.

    Attributes:
        id: its number in the manifest.
        source: path of the picture.
        made: path of the file to be made, which must not be there.
        goal: what the file will be called in the end, for messages.
        options: see `Upscaler.upscale`; the format is among them.
        beside: what else is made: the draft, and what it will be called.
        preview: whether only the middle is made.
        memory: bytes of working memory that it may use; None is all that the job may use.
        known: digest of the picture whose output is still there; else None.
        job: number of the job, where its outputs lie in storage.
    """

    id: int
    source: str
    made: str
    goal: str
    options: dict[str, Any]
    beside: dict[str, str]
    preview: bool
    memory: int | None
    known: str | None
    job: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a picture.

    Attributes:
        id: see `Task`.
        state: `done`, `unchanged`, `failed`, `too large` or `full`.
        error: why it is not done, without the name of the picture.
        size, mtime_ns, digest: of the picture, as it was when it was read.
        width, height: of the result, px.
        scale: that was asked for; where a size was, by which the side grew that grew more.
        model: name, precision and backend it was made with, and why that was chosen.
        output_size, output_mtime_ns, output_digest: of the file that was made.
        seconds: that it took.
        notices: what was changed or could not be kept, a line each.
    """

    id: int
    state: str
    error: str | None = None
    size: int = -1
    mtime_ns: int = 0
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    scale: float | None = None
    model: str | None = None
    output_size: int | None = None
    output_mtime_ns: int | None = None
    output_digest: str | None = None
    seconds: float | None = None
    notices: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


Enlarge = Callable[[Task, OnProgress], Result]


def do_picture(task: Task, enlarge: Enlarge, progress: OnProgress) -> Outcome:
    """Do one picture; whatever goes wrong is told by the outcome.

    Args:
        task: which, and where to.
        enlarge: makes the file.
        progress: called after every tile.
    """
    source, made = Path(task.source), Path(task.made)
    try:
        before = source.stat()
        digest = file_digest(source) if source.is_file() else None
        seen: dict[str, Any] = {
            "size": before.st_size,
            "mtime_ns": before.st_mtime_ns,
            "digest": digest,
        }
        if digest is not None and digest == task.known:
            return Outcome(id=task.id, state=UNCHANGED, **seen)
        result = enlarge(task, progress)
        after = source.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            _discard(task)
            return _failed(task, "it changed while it was read: run the job again")
        status = made.stat()
        return Outcome(
            id=task.id,
            state=DONE,
            **seen,
            width=result.width,
            height=result.height,
            scale=result.scale,
            model=_model(result),
            output_size=status.st_size,
            output_mtime_ns=status.st_mtime_ns,
            output_digest=file_digest(made),
            seconds=result.seconds,
            notices=tuple(_named(task, notice) for notice in result.notices),
        )
    except Exception as error:
        _discard(task)
        return _of_error(task, error)


def _model(result: Result) -> str:
    why = "" if result.why is None else f" ({result.why})"
    return f"{result.model} {result.precision} on {result.backend}{why}"


def _discard(task: Task) -> None:
    for draft in (task.made, *task.beside):
        Path(draft).unlink(missing_ok=True)


def _of_error(task: Task, error: Exception) -> Outcome:
    if is_full(error):
        return Outcome(id=task.id, state=DISK_FULL, error=_reason(task, error))
    if isinstance(error, OutOfMemory) and task.memory is not None:
        return Outcome(id=task.id, state=TOO_LARGE, error=_reason(task, error))
    if isinstance(error, FileNotFoundError):
        return _failed(task, "there is no such file")
    if isinstance(error, VdsrError | OSError):
        return _failed(task, _reason(task, error))
    if isinstance(error, MemoryError):
        return _failed(task, "it does not fit in memory")
    # A fault of this program: one picture must not take the others with it.
    return _failed(task, f"unexpected {type(error).__name__}: {_reason(task, error)}")


def _failed(task: Task, error: str) -> Outcome:
    return Outcome(id=task.id, state=FAILED, error=error)


def _reason(task: Task, error: Exception) -> str:
    """An error in one line, without the picture's name, with the goal's instead of the draft's."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = _named(task, text)
    for name in (task.source, str(Path(task.source))):
        text = text.removeprefix(f"{name}: ")
    return " ".join(text.split())


def _named(task: Task, text: str) -> str:
    """A text with the names that files will have in place of those of their drafts."""
    for draft, goal in ((task.made, task.goal), *task.beside.items()):
        text = text.replace(draft, goal)
    return text


def is_full(error: BaseException | None) -> bool:
    """Whether a disk, or somebody's share of it, was full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
