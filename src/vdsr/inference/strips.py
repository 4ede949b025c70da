"""Finished strips of a giant picture, kept on the disk until the whole is done.

Beside the goal lies a folder with the finished bands of the result, as raw samples, and a
manifest: a line of JSON for what they belong to, and one for each strip with its digest.
Whoever does the same picture again takes what is there, and makes the rest. The bytes of the
result are those of an unbroken run: the manifest holds the memory that tiles were planned
for, from which their places follow. Others may help with strips further down meanwhile, see
`vdsr.inference.shared_strips`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from vdsr.errors import OutOfMemory, OutputError
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.storage import GIANT_PIXELS
from vdsr.inference.memory import format_size
from vdsr.inference.order import Order
from vdsr.inference.pictures import Picture
from vdsr.inference.plan import OnProgress, Plan
from vdsr.inference.shared_strips import SharedStrips, ShareStrips, strip_path
from vdsr.unfinished import claim, sweep
from vdsr.version import __version__

# In the folder: what the strips belong to, and who is at work on them.
MANIFEST, _OWNER = "manifest.jsonl", "owner"
# Seconds after which whoever helps looks whether there is work of its own.
_HELP_SECONDS = 20.0
_log = logging.getLogger(__name__)


def kept_strips(
    picture: Picture,
    goal: Path,
    order: Order,
    shape: tuple[int, int],
    made_with: dict[str, Any],
) -> KeptStrips | None:
    """What keeps the finished strips of a giant picture, or of one whose strips are wanted.

    Args:
        picture: what is enlarged.
        goal: the output.
        order: what it is to become.
        shape: height and width of the result.
        made_with: the network, and what else the samples depend on.

    Raises:
        InputError: if the picture cannot be read.
    """
    if picture.reader is None or not keeps_strips(shape, order.resume):
        return None
    made_of = {
        "program": __version__,
        "source": picture.digest(),
        "page": picture.reader.page,
        "height": shape[0],
        "width": shape[1],
        "restore": order.target.restore,
        "ensemble": order.ensemble,
        "consistent": order.consistent,
        **made_with,
    }
    return KeptStrips(order.kept_for or goal, made_of, order.share_strips)


def keeps_strips(shape: tuple[int, int], resume: bool | None) -> bool:
    """Whether the strips of a result, `shape` rows and columns, are kept; see `Order.resume`."""
    return shape[0] * shape[1] >= GIANT_PIXELS if resume is None else resume


def folder_of(goal: Path) -> Path:
    """Where the finished strips of a picture lie until it is whole."""
    place = Path(os.path.realpath(goal))
    # Not the name itself, which may be as long as names can be.
    mark = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:32]
    return place.parent / f".vdsr-{mark}.strips"


def kept_bytes(goal: Path) -> int:
    """Bytes of the finished strips of a picture; 0 if there are none."""
    try:
        folder = folder_of(goal)
        strips = (path for kind in ("*.raw", "*.made") for path in folder.glob(kind))
        return sum(path.stat().st_size for path in strips)
    except OSError:
        return 0


class KeptStrips:
    """The finished strips of one picture. Use as a context manager: one process at a time.

    Args:
        goal: the file that the picture becomes, which gives the place of the strips.
        made_of: all that the samples of the result depend on, but the memory.
        share: with whom they are shared.

    Attributes:
        folder: where they lie.

    Raises:
        OutputError: on entering, if another process is at work on them, or they cannot be
            read or written.
    """

    def __init__(
        self, goal: Path, made_of: dict[str, Any], share: ShareStrips = SharedStrips
    ) -> None:
        self.folder = folder_of(goal)
        self._goal = goal
        self._head = {"goal": Path(os.path.realpath(goal)).name, **made_of}
        self._memory: int | None = None
        self._digests: list[str] = []
        self._owner: BinaryIO | None = None
        self._share = share
        self._shared: SharedStrips | None = None

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = claim(self.folder / _OWNER)
            if self._owner is None:
                raise OutputError(f"{self._goal}: another process is at work on it")
            self._read()
        except OSError as error:
            raise self._error(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them up to the next; when all went well, or nothing is there, they go."""
        if self._shared is not None:
            self._shared.release()
        if kind is None or not kept_bytes(self._goal):
            self._remove()
        else:
            _log.info(
                "%s: its %d finished strips are kept in %s (%s): the same again goes on with them",
                self._goal,
                sum(1 for kind in ("*.raw", "*.made") for _ in self.folder.glob(kind)),
                self.folder,
                format_size(kept_bytes(self._goal)),
            )
        if self._owner is not None:
            self._owner.close()

    def _remove(self) -> None:
        """Remove the folder, first its name: who helps must not put anything there any more."""
        gone = self.folder.with_name(f".vdsr-{secrets.token_hex(16)}.part")
        with contextlib.suppress(OSError):
            self.folder.rename(gone)
        for folder in (self.folder, gone):
            shutil.rmtree(folder, ignore_errors=True)

    def _manifest(self) -> tuple[int, list[str]] | None:
        """Memory and strips, as the manifest has them; None if it is of another picture."""
        try:
            lines = (self.folder / MANIFEST).read_text("ascii").splitlines()
            head, strips = json.loads(lines[0]), lines[1:]
            memory = int(head.pop("memory"))
            del head["strips"]
        except (FileNotFoundError, ValueError, IndexError, KeyError, AttributeError):
            return None
        # As JSON has it: tuples are lists there.
        return (memory, strips) if head == json.loads(json.dumps(self._head)) else None

    def begun(self) -> int | None:
        """Bytes that the tiles are planned for, where somebody is at work on them."""
        try:
            found = self._manifest()
        except OSError:
            return None
        return None if found is None else found[0]

    def _read(self) -> None:
        found = self._manifest()
        if found is None:
            return self._begin_anew()
        self._memory, strips = found
        for line in strips:
            try:
                digest = json.loads(line)["sha256"]
                with strip_path(self.folder, len(self._digests)).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        break
            except (OSError, ValueError, KeyError, TypeError):
                break  # it was being written
            self._digests.append(digest)
        return None

    def _begin_anew(self) -> None:
        """What is there belongs to another picture, or was never begun."""
        self._memory = None
        for path in self.folder.iterdir():
            if path.name != _OWNER:
                path.unlink()

    def memory(self, fresh: int, *, most: int) -> int:
        """Bytes to plan tiles for: as many as when the picture was begun.

        Args:
            fresh: what to take where nothing was begun.
            most: bytes of working memory that may be used.

        Raises:
            OutOfMemory: if it was begun with more.
        """
        begun = self._memory if kept_bytes(self._goal) else None
        if begun is not None and begun > most:
            raise OutOfMemory(
                f"{self._goal}: it was begun within {format_size(begun)} of memory, and"
                f" {format_size(most)} may be used: raise max_memory, or remove {self.folder} to"
                " start over"
            )
        return fresh if begun is None else begun

    def begin(self, plan: Plan, memory: int, output: int) -> None:
        """Check that the disk has room, and say what it takes.

        Args:
            plan: of the picture.
            memory: bytes that it was made for.
            output: bytes that the file itself may take, and all else beside the strips.

        Raises:
            OutputError: if there is too little room.
        """
        bands = plan.passes[-1].bands
        heights = [band.rows.stop - band.rows.start for band in bands]
        row = plan.layout.width * plan.layout.bands * np.dtype(plan.passes[-1].dtype_out).itemsize
        sizes = [rows * row for rows in heights]
        done = self._sound(sizes)
        try:
            sweep(self.folder.parent)
            needed, free = sum(sizes[done:]) + output, shutil.disk_usage(self.folder).free
            if needed > free:
                self._refuse(needed, free)
            head = self._planned(plan, memory)
            self._write_manifest(head)
            self._shared = self._share(self.folder, head)
            self._shared.clear(done)
        except OSError as error:
            raise self._error(error) from error
        share = f"; {done} of {len(bands)} strips are there already" if done else ""
        _log.info(
            "%s: %.0f Mpixel take up to %s of disk while they are made (%s are free): finished"
            " strips are kept in %s%s",
            self._goal,
            plan.layout.width * plan.layout.height / 1e6,
            format_size(sum(sizes) + output),
            format_size(free),
            self.folder,
            share,
        )

    def _planned(self, plan: Plan, memory: int) -> dict[str, Any]:
        return {**self._head, "memory": memory, "strips": len(plan.passes[-1].bands)}

    def _sound(self, sizes: list[int]) -> int:
        """How many strips are as they must be; further ones are forgotten."""
        found = 0
        for i, size in enumerate(sizes[: len(self._digests)]):
            if strip_path(self.folder, i).stat().st_size != size:
                break
            found += 1
        del self._digests[found:]
        return found

    def _refuse(self, needed: int, free: int) -> None:
        raise OutputError(
            f"{self._goal}: it needs about {format_size(needed)} of disk, finished strips"
            f" included, and {format_size(free)} are free: free some space"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def through(
        self, plan: Plan, strips: Callable[[], Iterable[Samples]], progress: OnProgress | None
    ) -> Iterator[Samples]:
        """The result from top to bottom: what is there, then what is made, and kept.

        While somebody else is making the strip that is next, one further down is made.

        Args:
            plan: of the picture.
            strips: gives it from top to bottom, afresh each time.
            progress: see `Plan.run`.

        Raises:
            OutputError: if a strip cannot be read or written.
        """
        last, done, shared = plan.passes[-1], len(self._digests), self._shared
        assert shared is not None
        count = plan.counter(progress, skip=done)
        mine: set[int] = set()
        run: Iterator[Samples] | None = None
        for number, rows in enumerate(band.rows for band in last.bands):
            while (found := self._kept(number)) is None:
                if run is None:
                    run = plan.pick(strips(), count, shared.claim, skip=number)
                with self._errors():
                    band = next(run, None)
                if band is None:  # all that is left is in others' hands
                    run = None
                    time.sleep(shared.patience)
                    continue
                mine.add(shared.claimed)
                with self._errors():
                    shared.publish(band)
                band = None  # it is on the disk: memory is planned for one
            if number >= done and number not in mine:
                count((rows.stop - rows.start) * plan.layout.width)
            data = np.frombuffer(found, last.dtype_out)
            yield data.reshape(-1, plan.layout.width, plan.layout.bands)

    def _kept(self, number: int) -> bytes | None:
        """A strip that is made, and now kept; None if it is not."""
        path = strip_path(self.folder, number)
        with self._errors():
            if number < len(self._digests):
                return path.read_bytes()
            assert self._shared is not None
            found = self._shared.adopt(number, path)
            if found is None:
                return None
            data, digest = found
            self._digests.append(digest)
            # Only now that it is on the disk.
            with (self.folder / MANIFEST).open("a", encoding="ascii") as manifest:
                manifest.write(self._line(number))
                manifest.flush()
                os.fsync(manifest.fileno())
            return data

    def help(self, plan: Plan, strips: Callable[[], Iterable[Samples]], memory: int) -> int:
        """Make strips for somebody else, who is at work on the picture.

        Args:
            plan: of the picture.
            strips: gives it.
            memory: bytes that it was made for, see `begun`.

        Returns:
            How many were made: until all are, or somebody has them in hand, or it takes long.
        """
        made, end = 0, time.monotonic() + _HELP_SECONDS
        shared = self._share(self.folder, self._planned(plan, memory))
        try:
            first = shared.first(len(plan.passes[-1].bands))
            for band in plan.pick(strips(), plan.counter(None), shared.claim, skip=first):
                shared.publish(band)
                made += 1
                if time.monotonic() > end:
                    break
        except OSError as error:  # it is whole, or given up
            _log.debug("%s: no more help: %s", self._goal, error)
        finally:
            shared.release()
        return made

    def _write_manifest(self, head: dict[str, Any]) -> None:
        draft = self.folder / f"{MANIFEST}.new"
        lines = [json.dumps(head) + "\n", *map(self._line, range(len(self._digests)))]
        with draft.open("w", encoding="ascii") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.folder / MANIFEST)

    def _line(self, strip: int) -> str:
        return json.dumps({"strip": strip, "sha256": self._digests[strip]}) + "\n"

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._goal}: its strips cannot be kept in {self.folder}: {error.strerror}"
        )
