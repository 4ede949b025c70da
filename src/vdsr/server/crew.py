"""The processes of the server at work, each fed by a thread: looks, pictures, views."""

from __future__ import annotations

import collections
import enum
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from vdsr.errors import InputError, VdsrError
from vdsr.jobs.picture import DONE, Outcome, Task
from vdsr.model.architecture import FloatArray
from vdsr.server.fair import FairQueue
from vdsr.server.frames import Message
from vdsr.server.job import CANCELLED, CancelledError, FullError, Job, task_of, without_paths
from vdsr.server.metrics import Metrics
from vdsr.server.network import LARGE_NICE, FairNetwork
from vdsr.server.settings import ServerSettings
from vdsr.server.store import made_of
from vdsr.server.worker import Opening, Run, Worker, WorkerDiedError

_log = logging.getLogger("vdsr.server")

# Tries of a picture whose process dies.
_TRIES = 2
CRASHED = (
    "the process that worked on this picture died ({death}), {tries} times: the file is"
    " damaged, or too much for this server"
)
# Looking at a header, or at a window, takes no longer.
_LOOK_SECONDS = 30.0
# Of each kind, beside those of pictures.
_MOST_QUESTIONS = 256


class _Role(enum.Enum):
    """What a process is there for; an idle one of another role is always left to its own."""

    LOOKS = "what is sent is looked at before it waits"
    SMALL = "small pictures; looks, if none of the first is idle"
    LARGE = "large pictures and views; small pictures, if none of the second is idle"


@dataclass(frozen=True, eq=False)
class _Question:
    """A request to a process that is not a picture's work: a look, or something to show."""

    message: Message
    answer: Future[tuple[Message, bytes]]


class Elsewhere(Protocol):
    """Does pictures in place of this machine's processes."""

    def start(self, opening: Opening) -> None:
        """Open what a process opens; returns at once."""

    @property
    def is_ready(self) -> bool:
        """Whether pictures can be done."""

    def do(
        self,
        task: Task,
        *,
        seconds: float,
        progress: Callable[[int, int], None],
        is_wanted: Callable[[], bool],
    ) -> Message:
        """Do a picture; returns what a process answers.

        Raises:
            WorkerDiedError: if what did it died.
            VdsrError: if it was refused, or is not wanted any more.
        """

    def close(self) -> None:
        """Give up what is in work, whose callers get a `WorkerDiedError`."""


# How a picture ended: with an outcome or an error; with neither it is handed back.
Ended = Callable[[Job, Outcome | None, str | None], None]


