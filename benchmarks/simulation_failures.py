"""What may die, and what becomes of the pictures that it had; see `simulation.py`."""

from __future__ import annotations

import heapq
import math
from typing import Any

from simulation_fleet import Fleet
from simulation_workers import (
    BACK,
    CRASH,
    DEATH,
    FREE,
    LEASED,
    LOSS,
    NOTICE,
    ORPHANED,
    QUARANTINED,
    RETURN,
    TABLE,
    Driver,
    Workers,
)

# Actors that a picture may bring down.
_CRASHES = 2


class Failures(Workers):
    """Actors, machines and drivers that die.

    Args:
        fleet: what is simulated.
    """

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        rng = self._rng
        self._orphaned: dict[int, float] = {}
        self._jitter: list[float] = rng.gamma(4.0, 0.25, TABLE).tolist()
        self._jitters = 0
        machines = math.ceil(fleet.actors / fleet.machine_actors)
        self._up = [True] * machines
        self._up_since = [0.0] * machines
        self._paid = self._starting = 0.0
        parts = [round(i * fleet.pictures / fleet.drivers) for i in range(fleet.drivers + 1)]
        seats = [
            round(i * machines / fleet.drivers) * fleet.machine_actors
            for i in range(fleet.drivers + 1)
        ]
        self.drivers = [
            Driver(
                i,
                0 if fleet.shared else parts[i],
                fleet.pictures if fleet.shared else parts[i + 1],
                range(seats[i], min(fleet.actors, seats[i + 1])),
            )
            for i in range(fleet.drivers)
        ]
        self._driver_of = [one for one in self.drivers for _ in one.actors]

    def _chance(self, kind: int, per_hour: float) -> None:
        if per_hour > 0:
            self._push(self.now + float(self._rng.exponential(3600 / per_hour)), kind)

    def _delay(self, requests: int) -> float:
        self._jitters = (self._jitters + 1) % TABLE
        return requests * self.fleet.request_seconds * self._jitter[self._jitters]

    def _request(self, driver: Driver, requests: int) -> float:
        """When so many requests, one after the other, are answered."""
        at = max(self.now, driver.pool[0]) + self._delay(requests)
        heapq.heapreplace(driver.pool, at)
        return at

    def _die(self, a: int, *, blameless: bool, notice: float) -> None:
        """An actor dies; its driver will know."""
        driver = self._driver_of[a]
        self._generation[a] += 1
        if self._is_coming[a]:
            self._is_coming[a] = False
            driver.coming -= 1
            return
        if not self._is_open[a]:
            return
        self._update(a)
        begun = [picture for _, picture in self._in_work[a]]
        left = list(self._backlog[a])
        self._close(a)
        self._push(self.now + notice, NOTICE, driver.number, (begun, left, blameless, driver.feed))

    def _close(self, a: int) -> None:
        driver = self._driver_of[a]
        waiting = sum(one == a for one, _ in driver.inbox)
        held = self._held(a) + waiting
        driver.seats -= 1
        driver.room -= 0 if self._is_alone[a] else self._most - held
        driver.idle_seats -= held == 0
        self._in_work[a].clear()
        self._backlog[a].clear()
        self._is_open[a] = self._is_alone[a] = False
        self._next[a] = math.inf
        self._progress[a] = 0.0

    def _notice(self, number: int, what: tuple[list[int], list[int], bool, Any]) -> None:
        driver = self.drivers[number]
        begun, left, blameless, feed = what
        if not driver.alive or driver.feed is not feed:
            return
        driver.held -= len(begun) + len(left)
        driver.recruited = -1.0
        driver.claimed.extendleft(left)
        if blameless:
            driver.claimed.extendleft(begun)
            return
        for picture in begun:
            known = driver.crashes.get(picture, 0)
            driver.crashes[picture] = crashes = known + 1 if len(begun) == 1 else 1
            if crashes >= _CRASHES:
                self.state[picture] = QUARANTINED
                self.counts["quarantined"] += 1
                self._request(driver, 2)
            else:
                driver.single.append(picture)

    def _any_crash(self) -> None:
        self._chance(CRASH, self.fleet.crashes * self.fleet.actors)
        a = int(self._rng.integers(self.fleet.actors))
        if self._is_open[a] and self._in_work[a]:
            self._crash(a)

    def _crash(self, a: int) -> None:
        """A process dies."""
        self.counts["crashes"] += 1
        self._die(a, blameless=False, notice=1.0)

    def _loss(self) -> None:
        self._chance(LOSS, self.fleet.losses * len(self._up))
        machine = int(self._rng.integers(len(self._up)))
        first = machine * self.fleet.machine_actors
        driver = self._driver_of[first]
        if not self._up[machine] or driver.ended is not None:
            return
        self.counts["losses"] += 1
        self._pay(machine)
        self._up[machine] = False
        for a in range(first, min(first + self.fleet.machine_actors, self.fleet.actors)):
            self._die(a, blameless=True, notice=self.fleet.loss_notice)
        self._push(self.now + self.fleet.loss_seconds, BACK, machine)

    def _pay(self, machine: int) -> None:
        first = machine * self.fleet.machine_actors
        actors = min(self.fleet.machine_actors, self.fleet.actors - first)
        passed = self.now - self._up_since[machine]
        self._paid += passed * actors * self.fleet.actor_cpus

    def _back(self, machine: int) -> None:
        self._up_since[machine] = self.now
        self._up[machine] = self._driver_of[machine * self.fleet.machine_actors].ended is None

    def _death(self) -> None:
        self._chance(DEATH, self.fleet.deaths * self.fleet.drivers)
        driver = self.drivers[int(self._rng.integers(len(self.drivers)))]
        if not driver.alive or driver.ended is not None:
            return
        self.counts["deaths"] += 1
        for a in driver.actors:
            self._orphan(picture for _, picture in self._in_work[a])
            self._orphan(self._backlog[a])
            self._die(a, blameless=True, notice=0.0)
        self._orphan(driver.claimed)
        self._orphan(driver.single)
        self._orphan(picture for _, picture, verdict in driver.claiming if verdict == FREE)
        # What died before, and was not known to be dead.
        for _, _, kind, number, what in self._events:
            if kind == NOTICE and number == driver.number and what[3] is driver.feed:
                self._orphan(what[0])
                self._orphan(what[1])
        driver.alive = False
        self._push(self.now + self.fleet.death_seconds, RETURN, driver.number)

    def _orphan(self, pictures: Any) -> None:  # noqa: ANN401 - any iterable of numbers
        for picture in pictures:
            if self.state[picture] == LEASED:
                self.state[picture] = ORPHANED
                self._orphaned[picture] = self.now
