"""The pictures that this run is working on, from claim to record, and their process."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from vdsr.errors import BackendError, OutputError
from vdsr.imaging.files.formats import FORMATS
from vdsr.inference.memory import format_size
from vdsr.jobs.child import Answer, Child
from vdsr.jobs.leases import Lease, Worker
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.opening import Resolved, resolved_options, settle
from vdsr.jobs.picture import DISK_FULL, DONE, TOO_LARGE, UNCHANGED, Outcome, Task, is_full
from vdsr.jobs.placing import check_place, place
from vdsr.jobs.progress import Tally
from vdsr.jobs.settings import BESIDE, JobSettings

# Pictures that are claimed beyond those in progress, so that no thread waits for the manifest.
_AHEAD = 1.5
_PATIENCE = 0.1
# A process that dies so often in a row before any picture has begun is of no use.
_DEATHS = 3
# Pixels from which others are asked to help with a picture, where its strips are kept.
HELPED_PIXELS = 10_000_000


class Hand(Protocol):
    """What does pictures, elsewhere: a process of this machine, or an actor of a cluster.

    Attributes:
        answers: what it said, in order, see `vdsr.jobs.process`; None when it has ended.
        blameless: whether it ended for a reason that no picture can have.
    """

    answers: queue.SimpleQueue[Answer | None]
    blameless: bool

    def opened(self) -> Answer:
        """What it has opened; waits for it."""

    def do(self, task: Task) -> None:
        """Have a picture done."""

    def pause(self, *, stop: bool) -> None:
        """Stop it where it is, or let it go on."""

    def death(self) -> str:
        """How it ended, in words."""

    def end(self) -> None:
        """End it, whatever it is doing."""


@dataclass
class _Held:
    """A picture that is claimed: what was asked for, and whether its work has begun."""

    lease: Lease
    task: Task
    replaces: bool
    begun: bool = False
    pixels: int = 0  # of its result, as soon as that is known


@dataclass
class Step:
    """What one look at the manifest gave: what is to be placed, and what is to be begun."""

    finished: list[tuple[_Held, Outcome]]
    claimed: list[Lease]


class Crew:
    """Claims pictures, has them done, puts them in their place and writes down what was done.

    Args:
        manifest: of the job.
        worker: this process.
        output: the folder of the outputs.
        work: where unfinished files are.
        settings: what is done with each picture.
        tally: counts.
        overwrite, threads, max_memory, resume: see `RunOptions`.
        start: starts what does the pictures, told what to open.

    Attributes:
        worker: as given.
        stopped: why nothing more is begun; None while there is no reason.
    """

    def __init__(
        self,
        manifest: Manifest,
        worker: Worker,
        output: Path,
        work: Path,
        settings: JobSettings,
        tally: Tally,
        *,
        overwrite: bool,
        threads: int | None,
        max_memory: int | None,
        resume: bool | None,
        start: Callable[[dict[str, Any]], Hand] = Child,
    ) -> None:
        self.worker = worker
        self.stopped: str | None = None
        self._manifest = manifest
        self._output = output
        self._work = work
        self._settings = settings
        self._tally = tally
        self._overwrite = overwrite
        self._threads = threads
        self._max_memory = max_memory
        self._resume = resume
        self._start = start
        self._child: Hand | None = None
        self._resolved: Resolved | None = None
        self._held: dict[int, _Held] = {}
        self._large: list[_Held] = []
        self._ended: list[Outcome] = []
        self._placed: list[int] = []
        self._lost: list[tuple[int, str]] = []
        self._deaths = 0

    @property
    def is_open(self) -> bool:
        """Whether what does the pictures is there."""
        return self._child is not None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress, and nothing is left to be written down."""
        return not (self._held or self._large or self._ended or self._placed or self._lost)

    @property
    def giants(self) -> list[Task]:
        """Pictures in work that are large enough for others to help with."""
        least = 0 if self._resume else HELPED_PIXELS
        return [held.task for held in self._held.values() if held.pixels > least]

    def step(self, scan: int) -> None:
        """Take notice of what was done, write it down, and claim more.

        Raises:
            UsageError: if the model, backend or precision is not available.
            OutputError: if the manifest cannot be written.
        """
        self.listen(_PATIENCE)
        with self._manifest.transaction():
            step = self.exchange(scan)
        self.proceed(step)

    def listen(self, patience: float) -> None:
        """Take the answers that are there; wait so many seconds for the first if there is cause."""
        patience = patience if self._held and not (self._placed or self._lost) else 0.0
        while self._child is not None:
            try:
                answer = self._child.answers.get(timeout=patience)
            except queue.Empty:
                return
            patience = 0.0
            if answer is None:
                self._bury()
                return
            self._hear(answer)

    def exchange(self, scan: int | None) -> Step:
        """Write down what was done, and claim more; within a transaction of the manifest.

        Args:
            scan: see `Worker.claim`; None claims nothing.
        """
        return Step(self._record(), [] if scan is None else self._claim(scan))

    def proceed(self, step: Step) -> None:
        """Put what was done in its place, and begin what was claimed."""
        self._place(step.finished)
        for lease in step.claimed:
            self._begin(lease)
        if not self._held and self._large and not self._ended:
            self._begin_large()

    def pause(self, stop: bool) -> None:
        """Stop the process that enlarges, or let it go on."""
        if self._child is not None:
            self._child.pause(stop=stop)

    def end(self) -> None:
        """End the process that enlarges, whatever it is doing."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _hear(self, answer: Answer) -> None:
        if "begun" in answer:
            held = self._held[answer["begun"]]
            held.begun = True
            self._tally.begun(held.lease.id)
        elif "progress" in answer:
            id, done, pixels = answer["progress"]
            self._tally.progress(id, done, pixels)
            if id in self._held:
                self._held[id].pixels = pixels
        elif "ended" in answer:
            self._deaths = 0
            outcome = Outcome(**answer["ended"])
            if outcome.state == TOO_LARGE:
                self._large.append(self._held.pop(outcome.id))
            else:
                self._ended.append(outcome)

    def _bury(self) -> None:
        """The process has died: what it was working on is under suspicion."""
        assert self._child is not None
        death, blameless = self._child.death(), self._child.blameless
        self.end()
        done = {outcome.id for outcome in self._ended}
        lost = [held for id, held in self._held.items() if id not in done]
        begun = [held.lease.id for held in lost if held.begun and not blameless]
        self._deaths += 1
        with self._manifest.transaction():
            self.worker.release(held.lease.id for held in lost if held.lease.id not in begun)
            quarantined = self.worker.suspect(begun, death)
            self.worker.release(held.lease.id for held in self._large)
        self._tally.failed += len(quarantined)
        for held in (*lost, *self._large):
            self._tally.ended(held.lease.id, None)
            self._held.pop(held.lease.id, None)
        self._large = []
        for path in self._work.iterdir():
            if path.name.partition(".")[0] not in {str(id) for id in done}:
                path.unlink(missing_ok=True)
        if not begun and self._deaths >= _DEATHS:
            raise BackendError(f"the process that enlarges {death}, {_DEATHS} times in a row")

    def _record(self) -> list[tuple[_Held, Outcome]]:
        """Write down what was done; returns what is to be put in its place."""
        for id in self._placed:
            self.worker.done(id)
        for id, error in self._lost:
            self.worker.failed(id, error)
        finished = []
        for outcome in self._ended:
            held = self._held.pop(outcome.id)
            made = outcome.state == DONE
            pixels = (outcome.width or 0) * (outcome.height or 0)
            self._tally.ended(outcome.id, pixels if made else None)
            if made:
                if self.worker.finishing(outcome, Path(held.task.made), held.task.beside):
                    finished.append((held, outcome))
            elif outcome.state == UNCHANGED:
                self.worker.unchanged(outcome)
            elif outcome.state == DISK_FULL:
                self.worker.release([outcome.id])
                self.stop_for_disk()
            else:
                self.worker.failed(outcome.id, outcome.error or "")
                self._tally.failed += 1
        self._placed, self._lost, self._ended = [], [], []
        return finished

    def _claim(self, scan: int) -> list[Lease]:
        if self.stopped is not None:
            return []
        if any(held.lease.alone or held.task.memory is None for held in self._held.values()):
            return []
        workers = 8 if self._resolved is None else self._resolved.workers
        room = int(_AHEAD * workers) - len(self._held)
        claimed = self.worker.claim(room, scan) if room > 0 else []
        if not claimed and not self._held and not self._large:
            claimed = self.worker.claim_suspect(scan)
        return claimed

    def _place(self, finished: list[tuple[_Held, Outcome]]) -> None:
        for held, outcome in finished:
            goal = self._output / held.lease.output
            try:
                overwrite = self._overwrite or held.replaces
                for draft, other in held.task.beside.items():
                    place(Path(draft), Path(other), overwrite=True)
                place(Path(held.task.made), goal, overwrite=overwrite)
            except OutputError as error:
                if is_full(error):
                    self.stop_for_disk()
                    with self._manifest.transaction():
                        self.worker.release([outcome.id])
                    continue
                self._lose(held.lease, error)
            else:
                self._placed.append(outcome.id)
                self._tally.done += 1

    def _lose(self, lease: Lease, error: OutputError) -> None:
        text = str(error).removeprefix(f"{lease.source}: ")
        self._lost.append((lease.id, text))
        self._tally.failed += 1

    def _begin(self, lease: Lease) -> None:
        try:
            goals = self._settings.beside(lease.output)
            ours = check_place(self._output, lease, goals.values(), overwrite=self._overwrite)
        except OutputError as error:
            return self._lose(lease, error)
        child, resolved = self._open()
        format = self._settings.pattern.format(lease.source)
        # The suffix of the goal may be any.
        made = self._work / f"{lease.id}{FORMATS[format].suffixes[0]}"
        drafts = {name: str(self._work / f"{lease.id}{BESIDE[name]}") for name in goals}
        task = Task(
            id=lease.id,
            source=lease.source,
            made=str(made),
            goal=str(self._output / lease.output),
            options=self._settings.options(format) | drafts | {"resume": self._resume},
            beside={drafts[name]: str(goal) for name, goal in goals.items()},
            preview=self._settings.preview,
            memory=resolved.share,
            known=lease.digest if ours else None,
        )
        self._held[lease.id] = _Held(lease, task, replaces=ours)
        self._tally.claimed(lease.id, lease.source, lease.size)
        child.do(task)
        return None

    def _begin_large(self) -> None:
        """Do a picture that needs more than its share with all the memory, by itself."""
        held = self._large.pop(0)
        child, _ = self._open()
        held.task = replace(held.task, memory=None)
        held.begun = False
        self._held[held.lease.id] = held
        child.do(held.task)

    def open(self) -> None:
        """Start what does the pictures, if it is not there; waits until it has opened the model.

        Raises:
            UsageError: if the model, backend or precision is not available.
        """
        self._open()

    def _open(self) -> tuple[Hand, Resolved]:
        if self._child is None:
            order = resolved_options(self._manifest, self._settings, self._max_memory)
            self._child = self._start({**order, "threads": self._threads})
            opened = self._child.opened()
            self._resolved = settle(self._manifest, opened, max_memory=self._max_memory)
        assert self._resolved is not None
        return self._child, self._resolved

    def stop_for_disk(self) -> None:
        """Begin nothing more: the disk is full."""
        if self.stopped is None:
            self.stopped = disk_full(self._manifest, self._output)


def disk_full(manifest: Manifest, output: Path) -> str:
    """What to say when the disk is full: how much is needed, and how to go on."""
    left = manifest.one(
        "SELECT count(*) AS count, coalesce(sum(max(size, 0)), 0) AS size FROM pictures"
        " WHERE state IN ('waiting', 'working', 'finishing')"
    )
    made = manifest.one(
        "SELECT coalesce(sum(size), 0) AS size, coalesce(sum(output_size), 0) AS output_size"
        " FROM pictures WHERE state = 'done' AND size > 0"
    )
    needed = ""
    if made["size"]:
        more = left["size"] * made["output_size"] / made["size"]
        needed = f" about {format_size(more)} more is needed,"
    free = shutil.disk_usage(output).free
    return (
        f"{output}: the disk is full: {left['count']} pictures are left;{needed}"
        f" {format_size(free)} is free: free some space, and run the same command again"
    )
