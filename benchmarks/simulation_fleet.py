"""What is simulated; see `simulation.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What is simulated.

    Attributes:
        pictures: to be done.
        core_seconds: that a picture takes, as measured; each picture gets one of them.
        actors, actor_cpus, machine_actors: actors, cores of each, actors of a machine.
        per_core: pictures that an actor has in work for each core.
        drivers: each with an equal part of the actors.
        shared: whether all drivers read one listing; else each has a part of the pictures.
        start_seconds: of an actor, as measured.
        crashes: of processes, per actor and hour.
        losses: of machines, per machine and hour; `loss_notice` seconds pass until the driver
            knows, `loss_seconds` until another machine is there.
        deaths: of drivers, per driver and hour; `death_seconds` pass until it is started again.
        lease_seconds: until a dead driver's leases are free: 0 where it comes back on its
            machine.
        poison: share of the pictures that bring down their actor.
        slow: share of the machines that are slow, and `slow_factor`, by how much.
        spread: standard deviation of the logarithm of the machines' speeds.
        request_seconds, page_seconds: of a request to storage, and of a page of a listing.
        requests: at once, of a driver; `claim`, `record`, `refused`, `late`: requests one after
            the other of a claim, of a record, of a claim of what another has or has done.
        page: names of a page.
        driver_picture: seconds of a driver for each picture; `driver_claim`: for each claim
            claim; `driver_ask`: for each second and actor, which is asked how far it is;
            `driver_look` and `driver_pending`: for each look at all that
            is in work, and for each picture in it.
        seed: of all chance.
    """

    pictures: int
    core_seconds: Sequence[float]
    actors: int = 1000
    actor_cpus: int = 4
    machine_actors: int = 4
    per_core: int = 4
    drivers: int = 1
    shared: bool = False
    start_seconds: Sequence[float] = (5.0,)
    crashes: float = 0.0
    losses: float = 0.0
    loss_notice: float = 30.0
    loss_seconds: float = 300.0
    deaths: float = 0.0
    death_seconds: float = 60.0
    lease_seconds: float = 0.0
    poison: float = 0.0
    slow: float = 0.0
    slow_factor: float = 3.0
    spread: float = 0.0
    request_seconds: float = 0.03
    page_seconds: float = 0.1
    requests: int = 64
    claim: int = 4
    record: int = 5
    refused: int = 4
    late: int = 5
    page: int = 1000
    driver_picture: float = 0.0
    driver_claim: float = 0.0
    driver_ask: float = 0.0
    driver_look: float = 0.0
    driver_pending: float = 0.0
    seed: int = 0
