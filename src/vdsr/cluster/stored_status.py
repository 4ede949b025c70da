"""How a job in storage stands, by what lies beside its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vdsr.cluster.folder_storage import place_at
from vdsr.cluster.stored_state import StoredState
from vdsr.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StoredStatus:
    """How a job in storage stands.

    Attributes:
        output: address of the outputs.
        source: of the pictures, of the driver that began the job.
        settings: of the job, as an object for JSON.
        opened: what `auto` stood for; empty if nothing was opened yet.
        done: pictures with a record of their output.
        failed: pictures without one, those in quarantine included.
        quarantined: of these, those whose actors died twice.
        in_work: pictures that drivers have which are not known to be dead.
        workers: these drivers: their `host` and `pid`.
        failures: addresses of what failed, and why; read as they are asked for.
    """

    output: str
    source: str
    settings: dict[str, Any]
    opened: dict[str, Any]
    done: int
    failed: int
    quarantined: int
    in_work: int
    workers: list[dict[str, Any]]
    failures: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON, without the failures."""
        opened = {name: self.opened.get(name) for name in ("model", "precision", "backend")}
        return {
            "output": self.output,
            "input": self.source,
            "done": self.done,
            "failed": self.failed,
            "quarantined": self.quarantined,
            "in_work": self.in_work,
            "settings": self.settings,
            **opened,
            "workers": self.workers,
        }


def stored_status(address: str) -> StoredStatus:
    """Look at the state of a job; nothing is written.

    What is left is not known from there: that takes the listing of the pictures.

    Args:
        address: of the outputs.

    Raises:
        UsageError: if it is no address of storage.
        InputError: if there is no job, or it cannot be read.
    """
    goal = place_at(address)
    state = StoredState(goal, overwrite=False, retry=False)
    job = state.job()
    if job is None:
        raise InputError(f"{goal.address}: there is no job: 'vdsr upscale IN OUT' makes one")
    source = job.get("source", "")
    records = list(state.failures())
    workers = list(state.workers())
    known = {worker["id"] for worker in workers}
    return StoredStatus(
        output=goal.address,
        source=source,
        settings=job["settings"],
        opened=state.opened() or {},
        done=sum(1 for _ in state.done()),
        failed=len(records),
        quarantined=sum(content["quarantined"] for _, content in records),
        in_work=sum(owner in known for owner in state.owners()),
        workers=workers,
        failures=tuple(_told(source, records)),
    )


def _told(source: str, records: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str]]:
    for name, content in records:
        yield f"{source}/{name}" if source else name, content["error"]
