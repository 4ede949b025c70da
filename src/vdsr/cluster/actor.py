"""What runs on the machines of a cluster: an open model that does pictures."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vdsr.cluster.storage import is_address
from vdsr.cluster.stored import do_stored, help_stored
from vdsr.errors import VdsrError
from vdsr.inference import cpu, memory
from vdsr.inference.plan import OnProgress, Progress
from vdsr.inference.shared_strips import SharedStrips, ShareStrips
from vdsr.jobs.child import Answer, refusal
from vdsr.jobs.enlarger import Enlarger
from vdsr.jobs.picture import FAILED, Outcome, Task

_MINIMUM = 64 * memory.MIB
# Seconds that an answer waits for the first outcome, and then for more: calls through Ray cost
# what a small picture does.
_PATIENCE = 1.0
_COMPANY = 0.1


class EnlargerActor:
    """An open model, which several pictures go through at once."""

    def __init__(self) -> None:
        self._enlarger: Enlarger | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._change = threading.Condition()
        self._ended: list[dict[str, Any]] = []
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
        self._pool = ThreadPoolExecutor(self._enlarger.workers, thread_name_prefix="vdsr-actor")
        return {"opened": self._enlarger.opened()}

    def exchange(self, tasks: list[dict[str, Any]], enough: int) -> dict[str, Any]:
        """Take pictures to be done, and tell what has ended since the last time.

        Args:
            tasks: each a `Task`.
            enough: outcomes that need not wait for more.

        Returns:
            `ended`, each an `Outcome`, both as objects for JSON; and `progress`, of the
            pictures in work: pixels that are done, and in all.
        """
        assert self._pool is not None
        for task in tasks:
            self._pool.submit(self._see_to, Task(**task))
        with self._change:
            self._change.wait_for(lambda: self._ended, _PATIENCE)
            self._change.wait_for(lambda: len(self._ended) >= enough, _COMPANY)
            ended, self._ended = self._ended, []
        return {"ended": ended, "progress": dict(self._progress)}

    def _see_to(self, task: Task) -> None:
        try:
            stored = is_address(task.source)
            outcome = do_stored(task, self._do) if stored else self._do(task, SharedStrips)
        except Exception as error:  # one picture must not be waited for without end
            outcome = Outcome(id=task.id, state=FAILED, error=f"unexpected {error!r}")
        self._progress.pop(task.id, None)
        with self._change:
            self._ended.append(outcome.as_dict())
            self._change.notify_all()

    def _do(self, task: Task, share: ShareStrips) -> Outcome:
        assert self._enlarger is not None
        return self._enlarger.do(task, self._reporter(task.id), share)

    def help(self, task: dict[str, Any]) -> dict[str, Any]:
        """Make strips of a picture that another actor is at work on; returns how many."""
        assert self._enlarger is not None
        asked = Task(**task)
        if is_address(asked.source):
            return {"helped": help_stored(asked, self._enlarger.help)}
        return {"helped": self._enlarger.help(asked)}

    def _reporter(self, id: int) -> OnProgress:
        def report(progress: Progress) -> None:
            self._progress[id] = progress.done, progress.total

        return report
