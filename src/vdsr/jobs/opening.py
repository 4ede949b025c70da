"""Beginning a job, or going on with one: whether it is still the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vdsr.errors import InputError, UsageError
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.others import Others
from vdsr.jobs.settings import JobSettings
from vdsr.version import __version__

_OTHERWISE = "redo=True redoes all of them, another output folder keeps both"


def begin(manifest: Manifest, settings: JobSettings, others: Others, *, redo: bool) -> None:
    """Write down the settings of a new job, or compare them with those of the one that is there.

    Args:
        manifest: of the job.
        settings: what is asked for now.
        others: who may be at work on it.
        redo: whether the job is to start over with these settings.

    Raises:
        UsageError: naming the settings that have changed; or, to start over, if another
            process is at work.
        InputError: if the manifest is damaged.
    """
    with manifest.transaction() as db:
        # Without a model nothing was ever made: settings that failed bind nobody. But one who
        # is at work may have claimed pictures, and open the model only now.
        bound = manifest.value("model") or others.alive()
        before = known_settings(manifest) if bound else None
        if before is not None and not redo:
            changes = before.changes(settings)
            if changes:
                raise UsageError(
                    f"{manifest.folder}: the pictures there were made with other settings:"
                    f" {'; '.join(changes)}: {_OTHERWISE}"
                )
            return
        if before is not None and others.alive():
            raise UsageError(
                f"{manifest.folder}: another process is at work there: end it, and try again"
            )
        manifest.set_value("settings", settings.as_json())
        manifest.set_value("program", f"vdsr {__version__}")
        manifest.set_value("begun", datetime.now(UTC).isoformat(timespec="seconds"))
        db.execute("DELETE FROM job WHERE key IN ('model', 'backend', 'precision', 'memory')")
        # New names, and nothing that could be taken for done; of the old outputs only what
        # tells them from strangers.
        db.execute(
            "UPDATE pictures SET state = 'waiting', output = NULL, key = NULL, digest = NULL,"
            " worker = NULL, made = NULL, beside = NULL, error = NULL, crashes = 0, cut_short = 0"
            " WHERE state <> 'skipped'"
        )


def known_settings(manifest: Manifest) -> JobSettings | None:
    """The settings that a job was begun with; None if it was not.

    Raises:
        InputError: if they cannot be read.
    """
    text = manifest.value("settings")
    try:
        return None if text is None else JobSettings.of_json(text)
    except ValueError as error:
        raise InputError(f"{manifest.path}: {error}: use the program that made it") from error


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What a job's settings stand for; the same in every run, so that the bytes are.

    Attributes:
        memory: bytes that a picture may use by itself.
        share: bytes that it may use while others are in progress.
        workers: pictures processed at once, on this machine.
    """

    memory: int
    share: int
    workers: int


def resolved_options(
    manifest: Manifest, settings: JobSettings, max_memory: int | None
) -> dict[str, Any]:
    """What an `Upscaler` is opened with: what `auto` stood for when the job began.

    Args:
        manifest: of the job.
        settings: what is asked for.
        max_memory: bytes that are asked for now; None for those of the job.
    """
    known = manifest.value("memory")
    if max_memory is None and known is not None:
        max_memory = int(known.split()[0])
    options = settings.upscaler | {"max_memory": max_memory}
    for name in ("backend", "precision"):
        if options[name] == "auto":
            options[name] = manifest.value(name) or "auto"
    return options


def settle(manifest: Manifest, opened: dict[str, Any], *, max_memory: int | None) -> Resolved:
    """Write down what was opened, or see that it is what the job was begun with.

    How a picture is cut into tiles depends on the memory it may use, and the last bits of
    floats on the tiles: so that is written down, too.

    Args:
        manifest: of the job.
        opened: see `vdsr.jobs.process`.
        max_memory: bytes that were asked for now; None for those of the job.

    Raises:
        UsageError: if the model is another one than the job was begun with.
    """
    workers = int(opened["workers"])
    with manifest.transaction():
        before = manifest.value("model")
        if before is not None and before != opened["model"]:
            raise UsageError(
                f"{manifest.folder}: the pictures there were made with another model:"
                f" model was {before}, and is {opened['model']}: {_OTHERWISE}"
            )
        for name in ("model", "backend", "precision"):
            manifest.set_value(name, opened[name])
        known = (manifest.value("memory") or "").split()
        if known and max_memory is None:
            return Resolved(memory=int(known[0]), share=int(known[1]), workers=workers)
        memory = int(opened["memory"])
        manifest.set_value("memory", f"{memory} {memory // workers}")
    return Resolved(memory=memory, share=memory // workers, workers=workers)
