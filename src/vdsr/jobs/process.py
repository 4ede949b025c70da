"""The process that does a job's pictures: one model, open once, several pictures at once.

    python -m vdsr.jobs.process

It is told by lines of JSON on standard input, and answers by such lines on standard output:

    {"open": {...}}                            model and threads; first of all
        {"opened": {...}} or {"refused": {...}}
    {"do": {...}}                              a `Task`
        {"begun": id}
        {"progress": [id, px done, px in all]}
        {"ended": {...}}                       an `Outcome`

It ends, at once, when its standard input does: with the process that started it. What dies
in it by a broken picture is this process alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from vdsr.errors import VdsrError
from vdsr.inference import cpu, memory
from vdsr.inference.backends import Backend
from vdsr.inference.engine import Engine, Result
from vdsr.inference.order import Order
from vdsr.inference.pages import enlarge_pages
from vdsr.inference.pictures import Picture, opened_file
from vdsr.inference.plan import OnProgress, Progress
from vdsr.inference.preview import preview
from vdsr.inference.upscaler import Upscaler
from vdsr.jobs.naming import asked_scale
from vdsr.jobs.picture import Outcome, Task, do_picture
from vdsr.model.architecture import FloatArray

# Pictures in work for each that the network computes: the others are decoded and encoded.
PER_THREAD = 4
# Seconds between two reports of one picture.
_INTERVAL = 0.2


class _Count:
    """How many pictures are in work."""

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


class _Process:
    """What a job's process holds.

    Args:
        order: how to open the upscaler: its options.
        tell: sends an answer.
    """

    def __init__(self, order: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._upscaler = Upscaler(**order)
        threads = order.get("threads") or cpu.cores()
        self.workers, self._threads = PER_THREAD * threads, threads
        self._engines = self._upscaler._engines
        self._memory = self._engines.budget(1.0)
        self._pictures = _Count()
        self._networks: dict[str, _Network] = {}
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="vdsr-job")

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

    def do(self, task: Task) -> None:
        """Do a picture when a thread is free."""
        self._pool.submit(self._do, task)

    def _do(self, task: Task) -> None:
        self._tell({"begun": task.id})
        try:
            with self._pictures:
                outcome = do_picture(task, self._enlarge, self._reporter(task.id))
        except BaseException as error:
            outcome = Outcome(id=task.id, state="failed", error=f"unexpected {error!r}")
        self._tell({"ended": outcome.as_dict()})

    def _enlarge(self, task: Task, progress: OnProgress) -> Result:
        options = dict(task.options)
        if options.get("fit") is not None:
            options["fit"] = tuple(options["fit"])  # which JSON does not know
        order = Order.of(options, caller="upscale", progress=progress)
        # Strips outlive this process, whose work folder does not.
        order = replace(order, kept_for=Path(task.goal))
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

    def _reporter(self, id: int) -> OnProgress:
        last = time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _INTERVAL:
                last = now
                self._tell({"progress": [id, progress.done, progress.total]})

        return report


def _preview(engine: Engine, picture: Picture, made: Path, order: Order) -> Result:
    start = time.perf_counter()
    _, _, width, height = preview(engine, picture, made, order)
    seconds = time.perf_counter() - start
    return Result(
        input=picture.name,
        output=str(made),
        width=width,
        height=height,
        scale=asked_scale(order.target) or 0.0,
        model=engine.model.metadata.name,
        precision=engine.choice.precision,
        backend=engine.choice.backend,
        seconds=seconds,
        megapixels_per_second=width * height / seconds / 1e6,
        peak_memory_bytes=memory.peak_resident(),
        why=engine.why,
    )


def _teller(stream: IO[str]) -> Callable[[dict[str, Any]], None]:
    lock = threading.Lock()

    def tell(answer: dict[str, Any]) -> None:
        line = json.dumps(answer)
        try:
            with lock:
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError):  # nobody listens any more
            os._exit(1)

    return tell


def main() -> None:
    """Do what is asked for until nothing more can be."""
    # Ctrl-C reaches all processes of a terminal; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    tell = _teller(answers)
    process: _Process | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if "open" in request:
            try:
                process = _Process(request["open"], tell)
            except VdsrError as error:
                tell({"refused": {"kind": type(error).__name__, "text": str(error)}})
                continue
            tell({"opened": process.opened()})
        elif process is not None:
            process.do(Task(**request["do"]))
    # Nobody is left to want what is still in work.
    os._exit(0)


if __name__ == "__main__":
    main()
