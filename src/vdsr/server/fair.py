"""Whose turn it is: start-time fair queueing.

P. Goyal, H. M. Vin, H. Cheng, "Start-Time Fair Queueing", SIGCOMM 1996, with the finish tag as
the order: each flow gets px at the same rate as the others, whatever the size of what it asks
for, so that a small picture does not wait behind a giant one, and no one waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry(Generic[T]):
    item: T
    flow: Hashable
    start: float
    finish: float


class FairQueue(Generic[T]):
    """Items of several flows, each with a cost. Not for several threads without a lock."""

    def __init__(self) -> None:
        self._entries: list[_Entry[T]] = []
        self._finish: dict[Hashable, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return (entry.item for entry in self._entries)

    def push(self, item: T, flow: Hashable, cost: float) -> None:
        """Let an item wait.

        Args:
            item: what waits.
            flow: whose it is.
            cost: px.
        """
        start = max(self._now, self._finish.get(flow, 0.0))
        finish = self._finish[flow] = start + cost
        self._entries.append(_Entry(item, flow, start, finish))

    def pop(self, accept: Callable[[T], bool] = lambda item: True) -> T | None:
        """The next item that is accepted; None if there is none."""
        ready = [entry for entry in self._entries if accept(entry.item)]
        if not ready:
            return None
        first = min(ready, key=lambda entry: entry.finish)
        self._entries.remove(first)
        # What was served is shared by all that waited: so the clock goes on, and whatever
        # waits, however large, comes before what arrives much later.
        share = (first.finish - first.start) / (len(self._entries) + 1)
        self._now = max(self._now, first.start) + share
        # What lies in the past says nothing any more.
        self._finish = {f: t for f, t in self._finish.items() if t > self._now}
        return first.item

    def remove(self, item: T) -> bool:
        """Take an item out before its turn; returns whether it was there."""
        for entry in self._entries:
            if entry.item is item:
                self._entries.remove(entry)
                return True
        return False
