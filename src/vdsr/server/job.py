"""A picture in the hands of the server."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from vdsr.errors import VdsrError
from vdsr.jobs.picture import Task
from vdsr.server.settings import SMALL_PIXELS
from vdsr.server.store import Kept, made_of

CANCELLED = "it was cancelled"


class FullError(Exception):
    """No more can be taken now.

    Attributes:
        seconds: when to try again.
    """

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds


class CancelledError(VdsrError):
    """The picture is not wanted any more."""


@dataclass(eq=False)
class Job:
    """A picture in the hands of the server.

    Attributes:
        kept: what is known of it.
        done_pixels, all_pixels: of the network's work.
        finished: set when it is done or failed.
        cancelled: whether it is not wanted any more.
    """

    kept: Kept
    done_pixels: int = 0
    all_pixels: int = 0
    finished: Future[None] = field(default_factory=Future)
    cancelled: bool = False

    @property
    def small(self) -> bool:
        """Whether it takes the lane of small pictures."""
        return self.kept.pixels <= SMALL_PIXELS

    def progress(self, done: int, total: int) -> None:
        """So many px of so many are done."""
        self.done_pixels, self.all_pixels = done, total

    def finish(self) -> None:
        """Tell those who wait."""
        if not self.finished.done():
            self.finished.set_result(None)


def task_of(kept: Kept) -> Task:
    """What a process has to do."""
    return Task(
        id=kept.row or 0,
        source=str(kept.source),
        made=str(made_of(kept)),
        goal="the result",
        options={**kept.options, "format": kept.looked["format"]},
        beside={},
        preview=False,
        memory=None,
        known=None,
    )


def without_paths(error: VdsrError | str | None, kept: Kept) -> str:
    """The text of an error for a client, who has no business with paths of the server."""
    text = str(error or "it cannot be enlarged")
    return text.replace(f"{kept.source}: ", "").replace(str(kept.source), "the picture")
