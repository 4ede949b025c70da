"""Strips of a giant picture that actors of several machines make, shared through storage.

    .vdsr/strips/NAME/plan            what its own actor is at work on, and a number of that work
    .vdsr/strips/NAME/WORK/NUMBER     who has a strip: put on the condition that there is none
    .vdsr/strips/NAME/made/MARK/NUMBER    a strip of a helper: SHA-256, and its bytes

NAME is that of the picture. Strips of its own actor stay on that actor's machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vdsr.cluster.storage import HOME, Place
from vdsr.imaging.files.decode import Samples
from vdsr.inference.shared_strips import SharedStrips, ShareStrips

# A strip in others' hands is made again after so many times what a strip of one's own took, and
# at least so many seconds: its maker may have died. That it lives costs no more than the strip.
_TIMES, _LEAST_SECONDS, _UNKNOWN_SECONDS = 5, 10.0, 60.0
_DIGEST_BYTES = 32


class Sharing:
    """Where the strips of a picture are shared.

    Args:
        place: where the outputs of the job lie.
        name: of the picture.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._base = f"{HOME}/strips/{name}"
        self._begun = False

    def own(self, folder: Path, plan: dict[str, Any]) -> SharedStrips:
        """What the picture's own actor shares; see `ShareStrips`."""
        self._begun = True
        return StoredStrips(folder, plan, self._place, self._base, uuid.uuid4().hex, own=True)

    def found(self) -> tuple[dict[str, Any], ShareStrips] | None:
        """The plan of an actor that is at work on it, and what shares with that one.

        Raises:
            InputError: if the storage cannot be read.
        """
        content = self._place.read(f"{self._base}/plan")
        if content is None:
            return None
        known = json.loads(content)
        share = partial(
            StoredStrips, place=self._place, base=self._base, work=known["work"], own=False
        )
        return known["plan"], share

    def end(self) -> None:
        """Nothing is shared any more.

        Raises:
            InputError, OutputError: if the storage fails.
        """
        if self._begun:
            self._place.delete_all(self._base)


class StoredStrips(SharedStrips):
    """The strips of one plan, as one of those that make them sees them.

    Args:
        folder, plan: see `SharedStrips`; of this machine.
        place, base: where they are shared.
        work: a number of the work on the picture.
        own: whether it is the picture's own actor.
    """

    patience = 0.5

    def __init__(
        self,
        folder: Path,
        plan: dict[str, Any],
        place: Place,
        base: str,
        work: str,
        *,
        own: bool,
    ) -> None:
        super().__init__(folder, plan)
        self._plan, self._place, self._base = plan, place, base
        self._work, self._own = work, own
        # Strips that others have, or had, and since when that is known.
        self._others: dict[int, float] = {}
        self._since, self._longest = 0.0, 0.0

    def clear(self, sound: int) -> None:
        """See `SharedStrips.clear`; tells others what they can help with, too."""
        super().clear(sound)
        # Those of an actor that has died, and of who helped it.
        for one in self._place.list(f"{self._base}/made/{self.mark}"):
            self._others[int(one.name)] = time.monotonic()
        content = {"work": self._work, "plan": self._plan}
        self._place.write(f"{self._base}/plan", json.dumps(content).encode())

    def claim(self, number: int) -> bool:
        """See `SharedStrips.claim`."""
        if self.is_made(number):
            return False
        since = self._others.get(number)
        if since is not None:
            if not self._own or time.monotonic() - since < self._stale:
                return False
            self._others[number] = time.monotonic()
            self._have(number)
            return True
        self._check_wanted()
        if not self._place.create(
            f"{self._base}/{self._work}/{number:06}", uuid.uuid4().hex.encode()
        ):
            self._others[number] = time.monotonic()
            return False
        self._have(number)
        return True

    def _have(self, number: int) -> None:
        self.claimed, self._since = number, time.monotonic()

    @property
    def _stale(self) -> float:
        known = max(_LEAST_SECONDS, _TIMES * self._longest)
        return known if self._longest else _UNKNOWN_SECONDS

    def first(self, count: int) -> int:
        """See `SharedStrips.first`: the middle of what nobody has, or had.

        Asking for each strip takes as long as a small one: who begins where another is at work
        would never get ahead of it.
        """
        for below in (self._work, f"made/{self.mark}"):
            for one in self._place.list(f"{self._base}/{below}"):
                self._others[int(one.name)] = time.monotonic()
        free = [number for number in range(count) if number not in self._others]
        return free[len(free) // 2] if free else count

    def publish(self, strip: Samples) -> None:
        """See `SharedStrips.publish`."""
        if self._own:
            self._longest = max(self._longest, time.monotonic() - self._since)
            super().publish(strip)
            return
        self._check_wanted()
        data = np.ascontiguousarray(strip).tobytes()
        content = hashlib.sha256(data).digest() + data
        self._place.write(f"{self._base}/made/{self.mark}/{self.claimed:06}", content)

    def _check_wanted(self) -> None:
        """End the help where nobody is at work on the picture any more, or begins anew."""
        if not self._own:
            content = self._place.read(f"{self._base}/plan")
            if content is None or json.loads(content)["work"] != self._work:
                raise FileNotFoundError(f"{self._base}: nobody wants more strips")

    def adopt(self, number: int, goal: Path) -> tuple[bytes, str] | None:
        """See `SharedStrips.adopt`."""
        found = super().adopt(number, goal)
        if found is not None or number not in self._others:
            return found
        content = self._place.read(f"{self._base}/made/{self.mark}/{number:06}")
        if content is None:
            return None
        digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            self._others[number] = -math.inf  # nobody has it any more
            return None
        goal.write_bytes(data)
        return data, digest.hex()
