"""What a job would do, found out without doing it: names, time, and room on the disk."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vdsr.errors import VdsrError
from vdsr.imaging.files import PictureReader, PixelLayout
from vdsr.inference import cpu
from vdsr.inference.consistency import spools
from vdsr.inference.strips import keeps_strips
from vdsr.inference.target import plan_passes
from vdsr.inputs import is_file, is_folder
from vdsr.jobs.balance import Balance, balance
from vdsr.jobs.discovery import find
from vdsr.jobs.enlarger import PER_THREAD
from vdsr.jobs.enrol import check_outputs, enrol
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.naming import longest_name
from vdsr.jobs.opening import begin, resolved_options
from vdsr.jobs.others import Others
from vdsr.jobs.progress import FINDING, JobProgress
from vdsr.jobs.runner import RunOptions, Show, manifest_path, output_names
from vdsr.jobs.settings import JobSettings

# Pictures whose headers are read: of more, these are taken for all.
_HEADERS = 1000
# Pictures of which a part is really enlarged, to see how long it takes and what it comes to.
_TRIED = 5
_SHOW_EVERY = 500


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job would take.

    Attributes:
        pictures: that would be done.
        sampled: of them, whose sizes were looked at.
        megapixels: that the network would give.
        seconds: of work; None where nothing could be tried.
        disk: bytes of the outputs; None where nothing could be tried.
        meanwhile: bytes that pictures in progress take at most beside them: finished strips,
            the steps of `consistent`; of those whose sizes were looked at.
        free: bytes on the disk.
    """

    pictures: int
    sampled: int
    megapixels: float
    seconds: float | None
    disk: int | None
    meanwhile: int
    free: int

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A job as it would be: what would be done, and what it would take.

    Attributes:
        balance: of the inputs, as the job stands.
        estimate: of what is left.
        pairs: gives each picture that would be done and where its output would be.
    """

    balance: Balance
    estimate: Estimate
    pairs: Callable[[], Iterator[tuple[str, str]]]


def dry_run(
    inputs: Sequence[str | os.PathLike[str]],
    output: Path,
    settings: JobSettings,
    options: RunOptions,
    show: Show = lambda _: None,
) -> DryRun:
    """Find out what `run_job` would do with the same arguments. Nothing is written.

    Raises:
        VdsrError: see `run_job`.
    """
    manifest = _manifest(manifest_path(output, settings))
    others = Others(manifest, output)
    begin(manifest, settings, others, redo=options.redo)
    found = find(inputs, output, options.selection, output_names(manifest))
    scan = enrol(
        manifest,
        _counted(found, show),
        settings.pattern,
        output,
        retry=options.retry_failed,
        longest=longest_name(_existing(output)) - settings.room_beside,
    )
    check_outputs(manifest, output, scan, overwrite=options.overwrite)

    def pairs() -> Iterator[tuple[str, str]]:
        rows = manifest.pages(
            "SELECT id, source, output FROM pictures WHERE scan >= ? AND state = 'waiting'"
            " AND {after}",
            scan,
        )
        return (
            (os.fsdecode(row["source"]), str(output / os.fsdecode(row["output"]))) for row in rows
        )

    return DryRun(
        balance=balance(manifest, output, scan),
        estimate=_estimate(manifest, output, scan, settings, options),
        pairs=pairs,
    )


def _manifest(path: Path) -> Manifest:
    if not is_file(path):
        return Manifest(None)
    own = Manifest(path, create=False)
    try:
        return own.copy()
    finally:
        own.close()


def _existing(folder: Path) -> Path:
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if is_folder(one))


def _counted(found: Iterator[Any], show: Show) -> Iterator[Any]:
    for i, one in enumerate(found, start=1):
        if i % _SHOW_EVERY == 0:
            show(JobProgress(phase=FINDING, found=i))
        yield one


def _estimate(
    manifest: Manifest, output: Path, scan: int, settings: JobSettings, options: RunOptions
) -> Estimate:
    where = "FROM pictures WHERE scan >= ? AND state = 'waiting'"
    (count, size) = manifest.one(f"SELECT count(*), sum(max(size, 0)) {where}", scan)
    step = max(1, math.ceil(count / _HEADERS))
    rows = manifest.pages(
        "SELECT id, source, size, place FROM (SELECT id, source, size,"
        f" row_number() OVER (ORDER BY id) - 1 AS place {where}) WHERE place % ? = 0 AND {{after}}",
        scan,
        step,
    )
    readable, pixels, bytes_in = [], 0.0, 0
    beside: list[int] = []
    for row in rows:
        source = Path(os.fsdecode(row["source"]))
        bytes_in += max(0, row["size"])
        found = _pixels(source, settings, options.resume)
        if found is not None:
            readable.append((source, found[0]))
            pixels += found[0]
            beside.append(found[1])
    sampled = math.ceil(count / step) if count else 0
    if bytes_in and step > 1:
        pixels *= (size or 0) / bytes_in
    most = PER_THREAD * (options.threads or cpu.cores())
    seconds, disk = _tried(readable, manifest, settings, options)
    return Estimate(
        pictures=count,
        sampled=sampled,
        megapixels=pixels / 1e6,
        seconds=None if seconds is None else seconds * pixels,
        disk=None if disk is None else int(disk * pixels),
        meanwhile=sum(sorted(beside)[-most:]),
        free=shutil.disk_usage(_existing(output)).free,
    )


def _pixels(source: Path, settings: JobSettings, resume: bool | None) -> tuple[int, int] | None:
    """Pixels that the network would give, and bytes of disk meanwhile; None if it cannot be."""
    try:
        reader = PictureReader(source)
        passes = plan_passes(reader.height, reader.width, settings.target)
    except (VdsrError, OSError):
        return None
    height, width = passes[-1].shape_out
    given = PixelLayout(
        width=reader.width, height=reader.height, bands=reader.bands, dtype=reader.dtype
    )
    result = replace(given, width=width, height=height)
    # Until they are rounded, consistent ones are floats.
    kept = replace(result, dtype="float32") if settings.consistent else result
    meanwhile = kept.nbytes if keeps_strips((height, width), resume) else 0
    if settings.consistent:
        meanwhile += spools(given, result)
    return sum(math.prod(one.shape_out) for one in passes), meanwhile


def _tried(
    readable: Sequence[tuple[Path, int]],
    manifest: Manifest,
    settings: JobSettings,
    options: RunOptions,
) -> tuple[float | None, float | None]:
    """Seconds and bytes for a pixel, by enlarging the middle of some pictures."""
    from vdsr.inference.upscaler import Upscaler

    if not readable:
        return None, None
    chosen = readable[:: math.ceil(len(readable) / _TRIED)]
    seconds = size = pixels = 0.0
    with (
        Upscaler(
            **resolved_options(manifest, settings, options.max_memory),
            threads=options.threads,
        ) as upscaler,
        tempfile.TemporaryDirectory(prefix="vdsr-") as folder,
    ):
        for i, (source, _) in enumerate(chosen):
            format = settings.pattern.format(str(source))
            goal = Path(folder) / f"{i}"
            for warm in (False, True)[: 1 + (i == 0)]:
                start = time.perf_counter()
                try:
                    _, _, width, height = upscaler.preview(
                        source, goal, **settings.options(format), overwrite=True
                    )
                except VdsrError:
                    break
                taken = time.perf_counter() - start
                if i or warm:
                    seconds, pixels = seconds + taken, pixels + width * height
                    size += goal.stat().st_size
    return (seconds / pixels, size / pixels) if pixels else (None, None)
