"""The simulation of a cluster: nothing lost, nothing done twice, failures cost, chance repeats."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from simulation_fleet import Fleet
from simulation_model import Simulation
from simulation_workers import DONE, QUARANTINED

SECONDS = (15.0, 18.0, 20.0, 22.0, 40.0)
FAILURES = {"crashes": 1.0, "losses": 0.5, "deaths": 2.0, "poison": 1e-3}


def run(**options: Any) -> tuple[dict[str, Any], Counter[int]]:
    simulation = Simulation(Fleet(pictures=3000, core_seconds=SECONDS, actors=16, **options))
    return simulation.run(), Counter(simulation.state)


@pytest.mark.parametrize(
    "options",
    [
        {},
        FAILURES,
        FAILURES | {"drivers": 4},
        FAILURES | {"drivers": 4, "shared": True},
        FAILURES | {"drivers": 2, "shared": True, "lease_seconds": 60.0},
        {"crashes": 20.0, "losses": 5.0, "deaths": 10.0, "slow": 0.3, "spread": 0.2},
    ],
)
def test_every_picture_is_done_once_or_in_quarantine(options: dict[str, Any]):
    result, states = run(**options)
    assert set(states) <= {DONE, QUARANTINED}
    assert (states[DONE], states[QUARANTINED]) == (result["done"], result["quarantined"])
    assert result["again"] == 0
    assert result["quarantined"] >= round(3000 * options.get("poison", 0.0))
    assert sum(result["shares"].values()) == pytest.approx(1.0)
    assert all(-1e-9 <= share <= 1.0 for share in result["shares"].values())
    done = [number for _, number in result["curve"]]
    assert done == sorted(done) and done[-1] == result["done"]


def test_the_work_is_that_of_the_pictures():
    result, _ = run()
    useful = result["shares"]["useful"] * result["paid_core_hours"] * 3600
    assert useful == pytest.approx(3000 * sum(SECONDS) / len(SECONDS), rel=0.02)
    assert result["begun"] == 3000
    assert result["shares"]["lost"] == pytest.approx(0.0, abs=1e-9)


def test_failures_cost():
    paid, lost = [], []
    for factor in (0, 1, 5):
        result, _ = run(**{name: rate * factor for name, rate in FAILURES.items()})
        paid.append(result["paid_core_hours"])
        lost.append(result["shares"]["lost"])
    assert paid == sorted(set(paid))
    assert lost == sorted(set(lost))


def test_one_driver_is_as_fast_as_its_requests():
    # 16 at once, 9 of them one after the other for each picture.
    slow, _ = run(request_seconds=2.0, requests=16)
    assert slow["pictures_per_second"] == pytest.approx(16 / (9 * 2.0), rel=0.1)
    two, _ = run(request_seconds=2.0, drivers=2, requests=16)
    assert two["pictures_per_second"] > 1.8 * slow["pictures_per_second"]


def test_chance_repeats():
    assert run(**FAILURES, seed=1) == run(**FAILURES, seed=1)
    assert run(**FAILURES, seed=1) != run(**FAILURES, seed=2)
