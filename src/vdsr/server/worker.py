"""A process of `vdsr.server.process`, seen from the server."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from vdsr.jobs.child import environment
from vdsr.model.architecture import FloatArray
from vdsr.server.frames import Message, as_array, receive, send, send_tile
from vdsr.server.process import error_of, refusal

# Each process computes in one thread: there are several of them.
_ONE_THREAD = dict.fromkeys(("VIPS_CONCURRENCY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


# Runs a tile over the model of this number.
Run = Callable[[FloatArray, int], FloatArray]


class WorkerDiedError(Exception):
    """A process has ended, or was ended, while it was at work."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a process is started with: see `vdsr.server.process`."""

    order: Message
    model: bytes


class Worker:
    """A process. For one thread at a time, but for `kill` and `watch`.

    Args:
        opening: what it opens.
        quiet_seconds: how long it may be at work without a sign of life.
    """

    def __init__(self, opening: Opening, quiet_seconds: float) -> None:
        self._opening = opening
        self._quiet_seconds = quiet_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._end: float | None = None

    def start(self) -> None:
        """Start the process, if it does not run, and wait until it is ready.

        Raises:
            WorkerDiedError: if it died.
            VdsrError: if it cannot open what it should.
        """
        try:
            self._streams()
        finally:
            self._deadline = None

    def ask(
        self,
        request: Message,
        *,
        seconds: float,
        run: Run | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Message, bytes]:
        """Have something done.

        Args:
            request: see `vdsr.server.process`.
            seconds: longest time it may take in all.
            run: runs the tiles it asks for.
            progress: called with px done and px in all.

        Returns:
            The last answer, and what came with it.

        Raises:
            WorkerDiedError: if the process died, or was ended for its silence.
            VdsrError: if it refused; or what `run` raises that is none.
        """
        self._end = time.monotonic() + seconds
        try:
            requests, answers = self._streams()
            self._send(requests, request)
            while True:
                message, payload = self._receive(answers)
                if "tile" in message and run is not None:
                    y = as_array(message["tile"], payload)
                    self._tile(requests, y, message["model"], run)
                elif "progress" in message:
                    if progress is not None:
                        progress(*message["progress"])
                elif "refused" in message:
                    raise error_of(message["refused"])
                else:
                    return message, payload
        finally:
            self._deadline = self._end = None

    def _tile(self, requests: IO[bytes], y: FloatArray, model: int, run: Run) -> None:
        self._deadline = None  # what is waited for now is the network
        try:
            result = run(y, model)
        except Exception as error:
            self._send(requests, refusal(error))
            return
        with self._dying():
            send_tile(requests, result)

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vdsr.server.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**environment(), **_ONE_THREAD},
                # A signal that a terminal or service manager sends to all is the server's.
                start_new_session=True,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            with self._dying():
                send(process.stdin, {"open": self._opening.order}, self._opening.model)
            answer, _ = self._receive(process.stdout)
            if "refused" in answer:
                raise error_of(answer["refused"])
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout

    def _send(self, requests: IO[bytes], message: Message) -> None:
        with self._dying():
            send(requests, message)

    def _receive(self, answers: IO[bytes]) -> tuple[Message, bytes]:
        self._deadline = time.monotonic() + self._quiet_seconds
        with self._dying():
            received = receive(answers)
        if received is None:
            raise WorkerDiedError(self._death())
        return received

    @contextlib.contextmanager
    def _dying(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise WorkerDiedError(self._death()) from error

    def _death(self) -> str:
        process = self._process
        assert process is not None
        code = process.wait()
        if code >= 0:
            return f"it ended with code {code}"
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it was ended by signal {-code}"

    def watch(self) -> None:
        """End the process if it has been silent, or at work, for too long."""
        now = time.monotonic()
        if any(limit is not None and now > limit for limit in (self._deadline, self._end)):
            self.kill()

    def kill(self) -> None:
        """End the process, whatever it is doing; the next request starts another one."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                process.kill()

    @property
    def pid(self) -> int | None:
        """Its number while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def close(self) -> None:
        """End the process, and clear up after it."""
        self.kill()
        process, self._process = self._process, None
        if process is None:
            return
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()


def resident_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where that is not known."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
