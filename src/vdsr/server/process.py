"""A process that decodes and encodes pictures of strangers, with limits on what it may take.

    python -m vdsr.server.process

It has no network: tiles go to the server, which has the one that is open. Messages are those
of `vdsr.server.frames`:

    {"open": {...}} and the model files     first of all
        {"opened": true}
    {"look": {...}}                         is it a picture, and how large will it be?
        {"looked": {...}}
    {"do": {...}}                           a `Task`
        {"tile": shape, "model": i}, answered by {"tile": shape} or {"refused": {...}}
        {"progress": [px done, px in all]}
        {"ended": {...}}                    an `Outcome`
    {"view": {...}}, {"figures": {...}}     what the page shows: see `vdsr.server.views`
        {"shown": {...}} and a PNG
        {"refused": {...}}                  in place of any answer

What a broken picture does to it, it does to this process alone.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pyvips

import vdsr.errors
from vdsr.errors import InputError, UsageError, VdsrError
from vdsr.imaging.files import PictureReader, format_of
from vdsr.imaging.files.formats import FORMATS, check_quality
from vdsr.inference import memory
from vdsr.inference.backends import Choice
from vdsr.inference.engine import Engine, Result
from vdsr.inference.engines import kind_of
from vdsr.inference.order import Order
from vdsr.inference.pictures import Picture, opened
from vdsr.inference.plan import OnProgress, Progress
from vdsr.inference.target import plan_passes
from vdsr.jobs.picture import Task, do_picture
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile
from vdsr.server import views
from vdsr.server.frames import Message, as_array, receive, send, send_tile

# Largest side of a tile, px: larger ones hardly save any halo, and others wait for them.
TILE = 512
# Libraries map memory that they do not use; this is beside what a picture may take.
_ROOM = 512 * 1024**2
_INTERVAL = 0.2


def refusal(error: Exception) -> Message:
    """An error as a message; `error_of` undoes it."""
    kind = type(error).__name__ if isinstance(error, VdsrError) else "VdsrError"
    return {"refused": {"kind": kind, "text": " ".join(str(error).split())}}


def error_of(refused: dict[str, str]) -> VdsrError:
    """The error that a message tells."""
    kind = getattr(vdsr.errors, refused["kind"], VdsrError)
    error: VdsrError = kind.__new__(kind)
    error.args = (refused["text"],)
    return error


@dataclass
class _Distant:
    """The server's network, as a backend."""

    requests: IO[bytes]
    answers: IO[bytes]
    model: int

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend`."""
        send_tile(self.answers, y, self.model)
        received = receive(self.requests)
        if received is None:
            os._exit(0)
        message, payload = received
        if "refused" in message:
            raise error_of(message["refused"])
        return as_array(message["tile"], payload)

    def close(self) -> None:
        """The server's own affair."""


class _Process:
    def __init__(
        self, order: dict[str, Any], models: bytes, requests: IO[bytes], answers: IO[bytes]
    ) -> None:
        os.nice(order["nice"])
        limit(order["max_memory"], order["max_file"])
        self._answers = answers
        self._engines: list[Engine] = []
        for i, one in enumerate(order["models"]):
            data, models = models[: one["size"]], models[one["size"] :]
            self._engines.append(
                Engine(
                    model=ModelFile(data, one["source"]),
                    choice=Choice(backend=one["backend"], precision=one["precision"]),
                    network=_Distant(requests, answers, i),
                    max_memory=order["max_memory"] // 2,
                    tile=TILE,
                )
            )

    def look(self, source: str, options: dict[str, Any], max_pixels: int) -> Message:
        """What a picture is and what is to become of it, before any of it is decoded."""
        order = _order(options)
        reader = PictureReader(Path(source), order.page)
        height, width = plan_passes(reader.height, reader.width, order.target)[-1].shape_out
        for wide, high in ((reader.width, reader.height), (width, height)):
            if wide * high > max_pixels:
                raise InputError(
                    f"{wide}x{high} px are more than the {max_pixels / 1e6:g} Mpixel"
                    " that this server takes"
                )
        name = options.get("format")
        if name is None:
            name = reader.format.name if reader.format.name in FORMATS else "png"
        goal = format_of(Path(), name)
        check_quality(goal, order.quality)
        return {
            "looked": {
                "width": reader.width,
                "height": reader.height,
                "result": [width, height],
                "format": goal.name,
                "suffix": goal.suffixes[0],
                "estimate": width * height * reader.bands * (1 if reader.dtype == "uint8" else 4),
            }
        }

    def do(self, task: Task) -> Message:
        """Enlarge a picture."""
        return {"ended": do_picture(task, self._enlarge, self._report()).as_dict()}

    def _enlarge(self, task: Task, progress: OnProgress) -> Result:
        order = _order(task.options, progress)
        with opened(Path(task.source), order.page) as picture:
            engine = self._chosen(picture, order)
            return engine.into_file(picture, Path(task.made), order)

    def _chosen(self, picture: Picture, order: Order) -> Engine:
        """The engine for a picture, where there are several, as `Engines.of`."""
        if len(self._engines) == 1:
            return self._engines[0]
        kind, why = kind_of(picture, restore=order.target.restore)
        return replace(self._engines[kind], why=why)

    def _report(self) -> OnProgress:
        last = 0.0

        def report(progress: Progress) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= _INTERVAL:
                last = now
                send(self._answers, {"progress": [progress.done, progress.total]})

        return report

    def answer(self, message: Message) -> tuple[Message, bytes]:
        """The answer to any request."""
        if "look" in message:
            return self.look(**message["look"]), b""
        if "do" in message:
            return self.do(Task(**message["do"])), b""
        if "view" in message:
            return {"shown": {}}, views.view(**message["view"])
        return {"shown": views.figures(**message["figures"])}, b""


def _order(options: dict[str, Any], progress: OnProgress | None = None) -> Order:
    given = dict(options)
    if given.get("fit") is not None:
        given["fit"] = tuple(given["fit"])  # which JSON does not know
    return Order.of(given, caller="upscale", progress=progress)


def limit(max_memory: int, max_file: int) -> None:
    """Set what this process may take, for good."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing then fails in words
    if sys.platform == "linux":  # elsewhere it bounds nothing, or what is mapped alone
        most = max_memory + _ROOM
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    memory.give_back_at_once()
    pyvips.cache_set_max(0)  # no picture comes twice: libvips would keep the last hundred


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's affair
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get among the answers
    requests = sys.stdin.buffer
    process: _Process | None = None
    while (received := receive(requests)) is not None:
        message, payload = received
        try:
            if process is None:
                process = _Process(message["open"], payload, requests, answers)
                send(answers, {"opened": True})
                continue
            send(answers, *process.answer(message))
        except (VdsrError, OSError) as error:
            send(answers, refusal(error))
        except MemoryError:
            send(answers, refusal(UsageError("it does not fit in the memory that it may use")))
    os._exit(0)


if __name__ == "__main__":
    main()
