"""Forks: a child has the memory of its parent, but none of its threads.

A library that has started threads waits for them for ever in the child. What cannot work
there is refused in words, before it hangs.
"""

from __future__ import annotations

import os

from vdsr.errors import UsageError

_started: dict[str, int] = {}


def starting(library: str) -> None:
    """Say that a library is about to start threads, in the process that is running.

    Args:
        library: its name, for people.

    Raises:
        UsageError: if it has started them in another process, which this one is a fork of.
    """
    process = os.getpid()
    if _started.setdefault(library, process) != process:
        raise UsageError(
            f"{library} was used before this process was forked, and would hang here:"
            " start processes by 'spawn' (multiprocessing.get_context('spawn')), or fork first"
        )
