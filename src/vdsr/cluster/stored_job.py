"""A job from storage to storage: listings read as they come, pictures claimed, done, recorded."""

from __future__ import annotations

import posixpath
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vdsr.cluster.connection import connected
from vdsr.cluster.hands import Actors
from vdsr.cluster.options import ClusterOptions
from vdsr.cluster.storage import Object, Storage
from vdsr.cluster.stored import joined
from vdsr.cluster.stored_seats import Picture, Seats
from vdsr.cluster.stored_state import DONE, FAILED, MINE, TAKEN, Claim, StoredState
from vdsr.errors import UsageError
from vdsr.imaging.files.formats import SUFFIXES
from vdsr.jobs.balance import Balance
from vdsr.jobs.discovery import OTHER_SUFFIXES, Selection
from vdsr.jobs.leases import QUARANTINED
from vdsr.jobs.picture import DISK_FULL, Outcome, Task
from vdsr.jobs.picture import DONE as MADE
from vdsr.jobs.progress import OTHERS, WORKING, Tally
from vdsr.jobs.runner import JobReport, RunOptions, Show
from vdsr.jobs.settings import JobSettings

# Requests to the storage at once.
_REQUESTS = 16
_PATIENCE = 0.05
# Seconds between two looks at what other drivers have.
_LOOK = 2.0
_LONGEST = 255


@dataclass
class _Counts:
    found: int = 0
    done: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    quarantined: int = 0


def run_stored(
    source: str,
    goal: str,
    settings: JobSettings,
    options: RunOptions,
    cluster: ClusterOptions,
    show: Show = lambda _: None,
) -> tuple[JobReport, list[tuple[str, str]]]:
    """Enlarge all pictures at an address into another one, on a cluster; or go on with it.

    Outputs are there whole or not at all, and the state of the job is beside them (see
    `vdsr.cluster.stored_state`): it may be killed at any moment, and several drivers may
    work at once. Nothing is held for a picture that is not in work.

    Args:
        source, goal: addresses, see `Storage`.
        settings: what is done with each picture.
        options: how the job is run; `watch` and `redo` are not for addresses.
        cluster: which one.
        show: called several times a second.

    Returns:
        What was done, and the failures: addresses, and why.

    Raises:
        UsageError: for settings that differ from those the job was begun with, or are not
            for addresses; for a model, backend or precision that cannot be had.
        InputError: if nothing can be listed.
        OutputError: if nothing can be written.
        ClusterError: if the cluster cannot be reached, or used.
    """
    _check(settings, options)
    there, back = Storage(source), Storage(goal)
    if there.address == back.address:
        raise UsageError(f"{source}: it is the address of the outputs, too: name another")
    state = StoredState(back, overwrite=options.overwrite, retry=options.retry_failed)
    with connected(cluster) as ray:
        actors = Actors(ray, cluster, options.threads)
        state.begin(settings)
        try:
            return _Run(there, back, state, settings, options, actors, show).run()
        finally:
            state.leave()


def _check(settings: JobSettings, options: RunOptions) -> None:
    for asked, name in (
        (options.watch, "watch"),
        (options.redo, "redo"),
        (settings.residual, "residual"),
        (settings.compare, "report"),
        (settings.preview, "preview"),
    ):
        if asked:
            raise UsageError(f"{name} is for folders, and not for addresses of storage")


