"""The work of the server: pictures wait, are done in processes, and are kept until they expire."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from vdsr.errors import InputError, OutputError, VdsrError
from vdsr.inference.engines import Engines
from vdsr.jobs.picture import DONE, Outcome, Task
from vdsr.model.architecture import FloatArray
from vdsr.server.fair import FairQueue
from vdsr.server.frames import Message
from vdsr.server.metrics import Metrics
from vdsr.server.network import LARGE_NICE, FairNetwork
from vdsr.server.settings import SMALL_PIXELS, ServerSettings
from vdsr.server.store import Kept, Store, folder_bytes, made_of
from vdsr.server.worker import Opening, Run, Worker, WorkerDiedError

_log = logging.getLogger("vdsr.server")

# Tries of a picture whose process dies.
_TRIES = 2
CANCELLED = "it was cancelled"
CRASHED = (
    "the process that worked on this picture died ({death}), {tries} times: the file is"
    " damaged, or too much for this server"
)
# Looking at a header, or at a window, takes no longer.
_LOOK_SECONDS = 30.0
# For looks, beside those of pictures.
_LOOKS_WAITING = 256


class FullError(Exception):
    """No more can be taken now.

    Attributes:
        seconds: when to try again.
    """

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds


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

    def finish(self) -> None:
        """Tell those who wait."""
        if not self.finished.done():
            self.finished.set_result(None)


@dataclass(frozen=True, eq=False)
class _Question:
    """A request to a process that is not a picture's work: a look, or something to show."""

    message: Message
    answer: Future[tuple[Message, bytes]]


class _Cancelled(VdsrError):
    """The picture is not wanted any more."""


