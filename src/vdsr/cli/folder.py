"""`vdsr upscale` with a folder as its goal, and `vdsr status`: a job of many pictures."""

from __future__ import annotations

import glob
import json as json_module
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from vdsr.cli.console import INTERRUPTED, STDOUT, as_options, check_outputs, duration, say, tell
from vdsr.cli.job_progress import JobDisplay
from vdsr.cli.options import Json, Overwrite
from vdsr.cluster.folder_storage import local_path
from vdsr.cluster.storage import is_address
from vdsr.errors import InputError, UsageError, VdsrError
from vdsr.inputs import exists, is_folder

if TYPE_CHECKING:
    from vdsr.cluster.options import ClusterOptions
    from vdsr.jobs.balance import Balance
    from vdsr.jobs.runner import JobReport, RunOptions
    from vdsr.jobs.settings import JobSettings


def is_folder_job(inputs: Sequence[Path], output: Path) -> bool:
    """Whether `upscale` is asked for many pictures, or for one into a folder."""
    return (
        len(inputs) > 1
        or _is_folder(output)
        or any(map(_is_folder, inputs))
        or any(not os.path.lexists(path) and glob.has_magic(str(path)) for path in inputs)
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what it is cannot be seen; reading it will say why
        return False


def upscale_folder(
    inputs: Sequence[Path],
    output: Path,
    settings: JobSettings,
    options: RunOptions,
    *,
    cluster: ClusterOptions | None,
    dry_run: bool,
    quiet: bool,
    json: str | None,
) -> None:
    """Enlarge many pictures into a folder, say what became of them, and end with 1 if any failed.

    Raises:
        VdsrError: see `run_job`.
    """
    from vdsr.imaging.files import SUFFIXES

    if not is_folder(output) and (exists(output) or output.suffix.lower() in SUFFIXES):
        if len(inputs) == 1:
            raise InputError(
                f"{_text(inputs[0])}: it is a folder, or a pattern, and {_text(output)} is the"
                " name of a file: name a folder for what it holds"
            )
        raise UsageError(
            f"{_text(output)}: several pictures go into a folder, and this is the name of a"
            " file: vdsr upscale IN... OUT_FOLDER"
        )
    if dry_run:
        return _dry_run(inputs, output, settings, options, quiet=quiet, json=json)
    from vdsr.jobs.balance import failures, pictures
    from vdsr.jobs.manifest import Manifest
    from vdsr.jobs.runner import manifest_path

    report = _run(inputs, output, settings, options, cluster=cluster, quiet=quiet)
    manifest = Manifest(manifest_path(output, settings), create=False)
    try:
        say_failures(failures(manifest, report.scan), report.balance)
        if report.stopped is not None:
            say(f"vdsr: error: {report.stopped}")
        if not quiet and json != STDOUT:
            tell(summary(output, report))
        if json is not None:
            lists = {
                "failures": failures_as_dicts(failures(manifest, report.scan)),
                "pictures": pictures(manifest, output, report.scan),
            }
            write_json(job_as_dict(output, report), lists, json)
    finally:
        manifest.close()
    if report.balance.inputs == sum(report.balance.skipped.values()) and not options.watch:
        raise InputError(f"{', '.join(map(_text, inputs))}: no pictures were found there")
    if report.stopped is not None or report.balance.failed or not report.balance.is_even:
        raise typer.Exit(1)
    return None


def _run(
    inputs: Sequence[Path],
    output: Path,
    settings: JobSettings,
    options: RunOptions,
    *,
    cluster: ClusterOptions | None,
    quiet: bool,
) -> JobReport:
    """Run the job here, or on a cluster; an interrupted one says where it stands."""
    from vdsr.jobs.runner import run_job

    try:
        with JobDisplay(quiet=quiet) as display:
            if cluster is None:
                return run_job(inputs, output, settings, options, display)
            from vdsr.cluster.crews import run_on_cluster

            return run_on_cluster(inputs, output, settings, options, cluster, display)
    except KeyboardInterrupt as error:
        if not _say_interrupted(output, settings):
            raise
        raise typer.Exit(INTERRUPTED) from error


def _say_interrupted(output: Path, settings: JobSettings) -> bool:
    """Say where the job stands, and how it goes on; False if it had not begun."""
    from vdsr.inference.memory import format_size
    from vdsr.jobs.balance import standing
    from vdsr.jobs.manifest import Manifest
    from vdsr.jobs.runner import manifest_path

    try:
        manifest = Manifest(manifest_path(output, settings), create=False)
        try:
            found = standing(manifest, output)
        finally:
            manifest.close()
    except (VdsrError, sqlite3.Error):
        return False
    text = f"{found.done} done, {found.left} left"
    if found.kept:
        text += (
            f", finished strips of {found.kept} are kept beside their outputs"
            f" ({format_size(found.kept_bytes)})"
        )
    say(f"vdsr: interrupted: {text}: the same command goes on")
    return True


def status(
    folder: Annotated[
        str,
        typer.Argument(metavar="OUT_FOLDER", help="Where a job has run, or address of storage."),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read every output, and compare it with its digest.")
    ] = False,
    json: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Show how a job of many pictures stands: done, failed, left, at work.

    Example: vdsr status enlarged/
    """
    from vdsr.jobs.balance import balance, failures, pictures
    from vdsr.jobs.manifest import STORED_JOB, open_manifest
    from vdsr.jobs.others import Others

    check_outputs(json=json, overwrite=overwrite)
    folder = local_path(folder)
    if is_address(folder) or exists(Path(folder) / STORED_JOB):
        if check:
            raise UsageError(f"{folder}: --check is for folders, and not for addresses of storage")
        from vdsr.cli.stored import status_stored

        status_stored(folder, json=json)
        return
    output = Path(folder)
    manifest = open_manifest(output)
    try:
        found = balance(manifest, output, thorough=check)
        workers = Others(manifest, output).alive()
        known = json_module.loads(manifest.value("settings") or "{}")
        if json != STDOUT:
            tell(f"{_text(output)}: {told(found)}")
            for worker in workers:
                tell(f"at work: process {worker['pid']}")
            say_failures(failures(manifest), found)
        if json is not None:
            content = {
                "output": _text(output),
                **found.as_dict(),
                "settings": known,
                "model": manifest.value("model"),
                "precision": manifest.value("precision"),
                "backend": manifest.value("backend"),
                "workers": [{"pid": row["pid"], "last_seen": row["beat_at"]} for row in workers],
            }
            lists = {
                "failures": failures_as_dicts(failures(manifest)),
                "pictures": pictures(manifest, output),
            }
            write_json(content, lists, json)
    except sqlite3.DatabaseError as error:
        raise InputError(f"{manifest.path}: it cannot be read: {error}") from error
    finally:
        manifest.close()
    if found.faults:
        raise typer.Exit(1)


def _dry_run(
    inputs: Sequence[Path],
    output: Path,
    settings: JobSettings,
    options: RunOptions,
    *,
    quiet: bool,
    json: str | None,
) -> None:
    from vdsr.inference.memory import format_size
    from vdsr.jobs.estimate import dry_run

    with JobDisplay(quiet=quiet) as display:
        found = dry_run(inputs, output, settings, options, display)
    if json is not None:
        content = {
            "output": _text(output),
            **found.balance.as_dict(),
            "estimate": found.estimate.as_dict(),
        }
        pairs = ({"input": _text(a), "output": _text(b)} for a, b in found.pairs())
        write_json(content, {"pictures": pairs}, json)
    if quiet or json == STDOUT:
        return
    for source, goal in found.pairs():
        tell(f"{_text(source)} -> {_text(goal)}")
    estimate = found.estimate
    tell(f"{_text(output)}: {told(found.balance)}")
    if estimate.pictures:
        text = f"{estimate.pictures} to do: {estimate.megapixels:.1f} Mpixel"
        if estimate.seconds is not None and estimate.disk is not None:
            text += f", about {duration(estimate.seconds)}, about {format_size(estimate.disk)}"
            if estimate.meanwhile:
                text += f" and up to {format_size(estimate.meanwhile)} more meanwhile"
        if estimate.sampled < estimate.pictures:
            text += f" (by the sizes of {estimate.sampled})"
        tell(f"{text}; {format_size(estimate.free)} is free")


def say_failures(failures: Iterator[tuple[str, str]], balance: Balance) -> None:
    """Say which pictures failed, and which outputs are not as they were made."""
    for source, error in failures:
        say(f"vdsr: error: {_text(source)}: {as_options(error)}")
    for fault in balance.faults:
        say(f"vdsr: error: {_text(fault)}: --overwrite or --redo makes it again")


def failures_as_dicts(failures: Iterator[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Failures as objects for JSON."""
    return ({"input": source, "error": as_options(error)} for source, error in failures)


def summary(output: str | Path, report: JobReport) -> str:
    """What a run has done, in a line."""
    text = f"{_text(output)}: {told(report.balance)}"
    if report.made:
        rate = report.megapixels / max(report.seconds, 1e-9)
        text += (
            f"; {report.made} made now in {duration(report.seconds)}"
            f" ({report.megapixels:.1f} Mpixel, {rate:.2f} Mpixel/s)"
        )
    return text


def told(balance: Balance) -> str:
    """A balance in words: `300 inputs: 273 done, 7 skipped (4 hidden, 3 no picture), 20 failed`."""
    skipped = sum(balance.skipped.values())
    parts = [f"{balance.done} done"]
    if skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in balance.skipped.items())
        parts.append(f"{skipped} skipped ({reasons})")
    if balance.failed:
        kept = f" ({balance.quarantined} in quarantine)" if balance.quarantined else ""
        parts.append(f"{balance.failed} failed{kept}")
    if balance.left:
        parts.append(f"{balance.left} left")
    if balance.faults:
        parts.append(f"{len(balance.faults)} outputs are not as they were made")
    noun = "input" if balance.inputs == 1 else "inputs"
    return f"{balance.inputs} {noun}: {', '.join(parts)}"


def job_as_dict(output: str | Path, report: JobReport) -> dict[str, Any]:
    """What a run has done, as an object for JSON."""
    return {
        "output": _text(output),
        **report.balance.as_dict(),
        "made": report.made,
        "megapixels": report.megapixels,
        "seconds": report.seconds,
        "stopped": report.stopped,
    }


def _text(path: str | Path) -> str:
    """A path for people and JSON; bytes that are not UTF-8 are shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def write_json(
    content: Mapping[str, Any], lists: Mapping[str, Iterator[Mapping[str, Any]]], json: str
) -> None:
    """Write an object whose last members are lists of any length."""
    with _opened(json) as file:
        file.write(json_module.dumps(content, indent=2)[:-2])
        for name, rows in lists.items():
            file.write(f',\n  "{name}": [')
            for i, row in enumerate(rows):
                file.write(f"{',' if i else ''}\n    {json_module.dumps(row)}")
            file.write("\n  ]")
        file.write("\n}\n")


@contextmanager
def _opened(json: str) -> Iterator[IO[str]]:
    import io

    from vdsr.outputs import write_atomic

    if json == STDOUT:
        yield sys.stdout
        return
    with write_atomic(Path(json)) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        yield text
        text.flush()
        text.detach()
