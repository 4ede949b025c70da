"""Pictures that are done by themselves, among many that are not."""

from __future__ import annotations

import queue
from collections import deque
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from vdsr.cluster.hands import Actors
from vdsr.cluster.storage import Object
from vdsr.cluster.stored_seats import Picture, Seats
from vdsr.cluster.stored_state import StoredState
from vdsr.jobs.picture import DONE, Outcome, Task
from vdsr.jobs.progress import Tally
from vdsr.jobs.runner import RunOptions
from vdsr.jobs.settings import JobSettings

OPENED = {"model": "m", "backend": "b", "precision": "p", "memory": 800, "workers": 4}


class Hand:
    """An actor that ends a picture in every turn, unless it has died."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.is_open, self.is_dead, self.blameless = True, False, False
        self.is_helping = False
        self.tasks: list[Task] = []
        self.done: list[tuple[int, int]] = []

    def opened(self) -> dict[str, Any]:
        return OPENED

    def do(self, task: Task) -> None:
        self.tasks.append(task)

    @property
    def begun(self) -> set[int]:
        return {task.id for task in self.tasks}

    def help(self, tasks: list[Task]) -> None:
        assert not tasks

    def turn(self) -> None:
        if self.tasks:
            self.done.append((self.tasks[0].id, len(self.tasks)))
            self.answers.put({"ended": Outcome(id=self.tasks.pop(0).id, state=DONE).as_dict()})


def picture(id: int, crashes: int = 0) -> Picture:
    task = Task(
        id=id,
        source="",
        made="png",
        goal="",
        options={},
        beside={},
        preview=False,
        memory=None,
        known=None,
    )
    return Picture(Object(f"{id}.png", 1, datetime.now(), ""), f"{id}_x2.png", task, crashes)


def test_a_suspect_does_not_wait_for_all_the_others():
    hand = Hand()
    actors = SimpleNamespace(
        threads=1, capacity=lambda: 1, start=lambda order: hand, wait=lambda seconds: None
    )
    state = SimpleNamespace(opened=lambda: OPENED, settle=lambda opened: OPENED)
    seats = Seats(
        cast("Actors", actors),
        cast("StoredState", state),
        JobSettings(scale=2),
        RunOptions(),
        Tally(),
    )
    claimed = deque([picture(0, crashes=1), *(picture(id) for id in range(1, 60))])
    ended: list[int] = []
    while len(ended) < 60:
        before = len(ended)
        found, lost = seats.turn(claimed, 0.0)
        assert not lost
        ended += [one.task.id for one, _ in found]
        hand.turn()
        assert len(ended) - before <= 4
    assert ended.index(0) <= 10
    assert (0, 1) in hand.done  # by itself
    assert sorted(ended) == list(range(60))
