"""Running a job on this machine: what is found is worked through by one process that enlarges.

The order in which things reach the disk is what makes a job safe to kill. A picture is
claimed in the manifest before its work begins. Its output grows in a folder of its own; when
it is whole, the manifest says what is to be found, and only then is it renamed to its goal
and called done. So whoever comes after a kill finds each picture not begun, begun, finished
but not in its place, or done, and never has to guess.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vdsr.errors import InputError, OutputError, UsageError
from vdsr.inputs import exists
from vdsr.jobs.balance import Balance, balance
from vdsr.jobs.crew import Crew
from vdsr.jobs.discovery import Found, Selection, find
from vdsr.jobs.enrol import check_outputs, enrol
from vdsr.jobs.index_page import INDEX, write_index
from vdsr.jobs.leases import Worker
from vdsr.jobs.manifest import MANIFEST, PREVIEW_MANIFEST, STORED_JOB, Manifest
from vdsr.jobs.naming import longest_name
from vdsr.jobs.opening import begin
from vdsr.jobs.others import Others
from vdsr.jobs.pause import pausable
from vdsr.jobs.progress import FINDING, OTHERS, WATCHING, WORKING, JobProgress, Tally
from vdsr.jobs.settings import JobSettings
from vdsr.outputs import as_output_error, work_folder

# Seconds between two looks at what others do, or at whether there are new files.
_LOOK = 1.0
_WATCH = 2.0
# Looking for new files may take this part of the time.
_WATCH_SHARE = 0.1
# Counting what waits may take this part of it.
_COUNT_SHARE = 0.02
_SHOW_EVERY = 500

Show = Callable[[JobProgress], None]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a job is run; none of it changes what an output is.

    Attributes:
        selection: which files of folders are meant.
        overwrite: whether files that are in the way of outputs may be replaced.
        redo: start over, with new settings if they differ.
        retry_failed: try again what was quarantined, too; what merely failed always is.
        watch: go on looking for new files until interrupted.
        threads: CPU threads; None is all cores.
        max_memory: bytes of working memory; None is half of what is free when the job begins.
        resume: whether finished strips of each picture are kept until it is whole; None is
            for results of 100 megapixels and more.
    """

    selection: Selection = field(default_factory=Selection)
    overwrite: bool = False
    redo: bool = False
    retry_failed: bool = False
    watch: bool = False
    threads: int | None = None
    max_memory: int | None = None
    resume: bool | None = None


class Crews(Protocol):
    """What has pictures done, see `Crew`: one crew, or several that share the pictures.

    Attributes:
        worker: as whom they take pictures.
        stopped: why nothing more is begun; None while there is no reason.
    """

    worker: Worker
    stopped: str | None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress, and nothing is left to be written down."""

    def step(self, scan: int) -> None:
        """Take notice of what was done, write it down, and claim more."""

    def stop_for_disk(self) -> None:
        """Begin nothing more: the disk is full."""

    def pause(self, stop: bool) -> None:
        """Stop what is in progress, or let it go on."""

    def end(self) -> None:
        """End it all, whatever is in progress."""


class Gather(Protocol):
    """Makes `Crews`; the arguments are those of `Crew`."""

    def __call__(
        self,
        manifest: Manifest,
        worker: Worker,
        output: Path,
        work: Path,
        settings: JobSettings,
        tally: Tally,
        *,
        overwrite: bool,
        threads: int | None,
        max_memory: int | None,
        resume: bool | None,
    ) -> Crews:
        """Make them."""


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What a run has done, and how the job stands.

    Attributes:
        scan: what this run has seen is of this scan of the manifest, or a later one.
        made: outputs that this run made.
        failed: pictures that failed in this run.
        megapixels: that the network gave.
        seconds: from the beginning to the end, pauses left out.
        stopped: why the run ended before its work was done; else None.
        balance: of all that this run has seen.
    """

    scan: int
    made: int
    failed: int
    megapixels: float
    seconds: float
    stopped: str | None
    balance: Balance


