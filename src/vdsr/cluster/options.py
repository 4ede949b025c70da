"""Where a cluster is, and what each of its actors has."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vdsr.errors import UsageError

LOCAL, AUTO = "local", "auto"
# CPUs of an actor where nobody says: more do not make one picture at a time much faster.
DEFAULT_CPUS = 4
_HOST_PORT = re.compile(r"(?P<host>[^\s/:]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which cluster does a job, and how it is divided.

    Attributes:
        address: `HOST:PORT` of the head of a Ray cluster; `auto` for the one that this machine
            belongs to; `local` for one of this machine alone, which ends with the job.
        actor_cpus: CPUs of each actor, which are its threads, too; None is 4, or as many as
            the smallest machine has.
        actor_gpus: GPUs of each actor, or the part of one.

    Raises:
        UsageError: for what no actor can have, or no address.
    """

    address: str = LOCAL
    actor_cpus: int | None = None
    actor_gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.actor_cpus is not None and self.actor_cpus < 1:
            raise UsageError(f"an actor has at least 1 CPU, not {self.actor_cpus}")
        gpus = self.actor_gpus
        if not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus.is_integer())):
            raise UsageError(f"an actor has a part of a GPU (0.5) or whole ones, not {gpus:g}")
        if self.address not in (LOCAL, AUTO):
            self.host_port()

    def host_port(self) -> tuple[str, int]:
        """Host and port of an address that is neither `auto` nor `local`."""
        match = _HOST_PORT.fullmatch(self.address)
        if match is None or not 0 < int(match["port"]) < 2**16:
            raise UsageError(
                f"{self.address!r} is not the address of a cluster: HOST:PORT of its head, as"
                " 10.0.0.1:6379, from one of its machines; auto; or local"
            )
        return match["host"].strip("[]"), int(match["port"])
