"""How far a job is: one measure over all pictures, also while a large one is in progress."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

# Pixels of the result to a byte of the input, before anything is known: a JPEG at x4.
_GUESS = 100.0
FINDING, WORKING, OTHERS, WATCHING = "finding", "working", "waiting for others", "watching"


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """How far a job is.

    Attributes:
        phase: `finding`, `working`, `waiting for others` (processes) or `watching`.
        found: files that were come across, while they are looked for.
        pictures: that this run has to do, in all.
        done, failed: of these.
        pixels, pixels_in_all: that the network has given in this run, and, by estimate, will.
        seconds: at work, pauses left out.
        current: names of the pictures in progress, the one longest in progress first.
    """

    phase: str
    found: int = 0
    pictures: int = 0
    done: int = 0
    failed: int = 0
    pixels: float = 0.0
    pixels_in_all: float = 0.0
    seconds: float = 0.0
    current: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Pixels per second."""
        return self.pixels / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By estimate; None before anything is known."""
        if self.pixels <= 0:
            return None
        return max(0.0, self.pixels_in_all - self.pixels) / self.rate


@dataclass
class _InWork:
    name: str
    size: int
    since: float | None = None
    pixels: float = 0.0
    pixels_in_all: float | None = None


@dataclass
class Tally:
    """Counts what this run does, and estimates what is left by the sizes of the files."""

    done: int = 0
    failed: int = 0
    _pixels: float = 0.0
    _bytes: int = 0
    _start: float = field(default_factory=time.monotonic)
    _paused: float = 0.0
    _in_work: dict[int, _InWork] = field(default_factory=dict)

    def claimed(self, id: int, name: str, size: int) -> None:
        """A picture of so many bytes is going to be done."""
        self._in_work[id] = _InWork(name, max(size, 0))

    def begun(self, id: int) -> None:
        """A picture is in progress."""
        self._in_work[id].since = time.monotonic()

    def progress(self, id: int, pixels: int, pixels_in_all: int) -> None:
        """The network has given so many of its pixels."""
        if (one := self._in_work.get(id)) is not None:
            one.pixels, one.pixels_in_all = float(pixels), float(pixels_in_all)

    def ended(self, id: int, pixels: float | None) -> None:
        """A picture of so many pixels is made; None if it is not."""
        one = self._in_work.pop(id, None)
        if pixels is None or one is None:
            return
        self._pixels += max(pixels, one.pixels_in_all or 0.0)
        self._bytes += one.size

    def paused(self, seconds: float) -> None:
        """The process was stopped for so long."""
        self._paused += seconds

    @property
    def pixels_per_byte(self) -> float:
        """Pixels of the result to a byte of the input, as far as is known."""
        known = [one for one in self._in_work.values() if one.pixels_in_all is not None]
        pixels = self._pixels + sum(one.pixels_in_all or 0.0 for one in known)
        size = self._bytes + sum(one.size for one in known)
        return pixels / size if size > 0 and pixels > 0 else _GUESS

    @property
    def pictures(self) -> int:
        """Pictures that are done, have failed, or are claimed."""
        return self.done + self.failed + len(self._in_work)

    def progress_of(self, phase: str, waiting: int, waiting_bytes: int) -> JobProgress:
        """How far the job is, with so many pictures waiting."""
        now, ratio = time.monotonic(), self.pixels_per_byte
        held = self._in_work.values()
        begun = sorted((one.since, one.name) for one in held if one.since is not None)
        to_come = waiting_bytes * ratio
        in_work = sum(
            one.size * ratio if one.pixels_in_all is None else one.pixels_in_all for one in held
        )
        return JobProgress(
            phase=phase,
            pictures=self.pictures + waiting,
            done=self.done,
            failed=self.failed,
            pixels=self._pixels + sum(one.pixels for one in held),
            pixels_in_all=self._pixels + in_work + to_come,
            seconds=now - self._start - self._paused,
            current=tuple(name for _, name in begun),
        )
