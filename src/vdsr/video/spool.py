"""What is done of a film, on the disk: segments of packets, from which a run goes on.

Beside the goal lies a folder of a name that follows from the goal's. In it are the settings
of the run, and each finished segment in a file of its own: its packets, then an index, then
the length of the index. A segment is renamed when it is whole and on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vdsr.errors import OutputError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_JOB = "job.json"
_LENGTH = 8


@dataclass(kw_only=True)
class Segment:
    """What a finished segment holds beside its packets.

    Attributes:
        frames: time and duration of each picture, in order; in units of the time base.
        packets: time, size in bytes and whether it is a key picture, in the order of decoding.
        extradata: of the encoder, hexadecimal.
        computed, kept: px of luma, see `vdsr.video.enlarge.Work`.
        last: whether the film ends with it.
        told: of the whole film's damage, in the last one.
    """

    frames: list[tuple[int, int]] = field(default_factory=list)
    packets: list[tuple[int, int, bool]] = field(default_factory=list)
    extradata: str = ""
    computed: int = 0
    kept: int = 0
    last: bool = False
    told: list[str] = field(default_factory=list)


class Spool:
    """The folder of one film's segments.

    Args:
        goal: the film that is made.
        settings: all that the bytes depend on.
        chosen: what the machine chose, which stays as it was when the job began.
        redo: whether what is there of other settings is thrown away.

    Attributes:
        chosen: as given, or as it was when the job began.
        done: finished segments.

    Raises:
        UsageError: if an unfinished film of other settings is there.
        OutputError: if it cannot be written, or another process is at it.
    """

    def __init__(
        self, goal: Path, settings: dict[str, Any], chosen: dict[str, Any], *, redo: bool = False
    ) -> None:
        self.goal = goal
        self.folder = spool_folder(goal)
        self.chosen = chosen
        self.done: list[Segment] = []
        with _as_output_error(goal):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._lock: IO[bytes] = (self.folder / "lock").open("wb")
        if not _locked(self._lock):
            self._lock.close()
            raise OutputError(f"{goal}: another process is making it")
        try:
            self._begin(json.loads(json.dumps(settings)), redo)
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, settings: dict[str, Any], redo: bool) -> None:
        job = self.folder / _JOB
        if job.exists() and not redo:
            self._go_on(job, settings)
        else:
            with _as_output_error(self.goal):
                for path in self.folder.glob("*.segment*"):
                    path.unlink()
                content = json.dumps({"settings": settings, "chosen": self.chosen}, indent=2)
                _write(job, content.encode())

    def _go_on(self, job: Path, settings: dict[str, Any]) -> None:
        try:
            held = json.loads(job.read_text("utf-8"))
            before, self.chosen = held["settings"], held["chosen"]
        except (ValueError, KeyError, OSError) as error:
            raise UsageError(
                f"{self.goal}: what is done of it cannot be read: redo=True does it all again"
            ) from error
        names = sorted(k for k in {*before, *settings} if before.get(k) != settings.get(k))
        if names:
            raise UsageError(
                f"{self.goal}: an unfinished run of it had other settings ({', '.join(names)}):"
                " give those to continue, or redo=True does it all again"
            )
        while (segment := self._read(len(self.done))) is not None:
            self.done.append(segment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def remove(self) -> None:
        """Clear all of it away: the film is made."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, index: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{index:06}.segment"

    def begin(self) -> SegmentFile:
        """The file of the next segment."""
        return SegmentFile(self.path(len(self.done)), self.goal)

    def data(self) -> Iterator[bytes]:
        """All packets of all segments, in the order of decoding."""
        for i, segment in enumerate(self.done):
            with self.path(i).open("rb") as file:
                for _, size, _ in segment.packets:
                    yield file.read(size)

    def _read(self, index: int) -> Segment | None:
        try:
            with self.path(index).open("rb") as file:
                file.seek(-_LENGTH, os.SEEK_END)
                length = int.from_bytes(file.read(_LENGTH), "little")
                file.seek(-_LENGTH - length, os.SEEK_END)
                return Segment(**json.loads(file.read(length)))
        except (OSError, ValueError, TypeError):
            return None


class SegmentFile:
    """A segment in the making."""

    def __init__(self, path: Path, goal: Path) -> None:
        self.segment = Segment()
        self._path, self._goal = path, goal
        self._part = path.with_suffix(".segment-part")
        with _as_output_error(goal):
            self._file = self._part.open("wb")

    def add(self, pts: int, data: bytes, *, key: bool) -> None:
        """Write a packet.

        Raises:
            OutputError: if it cannot be written.
        """
        with _as_output_error(self._goal):
            self._file.write(data)
        self.segment.packets.append((pts, len(data), key))

    def finish(self) -> Segment:
        """Make it whole.

        Raises:
            OutputError: if it cannot be written.
        """
        index = json.dumps(asdict(self.segment)).encode()
        with _as_output_error(self._goal):
            self._file.write(index + len(index).to_bytes(_LENGTH, "little"))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
        return self.segment

    def discard(self) -> None:
        """Leave nothing of it, if it is not whole already."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink()


def spool_folder(goal: Path) -> Path:
    """Where what is done of a film lies, until it is whole."""
    digest = hashlib.sha256(os.fsencode(goal.name)).hexdigest()[:24]
    return goal.parent / f".vdsr-film-{digest}"


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _locked(file: IO[bytes]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _as_output_error(goal: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error)
        raise OutputError(f"{goal}: it cannot be written: {text}") from error
