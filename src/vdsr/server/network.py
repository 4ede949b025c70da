"""One network for all pictures in work, whose tiles take turns.

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
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from vdsr.errors import BackendError
from vdsr.inference import cpu
from vdsr.inference.engines import Engines
from vdsr.model.architecture import FloatArray
from vdsr.server.fair import FairQueue

# Of what works on large pictures (man 2 nice): beside it, small ones get nine tenths.
LARGE_NICE = 10


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
        self._alone = [engine.network for engine in every]
        self._several = [engines.several(engine, streams) for engine in every]
        self._planes = [engine.model.architecture.planes for engine in every]
        self._warm = threading.Event()
        self._queue: FairQueue[_Tile] = FairQueue()
        self._running = 0
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

    def _prepare(self, small: bool) -> None:
        """See to it that large tiles leave the processor to small ones.

        A runtime's threads have the priority of the thread in which the network is first run.
        """
        if small:
            for network, planes in zip(self._alone, self._planes, strict=True):
                network.run(np.zeros((1, planes, 64, 64), np.float32))
            self._warm.set()
            return
        self._warm.wait()
        if sys.platform == "linux":  # elsewhere it would be the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LARGE_NICE)

    def _work(self, small: bool) -> None:
        """Take tiles of one lane; without any, small ones go over the other lane, too."""
        self._prepare(small)
        while True:
            with self._changed:
                while (tile := self._next(small)) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                self._running += 1
                # All threads for a single tile; else one for each.
                networks = self._alone if small or self._running == 1 else self._several
            _settle(tile, networks[tile.model].run)
            with self._changed:
                self._running -= 1

    def _next(self, small: bool) -> _Tile | None:
        tile = self._queue.pop(lambda tile: tile.small == small)
        if tile is None and not small:
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


def _settle(tile: _Tile, run: Callable[[FloatArray], FloatArray]) -> None:
    try:
        tile.result.set_result(run(tile.y))
    except BaseException as error:
        tile.result.set_exception(error)
