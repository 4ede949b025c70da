"""One model for all pictures in work, whose tiles take turns.

Large pictures share as many streams as there are threads, fairly by px. Small ones have a
lane of their own that runs beside them, and the system's scheduler divides the processor: so
a small picture does not wait for a tile of a large one to end, and large tiles may be as
large as is fast. Tiles are not put
together into batches: eight of one size are 1.06 to 1.17 times as fast together
(`benchmarks/serve_batches.py`), and pictures of different sizes seldom have even two.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vdsr.errors import BackendError
from vdsr.inference import cpu
from vdsr.inference.backends import Backend, open_backend
from vdsr.inference.engines import Engines
from vdsr.model.architecture import FloatArray
from vdsr.server.fair import FairQueue

T = TypeVar("T")

# Of what works on large pictures (man 2 nice): of two threads, a small one gets three quarters.
LARGE_NICE = 5


@dataclass(frozen=True, eq=False)
class _Tile:
    y: FloatArray
    model: int
    small: bool
    result: Future[FloatArray]


class FairNetwork:
    """Runs tiles of several pictures over the open model, or models.

    Args:
        engines: what is open; closed by its owner, after this.
        threads: that it has; None for all cores.
    """

    def __init__(self, engines: Engines, threads: int | None) -> None:
        streams = threads or cpu.cores()
        every = engines.all()
        self._small = [engine.network for engine in every]
        for network, engine in zip(self._small, every, strict=True):
            # The threads that a runtime shares among its networks get the priority of the
            # first one that runs.
            planes = engine.model.architecture.planes
            network.run(np.zeros((1, planes, 64, 64), np.float32))

        def opened(parallel: int) -> list[Backend]:
            return [
                open_backend(engine.model, engine.choice, threads=threads, parallel=parallel)
                for engine in every
            ]

        # All threads for a single large tile; else one for each.
        self._alone = _in_low_priority(lambda: opened(1))
        self._several = _in_low_priority(lambda: opened(streams)) if streams > 1 else self._alone
        self._queue: FairQueue[_Tile] = FairQueue()
        self._running = {True: 0, False: 0}
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, args=(small,), name="vdsr-network", daemon=True)
            for small in (True, *[False] * streams)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, y: FloatArray, model: int, picture: str, *, small: bool) -> FloatArray:
        """Run a tile when it is its turn.

        Args:
            y: see `Backend.run`.
            model: which of the engines is meant.
            picture: whose tile it is.
            small: whether it takes the lane of small pictures.

        Raises:
            OutOfMemory, BackendError: see `Backend.run`; also if this is closed.
        """
        tile = _Tile(y, model, small, Future())
        with self._changed:
            if self._closed:
                raise BackendError("the server is ending")
            self._queue.push(tile, picture, y.shape[-2] * y.shape[-1])
            self._changed.notify_all()
        return tile.result.result()

    def _work(self, small: bool) -> None:
        """Take tiles of one lane."""
        if not small:
            _lower_priority()
        while True:
            with self._changed:
                while (tile := self._next(small)) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                self._running[small] += 1
                networks = self._small
                if not small:
                    networks = self._alone if self._running[False] == 1 else self._several
                # What is left may be for those who left it to this one.
                self._changed.notify_all()
            _settle(tile, networks[tile.model].run)
            with self._changed:
                self._running[small] -= 1

    def _next(self, small: bool) -> _Tile | None:
        """Without large ones, small ones go over the other lane, too, if their own is taken."""
        tile = self._queue.pop(lambda tile: tile.small == small)
        if tile is None and not small and self._running[True]:
            tile = self._queue.pop()
        return tile

    def close(self) -> None:
        """Finish the tiles in work; those that wait fail."""
        with self._changed:
            self._closed = True
            for tile in self._queue:
                tile.result.set_exception(BackendError("the server is ending"))
            self._queue = FairQueue()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for network in (*self._alone, *self._several):
            network.close()


def _lower_priority() -> None:
    """Let this thread, and those that it starts, leave the processor to small pictures."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, now + LARGE_NICE)


def _in_low_priority(call: Callable[[], T]) -> T:
    """Call in a thread of low priority, which the threads that are started in it inherit."""
    with ThreadPoolExecutor(1, initializer=_lower_priority) as pool:
        return pool.submit(call).result()


def _settle(tile: _Tile, run: Callable[[FloatArray], FloatArray]) -> None:
    try:
        tile.result.set_result(run(tile.y))
    except BaseException as error:
        tile.result.set_exception(error)
