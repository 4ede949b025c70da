"""Where outputs go: whether they may, and that they come there whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vdsr.errors import OutputError, OutputExists
from vdsr.jobs.enrol import output_fault
from vdsr.outputs import put, refuse_existing, write_atomic

if TYPE_CHECKING:
    from vdsr.jobs.leases import Lease


def check_place(output: Path, lease: Lease, beside: Iterable[Path], *, overwrite: bool) -> bool:
    """Refuse a picture whose output may not be written, before any work is done.

    Args:
        output: the folder of the outputs.
        lease: the picture.
        beside: what is made beside it.
        overwrite: whether files that are not of this job may be replaced.

    Returns:
        Whether an output of this job is there, as it was made.

    Raises:
        OutputError: saying why it may not.
    """
    goal, source = output / lease.output, Path(lease.source)
    with contextlib.suppress(OSError):
        if goal.samefile(source):
            raise OutputError(
                "its output would replace the input itself: use another name or folder"
            )
    for other in beside:
        # Once an output was made, what is beside it is of this job, too.
        if not overwrite and lease.output_digest is None and os.path.lexists(other):
            raise OutputExists(f"{other}: it exists already: overwrite=True replaces it")
    if not os.path.lexists(goal):
        return False
    if lease.output_digest is not None and output_fault(output, lease.as_made) is None:
        return True
    if not overwrite:
        was = "was altered since it was made" if lease.output_digest else "exists already"
        raise OutputExists(f"{goal}: it {was}: overwrite=True replaces it")
    refuse_existing(goal, overwrite=True)
    return False


def place(made: Path, goal: Path, *, overwrite: bool) -> None:
    """Move a finished file to its goal; its folders are made.

    Raises:
        OutputError: if it cannot be there.
    """
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{goal}: the folder {goal.parent} cannot be made: {error.strerror}"
        ) from error
    try:
        put(made, goal, overwrite=overwrite)
    except OutputError as error:
        # A folder of the outputs may lie on another disk.
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno != errno.EXDEV:
            raise
        with made.open("rb") as draft, write_atomic(goal, overwrite=overwrite) as file:
            shutil.copyfileobj(draft, file)
    made.unlink(missing_ok=True)
