"""One picture from storage to storage, on whatever machine."""

from __future__ import annotations

import functools
import posixpath
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vdsr.cluster.folder_storage import place_at
from vdsr.cluster.storage import Place
from vdsr.errors import VdsrError
from vdsr.imaging.files.formats import FORMATS
from vdsr.inputs import file_digest
from vdsr.jobs.picture import DONE, FAILED, Outcome, Task

# Marks of an output: the picture it was made of, that picture's tag, its own SHA-256, and the
# job it was made in.
SOURCE, TAG, DIGEST, JOB = "vdsr-source", "vdsr-tag", "vdsr-digest", "vdsr-job"


@functools.cache
def _storage(address: str) -> Place:
    return place_at(address)


def do_stored(task: Task, do: Callable[[Task], Outcome]) -> Outcome:
    """Do a picture that lies in storage, through files of this machine.

    Args:
        task: `source` and `goal` are addresses, each of a storage and, behind `//`, a name
            in it: `s3://bucket/photos//summer/1.jpg`. `made` is the name of the format.
        do: does a task with files.

    Returns:
        What became of it; its `digest` is the tag that the object had.
    """
    home, name = split(task.source)
    goal_home, goal = split(task.goal)
    with tempfile.TemporaryDirectory(prefix="vdsr-") as folder:
        place = Path(folder)
        # A name of its own: that of the object may be longer than a file's.
        source = place / f"in{posixpath.splitext(name)[1][:16]}"
        made = place / f"out{FORMATS[task.made].suffixes[0]}"
        try:
            found = _storage(home).fetch(name, source)
            outcome = do(replace(task, source=str(source), made=str(made), goal=str(made)))
            if outcome.state == DONE:
                digest = file_digest(made)
                marks = {SOURCE: name, TAG: found.tag, DIGEST: digest, JOB: task.job}
                _storage(goal_home).upload(goal, made, marks)
            return replace(outcome, digest=found.tag)
        except VdsrError as error:
            text = str(error).removeprefix(f"{_storage(home).at(name)}: ")
            return Outcome(id=task.id, state=FAILED, error=text)


def split(address: str) -> tuple[str, str]:
    """The storage, and the name in it, of what `joined` made."""
    scheme, _, rest = address.partition("://")
    home, _, name = rest.partition("//")
    return f"{scheme}://{home}", name


def joined(storage: Place, name: str) -> str:
    """A storage and a name in it as one text."""
    return f"{storage.address}//{name}"