class Service:
    """Takes pictures, does them, keeps them.

    Args:
        settings: see there.

    Raises:
        VdsrError: if the model cannot be opened, or the folder not be had.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store(settings.folder)
        self._engines = Engines(
            settings.model,
            settings.backend,
            settings.precision,
            threads=settings.threads,
            max_memory=settings.max_memory,
            tile=None,
        )
        self.engines = self._engines.all()
        self._network = FairNetwork(self._engines, settings.threads)
        self._jobs: dict[str, Job] = {}
        self._queue: FairQueue[Job] = FairQueue()
        self._questions: list[_Question] = []
        self._working: set[Job] = set()
        self._bytes: dict[str, int] = {}
        self._changed = threading.Condition()
        self._ending = False
        any_size, small = settings.processes
        self.workers = [
            Worker(self._opening(nice), settings.quiet_seconds)
            for nice in (*[LARGE_NICE] * any_size, *[0] * small)
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(worker, i >= any_size), daemon=True)
            for i, worker in enumerate(self.workers)
        ]
        self._keeper = threading.Thread(target=self._keep, name="vdsr-keeper", daemon=True)
        for kept in self.store.recover():
            self._restore(kept)
        for thread in (*self._threads, self._keeper):
            thread.start()

    def _opening(self, nice: int) -> Opening:
        models = [
            {
                "source": engine.model.source,
                "backend": engine.choice.backend,
                "precision": engine.choice.precision,
                "size": len(engine.model.data),
            }
            for engine in self.engines
        ]
        return Opening(
            order={
                "models": models,
                "nice": nice,
                "max_memory": self.settings.max_memory,
                "max_file": self.settings.max_disk,
            },
            model=b"".join(engine.model.data for engine in self.engines),
        )

    def _restore(self, kept: Kept) -> None:
        job = Job(kept)
        self._jobs[kept.id] = job
        self._bytes[kept.id] = folder_bytes(kept.folder)
        if kept.state == "waiting":
            self._enqueue(job)
        else:
            job.finish()

    # Taking pictures

    def check_room(self, size: int) -> None:
        """See whether a picture of so many bytes could be taken now.

        Raises:
            FullError: if not.
        """
        with self._changed:
            if self._ending:
                raise FullError("the server is ending", 5)
            if len(self._queue) >= self.settings.max_queue:
                raise FullError(f"{len(self._queue)} pictures are waiting", self._wait_seconds())
            if sum(self._bytes.values()) + size > self.settings.max_disk:
                raise FullError("the folder of the results is full", 60)

    def _wait_seconds(self) -> int:
        """A guess at when there will be room, from the px that wait."""
        pixels = float(sum(job.kept.pixels for job in (*self._queue, *self._working)))
        speed = max(self.metrics.pixels_per_second, 1e5)
        return max(1, min(600, round(pixels / speed / max(1, len(self._queue)))))

    def new(self, client: str, name: str, options: dict[str, Any]) -> Kept:
        """A place for a picture that is being sent."""
        return self.store.new(client, name, options)

    def look(self, kept: Kept) -> None:
        """Find out what was sent, before it is taken. Waits for a process.

        Raises:
            UsageError: for options that do not fit the picture.
            InputError: if it is no picture that can be enlarged.
            FullError: if too many wait.
        """
        message = {
            "look": {
                "source": str(kept.source),
                "options": kept.options,
                "max_pixels": self.settings.max_pixels,
            }
        }
        answer, _ = self._ask(message)
        kept.looked = answer["looked"]

    def show(self, kept: Kept, what: str, **asked: Any) -> tuple[Message, bytes]:  # noqa: ANN401
        """What the page shows of a finished picture: see `vdsr.server.views`."""
        files = {"source": str(kept.source), "result": str(kept.result)}
        message = {what: {**files, "page": kept.options.get("page"), **asked}}
        answer, payload = self._ask(message)
        shown: Message = answer["shown"]
        return shown, payload

    def _ask(self, message: Message) -> tuple[Message, bytes]:
        question = _Question(message, Future())
        with self._changed:
            if self._ending or len(self._questions) >= _LOOKS_WAITING:
                raise FullError("too much is waiting", 2)
            self._questions.append(question)
            self._changed.notify_all()
        return question.answer.result()

    def submit(self, kept: Kept, *, keep: bool) -> Job:
        """Take a picture that was looked at.

        Args:
            kept: the picture.
            keep: whether it outlives this server; else its client waits for the answer.

        Raises:
            FullError: if too many wait.
            OutputError: if it cannot be written down.
        """
        estimate = kept.source.stat().st_size + kept.looked["estimate"]
        job = Job(kept)
        with self._changed:
            self.check_room(estimate)
            self._bytes[kept.id] = estimate
        try:
            if keep:
                self.store.accept(kept)
        except OutputError:
            self._bytes.pop(kept.id, None)
            raise
        with self._changed:
            self._jobs[kept.id] = job
            self._enqueue(job)
            self._changed.notify_all()
        return job

    def _enqueue(self, job: Job) -> None:
        """Let a picture wait: small ones of a client pass its large ones, many pass nobody."""
        client = job.kept.client
        waiting = sum(other.kept.client == client for other in self._queue)
        self._queue.push(job, job.kept.id, job.kept.pixels * (1 + waiting))

    def get(self, id: str, client: str) -> Job | None:
        """A picture by its id, for the client whose it is."""
        job = self._jobs.get(id)
        return job if job is not None and job.kept.client == client else None

    def forget(self, job: Job) -> None:
        """Cancel a picture, if it is not finished, and delete all of it."""
        with self._changed:
            job.cancelled = True
            self._queue.remove(job)
            if job in self._working:  # its thread clears it away
                return
        self._clear(job)

    def _clear(self, job: Job) -> None:
        with self._changed:
            self._jobs.pop(job.kept.id, None)
            self._bytes.pop(job.kept.id, None)
        if job.kept.state not in ("done", "failed"):
            job.kept.state, job.kept.error = "failed", CANCELLED
        self.store.delete(job.kept)
        job.finish()

    def discard(self, kept: Kept) -> None:
        """Delete what was sent and not taken."""
        with self._changed:
            self._bytes.pop(kept.id, None)
        self.store.delete(kept)

    # Doing them

    def _work(self, worker: Worker, small: bool) -> None:
        """What the thread of one process does."""
        while True:
            with self._changed:
                while (taken := self._take(small)) is None:
                    if self._ending:
                        return
                    self._changed.wait()
            try:
                if isinstance(taken, _Question):
                    self._answer(worker, taken)
                else:
                    self._do(worker, taken)
            except Exception:
                _log.exception("unexpected")
                if isinstance(taken, Job):
                    self._end(taken, error="an unexpected error: see the server's log")

    def _take(self, small: bool) -> _Question | Job | None:
        if self._questions:
            return self._questions.pop(0)
        if self._ending:
            return None
        job = self._queue.pop(lambda job: job.small or not small)
        if job is not None:
            self._working.add(job)
        return job

    def _answer(self, worker: Worker, question: _Question) -> None:
        try:
            question.answer.set_result(worker.ask(question.message, seconds=_LOOK_SECONDS))
        except WorkerDiedError as death:
            _log.warning("a process died while it looked at a picture: %s", death)
            question.answer.set_exception(InputError(CRASHED.format(death=death, tries=1)))
        except VdsrError as error:
            question.answer.set_exception(error)
        except BaseException as error:
            question.answer.set_exception(error)
            raise

    def _do(self, worker: Worker, job: Job) -> None:
        kept = job.kept
        kept.state = "working"
        if kept.row is not None:
            self.store.working(kept)
        for tries in range(1, _TRIES + 1):
            try:
                answer, _ = worker.ask(
                    {"do": _task(kept).as_dict()},
                    seconds=self.settings.picture_seconds,
                    run=self._runner(job),
                    progress=_progress(job),
                )
            except WorkerDiedError as death:
                _log.warning("a process died at work on %s: %s", kept.id, death)
                if self._ending or job.cancelled:
                    break
                if tries == _TRIES:
                    return self._end(job, error=CRASHED.format(death=death, tries=tries))
                made_of(kept).unlink(missing_ok=True)
                continue
            except VdsrError as error:
                return self._end(job, error=str(error))
            outcome = Outcome(**answer["ended"])
            if outcome.state == DONE and not job.cancelled:
                return self._end(job, outcome=outcome)
            if not (job.cancelled or self._ending):
                return self._end(job, error=_worded(outcome.error, kept))
            break
        return self._hand_back(job)

    def _runner(self, job: Job) -> Run:
        def run(y: FloatArray, model: int) -> FloatArray:
            if job.cancelled:
                raise _Cancelled(CANCELLED)
            start = time.monotonic()
            result = self._network.run(y, model, job.kept.id, small=job.small)
            self.metrics.tile(y.shape[-2] * y.shape[-1], time.monotonic() - start)
            return result

        return run

    def _end(self, job: Job, *, outcome: Outcome | None = None, error: str = "") -> None:
        with self._changed:
            self._working.discard(job)
        if job.cancelled:
            return self._clear(job)
        try:
            if outcome is not None:
                self.store.done(job.kept, outcome)
            else:
                self.store.failed(job.kept, error)
        except (OSError, VdsrError) as broken:
            _log.error("%s cannot be kept: %s", job.kept.id, broken)
            job.kept.state, job.kept.error = "failed", "the result cannot be kept: send it again"
            job.kept.ended = time.time()
        with self._changed:
            self._bytes[job.kept.id] = folder_bytes(job.kept.folder)
        self.metrics.picture(job.kept, time.time() - job.kept.created)
        return job.finish()

    def _hand_back(self, job: Job) -> None:
        """Of a picture that is cancelled, or that the server ends before it is done."""
        with self._changed:
            self._working.discard(job)
        if job.cancelled:
            self._clear(job)
        elif job.kept.row is not None:
            self.store.waiting(job.kept)
            job.finish()
        else:
            job.kept.state, job.kept.error = "failed", "the server is ending: send it again"
            job.finish()

    # Keeping them

    def _keep(self) -> None:
        """Every half second: processes that are stuck, results that have expired."""
        while not self._ending:
            for worker in self.workers:
                worker.watch()
            now = time.time()
            for job in list(self._jobs.values()):
                ended = job.kept.ended
                if ended is not None and now > ended + self.settings.expiry:
                    self.forget(job)
            time.sleep(0.5)

    def counts(self) -> dict[str, float]:
        """What is waiting, in work, and on disk, for those who watch."""
        with self._changed:
            return {
                "waiting": len(self._queue),
                "working": len(self._working),
                "bytes": sum(self._bytes.values()),
            }

    @property
    def pixels_per_second(self) -> float:
        """Speed of the network."""
        return self.metrics.pixels_per_second

    @property
    def is_ready(self) -> bool:
        """Whether pictures are taken."""
        return not self._ending and len(self._queue) < self.settings.max_queue

    def close(self) -> None:
        """Finish what is running, within the time of grace, and hand back the rest."""
        with self._changed:
            self._ending = True
            for question in self._questions:
                question.answer.set_exception(FullError("the server is ending", 5))
            self._questions.clear()
            self._changed.notify_all()
        end = time.monotonic() + self.settings.grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for worker in self.workers:
            worker.kill()
        self._network.close()
        for thread in self._threads:
            thread.join()
        for job in list(self._queue):
            self._hand_back(job)
        for worker in self.workers:
            worker.close()
        self._keeper.join()
        self._engines.close()
        self.store.close()


def _task(kept: Kept) -> Task:
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


def _progress(job: Job) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        job.done_pixels, job.all_pixels = done, total

    return report


def _worded(error: str | None, kept: Kept) -> str:
    """An error for a client: it has no business with paths of the server."""
    text = error or "it cannot be enlarged"
    return text.replace(f"{kept.source}: ", "").replace(str(kept.source), "the picture")


def without_paths(error: VdsrError, kept: Kept) -> str:
    """The text of an error for a client."""
    return _worded(str(error), kept)
