"""Pausing by signal: the process that enlarges stops and goes on with the one that runs the job."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pausable(pause: Callable[[bool], None], paused: Callable[[float], None]) -> Iterator[None]:
    """Have SIGTSTP stop more than this process, while the block runs.

    Args:
        pause: called with True before this process stops, and with False when it goes on.
        paused: called with the seconds that it stood still.
    """
    number = getattr(signal, "SIGTSTP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        start = time.monotonic()
        pause(True)
        # Not by the same signal, which is ignored where no shell could let it go on.
        os.kill(os.getpid(), signal.SIGSTOP)
        pause(False)
        paused(time.monotonic() - start)

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)
