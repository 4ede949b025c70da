"""What is read: whether it is there; ordinary files, read whole; digests.

A pipe may never end, a device never does, and a file may be larger than the memory, or than
its kind ever is. A name may be one that the system refuses to look for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from vdsr.errors import InputError


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there, or a link to one.

    Raises:
        InputError: if the system refuses the name: it is too long, holds a null byte, or lies
            where nobody may look.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: str | Path) -> bool:
    """Whether an ordinary file is there, or a link to one.

    Raises:
        InputError: see `is_folder`.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def exists(path: str | Path) -> bool:
    """Whether anything is there, or a link to anything.

    Raises:
        InputError: see `is_folder`.
    """
    return _mode(path) is not None


def _mode(path: str | Path) -> int | None:
    """Kind and permissions of what is there; None if nothing is."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - the name may have any form
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # a ValueError: a null byte in the name
        text = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: it cannot be looked up: {text}") from error


def read_file(path: str | Path, most: int) -> bytes:
    """The bytes of an ordinary file.

    Args:
        path: of the file.
        most: size in bytes that is refused when it is exceeded.

    Raises:
        InputError: if it is missing, not an ordinary file, too large, or cannot be read;
            the message does not name the file.
    """
    try:
        # Opening a pipe without a writer would wait for one.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - the name may have any form
            what = "it is a folder" if os.path.isdir(path) else "it is not an ordinary file"  # noqa: PTH112
            raise InputError(what)
        with open(path, "rb") as file:  # noqa: PTH123
            # What is asked for is set aside at once, however little there is.
            data = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    except ValueError as error:  # a null byte in the name
        raise InputError(str(error)) from error
    if len(data) > most:
        raise InputError(f"it is larger than the {most >> 20} MiB that such a file may have")
    return data


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
