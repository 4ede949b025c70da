"""The process that does the pictures, seen from the one that runs the job."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import vdsr.errors
from vdsr.errors import BackendError, VdsrError
from vdsr.jobs.picture import Task

Answer = dict[str, Any]


class Child:
    """A process of `vdsr.jobs.process`, started, and told what to open.

    Args:
        order: see there.

    Attributes:
        answers: what it said, in order; None when it has ended.
    """

    blameless = False

    def __init__(self, order: dict[str, Any]) -> None:
        self.answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            # Not the folder where the job was started: it may hold files named like modules.
            [sys.executable, "-P", "-m", "vdsr.jobs.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
            encoding="ascii",
        )
        self._listener = threading.Thread(target=self._listen, name="vdsr-child", daemon=True)
        self._listener.start()
        self._send({"open": order})

    def opened(self) -> Answer:
        """What it has opened; waits for it.

        Raises:
            UsageError: if the model, backend or precision is not available; see its subclasses.
            BackendError: if it died.
        """
        answer = self.answers.get()
        if answer is None:
            raise BackendError(f"the process that enlarges {self.death()} before it began")
        return opened_of(answer)

    def do(self, task: Task) -> None:
        """Have a picture done."""
        self._send({"do": task.as_dict()})

    def _send(self, request: Answer) -> None:
        assert self._process.stdin is not None
        # If it is dead, its listener says so.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self.answers.put(json.loads(line))
            except ValueError:  # it died in the middle of a line
                break
        self._process.wait()
        self.answers.put(None)

    def death(self) -> str:
        """How it ended, in words; waits for it."""
        code = self._process.wait()
        if code >= 0:
            return f"ended with code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def pause(self, *, stop: bool) -> None:
        """Stop it where it is, or let it go on."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGSTOP if stop else signal.SIGCONT)

    def end(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()


def refusal(error: VdsrError) -> Answer:
    """The answer that says why nothing can be opened."""
    return {"refused": {"kind": type(error).__name__, "text": str(error)}}


def opened_of(answer: Answer) -> Answer:
    """What was opened, by the answer to that.

    Raises:
        VdsrError: that was told by `refusal`.
    """
    if "refused" in answer:
        kind = getattr(vdsr.errors, answer["refused"]["kind"], VdsrError)
        error: VdsrError = kind.__new__(kind)
        error.args = (answer["refused"]["text"],)
        raise error
    opened: Answer = answer["opened"]
    return opened


def environment() -> dict[str, str]:
    """This package is found by the child wherever this process has it from."""
    package = str(Path(vdsr.errors.__file__).parents[1])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, known)))}