class _Run:
    """One run of a job; see `run_stored`."""

    def __init__(
        self,
        source: Storage,
        goal: Storage,
        state: StoredState,
        settings: JobSettings,
        options: RunOptions,
        actors: Actors,
        show: Show,
    ) -> None:
        self._source, self._goal, self._state = source, goal, state
        self._settings, self._options = settings, options
        self._show = show
        self._pattern = settings.pattern
        self._tally = Tally()
        self._counts = _Counts()
        self._seats = Seats(actors, state, settings, options, self._tally)
        self._waiting: dict[Future[Any], Callable[[Any], None]] = {}
        self._claiming = 0
        self._claimed: deque[Picture] = deque()
        self._taken: dict[str, Object] = {}
        self._numbers = 0
        self._stopped: str | None = None

    def run(self) -> tuple[JobReport, list[tuple[str, str]]]:
        feed = self._candidates()
        looked = 0.0
        exhausted = False
        with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="vdsr-storage") as pool:
            try:
                while True:
                    while not exhausted and self._has_room:
                        candidate = next(feed, None)
                        if candidate is None or self._stopped:
                            exhausted = True
                            break
                        self._claim(pool, candidate)
                    if not self._busy:
                        if not self._taken or self._stopped:
                            break
                        if time.monotonic() - looked >= _LOOK:
                            looked = time.monotonic()
                            for one in list(self._taken.values())[: 4 * _REQUESTS]:
                                del self._taken[one.name]
                                self._claim(pool, one)
                    self._turn(pool)
            finally:
                self._seats.end()
                pool.shutdown(cancel_futures=True)
        return self._report(), sorted(self._counts.failures)

    @property
    def _has_room(self) -> bool:
        return self._claiming + len(self._claimed) < max(_REQUESTS, self._seats.room)

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._claimed or self._seats.busy)

    def _candidates(self) -> Iterator[Object]:
        """Pictures that are not known to be done: two listings, in the same order, as one."""
        done = self._state.done()
        record = next(done, None)
        outputs = self._goal.address.removeprefix(f"{self._source.address}/")
        inside = outputs != self._goal.address
        for one in self._source.list():
            if inside and one.name.startswith(f"{outputs}/"):
                continue
            self._counts.found += 1
            skipped = _skipped(one.name, self._options.selection)
            if skipped is not None:
                self._counts.skipped[skipped] = self._counts.skipped.get(skipped, 0) + 1
                continue
            key = _key(one.name)
            while record is not None and _key(record.name) < key:
                record = next(done, None)
            if record is not None and record.name == one.name and record.changed >= one.changed:
                self._counts.done += 1
                continue
            yield one

    def _claim(self, pool: ThreadPoolExecutor, one: Object) -> None:
        output = self._output(one.name)
        self._claiming += 1

        def take(claim: Claim) -> None:
            self._claiming -= 1
            if claim.verdict == MINE:
                self._numbers += 1
                format = self._pattern.format(one.name)
                task = Task(
                    id=self._numbers,
                    source=joined(self._source, one.name),
                    made=format,
                    goal=joined(self._goal, output),
                    options=self._settings.options(format) | {"resume": False},
                    beside={},
                    preview=False,
                    memory=None,
                    known=None,
                )
                self._claimed.append(Picture(one, output, task))
            elif claim.verdict == DONE:
                self._counts.done += 1
            elif claim.verdict == TAKEN:
                self._taken[one.name] = one
            else:
                assert claim.verdict == FAILED
                self._fail(one, claim.error, quarantined=claim.quarantined)

        self._waiting[pool.submit(self._state.claim, one, output)] = take

    def _output(self, name: str) -> str:
        """The name of the output; told from its likes where the suffix changes."""
        plain = self._pattern.name(name, name, 0, _LONGEST)
        same = posixpath.splitext(plain)[1] == posixpath.splitext(name)[1]
        return plain if same else self._pattern.name(name, name, 1, _LONGEST)

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        """Let time pass until something has come, and take it."""
        if self._waiting:
            patience = 0.0 if self._seats.busy else _PATIENCE
            ready, _ = wait(list(self._waiting), patience, return_when=FIRST_COMPLETED)
            for future in ready:
                self._waiting.pop(future)(future.result())
        elif not self._seats.busy:
            time.sleep(_PATIENCE)
        ended, lost = self._seats.turn(self._claimed, _PATIENCE)
        for picture, outcome in ended:
            self._end(pool, picture, outcome)
        for picture, death in lost:
            error = QUARANTINED.format(death=death)
            self._write(pool, partial(self._state.failed, picture.source, error, quarantined=True))
            self._fail(picture.source, error, quarantined=True)
        phase = OTHERS if self._taken and not self._busy else WORKING
        self._show(self._tally.progress_of(phase, len(self._claimed) + len(self._taken), 0))

    def _end(self, pool: ThreadPoolExecutor, picture: Picture, outcome: Outcome) -> None:
        one = picture.source
        pixels = (outcome.width or 0) * (outcome.height or 0)
        self._tally.ended(picture.task.id, pixels if outcome.state == MADE else None)
        if outcome.state == MADE:
            self._tally.done += 1
            self._counts.done += 1
            self._write(pool, partial(self._state.made, one, picture.output, outcome))
        elif outcome.state == DISK_FULL:
            self._stopped = f"the disk of an actor is full: {outcome.error}"
            self._write(pool, partial(self._state.release, one.name))
        else:
            error = outcome.error or ""
            self._write(pool, partial(self._state.failed, one, error))
            self._fail(one, error, quarantined=False)

    def _write(self, pool: ThreadPoolExecutor, write: Callable[[], None]) -> None:
        self._waiting[pool.submit(write)] = lambda _: None

    def _fail(self, one: Object, error: str, *, quarantined: bool) -> None:
        self._counts.failures.append((self._source.at(one.name), error))
        self._counts.quarantined += quarantined
        self._tally.failed += 1

    def _report(self) -> JobReport:
        counts = self._counts
        progress = self._tally.progress_of(WORKING, 0, 0)
        failed, skipped = len(counts.failures), sum(counts.skipped.values())
        return JobReport(
            scan=0,
            made=self._tally.done,
            failed=failed,
            megapixels=progress.pixels / 1e6,
            seconds=progress.seconds,
            stopped=self._stopped,
            balance=Balance(
                inputs=counts.found,
                done=counts.done,
                failed=failed,
                quarantined=counts.quarantined,
                skipped=counts.skipped,
                left=counts.found - counts.done - failed - skipped,
                faults=(),
            ),
        )


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _skipped(name: str, selection: Selection) -> str | None:
    """Why an object is not worked on; None for a picture, which it is by its suffix alone."""
    parts = name.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    folders = ("/".join(parts[:i]) for i in range(1, len(parts)))
    if not selection.takes(name) or any(map(selection.leaves_out, folders)):
        return "excluded"
    suffix = posixpath.splitext(name)[1].lower()
    return None if suffix in SUFFIXES or suffix in OTHER_SUFFIXES else "no picture"
