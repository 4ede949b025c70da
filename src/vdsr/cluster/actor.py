"""What runs on the machines of a cluster: an open model that does pictures."""

from __future__ import annotations

from typing import Any

from vdsr.cluster.storage import is_address
from vdsr.cluster.stored import do_stored
from vdsr.errors import VdsrError
from vdsr.inference import cpu, memory
from vdsr.inference.plan import OnProgress, Progress
from vdsr.jobs.child import Answer, refusal
from vdsr.jobs.enlarger import Enlarger
from vdsr.jobs.picture import Outcome, Task

_MINIMUM = 64 * memory.MIB


class EnlargerActor:
    """An open model; Ray calls `do` for several pictures at once."""

    def __init__(self) -> None:
        self._enlarger: Enlarger | None = None
        self._progress: dict[int, tuple[int, int]] = {}

    def open(self, order: dict[str, Any]) -> Answer:
        """Open the model.

        Args:
            order: options of `Upscaler`; without `max_memory` this actor takes the part of
                the machine's memory that it has of its CPUs.

        Returns:
            What was opened, or why it cannot be; see `vdsr.jobs.process`.
        """
        if order["max_memory"] is None:
            share = min(1.0, order["threads"] / cpu.cores())
            order = order | {"max_memory": max(_MINIMUM, int(memory.available() / 2 * share))}
        try:
            self._enlarger = Enlarger(order)
        except VdsrError as error:
            return refusal(error)
        return {"opened": self._enlarger.opened()}

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Do a picture; returns its `Outcome` as an object for JSON."""
        asked = Task(**task)
        try:
            if is_address(asked.source):
                return do_stored(asked, self._do).as_dict()
            return self._do(asked).as_dict()
        finally:
            self._progress.pop(asked.id, None)

    def _do(self, task: Task) -> Outcome:
        assert self._enlarger is not None
        return self._enlarger.do(task, self._reporter(task.id))

    def help(self, task: dict[str, Any]) -> dict[str, Any]:
        """Make strips of a picture that another actor is at work on; returns how many."""
        assert self._enlarger is not None
        return {"helped": self._enlarger.help(Task(**task))}

    def progress(self) -> dict[int, tuple[int, int]]:
        """Of the pictures in work: pixels that are done, and in all."""
        return dict(self._progress)

    def _reporter(self, id: int) -> OnProgress:
        def report(progress: Progress) -> None:
            self._progress[id] = progress.done, progress.total

        return report
