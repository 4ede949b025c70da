"""Files that are read whole: ordinary ones, no larger than their kind ever is; digests.

A pipe may never end, a device never does, and a file may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from vdsr.errors import InputError


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
