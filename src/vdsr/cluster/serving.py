"""A server whose pictures are done by replicas of a Ray Serve deployment.

The page, the API, the queue and what is kept are those of `vdsr.server`, on the machine that
was asked to serve; a replica is an open model and one process of `vdsr.server.process`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import logging
import os
import platform
import queue
import re
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vdsr.cluster.connection import connected
from vdsr.cluster.options import ClusterOptions
from vdsr.errors import ClusterError, UsageError, VdsrError
from vdsr.extras import require
from vdsr.inference.backends import Choice, open_backend
from vdsr.jobs.picture import Task
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile
from vdsr.server.frames import Message
from vdsr.server.job import CANCELLED, CancelledError
from vdsr.server.process import error_of, refusal
from vdsr.server.settings import ServerSettings
from vdsr.server.worker import Opening, Worker, WorkerDiedError

_log = logging.getLogger("vdsr.server")

_NAME = "Replica"
# A result goes through Ray in pieces of so many bytes.
_PIECE = 4 * 1024**2
# Seconds between two signs of life of a replica, and two looks at how many run.
_BEAT = 0.5
_LOOK = 1.0
_RANGE = re.compile(r"(\d{1,4})(?:\.\.(\d{1,4}))?")


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """How many replicas there are.

    Attributes:
        least, most: of them; between these it is the queue that decides.
        cpus: of each, which are its threads.

    Raises:
        UsageError: for what cannot be.
    """

    least: int = 1
    most: int = 1
    cpus: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise UsageError(
                f"replicas are at least 1, and at most as many as MAX, not"
                f" {self.least}..{self.most}"
            )
        if self.cpus < 1:
            raise UsageError(f"a replica has at least 1 CPU, not {self.cpus}")

    @classmethod
    def parse(cls, text: str, cpus: int) -> Replicas:
        """From `N` or `MIN..MAX`.

        Raises:
            UsageError: if it is neither.
        """
        match = _RANGE.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is no number of replicas: give N or MIN..MAX, as 1..8")
        return cls(least=int(match[1]), most=int(match[2] or match[1]), cpus=cpus)


class Replica:
    """An open model and a process that decodes and encodes; one picture at a time.

    Args:
        opening: what the process opens; its models are opened here, too.
        threads: of the network.
        quiet_seconds: see `ServerSettings`.
    """

    def __init__(self, opening: Opening, threads: int, quiet_seconds: float) -> None:
        models = opening.model
        self._networks = []
        for one in opening.order["models"]:
            data, models = models[: one["size"]], models[one["size"] :]
            choice = Choice(backend=one["backend"], precision=one["precision"])
            model = ModelFile(data, one["source"])
            self._networks.append(open_backend(model, choice, threads=threads))
        self._worker = Worker(opening, quiet_seconds)
        self._worker.start()

    async def do(
        self, task: dict[str, Any], data: bytes, seconds: float
    ) -> AsyncIterator[Message | bytes]:
        """Do a picture.

        Args:
            task: a `Task` whose paths are those of the server.
            data: the picture, as a file.
            seconds: longest time it may take.

        Yields:
            `{"alive": true}` and `{"progress": [px done, px in all]}` now and then; last the
            file that was made, in pieces, and `{"ended": ...}`, `{"refused": ...}` or, if the
            process died, `{"died": how}`.
        """
        with tempfile.TemporaryDirectory(prefix="vdsr-") as folder:
            asked = Task(**task)
            source = Path(folder) / f"source{Path(asked.source).suffix}"
            made = Path(folder) / Path(asked.made).name
            await asyncio.to_thread(source.write_bytes, data)
            here = replace(asked, source=str(source), made=str(made))
            heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
            work = asyncio.create_task(asyncio.to_thread(self._do, here, seconds, heard))
            try:
                while not work.done():
                    await asyncio.wait((work,), timeout=_BEAT)
                    self._worker.watch()
                    yield _last(heard) or {"alive": True}
                answer = work.result()
            finally:
                if not work.done():  # nobody waits for it any more
                    self._worker.kill()
            if made.exists():
                with made.open("rb") as file:
                    while piece := file.read(_PIECE):
                        yield piece
            yield _with(answer, {str(source): asked.source, str(made): asked.made})

    def _do(self, task: Task, seconds: float, heard: queue.SimpleQueue[Message]) -> Message:
        def run(y: FloatArray, model: int) -> FloatArray:
            return self._networks[model].run(y)

        def progress(done: int, total: int) -> None:
            heard.put({"progress": [done, total]})

        request = {"do": task.as_dict()}
        try:
            return self._worker.ask(request, seconds=seconds, run=run, progress=progress)[0]
        except WorkerDiedError as death:
            return {"died": str(death)}
        except VdsrError as error:
            return refusal(error)


def _last(heard: queue.SimpleQueue[Message]) -> Message | None:
    found = None
    with contextlib.suppress(queue.Empty):
        while True:
            found = heard.get_nowait()
    return found


def _with(answer: Message, names: dict[str, str]) -> Message:
    """An answer with the server's names of files in its texts."""

    def named(value: Any) -> Any:  # noqa: ANN401 - of JSON
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [named(one) for one in value]
        if isinstance(value, str):
            for here, there in names.items():
                value = value.replace(here, there)
        return value

    found: Message = named(answer)
    return found


