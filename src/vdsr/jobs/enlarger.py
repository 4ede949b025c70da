"""The model of a job, open once, and what it does with a picture; in whatever process it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vdsr.errors import VdsrError
from vdsr.inference import cpu, memory
from vdsr.inference.backends import Backend
from vdsr.inference.engine import Engine, Result
from vdsr.inference.order import Order
from vdsr.inference.pages import enlarge_pages
from vdsr.inference.pictures import Picture, opened_file
from vdsr.inference.plan import OnProgress
from vdsr.inference.preview import preview
from vdsr.inference.shared_strips import SharedStrips, ShareStrips
from vdsr.inference.upscaler import Upscaler
from vdsr.jobs.picture import Outcome, Task, do_picture
from vdsr.model.architecture import FloatArray

# Pictures in progress for each that the network computes: the others are decoded and encoded.
PER_THREAD = 4


class _Count:
    """How many pictures are in progress."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.value += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.value -= 1


class _Network:
    """The network for several pictures at once, or with all threads while there is only one.

    Both give the same bytes: threads divide the pixels of a layer, not its sums.
    """

    def __init__(self, alone: Backend, several: Callable[[], Backend], pictures: _Count) -> None:
        self._alone = alone
        self._open_several = several
        self._several: Backend | None = None
        self._pictures = pictures

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend`."""
        if self._pictures.value <= 1:
            return self._alone.run(y)
        if self._several is None:
            self._several = self._open_several()
        return self._several.run(y)

    def close(self) -> None:
        """The upscaler closes what it has opened."""


class Enlarger:
    """An open model, which several threads may use at once.

    Args:
        order: how to open the upscaler: its options.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._upscaler = Upscaler(**order)
        threads = order.get("threads") or cpu.cores()
        self.workers, self._threads = PER_THREAD * threads, threads
        self._engines = self._upscaler._engines
        self._memory = self._engines.budget(1.0)
        self._pictures = _Count()
        self._networks: dict[str, _Network] = {}

    def opened(self) -> dict[str, Any]:
        """What was opened."""
        upscaler = self._upscaler
        models = self._engines.models()
        names = (f"{m.metadata.name} {m.metadata.version} sha256:{m.digest}" for m in models)
        return {
            "model": ", ".join(names),
            "backend": upscaler.backend,
            "precision": upscaler.precision if len(models) == 1 else "auto",
            "memory": self._memory,
            "workers": self.workers,
        }

    def do(self, task: Task, progress: OnProgress, share: ShareStrips = SharedStrips) -> Outcome:
        """Do a picture; whatever goes wrong is told by the outcome.

        Args:
            task: which, and where to.
            progress: called after every tile.
            share: with whom the strips of a giant picture are shared.
        """
        try:
            with self._pictures:
                return do_picture(task, partial(self._enlarge, share), progress)
        except BaseException as error:
            return Outcome(id=task.id, state="failed", error=f"unexpected {error!r}")

    def help(self, task: Task, share: ShareStrips = SharedStrips) -> int:
        """Make strips of a giant picture that somebody else is at work on.

        Args:
            task: as it is there.
            share: with whom the strips are shared.

        Returns:
            How many were made; 0 where there is nothing to help with.
        """
        if task.preview or task.options.get("pages") is not None:
            return 0
        try:
            with self._pictures:
                order = _order(task, None, share)
                picture = opened_file(Path(task.source), order.page)
                engine = replace(self._engine(picture, order), max_memory=self._memory)
                return engine.help(picture, Path(task.goal), order)
        except (VdsrError, OSError):  # whoever is at work on it meets it, too, and says so
            return 0

    def _enlarge(self, share: ShareStrips, task: Task, progress: OnProgress) -> Result:
        order = _order(task, progress, share)
        source, made = Path(task.source), Path(task.made)

        def engine_for(picture: Picture) -> Engine:
            engine = self._engine(picture, order)
            return replace(engine, max_memory=task.memory or self._memory)

        if order.pages is not None and not task.preview:
            return enlarge_pages(engine_for, source, made, order)
        picture = opened_file(source, order.page)
        if task.preview:
            return _preview(engine_for(picture), picture, made, order)
        return engine_for(picture).into_file(picture, made, order)

    def _engine(self, picture: Picture, order: Order) -> Engine:
        engine = self._engines.of(picture, restore=order.target.restore)
        network = self._networks.setdefault(
            engine.model.digest,
            _Network(
                engine.network,
                lambda: self._engines.several(engine, self._threads),
                self._pictures,
            ),
        )
        return replace(engine, network=network)


def _order(task: Task, progress: OnProgress | None, share: ShareStrips) -> Order:
    options = dict(task.options)
    if options.get("fit") is not None:
        options["fit"] = tuple(options["fit"])  # which JSON does not know
    order = Order.of(options, caller="upscale", progress=progress)
    # Strips outlive this process, whose work folder does not.
    return replace(order, kept_for=Path(task.goal), share_strips=share)


def _preview(engine: Engine, picture: Picture, made: Path, order: Order) -> Result:
    start = time.perf_counter()
    _, _, width, height = preview(engine, picture, made, order)
    seconds = time.perf_counter() - start
    return Result(
        input=picture.name,
        output=str(made),
        width=width,
        height=height,
        scale=order.target.asked_scale or 0.0,
        model=engine.model.metadata.name,
        precision=engine.choice.precision,
        backend=engine.choice.backend,
        seconds=seconds,
        megapixels_per_second=width * height / seconds / 1e6,
        peak_memory_bytes=memory.peak_resident(),
        why=engine.why,
    )
