"""One picture from storage to storage, on whatever machine."""

from __future__ import annotations

import functools
import json
import posixpath
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vdsr.cluster.folder_storage import place_at
from vdsr.cluster.storage import Place
from vdsr.cluster.stored_strips import Sharing
from vdsr.errors import VdsrError
from vdsr.imaging.files.formats import FORMATS
from vdsr.inference.shared_strips import ShareStrips
from vdsr.inference.strips import MANIFEST, folder_of
from vdsr.inputs import file_digest
from vdsr.jobs.picture import DONE, FAILED, Outcome, Task

# Marks of an output: the picture it was made of, that picture's tag, its own SHA-256, and the
# job it was made in.
SOURCE, TAG, DIGEST, JOB = "vdsr-source", "vdsr-tag", "vdsr-digest", "vdsr-job"


@functools.cache
def _storage(address: str) -> Place:
    return place_at(address)


def do_stored(task: Task, do: Callable[[Task, ShareStrips], Outcome]) -> Outcome:
    """Do a picture that lies in storage, through files of this machine.

    Args:
        task: `source` and `goal` are addresses, each of a storage and, behind `//`, a name
            in it: `s3://bucket/photos//summer/1.jpg`. `made` is the name of the format.
        do: does a task with files, and shares the strips of a giant picture.

    Returns:
        What became of it; its `digest` is the tag that the object had.
    """
    home, name = split(task.source)
    goal_home, goal = split(task.goal)
    with tempfile.TemporaryDirectory(prefix="vdsr-") as folder:
        source, made = _files(Path(folder), name, task.made)
        sharing = Sharing(_storage(goal_home), name)
        try:
            found = _storage(home).fetch(name, source)
            here = replace(task, source=str(source), made=str(made), goal=str(made))
            outcome = do(here, sharing.own)
            if outcome.state == DONE:
                digest = file_digest(made)
                marks = {SOURCE: name, TAG: found.tag, DIGEST: digest, JOB: task.job}
                _storage(goal_home).upload(goal, made, marks)
            sharing.end()
            return replace(outcome, digest=found.tag)
        except VdsrError as error:
            text = str(error).removeprefix(f"{_storage(home).at(name)}: ")
            return Outcome(id=task.id, state=FAILED, error=text)


def help_stored(task: Task, help: Callable[[Task, ShareStrips], int]) -> int:
    """Make strips of a giant picture that another actor is at work on.

    Args:
        task: as it is there.
        help: makes strips with files, and shares them.

    Returns:
        How many were made; 0 where there is nothing to help with.
    """
    home, name = split(task.source)
    goal_home, _ = split(task.goal)
    try:
        found = Sharing(_storage(goal_home), name).found()
        if found is None:
            return 0
        plan, share = found
        with tempfile.TemporaryDirectory(prefix="vdsr-") as folder:
            source, made = _files(Path(folder), name, task.made)
            _storage(home).fetch(name, source)
            strips = folder_of(made)
            strips.mkdir()
            (strips / MANIFEST).write_text(json.dumps(plan) + "\n", "ascii")
            return help(replace(task, source=str(source), made=str(made), goal=str(made)), share)
    except VdsrError:  # whoever is at work on it meets it, too, and says so
        return 0


def _files(folder: Path, name: str, format: str) -> tuple[Path, Path]:
    """Where a picture and its output lie meanwhile: names of objects may be longer than files'."""
    suffix = posixpath.splitext(name)[1][:16]
    return folder / f"in{suffix}", folder / f"out{FORMATS[format].suffixes[0]}"


def split(address: str) -> tuple[str, str]:
    """The storage, and the name in it, of what `joined` made."""
    scheme, _, rest = address.partition("://")
    home, _, name = rest.partition("//")
    return f"{scheme}://{home}", name


def joined(storage: Place, name: str) -> str:
    """A storage and a name in it as one text."""
    return f"{storage.address}//{name}"
