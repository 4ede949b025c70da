"""Every error that this package raises on purpose.

    VdsrError
    ├── UsageError              (also a ValueError) the request itself is wrong: exit code 2
    │   ├── ModelError          no such model, or a damaged file
    │   ├── BackendError        a backend or precision that this machine or model lacks
    │   └── MissingExtra        (also an ImportError) an optional dependency is not installed
    ├── FileError               one file could not be done: exit code 1
    │   ├── InputError          it cannot be read, or is not a picture that can be enlarged
    │   │   ├── UnsupportedType (also a TypeError) it is of a type that is not taken
    │   │   └── CheckpointError a checkpoint that cannot be imported, or must not be
    │   └── OutputError         it cannot be written
    │       └── OutputExists    it is there already, and may not be replaced
    ├── OutOfMemory             (also a MemoryError) the work does not fit: exit code 1
    └── ClusterError            a cluster cannot be reached, started, or used: exit code 1

Messages are one line: what was wrong, where, and what to do. `exit_code` is what
the command line ends with when the error is all there is to say.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class VdsrError(Exception):
    """Base of all errors of this package."""

    exit_code = 1


class UsageError(VdsrError, ValueError):
    """The request is wrong, whatever the files hold."""

    exit_code = 2


class ModelError(UsageError):
    """A model is unknown, damaged, or not a model file of this program."""


class BackendError(UsageError):
    """A backend, device or precision is not available on this machine."""


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str | None) -> None:
        what = f"'vdsr[{extra}]'" if extra else "vdsr"
        verb = "are" if "," in package else "is"
        super().__init__(f"{package} {verb} not installed: pip install {what}")
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str | None]]:
        return MissingExtra, (self.package, self.extra)


class FileError(VdsrError):
    """One file could not be done; others may."""


class InputError(FileError):
    """A file or array cannot be read or enlarged."""


class UnsupportedType(InputError, TypeError):
    """What was given as a picture is of a type that is not taken."""


class CheckpointError(InputError):
    """A checkpoint cannot be imported, or asks for code to be run."""


class OutputError(FileError):
    """A result cannot be written."""


class OutputExists(OutputError):
    """A result is there already, and may not be replaced."""


class OutOfMemory(VdsrError, MemoryError):
    """The work does not fit into the memory that it may use."""


class ClusterError(VdsrError):
    """A cluster cannot be reached, started, or used."""


def among(name: str, known: Iterable[str]) -> str:
    """What to take instead of a name that is not known, for the end of a message.

    Args:
        name: what was given.
        known: the names that there are.

    Returns:
        `did you mean 'png'? png, jpeg`, or the known names alone if none is near.
    """
    names = list(known)
    folded = {one.lower(): one for one in reversed(names)}
    near = difflib.get_close_matches(str(name).lower(), folded, 1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    return hint + ", ".join(names)
