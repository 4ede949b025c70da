"""The work of the server: pictures wait, are done in processes, and are kept until they expire."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

from vdsr.errors import OutputError, VdsrError
from vdsr.inference.engines import Engines
from vdsr.jobs.picture import Outcome
from vdsr.server.crew import Crew, Elsewhere
from vdsr.server.frames import Message
from vdsr.server.job import CANCELLED, FullError, Job
from vdsr.server.metrics import Metrics
from vdsr.server.network import FairNetwork
from vdsr.server.settings import ServerSettings
from vdsr.server.store import Kept, Store, folder_bytes
from vdsr.server.worker import Opening, Worker

_log = logging.getLogger("vdsr.server")


class Service:
    """Takes pictures, has them done, keeps them.

    Args:
        settings: see there.
        elsewhere: does the pictures; None for this machine.

    Raises:
        VdsrError: if the model cannot be opened, or the folder not be had.
    """

    def __init__(self, settings: ServerSettings, elsewhere: Elsewhere | None = None) -> None:
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
        self._jobs: dict[str, Job] = {}
        self._bytes: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._elsewhere = elsewhere
        self._crew = Crew(
            settings,
            self._opening,
            elsewhere or FairNetwork(self._engines, settings.threads),
            self.metrics,
            began=self._began,
            ended=self._ended,
            cleared=self._clear,
        )
        self._keeper = threading.Thread(target=self._keep, name="vdsr-keeper", daemon=True)
        for kept in self.store.recover():
            self._restore(kept)
        self._crew.start()
        self._keeper.start()

    @property
    def workers(self) -> list[Worker]:
        """The processes."""
        return self._crew.workers

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
            self._crew.push(job)
        else:
            job.finish()

    # Taking pictures

    def check_room(self, size: int) -> None:
        """See whether a picture of so many bytes could be taken now.

        Raises:
            FullError: if not.
        """
        if self._ending.is_set():
            raise FullError("the server is ending", 5)
        waiting, _ = self._crew.counts()
        if waiting >= self.settings.max_queue:
            raise FullError(f"{waiting} pictures are waiting", self._wait_seconds(waiting))
        with self._lock:
            taken = sum(self._bytes.values())
        if taken + size > self.settings.max_disk:
            raise FullError("the folder of the results is full", 60)

    def _wait_seconds(self, waiting: int) -> int:
        """A guess at when there will be room, from the px that wait."""
        speed = max(self.metrics.pixels_per_second, 1e5)
        return max(1, min(600, round(self._crew.pixels() / speed / max(1, waiting))))

    def new(self, client: str, size: int) -> Kept:
        """A place for a picture of so many bytes that is being sent.

        Raises:
            FullError: if there is no room.
        """
        self.check_room(size)
        return self.store.new(client, "picture", {})

    async def look(self, kept: Kept) -> None:
        """Find out what was sent, before it is taken.

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
        answer, _ = await asyncio.wrap_future(self._crew.ask(message, look=True))
        kept.looked = answer["looked"]

    async def show(
        self,
        kept: Kept,
        what: str,
        **asked: Any,  # noqa: ANN401
    ) -> tuple[Message, bytes]:
        """What the page shows of a finished picture: see `vdsr.server.views`."""
        files = {"source": str(kept.source), "result": str(kept.result)}
        message = {what: {**files, "page": kept.options.get("page"), **asked}}
        answer, payload = await asyncio.wrap_future(self._crew.ask(message))
        shown: Message = answer["shown"]
        return shown, payload

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
        self.check_room(estimate)
        with self._lock:
            self._bytes[kept.id] = estimate
        try:
            if keep:
                self.store.accept(kept)
        except OutputError:
            with self._lock:
                self._bytes.pop(kept.id, None)
            raise
        job = self._jobs[kept.id] = Job(kept)
        self._crew.push(job)
        return job

    def get(self, id: str, client: str) -> Job | None:
        """A picture by its id, for the client whose it is."""
        job = self._jobs.get(id)
        return job if job is not None and job.kept.client == client else None

    def forget(self, job: Job) -> None:
        """Cancel a picture, if it is not finished, and delete all of it."""
        if not self._crew.cancel(job):
            self._clear(job)

    def _clear(self, job: Job) -> None:
        with self._lock:
            self._jobs.pop(job.kept.id, None)
            self._bytes.pop(job.kept.id, None)
        if job.kept.state not in ("done", "failed"):
            job.kept.state, job.kept.error = "failed", CANCELLED
        self.store.delete(job.kept)
        job.finish()

    def discard(self, kept: Kept) -> None:
        """Delete what was sent and not taken."""
        with self._lock:
            self._bytes.pop(kept.id, None)
        self.store.delete(kept)

    # Keeping them

    def _began(self, job: Job) -> None:
        job.kept.state = "working"
        if job.kept.row is not None:
            self.store.working(job.kept)

    def _ended(self, job: Job, outcome: Outcome | None, error: str | None) -> None:
        """The work on a picture has ended: keep what came of it."""
        kept = job.kept
        if outcome is None and error is None:
            return self._hand_back(job)
        try:
            if outcome is not None:
                self.store.done(kept, outcome)
            else:
                self.store.failed(kept, str(error))
        except (OSError, VdsrError) as broken:
            _log.error("%s cannot be kept: %s", kept.id, broken)
            kept.state, kept.error = "failed", "the result cannot be kept: send it again"
            kept.ended = time.time()
        with self._lock:
            self._bytes[kept.id] = folder_bytes(kept.folder)
        self.metrics.picture(kept, time.time() - kept.created)
        return job.finish()

    def _hand_back(self, job: Job) -> None:
        """Of a picture that the server ends before it is done."""
        if job.kept.row is not None:
            self.store.waiting(job.kept)
        else:
            job.kept.state, job.kept.error = "failed", "the server is ending: send it again"
        job.finish()

    def _keep(self) -> None:
        """Every half second: processes that are stuck, results that have expired."""
        while not self._ending.wait(0.5):
            for worker in self.workers:
                worker.watch()
            now = time.time()
            for job in list(self._jobs.values()):
                ended = job.kept.ended
                if ended is not None and now > ended + self.settings.expiry:
                    self.forget(job)

    def counts(self) -> dict[str, float]:
        """What is waiting, in work, and on disk, for those who watch."""
        waiting, working = self._crew.counts()
        with self._lock:
            taken = sum(self._bytes.values())
        return {"waiting": waiting, "working": working, "bytes": taken}

    @property
    def pixels_per_second(self) -> float:
        """Speed of the network."""
        return self.metrics.pixels_per_second

    @property
    def is_ready(self) -> bool:
        """Whether pictures are taken."""
        waiting, _ = self._crew.counts()
        if self._elsewhere is not None and not self._elsewhere.is_ready:
            return False
        return not self._ending.is_set() and waiting < self.settings.max_queue

    def close(self) -> None:
        """Finish what is running, within the time of grace, and hand back the rest."""
        self._ending.set()
        for job in self._crew.close():
            self._hand_back(job)
        self._keeper.join()
        self._engines.close()
        self.store.close()
