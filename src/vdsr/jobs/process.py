"""The process that does a job's pictures: one model, open once, several pictures at once.

    python -m vdsr.jobs.process

It is told by lines of JSON on standard input, and answers by such lines on standard output:

    {"open": {...}}                            model and threads; first of all
        {"opened": {...}} or {"refused": {...}}
    {"do": {...}}                              a `Task`
        {"begun": id}
        {"progress": [id, px done, px in all]}
        {"ended": {...}}                       an `Outcome`

It ends, at once, when its standard input does: with the process that started it. What dies
in it by a broken picture is this process alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from vdsr.errors import VdsrError
from vdsr.inference.plan import OnProgress, Progress
from vdsr.jobs.child import refusal
from vdsr.jobs.enlarger import Enlarger
from vdsr.jobs.picture import Task

# Seconds between two reports of one picture.
_INTERVAL = 0.2


class _Process:
    """What a job's process holds.

    Args:
        order: how to open the upscaler: its options.
        tell: sends an answer.
    """

    def __init__(self, order: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._enlarger = Enlarger(order)
        self._pool = ThreadPoolExecutor(self._enlarger.workers, thread_name_prefix="vdsr-job")

    def opened(self) -> dict[str, Any]:
        """What was opened."""
        return self._enlarger.opened()

    def do(self, task: Task) -> None:
        """Do a picture when a thread is free."""
        self._pool.submit(self._do, task)

    def _do(self, task: Task) -> None:
        self._tell({"begun": task.id})
        outcome = self._enlarger.do(task, self._reporter(task.id))
        self._tell({"ended": outcome.as_dict()})

    def _reporter(self, id: int) -> OnProgress:
        last = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _INTERVAL:
                last = now
                self._tell({"progress": [id, progress.done, progress.total]})

        return report


def _teller(stream: IO[str]) -> Callable[[dict[str, Any]], None]:
    lock = threading.Lock()

    def tell(answer: dict[str, Any]) -> None:
        line = json.dumps(answer)
        try:
            with lock:
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError):  # nobody listens any more
            os._exit(1)

    return tell


def main() -> None:
    """Do what is asked for until nothing more can be."""
    # Ctrl-C reaches all processes of a terminal; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    tell = _teller(answers)
    process: _Process | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            try:
                process = _Process(request["open"], tell)
            except VdsrError as error:
                tell(refusal(error))
                continue
            tell({"opened": process.opened()})
        elif process is not None:
            process.do(Task(**request["do"]))
    # Nobody is left to want what is still in progress.
    os._exit(0)


if __name__ == "__main__":
    main()
