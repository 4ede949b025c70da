"""A picture from standard input, or on to standard output."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO

from vdsr.errors import UsageError

STDIO = "-"


def stdin() -> IO[bytes]:
    """Standard input, if there is anything to be read from it.

    Raises:
        UsageError: if it is a terminal, or closed.
    """
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("standard input is closed: pipe a picture into it, or name a file")
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal: pipe a picture into it, or name a file")
    return sys.stdin.buffer


def check_stdout(*, json: str | None, in_place: bool, preview: bool) -> None:
    """Check that standard output can take a picture, and nothing else goes there.

    Raises:
        UsageError: saying why not.
    """
    if sys.stdout is None or sys.stdout.closed:
        raise UsageError("standard output is closed: name a file")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal: redirect it, or name a file")
    if json == STDIO:
        raise UsageError("the picture goes to standard output: give --json a file")
    if in_place:
        raise UsageError("--in-place is for a file, not for standard output")
    if preview:
        raise UsageError("--preview is for a file, not for standard output")


def format_for_stdout(source: Path | IO[bytes]) -> str:
    """The format of the input, where it is one that is written; else PNG."""
    from vdsr.imaging.files import FORMATS
    from vdsr.imaging.files.signatures import SNIFFED_BYTES, sniff

    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                start = file.read(SNIFFED_BYTES)
        except OSError:  # it is said when it is read
            start = b""
    else:
        start = source.peek(SNIFFED_BYTES) if isinstance(source, io.BufferedReader) else b""
    found = sniff(start[:SNIFFED_BYTES], Path("picture"))
    return found.name if found is not None and found.name in FORMATS else "png"
