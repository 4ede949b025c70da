"""A cluster at work on a job in storage, event by event; see `simulation.py`.

What it does is what `vdsr.cluster` does. A driver reads its listing a page at a time, claims
pictures by a few requests one after the other, so many claims at once, and gives them to the
first actors with room. An actor has up to `room` pictures in work, which share its cores evenly.
An actor that dies leaves what it had in work under suspicion, to be done one by one by an actor
that has nothing else; a picture that brings down two is in quarantine. A machine that dies leaves
its pictures to the next actor. A driver that dies takes its actors with it, and begins again at
the top of its listing. Several drivers have either a part of the pictures each, or all of them
the same listing, where the lease of another is met, and looked at again at the end: a thousand
of them are held, and where there were more, all is listed again.

Left out: the way of bytes from and to storage (an actor has more pictures in work than cores,
so that it is hidden while the network suffices), and the order in which tiles take turns.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from simulation_failures import Failures
from simulation_fleet import Fleet
from simulation_workers import (
    BACK,
    CRASH,
    DEATH,
    DONE,
    FINISH,
    FREE,
    LEASED,
    LOSS,
    NOTICE,
    OPEN,
    ORPHANED,
    RETURN,
    SAMPLE,
    TURN,
    Driver,
)

# Seconds that the turns of a driver take at least: what comes meanwhile is taken at the next.
_TURN_SECONDS = 0.25
_LOOK_AGAIN = 2.0
_AGAIN_AT_ONCE = 64
_HELD = 1000
# A listing takes so much of the time between two at most, but no longer than so many seconds.
_LISTING_SHARE = 0.1
_LONGEST = 300.0
_SAMPLES = 200


class Simulation(Failures):
    """One run; see `Fleet`.

    Args:
        fleet: what is simulated.
    """

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._running = len(self.drivers)
        self._sample = (
            fleet.pictures * float(np.mean(fleet.core_seconds)) / (fleet.actors * fleet.actor_cpus)
        ) / _SAMPLES
        self.curve: list[tuple[float, int]] = [(0.0, 0)]

    def run(self) -> dict[str, Any]:
        """Run to the end.

        Returns:
            Counts; `seconds` until the last picture was done, and `end_seconds` until the last
            driver knew of it; shares of the core time that was paid for: `useful`, `lost` to
            failures, `starting`, `waiting` for a driver, `tail`, idle at the end; `curve`,
            seconds and pictures done.
        """
        fleet = self.fleet
        for driver in self.drivers:
            self._begin(driver)
        self._chance(CRASH, fleet.crashes * fleet.actors)
        self._chance(LOSS, fleet.losses * len(self._up))
        self._chance(DEATH, fleet.deaths * fleet.drivers)
        self._push(self._sample, SAMPLE)
        handlers: dict[int, Callable[[int, Any], None]] = {
            TURN: lambda a, feed: self._turn(self.drivers[a], feed),
            OPEN: self._open,
            CRASH: lambda *_: self._any_crash(),
            NOTICE: self._notice,
            LOSS: lambda *_: self._loss(),
            BACK: lambda a, _: self._back(a),
            DEATH: lambda *_: self._death(),
            RETURN: lambda a, _: self._begin(self.drivers[a]),
            SAMPLE: lambda *_: self._take_sample(),
        }
        events, pop, finish = self._events, heapq.heappop, self._finish
        while self._running:
            self.now, _, kind, a, what = pop(events)
            if kind != FINISH:
                handlers[kind](a, what)
            elif self._next[a] == self.now:
                finish(a)
        return self._summary()

    def _take_sample(self) -> None:
        self.curve.append((self.now, self.counts["done"]))
        self._push(self.now + self._sample, SAMPLE)

    def _open(self, a: int, generation: int) -> None:
        if generation != self._generation[a]:
            return
        driver = self._driver_of[a]
        self._is_coming[a], self._is_open[a] = False, True
        self._since[a] = self.now
        driver.coming -= 1
        driver.seats += 1
        driver.room += self._most
        driver.idle_seats += 1
        self._list(driver, a)

    def _list(self, driver: Driver, a: int) -> None:
        if not self._listed[a]:
            self._listed[a] = True
            heapq.heappush(driver.open_seats, a)

    def _begin(self, driver: Driver) -> None:
        """A driver starts, or starts again."""
        fresh = Driver(driver.number, driver.first, driver.last, driver.actors)
        vars(driver).update(vars(fresh))
        driver.pool = [self.now] * self.fleet.requests
        driver.feed = self._candidates(driver)
        for a in driver.actors:
            self._listed[a] = False
        self._push(self.now, TURN, driver.number, driver.feed)

    def _candidates(self, driver: Driver) -> Iterator[int]:
        """Pictures that are not recorded as done when their page is read."""
        page = self.fleet.page
        for first in range(driver.first, driver.last, page):
            driver.pages += 2
            last = min(first + page, driver.last)
            known = bytes(self.state[first:last])
            for i, state in enumerate(known):
                if state != DONE:
                    yield first + i

    def _claim(self, driver: Driver, picture: int) -> None:
        state = self.state[picture]
        if state == ORPHANED:
            free = self.now - self._orphaned[picture] >= self.fleet.lease_seconds
            state = FREE if free else LEASED
        if state == FREE:
            self.state[picture] = LEASED
            self._orphaned.pop(picture, None)
            requests = self.fleet.claim
        else:
            requests = self.fleet.refused if state == LEASED else self.fleet.late
        self.counts["claims"] += 1
        heapq.heappush(driver.claiming, (self._request(driver, requests), picture, state))

    def _turn(self, driver: Driver, feed: Iterator[int]) -> None:
        if not driver.alive or driver.ended is not None or driver.feed is not feed:
            return
        fleet, now = self.fleet, self.now
        begun_pages, work = driver.pages, fleet.driver_look
        work += fleet.driver_pending * min(driver.held, driver.seats * self._room)
        work += fleet.driver_ask * driver.seats * (now - driver.turned)
        driver.turned = now
        work += self._hear(driver)
        while driver.claiming and driver.claiming[0][0] <= now:
            _, picture, state = heapq.heappop(driver.claiming)
            work += fleet.driver_claim
            if state == FREE:
                driver.claimed.append(picture)
            elif state == LEASED:
                if len(driver.taken) < _HELD:
                    driver.taken.append(picture)
                else:
                    driver.forgotten = True
        self._recruit(driver)
        self._give(driver)
        while not driver.exhausted and (
            len(driver.claiming) + len(driver.claimed) < max(fleet.requests, driver.room)
        ):
            picture_or_none = next(feed, None)
            if picture_or_none is None:
                driver.exhausted = True
            else:
                self._claim(driver, picture_or_none)
        if driver.exhausted and not driver.claiming and not driver.claimed:
            self._near_the_end(driver)
        work += (driver.pages - begun_pages) * fleet.page_seconds
        self._push(now + max(_TURN_SECONDS, work), TURN, driver.number, driver.feed)

    def _hear(self, driver: Driver) -> float:
        """Take what has ended; returns seconds that this takes."""
        inbox, driver.inbox = driver.inbox, []
        touched = set()
        for a, picture in inbox:
            driver.held -= 1
            driver.crashes.pop(picture, None)
            self._request(driver, self.fleet.record)
            if self._is_open[a]:
                touched.add(a)
                if self._is_alone[a]:
                    self._is_alone[a] = False
                    driver.room += self._most
                else:
                    driver.room += 1
        for a in touched:
            self._send(a)
            driver.idle_seats += self._held(a) == 0
            self._list(driver, a)
        return len(inbox) * self.fleet.driver_picture

    def _give(self, driver: Driver) -> None:
        claimed, seats = driver.claimed, driver.open_seats
        while claimed and seats:
            a = seats[0]
            held = self._held(a)
            if not self._is_open[a] or self._is_alone[a] or held >= self._most:
                heapq.heappop(seats)
                self._listed[a] = False
                continue
            driver.idle_seats -= held == 0
            count = min(len(claimed), self._most - held)
            self._backlog[a].extend(claimed.popleft() for _ in range(count))
            driver.room -= count
            driver.held += count
            self._send(a)
        if driver.single and driver.idle_seats:
            for a in driver.actors:
                if not driver.single:
                    break
                if self._is_open[a] and not self._held(a) and not self._is_alone[a]:
                    self._is_alone[a] = True
                    driver.idle_seats -= 1
                    driver.room -= self._most
                    driver.held += 1
                    self._backlog[a].append(driver.single.popleft())
                    self._send(a)

    def _recruit(self, driver: Driver) -> None:
        waiting = len(driver.claimed) + len(driver.single)
        if not waiting or self.now - driver.recruited < 1.0:
            return
        driver.recruited = self.now
        wanted = waiting - driver.coming
        if driver.seats + driver.coming >= len(driver.actors):
            return
        for a in driver.actors:
            if wanted <= 0:
                break
            up = self._up[a // self.fleet.machine_actors]
            if up and not self._is_open[a] and not self._is_coming[a]:
                wanted -= 1
                driver.coming += 1
                self._is_coming[a] = True
                seconds = float(self._rng.choice(np.asarray(self.fleet.start_seconds)))
                self._starting += seconds * self.fleet.actor_cpus
                self._push(self.now + seconds, OPEN, a, self._generation[a])

    def _near_the_end(self, driver: Driver) -> None:
        """Nothing is left to be claimed: wait for what is in work, then look at the others'."""
        if driver.drained is None:
            driver.drained = self.now
            for a in driver.actors:
                self._update(a)
            driver.busy_when_drained = sum(self._busy[a] for a in driver.actors)
        if driver.held or driver.single:
            return
        if driver.forgotten:
            pages = 2 * (driver.last - driver.first) / self.fleet.page
            listing = pages * self.fleet.page_seconds
            if driver.looked < driver.drained:
                driver.looked = self.now
            if self.now - driver.looked >= min(
                max(_LOOK_AGAIN, listing / _LISTING_SHARE), _LONGEST
            ):
                driver.taken.clear()
                driver.forgotten = driver.exhausted = False
                driver.drained = None
                driver.feed = self._candidates(driver)
            return
        if driver.taken:
            if self.now - driver.looked >= _LOOK_AGAIN:
                driver.looked = self.now
                for _ in range(min(len(driver.taken), _AGAIN_AT_ONCE)):
                    self._claim(driver, driver.taken.popleft())
            return
        driver.ended = max(self.now, *driver.pool)
        self._running -= 1
        self.curve.append((self.now, self.counts["done"]))
        for machine in {a // self.fleet.machine_actors for a in driver.actors}:
            if self._up[machine]:
                self._pay(machine)

    def _summary(self) -> dict[str, Any]:
        fleet, paid = self.fleet, self._paid
        busy = sum(self._busy)
        tail = 0.0
        for driver in self.drivers:
            assert driver.ended is not None and driver.drained is not None
            cores = len(driver.actors) * fleet.actor_cpus
            after = sum(self._busy[a] for a in driver.actors) - driver.busy_when_drained
            tail += max(0.0, (driver.ended - driver.drained) * cores - after)
        last = self._last
        shares = {
            "useful": self._useful / paid,
            "lost": (busy - self._useful) / paid,
            "starting": self._starting / paid,
            "tail": tail / paid,
        }
        shares["waiting"] = 1 - sum(shares.values())
        return {
            **self.counts,
            "seconds": last,
            "end_seconds": max(driver.ended or 0.0 for driver in self.drivers),
            "paid_core_hours": paid / 3600,
            "pictures_per_second": self.counts["done"] / last if last else 0.0,
            "shares": shares,
            "curve": self.curve,
        }