def run_job(
    inputs: Sequence[str | os.PathLike[str]],
    output: Path,
    settings: JobSettings,
    options: RunOptions | None = None,
    show: Show = lambda _: None,
    gather: Gather = Crew,
) -> JobReport:
    """Enlarge many pictures into a folder, or go on with it.

    Every input is written down in a manifest in the folder. What is done there is not done
    again, unless the input has changed or the output is missing. The process may be killed
    at any moment, and several may work on one folder at once.

    Args:
        inputs: see `vdsr.jobs.discovery.find`.
        output: the folder of the outputs; made if it is missing.
        settings: what is done with each picture.
        options: how the job is run.
        show: called several times a second.
        gather: makes what has the pictures done; a crew of one process of this machine.

    Returns:
        What was done. Pictures that failed are not an error: see the balance.

    Raises:
        UsageError: for settings that differ from those the job was begun with, and for a
            model, backend or precision that is not available.
        InputError: if an input does not exist, or the manifest is damaged.
        OutputError: if the folder cannot be written.
    """
    options = options or RunOptions()
    if exists(output / STORED_JOB):
        raise UsageError(f"{output}: a job from storage lies there: another folder keeps both")
    new = not os.path.lexists(output)
    _make_folder(output)
    manifest = Manifest(manifest_path(output, settings))
    try:
        with manifest.errors():
            others = Others(manifest, output)
            others.take_back()
            begin(manifest, settings, others, redo=options.redo)
            with work_folder(output) as work:
                run = _Run(manifest, output, work, settings, options, show, others, gather)
                return run.run(inputs)
    except (UsageError, InputError):
        manifest.close()
        if new:
            _remove(output, settings)
        raise
    finally:
        manifest.close()


def _remove(output: Path, settings: JobSettings) -> None:
    """Leave no trace of a job that could not begin."""
    if {path.name for path in output.iterdir()} == {manifest_path(output, settings).name}:
        manifest_path(output, settings).unlink()
        output.rmdir()


def manifest_path(output: Path, settings: JobSettings) -> Path:
    """The manifest of a job in its output folder."""
    return output / (PREVIEW_MANIFEST if settings.preview else MANIFEST)


def output_names(manifest: Manifest) -> Callable[[str], bool]:
    """Tells whether a path, relative to the output folder, is an output of the job."""

    def made(relative: str) -> bool:
        row = manifest.one(
            "SELECT count(*) AS count FROM pictures WHERE output = ?", os.fsencode(relative)
        )
        return bool(row["count"])

    return made


def _make_folder(output: Path) -> None:
    with as_output_error(output):
        output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK | os.X_OK):
        raise OutputError(f"{output}: the folder cannot be written")


