"""Actors at work, each with several pictures at once that share its cores; see `simulation.py`."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simulation_fleet import Fleet

# What a picture is: nobody's; a driver's; done; given up; a driver's that has died.
FREE, LEASED, DONE, QUARANTINED, ORPHANED = range(5)
# What may happen: a picture is finished; a driver takes notice; an actor has opened the model;
# a process dies; a driver knows of a death; a machine is lost, and there again; a driver dies,
# and is started again; what is done is counted.
FINISH, TURN, OPEN, CRASH, NOTICE, LOSS, BACK, DEATH, RETURN, SAMPLE = range(10)
# Of values drawn before the run.
TABLE = 4096
# Pictures that an actor is given beyond those in work.
_AHEAD = 1.5


@dataclass
class Driver:
    """A driver, and what it holds."""

    number: int
    first: int
    last: int
    actors: range
    feed: Iterator[int] | None = None
    alive: bool = True
    exhausted: bool = False
    claimed: deque[int] = field(default_factory=deque)
    claiming: list[tuple[float, int, int]] = field(default_factory=list)
    pool: list[float] = field(default_factory=list)
    single: deque[int] = field(default_factory=deque)
    taken: deque[int] = field(default_factory=deque)
    forgotten: bool = False
    crashes: dict[int, int] = field(default_factory=dict)
    inbox: list[tuple[int, int]] = field(default_factory=list)
    open_seats: list[int] = field(default_factory=list)
    room: int = 0
    held: int = 0
    idle_seats: int = 0
    seats: int = 0
    coming: int = 0
    pages: int = 0
    recruited: float = -1.0
    looked: float = -math.inf
    turned: float = 0.0
    ended: float | None = None
    drained: float | None = None
    busy_when_drained: float = 0.0


class Workers:
    """The actors of all drivers, and the work that they do.

    Args:
        fleet: what is simulated.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        rng = self._rng = np.random.default_rng(fleet.seed)
        self.state = bytearray(fleet.pictures)
        self._work: list[float] = rng.choice(np.asarray(fleet.core_seconds, float), TABLE).tolist()
        poison = rng.choice(fleet.pictures, round(fleet.poison * fleet.pictures), replace=False)
        self._poison = {int(i) for i in poison}
        self._room = fleet.per_core * fleet.actor_cpus
        self._most = int(_AHEAD * self._room)
        count, machines = fleet.actors, math.ceil(fleet.actors / fleet.machine_actors)
        speeds = np.exp(rng.normal(0.0, fleet.spread, machines))
        speeds[rng.random(machines) < fleet.slow] /= fleet.slow_factor
        self._speed = [float(speeds[i // fleet.machine_actors]) for i in range(count)]
        self._is_open, self._is_alone = [False] * count, [False] * count
        self._is_coming, self._listed = [False] * count, [False] * count
        self._in_work: list[list[tuple[float, int]]] = [[] for _ in range(count)]
        self._backlog: list[deque[int]] = [deque() for _ in range(count)]
        self._progress, self._since = [0.0] * count, [0.0] * count
        self._next = [math.inf] * count
        self._busy, self._generation = [0.0] * count, [0] * count
        self._useful = 0.0
        self.counts = dict.fromkeys(
            ("done", "quarantined", "again", "crashes", "losses", "deaths", "claims", "begun"), 0
        )
        self._events: list[tuple[float, int, int, int, Any]] = []
        self._serial = 0
        self.now = self._last = 0.0
        self._driver_of: list[Driver] = []

    def _push(self, at: float, kind: int, a: int = 0, what: Any = None) -> None:  # noqa: ANN401
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, kind, a, what))

    def _cores(self, a: int) -> float:
        """Cores that are at work; what is done by itself has all of them."""
        n = len(self._in_work[a])
        return self.fleet.actor_cpus if self._is_alone[a] and n else min(n, self.fleet.actor_cpus)

    def _update(self, a: int) -> None:
        """Bring up to now what has been done of each picture in work."""
        n = len(self._in_work[a])
        passed = self.now - self._since[a]
        if n and passed:
            cores = self._cores(a)
            self._busy[a] += passed * cores
            self._progress[a] += passed * cores * self._speed[a] / n
        self._since[a] = self.now

    def _plan(self, a: int) -> None:
        """Plan when the next picture is finished."""
        work = self._in_work[a]
        if not work:
            self._next[a] = math.inf
            return
        rate = self._cores(a) * self._speed[a] / len(work)
        at = self.now + max(1e-6, (work[0][0] - self._progress[a]) / rate)
        self._next[a] = at
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, FINISH, a, None))

    def _work_of(self, picture: int) -> float:
        return self._work[picture * 2654435761 % 4294967296 % TABLE]

    def _finish(self, a: int) -> None:
        self._update(a)
        work, reached = self._in_work[a], self._progress[a] + 1e-6
        inbox, counts = self._driver_of[a].inbox, self.counts
        while work and work[0][0] <= reached:
            if work[0][1] in self._poison:
                self._crash(a)
                return
            picture = heapq.heappop(work)[1]
            self._useful += self._work_of(picture) / self._speed[a]
            counts["again"] += self.state[picture] == DONE
            counts["done"] += self.state[picture] != DONE
            self.state[picture] = DONE
            self._last = self.now
            inbox.append((a, picture))
        self._plan(a)

    def _send(self, a: int) -> None:
        """Let an actor begin what it has been given, as far as it has room."""
        backlog, work = self._backlog[a], self._in_work[a]
        if not backlog or len(work) >= self._room:
            return
        self._update(a)
        progress = self._progress[a]
        while backlog and len(work) < self._room:
            picture = backlog.popleft()
            amount = self._work_of(picture)
            if self._poison and picture in self._poison:
                amount /= 2
            self.counts["begun"] += 1
            heapq.heappush(work, (progress + amount, picture))
        # More pictures in work only delay what is planned, unless one of them comes first.
        rate = self._cores(a) * self._speed[a] / len(work)
        if self.now + (work[0][0] - progress) / rate < self._next[a]:
            self._plan(a)

    def _held(self, a: int) -> int:
        return len(self._in_work[a]) + len(self._backlog[a])

    def _crash(self, a: int) -> None:
        raise NotImplementedError
