"""The state of a job in object storage, beside its outputs: who has which picture, what is done.

    .vdsr/job                 settings, and what `auto` stood for: written once
    .vdsr/workers/ID          a driver at work; written again every few seconds
    .vdsr/leases/N/NAME       who has a picture; put on the condition that there is none (N is 0,
                              or one more than the lease of a driver that has died)
    .vdsr/done/NAME           that it is done, and how; the output was there before
    .vdsr/failed/NAME         why it is not
    .vdsr/crashed/NAME        that an actor has died with it, until it is done or failed

NAME is that of the picture below the input, so that both are listed in the same order.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vdsr.cluster.storage import HOME, Object, Place
from vdsr.cluster.stored import DIGEST, JOB, SOURCE, TAG
from vdsr.errors import OutputExists, UsageError, VdsrError
from vdsr.jobs.child import Answer
from vdsr.jobs.others import SILENT_SECONDS, host, started
from vdsr.jobs.picture import Outcome
from vdsr.jobs.settings import JobSettings
from vdsr.version import __version__

BEAT_SECONDS = 5.0
# What claiming a picture came to: it is this driver's; done; failed, and not to be tried again;
# or another driver's.
MINE, DONE, FAILED, TAKEN = "mine", "done", "failed", "taken"


@dataclass(frozen=True)
class Claim:
    """What claiming a picture came to.

    Attributes:
        verdict: `mine`, `done`, `failed` or `taken`.
        error: why it failed.
        quarantined: whether it has brought down its actors.
        crashes: actors that have died with it, of drivers before this one.
    """

    verdict: str
    error: str = ""
    quarantined: bool = False
    crashes: int = 0


class StoredState:
    """The state of a job, and this driver as one of those that work on it.

    Args:
        goal: where the outputs are.
        overwrite: whether objects that are in the way of outputs may be replaced.
        retry: whether what is quarantined is to be tried again.

    Attributes:
        id: of this driver.
        job_id: of the job, which one that starts over has anew; it is written at each output.
    """

    def __init__(self, goal: Place, *, overwrite: bool, retry: bool) -> None:
        self._goal = goal
        self._overwrite = overwrite
        self._retry = retry
        self._begun = time.time()
        self.id = uuid.uuid4().hex
        self.job_id = ""
        self._ended = threading.Event()
        self._beats = 0
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._suspects: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, settings: JobSettings, source: str, *, redo: bool = False) -> None:
        """Write down the settings of a new job, or compare them with those that are there.

        Args:
            settings: of the job.
            source: address of the pictures, for those who look at the job.
            redo: whether the job is to start over with these settings.

        Raises:
            UsageError: naming the settings that have changed; or, to start over, if another
                driver is at work.
        """
        job = {
            "settings": settings.as_json(),
            "program": f"vdsr {__version__}",
            "source": source,
            "id": uuid.uuid4().hex,
        }
        text = json.dumps(job).encode()
        if redo:
            self._start_over()
            # Last: until then the old job goes on with what is there.
            self._goal.write(f"{HOME}/job", text)
        elif not self._goal.create(f"{HOME}/job", text):
            self.compare(settings)
        self.job_id = (self.job() or {}).get("id", "")
        self._suspects = {one.name for one in self._goal.list(f"{HOME}/crashed")}
        self._beat()
        self._thread = threading.Thread(target=self._keep_beating, name="vdsr-beat", daemon=True)
        self._thread.start()

    def _start_over(self) -> None:
        """Forget what is done: outputs of the old job are known by its number, and no others'."""
        if any(self.workers()):
            raise UsageError(
                f"{self._goal.address}: another driver is at work there: end it, and try again"
            )
        for kind in ("done", "failed", "crashed", "leases", "strips", "workers"):
            self._goal.delete_all(f"{HOME}/{kind}")
        self._goal.delete(f"{HOME}/opened")

    def compare(self, settings: JobSettings) -> None:
        """Compare settings with those of the job that is there, if there is one.

        Raises:
            UsageError: naming those that have changed.
        """
        known = self.job()
        if known is None:
            return
        changes = JobSettings.of_json(known["settings"]).changes(settings)
        if changes:
            raise UsageError(
                f"{self._goal.address}: the pictures there were made with other settings:"
                f" {'; '.join(changes)}: another address keeps both"
            )

    def job(self) -> dict[str, Any] | None:
        """What was written down of the job: `settings`, `program`, `source`; None if nothing."""
        known = self._goal.read(f"{HOME}/job")
        return None if known is None else dict(json.loads(known))

    def opened(self) -> Answer | None:
        """What the first actor of the job opened; None if there was none."""
        found = self._goal.read(f"{HOME}/opened")
        return None if found is None else dict(json.loads(found))

    def settle(self, opened: Answer) -> Answer:
        """Write down what was opened, if nothing was; returns what is written there.

        Raises:
            UsageError: if the job was begun with another model.
        """
        self._goal.create(f"{HOME}/opened", json.dumps(opened, sort_keys=True).encode())
        known = self.opened() or opened
        if known["model"] != opened["model"]:
            raise UsageError(
                f"{self._goal.address}: the pictures there were made with another model: model"
                f" was {known['model']}, and is {opened['model']}: another address keeps both"
            )
        return known

    def _beat(self) -> None:
        self._beats += 1
        content = {
            "host": host(),
            "pid": os.getpid(),
            "started": started(os.getpid()) or "",
            "beats": self._beats,
        }
        self._goal.write(f"{HOME}/workers/{self.id}", json.dumps(content).encode())

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(VdsrError):
                self._beat()

    def leave(self) -> None:
        """Go; leases that are left are nobody's."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(VdsrError):
            self._goal.delete(f"{HOME}/workers/{self.id}")

    def _alive(self, worker: str) -> bool:
        found = self._goal.read(f"{HOME}/workers/{worker}")
        if found is None:
            return False
        content = json.loads(found)
        if content["host"] == host() and content["started"]:
            return bool(started(content["pid"]) == content["started"])
        # Clocks of two systems may differ: what counts is whether it is seen to beat.
        now = time.monotonic()
        with self._lock:
            before, since = self._seen.get(worker, (b"", now))
            if before != found:
                self._seen[worker] = (found, now)
                return True
        return now - since < SILENT_SECONDS

    def done(self) -> Iterator[Object]:
        """What is done, in the order of the names."""
        return self._goal.list(f"{HOME}/done")

    def failures(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What failed, in the order of the names: `error`, and whether it is `quarantined`."""
        for one in self._goal.list(f"{HOME}/failed"):
            content = self._goal.read(f"{HOME}/failed/{one.name}")
            if content is not None:  # it was done meanwhile
                yield one.name, dict(json.loads(content))

    def workers(self) -> Iterator[dict[str, Any]]:
        """Drivers that are not known to be dead: `id`, `host`, `pid`, and when they were `seen`."""
        for one in self._goal.list(f"{HOME}/workers"):
            content = self._goal.read(f"{HOME}/workers/{one.name}")
            if content is not None and self._alive(one.name):
                found = json.loads(content)
                seen = one.changed.isoformat()
                yield {"id": one.name, "host": found["host"], "pid": found["pid"], "seen": seen}

    def owners(self) -> Iterator[str]:
        """Drivers that have pictures, dead or alive: one for each picture."""
        for one in self._goal.list(f"{HOME}/leases"):
            content = self._goal.read(f"{HOME}/leases/{one.name}")
            if content is not None:
                yield json.loads(content)["worker"]

    def claim(self, source: Object, output: str) -> Claim:
        """Take a picture, if it is free and not done.

        Raises:
            InputError, OutputError: if the storage fails.
        """
        mine = json.dumps({"worker": self.id}).encode()
        number = 0
        while not self._goal.create(f"{HOME}/leases/{number}/{source.name}", mine):
            lease = self._goal.read(f"{HOME}/leases/{number}/{source.name}")
            if lease is None:  # it was given back meanwhile
                continue
            if lease == mine or self._alive(json.loads(lease)["worker"]):
                return Claim(TAKEN)
            number += 1
        found = self._known(source, output)
        if found is not None:
            self.release(source.name)
            return found
        # A driver that has died may have seen a crash since this one began.
        suspected = number > 0 or source.name in self._suspects
        crashed = self._recorded("crashed", source) if suspected else None
        return Claim(MINE, crashes=0 if crashed is None else crashed["crashes"])

    def _known(self, source: Object, output: str) -> Claim | None:
        """What is to be said of a picture without doing it."""
        marks = self._goal.marks(output)
        ours = (source.name, source.tag, self.job_id)
        if marks is not None and (marks.get(SOURCE), marks.get(TAG), marks.get(JOB, "")) == ours:
            # Whoever made it may have died before it could say so; and a record that is older
            # than its picture or its output is written anew, so as not to be looked into again.
            said = self._recorded("done", source)
            content = said or {"output": output, "output_digest": marks.get(DIGEST)}
            self._record("done", source, content)
            return Claim(DONE)
        failure = self._recorded("failed", source)
        if failure is not None:
            kept = failure["quarantined"] and not self._retry
            if kept or failure["time"] > self._begun:
                return Claim(FAILED, failure["error"], failure["quarantined"])
        if marks is not None and marks.get(SOURCE) != source.name and not self._overwrite:
            error = OutputExists(
                f"{self._goal.at(output)}: it exists already: overwrite=True replaces it"
            )
            self.failed(source, str(error))
            return Claim(FAILED, str(error))
        return None

    def _recorded(self, kind: str, source: Object) -> dict[str, Any] | None:
        """What is recorded of a picture as it is now."""
        found = self._goal.read(f"{HOME}/{kind}/{source.name}")
        content = None if found is None else dict(json.loads(found))
        return content if content is not None and content["tag"] == source.tag else None

    def made(self, source: Object, output: str, outcome: Outcome) -> None:
        """Write down that an output is there, and give the picture back."""
        content = asdict(outcome) | {"output": output}
        self._record("done", source, content)
        for kind in ("failed", "crashed"):
            self._goal.delete(f"{HOME}/{kind}/{source.name}")
        self.release(source.name)

    def failed(self, source: Object, error: str, *, quarantined: bool = False) -> None:
        """Write down why a picture is not done, and give it back."""
        content = {"error": error, "quarantined": quarantined, "time": time.time()}
        self._record("failed", source, content)
        self._goal.delete(f"{HOME}/crashed/{source.name}")
        self.release(source.name)

    def crashed(self, source: Object, crashes: int) -> None:
        """Write down that actors have died with a picture, should this driver die with the next."""
        self._record("crashed", source, {"crashes": crashes})

    def _record(self, kind: str, source: Object, content: dict[str, Any]) -> None:
        content = content | {"tag": source.tag, "worker": self.id}
        self._goal.write(f"{HOME}/{kind}/{source.name}", json.dumps(content).encode())

    def release(self, name: str) -> None:
        """Give a picture back."""
        number = 0
        while self._goal.read(f"{HOME}/leases/{number}/{name}") is not None:
            self._goal.delete(f"{HOME}/leases/{number}/{name}")
            number += 1