class _Run:
    """One run of a job."""

    def __init__(
        self,
        manifest: Manifest,
        output: Path,
        work: Path,
        settings: JobSettings,
        options: RunOptions,
        show: Show,
        others: Others,
        gather: Gather,
    ) -> None:
        self._gather = gather
        self._manifest = manifest
        self._output = output
        self._work = work
        self._settings = settings
        self._options = options
        self._show = show
        self._others = others
        self._tally = Tally()
        self._scan = 0
        # Pictures in all, and the bytes of those that wait, as they were when last counted;
        # and when to count them again.
        self._pictures = self._waiting_bytes = 0
        self._count_at = 0.0

    def run(self, inputs: Sequence[str | os.PathLike[str]]) -> JobReport:
        worker = Worker(self._manifest, self._output, self._work)
        crew = self._gather(
            self._manifest,
            worker,
            self._output,
            self._work,
            self._settings,
            self._tally,
            overwrite=self._options.overwrite,
            threads=self._options.threads,
            max_memory=self._options.max_memory,
            resume=self._options.resume,
        )
        try:
            with pausable(crew.pause, self._tally.paused):
                found = self._find(inputs)
                self._scan = self._enrol(found, again=True)
                self._work_off(crew)
                while self._options.watch and crew.stopped is None:
                    self._watch(inputs, crew)
            return self._report(crew)
        finally:
            crew.end()
            # Room on a full disk, for the manifest to be told.
            shutil.rmtree(self._work, ignore_errors=True)
            worker.leave()

    def _find(self, inputs: Sequence[str | os.PathLike[str]]) -> Iterator[Found]:
        for i, found in enumerate(
            find(inputs, self._output, self._options.selection, output_names(self._manifest)),
            start=1,
        ):
            if i % _SHOW_EVERY == 0:
                self._show(JobProgress(phase=FINDING, found=i))
            yield found

    def _enrol(self, found: Iterator[Found], *, again: bool) -> int:
        scan = enrol(
            self._manifest,
            found,
            self._settings.pattern,
            self._output,
            again=again,
            retry=again and self._options.retry_failed,
            settled=not again,
            longest=longest_name(self._output) - self._settings.room_beside,
        )
        check_outputs(self._manifest, self._output, scan, overwrite=self._options.overwrite)
        return scan

    def _work_off(self, crew: Crews) -> None:
        """Do what waits, and wait for what others do."""
        looked = 0.0
        while True:
            try:
                crew.step(self._scan)
            except sqlite3.OperationalError as error:
                if "full" not in str(error):
                    raise
                crew.stop_for_disk()
                return
            if not crew.is_idle:
                self._tell(WORKING)
                continue
            if crew.stopped is not None or not self._in_other_hands():
                return
            self._tell(OTHERS)
            if time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                self._others.take_back(crew.worker.id)
            time.sleep(_LOOK / 4)

    def _in_other_hands(self) -> bool:
        row = self._manifest.one(
            "SELECT count(*) AS count FROM pictures WHERE scan >= ?"
            " AND state IN ('waiting', 'working', 'finishing')",
            self._scan,
        )
        return bool(row["count"])

    def _watch(self, inputs: Sequence[str | os.PathLike[str]], crew: Crews) -> None:
        """Wait a little, look for new files, and do them."""
        start = time.monotonic()
        self._scan = self._enrol(self._find(inputs), again=False)
        self._work_off(crew)
        pause = max(_WATCH, (time.monotonic() - start) / _WATCH_SHARE)
        end = time.monotonic() + min(pause, 60 * _WATCH)
        while time.monotonic() < end:
            self._tell(WATCHING)
            time.sleep(_LOOK / 4)

    def _tell(self, phase: str) -> None:
        start = time.monotonic()
        if start >= self._count_at:
            row = self._manifest.one(
                "SELECT count(*) AS count, coalesce(sum(max(size, 0)), 0) AS size FROM pictures"
                " WHERE scan >= ? AND state = 'waiting'",
                self._scan,
            )
            self._pictures = self._tally.pictures + row["count"]
            self._waiting_bytes = row["size"]
            end = time.monotonic()
            self._count_at = end + max(_LOOK, (end - start) / _COUNT_SHARE)
        waiting = max(0, self._pictures - self._tally.pictures)
        self._show(self._tally.progress_of(phase, waiting, self._waiting_bytes))

    def _report(self, crew: Crews) -> JobReport:
        if self._settings.compare is not None and crew.stopped is None:
            pages = Path(self._settings.compare)
            # One is also missing where an earlier run was killed before it came to this.
            if self._tally.done or not (pages / INDEX).is_file():
                write_index(self._manifest, pages)
        progress = self._tally.progress_of(WORKING, 0, 0)
        return JobReport(
            scan=self._scan,
            made=self._tally.done,
            failed=self._tally.failed,
            megapixels=progress.pixels / 1e6,
            seconds=progress.seconds,
            stopped=crew.stopped,
            balance=balance(self._manifest, self._output, self._scan),
        )
