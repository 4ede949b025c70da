"""A folder job on a cluster: a crew for each actor, all of them fed from one manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from vdsr.cluster.connection import connected
from vdsr.cluster.hands import ActorHand, Actors
from vdsr.cluster.options import ClusterOptions
from vdsr.errors import ClusterError
from vdsr.jobs.crew import Crew
from vdsr.jobs.leases import Worker
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.opening import resolved_options
from vdsr.jobs.picture import Task
from vdsr.jobs.progress import Tally
from vdsr.jobs.runner import JobReport, RunOptions, Show, run_job
from vdsr.jobs.settings import JobSettings

_PATIENCE = 0.05
# Seconds between two looks at whether the cluster has grown, or pictures are left.
_LOOK = 1.0
# Actors that die so often in a row before they have opened the model are of no use.
_DEATHS = 3


def run_on_cluster(
    inputs: Sequence[str | os.PathLike[str]],
    output: Path,
    settings: JobSettings,
    options: RunOptions,
    cluster: ClusterOptions,
    show: Show = lambda _: None,
) -> JobReport:
    """Enlarge many pictures into a folder on a cluster, or go on with it; see `run_job`.

    The manifest and the files are those of a job of one machine: it may be begun here and
    gone on with there. Inputs and the folder have the same paths on all machines.

    Args:
        inputs, output, settings, options, show: see `run_job`; `threads` and `max_memory` are
            those of each actor.
        cluster: which one.

    Raises:
        MissingExtra: if Ray is not installed.
        ClusterError: if the cluster cannot be reached, or used.
        VdsrError: see `run_job`.
    """
    with connected(cluster) as ray:
        actors = Actors(ray, cluster, options.threads)
        return run_job(inputs, output, settings, options, show, partial(ActorCrews, actors))


class ActorCrews:
    """Crews, as many as the cluster has room for actors; see `vdsr.jobs.runner.Crews`.

    Args:
        actors: of the cluster.
        manifest, worker, output, work, settings, tally: see `Crew`.
        overwrite, threads, max_memory, resume: see `Crew`.

    Attributes:
        worker: as given.
    """

    def __init__(
        self,
        actors: Actors,
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
    ) -> None:
        self.worker = worker
        self.stopped: str | None = None
        self._actors = actors
        self._manifest = manifest
        self._order = partial(resolved_options, manifest, settings, max_memory)
        self._new: Callable[[Path, ActorHand], Crew] = lambda folder, hand: Crew(
            manifest,
            worker,
            output,
            folder,
            settings,
            tally,
            overwrite=overwrite,
            threads=threads,
            max_memory=max_memory,
            resume=resume,
            start=lambda _: hand,
        )
        self._work = work
        self._count = 0
        self._crews: dict[Crew, ActorHand] = {}
        self._coming: list[ActorHand] = []
        self._deaths = 0
        self._left = False
        self._looked = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in work, and nothing is left to be written down."""
        return all(crew.is_idle for crew in self._crews) and not (self._left and self._coming)

    def step(self, scan: int) -> None:
        """Take notice of what was done, write it down, and claim more.

        Raises:
            UsageError: if the model, backend or precision cannot be had.
            ClusterError: if actors die before they begin.
            OutputError: if the manifest cannot be written.
        """
        self._recruit(scan)
        self._actors.wait(_PATIENCE)
        self._welcome()
        for crew in self._crews:
            crew.listen(0.0)
        with self._manifest.transaction():
            steps = [crew.exchange(scan if self._has_hands(crew) else None) for crew in self._crews]
        for crew, step in zip(self._crews, steps, strict=True):
            crew.proceed(step)
            self.stopped = self.stopped or crew.stopped
        # A crew whose actor has died goes when it has written down what was done before.
        self._crews = {
            crew: hand for crew, hand in self._crews.items() if crew.is_open or not crew.is_idle
        }
        self._lend()

    def _has_hands(self, crew: Crew) -> bool:
        return crew.is_open and self.stopped is None and not self._crews[crew].is_helping

    @property
    def _giants(self) -> list[Task]:
        return [task for crew in self._crews for task in crew.giants]

    def _lend(self) -> None:
        """Have actors that find nothing to do help with giant pictures."""
        giants = self._giants
        for crew, hand in self._crews.items():
            if crew.is_open and crew.is_idle:
                hand.help(giants)

    def _recruit(self, scan: int) -> None:
        """Start actors while there are pictures that wait and room in the cluster."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        capacity = self._actors.capacity()
        settled = self._manifest.value("memory") is not None
        found = self._manifest.one(
            "SELECT count(*) AS count FROM (SELECT 1 FROM pictures"
            " WHERE state = 'waiting' AND scan >= ? LIMIT ?)",
            scan,
            max(1, capacity),
        )
        waiting = capacity if self._giants else found["count"]
        self._left = bool(waiting) and self.stopped is None
        # The first one says what `auto` stands for: the others open the same.
        wanted = min(capacity, len(self._crews) + waiting) if settled else 1
        if not self._left:
            return
        while len(self._crews) + len(self._coming) < wanted:
            order = self._order() | {"threads": self._actors.threads}
            self._coming.append(self._actors.start(order))
        for surplus in self._coming[max(0, capacity - len(self._crews)) :]:
            self._coming.remove(surplus)
            surplus.end()

    def _welcome(self) -> None:
        """Let those that have opened the model begin."""
        for hand in list(self._coming):
            if not (hand.is_open or hand.is_dead):
                continue
            self._coming.remove(hand)
            if hand.is_dead:
                self._deaths += not hand.blameless
                self._looked = 0.0
                if self._deaths >= _DEATHS:
                    raise ClusterError(
                        f"{_DEATHS} actors in a row died before they began: the logs of Ray"
                        " say why (/tmp/ray/session_latest/logs)"
                    )
                continue
            self._deaths = 0
            self._count += 1
            folder = self._work / str(self._count)
            folder.mkdir()
            crew = self._new(folder, hand)
            crew.open()
            self._crews[crew] = hand

    def stop_for_disk(self) -> None:
        """Begin nothing more: the disk is full."""
        for crew in self._crews:
            crew.stop_for_disk()
            self.stopped = self.stopped or crew.stopped

    def pause(self, stop: bool) -> None:
        """What is in work comes to its end; nothing new is begun while this process stands."""

    def end(self) -> None:
        """End all actors, whatever is in work."""
        for crew in self._crews:
            crew.end()
        for hand in self._coming:
            hand.end()
        self._crews, self._coming = {}, []
