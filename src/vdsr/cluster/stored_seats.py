"""The actors of a job in storage, and what each has in work."""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from dataclasses import dataclass, field, replace

from vdsr.cluster.hands import ActorHand, Actors
from vdsr.cluster.storage import Object
from vdsr.cluster.stored_state import StoredState
from vdsr.errors import ClusterError
from vdsr.jobs.child import Answer
from vdsr.jobs.crew import HELPED_PIXELS
from vdsr.jobs.leases import CRASHES
from vdsr.jobs.picture import TOO_LARGE, Outcome, Task
from vdsr.jobs.progress import Tally
from vdsr.jobs.runner import RunOptions
from vdsr.jobs.settings import JobSettings

# Pictures that an actor is given beyond those in work.
_AHEAD = 1.5
_LOOK = 1.0
_DEATHS = 3


@dataclass
class Picture:
    """A picture that is this driver's: where it lies, where its output goes, what is to be done.

    Attributes:
        crashes: actors that have died with it.
        pixels: of its result, as soon as they are known.
    """

    source: Object
    output: str
    task: Task
    crashes: int = 0
    pixels: int = 0


@dataclass
class _Seat:
    hand: ActorHand
    workers: int
    share: int
    held: dict[int, Picture] = field(default_factory=dict)
    alone: bool = False  # whether it does pictures by themselves, or will when it has none

    @property
    def room(self) -> int:
        if self.alone or self.hand.is_helping:
            return 0
        return int(_AHEAD * self.workers) - len(self.held)