class Crew:
    """Has pictures looked at, done and shown, in turn.

    Args:
        settings: see there.
        opening: what each process opens.
        network: runs the tiles of all, or does pictures as a whole; closed by this.
        metrics: see there.
        began: called when the work on a picture begins.
        ended: called when the work on a picture has ended.
        cleared: called for one that was cancelled while it was in work.
    """

    def __init__(
        self,
        settings: ServerSettings,
        opening: Callable[[int], Opening],
        network: FairNetwork | Elsewhere,
        metrics: Metrics,
        *,
        began: Callable[[Job], None],
        ended: Ended,
        cleared: Callable[[Job], None],
    ) -> None:
        self._settings, self._network, self._metrics = settings, network, metrics
        self._opening = opening
        self._began, self._ended, self._cleared = began, ended, cleared
        self._queue: FairQueue[Job] = FairQueue()
        self._looks: collections.deque[_Question] = collections.deque()
        self._views: collections.deque[_Question] = collections.deque()
        self._working: set[Job] = set()
        self._idle = collections.Counter[_Role]()
        self._changed = threading.Condition()
        self._ending = False
        large, small = settings.processes
        roles = (_Role.LOOKS, *[_Role.SMALL] * small, *[_Role.LARGE] * large)
        self.workers = [
            Worker(opening(LARGE_NICE if role is _Role.LARGE else 0), settings.quiet_seconds)
            for role in roles
        ]
        self._threads = [
            threading.Thread(target=self._work, args=pair, name="vdsr-crew", daemon=True)
            for pair in zip(self.workers, roles, strict=True)
        ]

    def start(self) -> None:
        """Start the processes, and the work."""
        if not isinstance(self._network, FairNetwork):
            self._network.start(self._opening(0))
        for thread in self._threads:
            thread.start()

    # What is to be done

    def ask(self, message: Message, *, look: bool = False) -> Future[tuple[Message, bytes]]:
        """Have something looked at, or shown: see `vdsr.server.process`.

        Raises:
            FullError: if too much waits.
        """
        question = _Question(message, Future())
        questions = self._looks if look else self._views
        with self._changed:
            if self._ending or len(questions) >= _MOST_QUESTIONS:
                raise FullError("too much is waiting", 2)
            questions.append(question)
            self._changed.notify_all()
        return question.answer

    def push(self, job: Job) -> None:
        """Let a picture wait: those of a client who has many count for more px."""
        client = job.kept.client
        with self._changed:
            waiting = sum(other.kept.client == client for other in self._queue)
            self._queue.push(job, job.kept.id, job.kept.pixels * (1 + waiting))
            self._changed.notify_all()

    def cancel(self, job: Job) -> bool:
        """Take a picture out; returns whether it is in work: then `cleared` will be called."""
        with self._changed:
            job.cancelled = True
            self._queue.remove(job)
            return job in self._working

    def counts(self) -> tuple[int, int]:
        """Pictures that wait, and pictures in work."""
        with self._changed:
            return len(self._queue), len(self._working)

    def pixels(self) -> int:
        """Of the pictures that wait, or are in work."""
        with self._changed:
            return sum(job.kept.pixels for job in (*self._queue, *self._working))

    # Doing it

    def _work(self, worker: Worker, role: _Role) -> None:
        """What the thread of one process does."""
        while True:
            self._prepare(worker, role)
            with self._changed:
                while (taken := self._take(role)) is None:
                    if self._ending:
                        return
                    self._idle[role] += 1
                    self._changed.wait()
                    self._idle[role] -= 1
                # What is left may be for those who left it to this one.
                self._changed.notify_all()
            try:
                if isinstance(taken, _Question):
                    _answer(worker, taken)
                else:
                    self._do(worker, taken)
            except Exception:
                _log.exception("unexpected")
                if isinstance(taken, Job):
                    self._end(taken, error="an unexpected error: see the server's log")

    def _prepare(self, worker: Worker, role: _Role) -> None:
        """Start a process before it is needed."""
        here = isinstance(self._network, FairNetwork) or role is _Role.LOOKS
        if self._ending or not here:
            return
        try:
            worker.start()
        except (WorkerDiedError, VdsrError, OSError) as error:
            if not self._ending:
                _log.error("a process does not start: %s", error)

    def _take(self, role: _Role) -> _Question | Job | None:
        if self._ending:
            return None
        if role is _Role.LOOKS:
            return _first(self._looks)
        if role is _Role.SMALL:
            job = self._queue.pop(lambda job: job.small)
            if job is None and not self._idle[_Role.LOOKS]:
                return _first(self._looks)
        else:
            if self._views:
                return self._views.popleft()
            job = self._queue.pop(lambda job: not job.small)
            if job is None and not self._idle[_Role.SMALL]:
                job = self._queue.pop()
        if job is not None:
            self._working.add(job)
        return job

    def _do(self, worker: Worker, job: Job) -> None:
        kept = job.kept
        self._began(job)
        for tries in range(1, _TRIES + 1):
            job.progress(0, 0)
            made_of(kept).unlink(missing_ok=True)  # of a process, or a server, that died
            try:
                answer = self._answer(worker, job)
            except WorkerDiedError as death:
                _log.warning("a process died at work on %s: %s", kept.id, death)
                if self._ending or job.cancelled:
                    break
                if tries == _TRIES:
                    return self._end(job, error=CRASHED.format(death=death, tries=tries))
                continue
            except VdsrError as error:
                return self._end(job, error=str(error))
            outcome = Outcome(**answer["ended"])
            if outcome.state == DONE:
                return self._end(job, outcome=outcome)
            if not self._ending:
                return self._end(job, error=without_paths(outcome.error, kept))
            break
        return self._end(job)

    def _answer(self, worker: Worker, job: Job) -> Message:
        task, seconds = task_of(job.kept), self._settings.picture_seconds
        network = self._network
        if not isinstance(network, FairNetwork):
            return network.do(
                task, seconds=seconds, progress=job.progress, is_wanted=lambda: not job.cancelled
            )
        answer, _ = worker.ask(
            {"do": task.as_dict()},
            seconds=seconds,
            run=self._runner(job, network),
            progress=job.progress,
        )
        return answer

    def _runner(self, job: Job, network: FairNetwork) -> Run:
        def run(y: FloatArray, model: int) -> FloatArray:
            if job.cancelled:
                raise CancelledError(CANCELLED)
            start = time.monotonic()
            result = network.run(y, model, job.kept.id, small=job.small)
            self._metrics.tile(y.shape[-2] * y.shape[-1], time.monotonic() - start)
            return result

        return run

    def _end(self, job: Job, *, outcome: Outcome | None = None, error: str | None = None) -> None:
        try:
            if not job.cancelled:
                self._ended(job, outcome, error)
        finally:
            with self._changed:
                self._working.discard(job)
                cancelled = job.cancelled
            if cancelled:
                self._cleared(job)

    # Its end

    def end(self) -> None:
        """Take nothing any more; questions that wait are refused."""
        with self._changed:
            self._ending = True
            for question in (*self._looks, *self._views):
                question.answer.set_exception(FullError("the server is ending", 5))
            self._looks.clear()
            self._views.clear()
            self._changed.notify_all()

    def close(self) -> list[Job]:
        """Finish what is running, within the time of grace; returns what still waits."""
        self.end()
        end = time.monotonic() + self._settings.grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for worker in self.workers:
            worker.kill()
        self._network.close()
        for thread in self._threads:
            thread.join()
        for worker in self.workers:
            worker.close()
        return list(self._queue)


def _first(questions: collections.deque[_Question]) -> _Question | None:
    return questions.popleft() if questions else None


def _answer(worker: Worker, question: _Question) -> None:
    answer = question.answer
    if not answer.set_running_or_notify_cancel():  # its client has gone
        return
    try:
        answer.set_result(worker.ask(question.message, seconds=_LOOK_SECONDS))
    except WorkerDiedError as death:
        _log.warning("a process died while it looked at a picture: %s", death)
        answer.set_exception(InputError(CRASHED.format(death=death, tries=1)))
    except VdsrError as error:
        answer.set_exception(error)
    except BaseException as error:
        answer.set_exception(error)
        raise
