"""Strips of one picture that several processes make at once, in one folder.

Whoever makes a strip holds a lock on a file of its number, which ends with the process. What
is made gets a name that tells of which plan it is a strip, and the digest of its bytes: it is
there whole or not at all, and one that was made for another plan is nobody's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vdsr.imaging.files.decode import Samples
from vdsr.unfinished import claim

_NAME = re.compile(r"(\d{6})\.(?:([0-9a-f]{32})\.[0-9a-z.]+|raw)")


class SharedStrips:
    """The strips of one plan for one picture, as one of those that make them sees them.

    Args:
        folder: where they lie.
        plan: all that places and samples of the strips depend on; an object for JSON.

    Attributes:
        mark: of the plan.
        claimed: the number of the strip that was claimed last.
        patience: seconds between two looks at what somebody else is making.

    Raises:
        OSError: by all methods, if the folder cannot be used, or is gone.
    """

    patience = 0.05

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self._folder = folder
        text = json.dumps(plan, sort_keys=True)
        self.mark = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._lock: BinaryIO | None = None
        self.claimed = -1

    def claim(self, number: int) -> bool:
        """Take a strip, if it is neither made nor in the hands of somebody alive.

        One strip is held at a time: it is given back by `publish` and `release`.
        """
        self.release()
        if self.is_made(number):
            return False
        lock = claim(self._folder / f"{number:06}.{self.mark}.lock")
        if lock is None:
            return False
        # Whoever had it may have finished it in the meantime.
        if self.is_made(number):
            lock.close()
            return False
        self._lock, self.claimed = lock, number
        return True

    def release(self) -> None:
        """Give back what was claimed."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def publish(self, strip: Samples) -> None:
        """Let the others have the strip that was claimed; it is given back."""
        data = np.ascontiguousarray(strip).data.cast("B")
        stem = f"{self.claimed:06}.{self.mark}"
        draft = self._folder / f"{stem}.{secrets.token_hex(8)}.draft"
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._folder / f"{stem}.{hashlib.sha256(data).hexdigest()}.made")
        self.release()

    def adopt(self, number: int, goal: Path) -> tuple[bytes, str] | None:
        """Give a strip that is made the name `goal`.

        Returns:
            Its bytes, and their SHA-256; None if it is not made.
        """
        path = self._made(number)
        if path is None:
            return None
        data, digest = path.read_bytes(), path.name.split(".")[2]
        if hashlib.sha256(data).hexdigest() != digest:  # the disk has lost it
            path.unlink()
            return None
        path.replace(goal)
        return data, digest

    def first(self, count: int) -> int:
        """Of so many strips the one with which whoever helps begins, to go on downward."""
        return 0

    def clear(self, sound: int) -> None:
        """Remove what was made for other plans, or is unfinished, or known to be damaged.

        Args:
            sound: strips from the top that are as they must be.
        """
        for path in self._folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            of_others = match[2] is not None and match[2] != self.mark
            damaged = path.suffix == ".raw" and int(match[1]) >= sound
            if of_others or damaged or path.suffix == ".draft":
                path.unlink(missing_ok=True)

    def is_made(self, number: int) -> bool:
        """Whether a strip is there."""
        return strip_path(self._folder, number).exists() or self._made(number) is not None

    def _made(self, number: int) -> Path | None:
        start = f"{number:06}.{self.mark}."
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(start) and entry.name.endswith(".made"):
                    return Path(entry.path)
        return None


# Makes what sees the strips of a plan in a folder: `SharedStrips`, or what shares more widely.
ShareStrips = Callable[[Path, dict[str, Any]], SharedStrips]


def strip_path(folder: Path, number: int) -> Path:
    """Where a strip lies that is one of those from the top without a gap."""
    return folder / f"{number:06}.raw"