class Seats:
    """Actors, as many as the cluster has room for; one that dies is replaced.

    Args:
        actors: of the cluster.
        state: of the job.
        settings: what is done with each picture.
        options: how the job is run.
        tally: counts.
    """

    def __init__(
        self,
        actors: Actors,
        state: StoredState,
        settings: JobSettings,
        options: RunOptions,
        tally: Tally,
    ) -> None:
        self._actors, self._state, self._tally = actors, state, tally
        self._order = settings.upscaler | {
            "max_memory": options.max_memory,
            "threads": actors.threads,
        }
        self._fixed_memory = options.max_memory is not None
        self._helped_pixels = 0 if options.resume else HELPED_PIXELS
        self._known: Answer | None = state.opened()
        self._seats: list[_Seat] = []
        self._coming: list[ActorHand] = []
        # To be done by themselves: suspected of a death, or too large for a share of the memory.
        self._single: deque[Picture] = deque()
        self._deaths = 0
        self._looked = 0.0

    @property
    def room(self) -> int:
        """Pictures that the actors could take now."""
        return sum(seat.room for seat in self._seats)

    @property
    def busy(self) -> bool:
        """Whether pictures are in work, or wait to be done by themselves."""
        return bool(self._single) or any(seat.held for seat in self._seats)

    def turn(
        self, claimed: deque[Picture], patience: float
    ) -> tuple[list[tuple[Picture, Outcome]], list[tuple[Picture, str]]]:
        """Begin what can be, and take what has come.

        Args:
            claimed: pictures that wait; those that are begun are taken from it.
            patience: seconds to wait for something, where there is something to wait for.

        Returns:
            What has ended; and what is given up: pictures, and how their actors died.

        Raises:
            UsageError: if the model, backend or precision cannot be had.
            ClusterError: if actors die before they begin.
        """
        self._recruit(len(claimed) + len(self._single))
        self._actors.wait(patience)
        self._welcome()
        ended: list[tuple[Picture, Outcome]] = []
        lost: list[tuple[Picture, str]] = []
        for seat in list(self._seats):
            self._listen(seat, claimed, ended, lost)
        # One actor comes to the end of what it has, and does them: they do not wait for all others.
        if self._single and self._seats and not any(seat.alone for seat in self._seats):
            min(self._seats, key=lambda seat: len(seat.held)).alone = True
        for seat in self._seats:
            self._give(seat, claimed)
        giants = self._giants
        for seat in self._seats:
            if not seat.held and not claimed and not self._single:
                seat.hand.help(giants)
        return ended, lost

    @property
    def _giants(self) -> list[Task]:
        """Pictures in work that are large enough for others to help with."""
        held = (picture for seat in self._seats for picture in seat.held.values())
        return [one.task for one in held if one.pixels > self._helped_pixels]

    def end(self) -> None:
        """End all actors."""
        for hand in (*(seat.hand for seat in self._seats), *self._coming):
            hand.end()
        self._seats, self._coming = [], []

    def _recruit(self, waiting: int) -> None:
        now = time.monotonic()
        if not (waiting or self._giants) or now - self._looked < _LOOK:
            return
        self._looked = now
        capacity = self._actors.capacity()
        waiting = waiting or capacity
        # The first one says what `auto` stands for: the others open the same.
        wanted = min(capacity, len(self._seats) + waiting) if self._known is not None else 1
        while len(self._seats) + len(self._coming) < wanted:
            self._coming.append(self._actors.start(self._resolved()))

    def _resolved(self) -> dict[str, object]:
        order = dict(self._order)
        if self._known is not None:
            for name in ("backend", "precision"):
                if order[name] == "auto":
                    order[name] = self._known[name]
            if not self._fixed_memory:
                order["max_memory"] = self._known["memory"]
        return order

    def _welcome(self) -> None:
        for hand in [one for one in self._coming if one.is_open or one.is_dead]:
            self._coming.remove(hand)
            if hand.is_dead:
                self._deaths += not hand.blameless
                if self._deaths >= _DEATHS:
                    raise ClusterError(
                        f"{_DEATHS} actors in a row died before they began: the logs of Ray"
                        " say why (/tmp/ray/session_latest/logs)"
                    )
                continue
            self._deaths = 0
            opened = hand.opened()
            known = self._state.settle(opened)
            first, self._known = self._known is None, known
            if first and any(known[key] != opened[key] for key in ("backend", "precision")):
                hand.end()  # another driver was first, and its choice holds
                continue
            memory = opened["memory"] if self._fixed_memory else known["memory"]
            workers = int(opened["workers"])
            self._seats.append(_Seat(hand, workers, int(memory) // workers))

    def _listen(
        self,
        seat: _Seat,
        claimed: deque[Picture],
        ended: list[tuple[Picture, Outcome]],
        lost: list[tuple[Picture, str]],
    ) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                answer = seat.hand.answers.get_nowait()
                if answer is None:
                    lost += self._bury(seat, claimed)
                    return
                if "begun" in answer:
                    self._tally.begun(answer["begun"])
                elif "progress" in answer:
                    id, done, pixels = answer["progress"]
                    self._tally.progress(id, done, pixels)
                    if id in seat.held:
                        seat.held[id].pixels = pixels
                else:
                    outcome = Outcome(**answer["ended"])
                    picture = seat.held.pop(outcome.id)
                    if outcome.state == TOO_LARGE:
                        self._single.append(picture)
                    else:
                        ended.append((picture, outcome))
                continue
            return

    def _bury(self, seat: _Seat, claimed: deque[Picture]) -> list[tuple[Picture, str]]:
        """An actor has died: what it had in work is under suspicion."""
        self._seats.remove(seat)
        self._looked = 0.0
        lost = []
        begun = set() if seat.hand.blameless else seat.hand.begun
        for id, picture in seat.held.items():
            if id not in begun:
                claimed.appendleft(picture)
                continue
            picture.crashes = picture.crashes + 1 if len(begun) == 1 else 1
            if picture.crashes >= CRASHES:
                lost.append((picture, seat.hand.death()))
                self._tally.ended(picture.task.id, None)
            else:
                self._state.crashed(picture.source, picture.crashes)
                self._single.append(picture)
        return lost

    def _give(self, seat: _Seat, claimed: deque[Picture]) -> None:
        while claimed and seat.room > 0:
            picture = claimed.popleft()
            if picture.crashes:
                self._single.append(picture)
            else:
                self._begin(seat, picture, seat.share)
        if seat.alone and not seat.held:
            seat.alone = bool(self._single)
            if self._single:
                self._begin(seat, self._single.popleft(), None)

    def _begin(self, seat: _Seat, picture: Picture, memory: int | None) -> None:
        picture.task = replace(picture.task, memory=memory)
        seat.held[picture.task.id] = picture
        self._tally.claimed(picture.task.id, picture.source.name, picture.source.size)
        seat.hand.do(picture.task)
