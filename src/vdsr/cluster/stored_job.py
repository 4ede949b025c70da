"""A job from storage to storage: listings read as they come, pictures claimed, done, recorded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vdsr.cluster.connection import connected
from vdsr.cluster.folder_storage import place_at
from vdsr.cluster.hands import Actors
from vdsr.cluster.options import ClusterOptions
from vdsr.cluster.storage import Object
from vdsr.cluster.stored import joined
from vdsr.cluster.stored_listing import Listing, check_places
from vdsr.cluster.stored_seats import Picture, Seats
from vdsr.cluster.stored_state import DONE, FAILED, MINE, TAKEN, Claim, StoredState
from vdsr.jobs.balance import Balance
from vdsr.jobs.leases import QUARANTINED
from vdsr.jobs.picture import DISK_FULL, Outcome, Task
from vdsr.jobs.picture import DONE as MADE
from vdsr.jobs.progress import OTHERS, WATCHING, WORKING, Tally
from vdsr.jobs.runner import JobReport, RunOptions, Show
from vdsr.jobs.settings import JobSettings

# Requests to the storage at once: each takes a tenth of a second, and a picture nine of them.
_REQUESTS = 64
# Pictures that are claimed, at least, before actors ask for them; others' drivers want some, too.
_AHEAD = 16
_PATIENCE = 0.05
# Seconds between two looks at what other drivers have, or at whether there are new pictures.
_LOOK = 2.0
# Pictures of other drivers that are held, to be looked at again. If there are more, all is listed
# again, which takes so much of the time at most, but no longer apart than so many seconds.
_HELD = 1000
_LISTING_SHARE = 0.1
_LONGEST = 300.0


@dataclass
class _Counts:
    done: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)


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
        options: how the job is run.
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
    there, back = place_at(source), place_at(goal)
    check_places(there, back, settings, options)
    state = StoredState(back, overwrite=options.overwrite, retry=options.retry_failed)
    with connected(cluster) as ray:
        actors = Actors(ray, cluster, options.threads)
        state.begin(settings, there.address, redo=options.redo)
        try:
            listing = Listing(there, back, state, settings, options.selection)
            return _Run(listing, options, actors, show).run()
        finally:
            state.leave()


class _Run:
    """One run of a job; see `run_stored`."""

    def __init__(
        self,
        listing: Listing,
        options: RunOptions,
        actors: Actors,
        show: Show,
    ) -> None:
        self._listing, self._settings = listing, listing.settings
        self._source, self._goal, self._state = listing.source, listing.goal, listing.state
        self._show, self._watch, self._resume = show, options.watch, options.resume
        self._tally = Tally()
        self._counts = _Counts()
        self._seats = Seats(actors, listing.state, listing.settings, options, self._tally)
        self._waiting: dict[Future[Any], Callable[[Any], None]] = {}
        self._claiming = 0
        self._claimed: deque[Picture] = deque()
        # Pictures of other drivers, and whether there were more than are held.
        self._taken: dict[str, Object] = {}
        self._forgotten = False
        self._numbers = 0
        self._stopped: str | None = None

    def run(self) -> tuple[JobReport, list[tuple[str, str]]]:
        with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="vdsr-storage") as pool:
            try:
                while True:
                    listing = self._work_off(pool)
                    if self._stopped or not (self._forgotten or self._watch):
                        break
                    self._wait(listing / _LISTING_SHARE)
                    # What was found to be done, or skipped, is found again.
                    self._listing = self._listing.anew()
                    self._counts.done, self._forgotten = 0, False
            finally:
                self._seats.end()
                pool.shutdown(cancel_futures=True)
        return self._report(), sorted(self._counts.failures.items())

    def _work_off(self, pool: ThreadPoolExecutor) -> float:
        """Do what is listed, and wait for what others do of it, if it is little.

        Returns:
            Seconds that the listing took.
        """
        feed = self._listing.pictures()
        looked = listing = 0.0
        exhausted = False
        while True:
            while not exhausted and self._has_room:
                begun = time.monotonic()
                candidate = next(feed, None)
                listing += time.monotonic() - begun
                if candidate is None or self._stopped:
                    exhausted = True
                    break
                self._claim(pool, candidate)
            if not self._busy:
                if not self._taken or self._stopped or self._forgotten:
                    break
                if time.monotonic() - looked >= _LOOK:
                    looked = time.monotonic()
                    for one in list(self._taken.values())[: 4 * _AHEAD]:
                        del self._taken[one.name]
                        self._claim(pool, one)
            self._turn(pool)
        self._taken.clear()
        return listing

    def _wait(self, seconds: float) -> None:
        """Until all is listed again."""
        end = time.monotonic() + min(max(_LOOK, seconds), _LONGEST)
        while time.monotonic() < end:
            self._tell(OTHERS if self._forgotten else WATCHING)
            time.sleep(_LOOK / 8)

    @property
    def _has_room(self) -> bool:
        return self._claiming + len(self._claimed) < max(_AHEAD, self._seats.room)

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._claimed or self._seats.busy)

    def _claim(self, pool: ThreadPoolExecutor, one: Object) -> None:
        output = self._listing.output(one.name)
        self._claiming += 1

        def take(claim: Claim) -> None:
            self._claiming -= 1
            if claim.verdict == MINE:
                self._numbers += 1
                format = self._settings.pattern.format(one.name)
                task = Task(
                    id=self._numbers,
                    source=joined(self._source, one.name),
                    made=format,
                    goal=joined(self._goal, output),
                    options=self._settings.options(format) | {"resume": self._resume},
                    beside={},
                    preview=False,
                    memory=None,
                    known=None,
                    job=self._state.job_id,
                )
                self._claimed.append(Picture(one, output, task, claim.crashes))
            elif claim.verdict == DONE:
                self._counts.done += 1
            elif claim.verdict == TAKEN:
                if len(self._taken) < _HELD:
                    self._taken[one.name] = one
                else:
                    self._forgotten = True
            else:
                assert claim.verdict == FAILED
                self._fail(one, claim.error, quarantined=claim.quarantined)

        self._waiting[pool.submit(self._state.claim, one, output)] = take

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
        self._tell(OTHERS if self._taken and not self._busy else WORKING)

    def _tell(self, phase: str) -> None:
        self._show(self._tally.progress_of(phase, len(self._claimed) + len(self._taken), 0))

    def _end(self, pool: ThreadPoolExecutor, picture: Picture, outcome: Outcome) -> None:
        one = picture.source
        pixels = (outcome.width or 0) * (outcome.height or 0)
        self._tally.ended(picture.task.id, pixels if outcome.state == MADE else None)
        if outcome.state == MADE:
            self._tally.done += 1
            self._counts.done += 1
            self._redeem(one)
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
        address = self._source.at(one.name)
        self._tally.failed += address not in self._counts.failures
        self._counts.failures[address] = error
        if quarantined:
            self._counts.quarantined.add(address)

    def _redeem(self, one: Object) -> None:
        """It has failed before, and was replaced."""
        address = self._source.at(one.name)
        self._tally.failed -= self._counts.failures.pop(address, None) is not None
        self._counts.quarantined.discard(address)

    def _report(self) -> JobReport:
        counts, listing = self._counts, self._listing
        done = listing.done + counts.done
        progress = self._tally.progress_of(WORKING, 0, 0)
        failed, skipped = len(counts.failures), sum(listing.skipped.values())
        return JobReport(
            scan=0,
            made=self._tally.done,
            failed=failed,
            megapixels=progress.pixels / 1e6,
            seconds=progress.seconds,
            stopped=self._stopped,
            balance=Balance(
                inputs=listing.found,
                done=done,
                failed=failed,
                quarantined=len(counts.quarantined),
                skipped=listing.skipped,
                left=listing.found - done - failed - skipped,
                faults=(),
            ),
        )