class Deployment:
    """The replicas, seen from the server; see `vdsr.server.crew.Elsewhere`.

    Args:
        ray: the module, connected.
        settings: of the server.
        replicas: how many.

    Attributes:
        failure: why they could not be started.
    """

    def __init__(self, ray: Any, settings: ServerSettings, replicas: Replicas) -> None:  # noqa: ANN401
        self._ray, self._settings, self._replicas = ray, settings, replicas
        # The same folder is the same server: one that begins again takes the replicas over.
        place = f"{platform.node()}:{settings.folder.resolve()}"
        self._app = f"vdsr-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
        self._handle: Any = None
        self._deployed = threading.Event()
        self._ending = threading.Event()
        self._running = 0
        self._asked: set[Any] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.failure: str | None = None

    def start(self, opening: Opening) -> None:
        """Start the replicas; returns at once."""
        self._thread = threading.Thread(
            target=self._keep, args=(opening,), name="vdsr-replicas", daemon=True
        )
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether a replica runs."""
        return self._running > 0

    def _keep(self, opening: Opening) -> None:
        try:
            self._deploy(opening)
        except Exception as error:
            if not self._ending.is_set():
                self.failure = " ".join(str(error).split())
                signal.raise_signal(signal.SIGTERM)
            return
        finally:
            self._deployed.set()
        while not self._ending.wait(_LOOK):
            self._running = self._count()

    def _deploy(self, opening: Opening) -> None:
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        # Nothing but this server asks the replicas: no address of Ray's own is opened.
        serve.start(proxy_location="Disabled")
        deployment = serve.deployment(
            name=_NAME,
            # One picture at a time, so that it is known which one a replica died of.
            max_ongoing_requests=1,
            autoscaling_config={
                "min_replicas": self._replicas.least,
                "max_replicas": self._replicas.most,
                "target_ongoing_requests": 1,
                "upscale_delay_s": 2,
                "downscale_delay_s": 60,
                "look_back_period_s": 4,
                "metrics_interval_s": 1,
            },
            ray_actor_options={"num_cpus": self._replicas.cpus},
            graceful_shutdown_timeout_s=2,
        )(Replica)
        app = deployment.bind(opening, self._replicas.cpus, self._settings.quiet_seconds)
        handle = serve.run(app, name=self._app, route_prefix=None)
        self._handle = handle.options(stream=True)
        self._running = self._count()

    def _count(self) -> int:
        from ray import serve

        try:
            app = serve.status().applications[self._app]
            return int(app.deployments[_NAME].replica_states.get("RUNNING", 0))
        except Exception as error:
            _log.warning("replicas cannot be counted: %s", error)
            return 0

    def do(
        self,
        task: Task,
        *,
        seconds: float,
        progress: Callable[[int, int], None],
        is_wanted: Callable[[], bool],
    ) -> Message:
        """See `vdsr.server.crew.Elsewhere`."""
        self._deployed.wait()
        if self._handle is None or self._ending.is_set():
            raise WorkerDiedError("there are no replicas")
        source, made = Path(task.source), Path(task.made)
        answers = self._handle.do.remote(task.as_dict(), source.read_bytes(), seconds)
        try:
            with self._watched(answers), made.open("wb") as file:
                answer = _heard(answers, file.write, progress, is_wanted)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        if not made.stat().st_size:
            made.unlink()
        if "refused" in answer:
            raise error_of(answer["refused"])
        if "died" in answer:
            raise WorkerDiedError(answer["died"])
        ended = answer["ended"]
        ended["mtime_ns"] = source.stat().st_mtime_ns
        if made.exists():
            ended["output_mtime_ns"] = made.stat().st_mtime_ns
        return answer

    @contextlib.contextmanager
    def _watched(self, answers: Any) -> Iterator[None]:  # noqa: ANN401 - Ray's
        from ray.serve.exceptions import RayServeException

        with self._lock:
            self._asked.add(answers)
        try:
            yield
        except self._ray.exceptions.RayActorError as error:
            raise WorkerDiedError("with its replica") from error
        except (
            asyncio.CancelledError,
            concurrent.futures.CancelledError,
            self._ray.exceptions.TaskCancelledError,
        ) as error:
            raise WorkerDiedError("its work was taken back") from error
        except RayServeException as error:
            if self._ending.is_set():
                raise WorkerDiedError("its work was taken back") from error
            raise ClusterError(f"the replicas cannot be reached: {error}") from error
        finally:
            with self._lock:
                self._asked.discard(answers)

    def close(self) -> None:
        """Take back what is in work, and delete the replicas."""
        from ray import serve

        self._ending.set()
        self._running = 0
        with self._lock:
            asked = list(self._asked)
        for answers in asked:
            answers.cancel()
        try:
            serve.delete(self._app)
            if self._handle is not None:
                self._handle.shutdown()
        except Exception as error:
            _log.warning("the replicas cannot be deleted: %s", error)


def _heard(
    answers: Any,  # noqa: ANN401 - Ray's
    write: Callable[[bytes], object],
    progress: Callable[[int, int], None],
    is_wanted: Callable[[], bool],
) -> Message:
    for answer in answers:
        if isinstance(answer, bytes):
            write(answer)
        elif "progress" in answer:
            progress(*answer["progress"])
        elif "alive" not in answer:
            found: Message = answer
            return found
        if not is_wanted():
            answers.cancel()
            raise CancelledError(CANCELLED)
    raise WorkerDiedError("its replica said nothing")


def serve_on_cluster(settings: ServerSettings, options: ClusterOptions, replicas: Replicas) -> bool:
    """Run a server until the process is asked to end; returns whether it came up.

    Raises:
        MissingExtra: if a package of the extra `cluster` is not installed.
        ClusterError: if the cluster cannot be reached, or the replicas not be started.
        VdsrError: see `vdsr.server.run.server_of`.
    """
    require("ray", "grpc_reflection")
    from vdsr.server.run import serve

    if settings.workers is None:
        # Some of those that wait are sent, so that Ray sees that there is more to do.
        settings = replace(settings, workers=3 * replicas.most)
    # What Serve still asks after the end must not connect, or start a cluster, again.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    with connected(options) as ray:
        deployment = Deployment(ray, settings, replicas)
        came_up = serve(settings, deployment)
    if deployment.failure is not None:
        raise ClusterError(f"the replicas could not be started: {deployment.failure}")
    return came_up
