"""Standard input, output and error, whatever became of them before the program started."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO

_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG)
_NAMES = ("stdin", "stdout", "stderr")


def open_closed_streams() -> None:
    """Give a stream that was closed (`2>&-`) the null device.

    Else the next file that is opened, a picture perhaps, would take its number, and all that
    a library says to that stream would be written into it. Characters that the encoding of a
    stream does not have, or that are not characters (in names of files), are written as escapes.
    """
    for number, name in enumerate(_NAMES):
        mode = os.O_RDONLY if number == 0 else os.O_WRONLY
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_unwritable(error: OSError) -> bool:
    """Whether it is an output stream, not a file, that can no longer be written."""
    return error.errno in _UNWRITABLE and error.filename is None


def flushed(stream: TextIO) -> OSError | None:
    """Write what a stream still holds; the error, if that is impossible, after which it is mute."""
    try:
        stream.flush()
    except OSError as error:
        mute(stream)
        return error
    return None


def mute(stream: TextIO) -> None:
    """Lead a stream nowhere, so that the interpreter's end has nothing to complain of."""
    with contextlib.suppress(OSError, ValueError):
        number = os.open(os.devnull, os.O_WRONLY)
        os.dup2(number, stream.fileno())
        os.close(number)
