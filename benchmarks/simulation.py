"""A thousand workers at ten million pictures: how long, what is lost, and what breaks first.

    python benchmarks/simulation.py --measure PHOTOGRAPHS
    python benchmarks/simulation.py [--pictures 10000000] [--actors 1000] [--plot docs/scale.svg]

The first measures what a picture, a driver and the storage code take on this machine, and
records it; PHOTOGRAPHS is a folder of color pictures of at least 256x256 px. The second
reads the latest record and simulates a job from storage to storage (see `simulation_model.py`)
in several scenarios, each of them the same pictures. Failure rates, and how long a server of
object storage takes to answer, are not measured: they are constants below, with their sources.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import machine
from performance_page import latest
from simulation_fleet import Fleet
from simulation_model import Simulation

from vdsr.report import svg

NAME = "simulation"
MEASURED = "simulation-measured"
PLOT = machine.RECORDS.parent.parent / "docs" / "scale.svg"
# Answers of S3 to small requests: "roughly 100-200 milliseconds" (optimizing-performance in its
# user guide). A page of a listing is taken to be no faster.
REQUEST_SECONDS = 0.1
# Google's clusters of several thousand machines: 1,000 machines fail in a year (J. Dean, 2008).
# 2,000 machines are assumed, which is unfavorable.
LOSSES = 1000 / 2000 / 8766
# The Spot Instance Advisor's last but one class: up to 20% of the machines in a month.
SPOT = 0.20 / 730
# Assumptions: a process in a thousand actor-hours, a driver a day, one picture in a million that
# kills its process, machines of 3% more or less speed, one in a hundred at a third of it.
CRASHES, DEATHS, POISON = 1e-3, 1 / 24, 1e-6
SPREAD, SLOW = 0.03, 0.01
ORDINARY = {
    "crashes": CRASHES,
    "losses": LOSSES,
    "deaths": DEATHS,
    "poison": POISON,
    "spread": SPREAD,
    "slow": SLOW,
}


def scenarios(drivers: int) -> dict[str, dict[str, Any]]:
    """By name, what differs from one driver without failures."""
    storm = ORDINARY | {"losses": 0.05}
    return {
        "one driver, no failures": {},
        "one driver": ORDINARY,
        f"{drivers} drivers, no failures": {"drivers": drivers},
        f"{drivers} drivers": ORDINARY | {"drivers": drivers},
        f"{drivers} drivers, spot": ORDINARY | {"drivers": drivers, "losses": SPOT},
        f"{drivers} drivers, 5% lost an hour": storm | {"drivers": drivers},
        f"{drivers} drivers on one listing": ORDINARY | {"drivers": drivers, "shared": True},
    }


def measure(photographs: Path, count: int, pieces: int) -> None:
    """Measure, and record."""
    from simulation_measure import pictures, speeds
    from simulation_overheads import driver, requests

    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        folder = Path(name)
        found = speeds(folder, pictures(photographs, folder, count), pieces)
    png = [one["output_bytes"] for one in found["pictures"] if one["format"] == "png"]
    source = sorted(found["input_png_bytes"])
    figures = {
        "photographs": count,
        "speeds": found,
        "requests": requests(source[len(source) // 2], sorted(png)[len(png) // 2], 1200),
        "driver": driver(2000, [0, 1000, 4000, 16000]),
    }
    machine.record(MEASURED, figures)


def fleet_of(measured: dict[str, Any], model: str, format: str, **options: Any) -> Fleet:  # noqa: ANN401
    """A fleet of what was measured."""
    speeds, requests, driver = (measured[key] for key in ("speeds", "requests", "driver"))
    times = speeds["pieces"][model]["times_as_fast"]
    seconds = [one["core_seconds"] / times for one in speeds["pictures"] if one["format"] == format]
    counts = {
        key: sum(n for kind, n in of.items() if kind != "LIST")
        for key, of in requests["by_method"].items()
    }
    looks = {int(n): seconds for n, seconds in driver["seconds_of_a_look"].items()}
    most = max(looks)
    client = requests["driver_thread_seconds"]
    share = counts["claim"] / (counts["claim"] + counts["record"])
    return Fleet(
        core_seconds=seconds,
        start_seconds=driver["actor_start_seconds"],
        claim=counts["claim"],
        record=counts["record"],
        refused=counts["claim of what another has"],
        late=counts["claim of what is done"],
        driver_picture=driver["picture_main_thread_seconds"] + (1 - share) * client,
        driver_claim=share * client,
        driver_ask=driver["picture_main_thread_seconds"],
        driver_look=looks[0],
        driver_pending=(looks[most] - looks[0]) / most,
        **options,
    )


def simulate(fleet: Fleet) -> dict[str, Any]:
    """In whatever process: run one."""
    return Simulation(fleet).run()


def plot(results: dict[str, dict[str, Any]], goal: Path) -> None:
    """Pictures done over time."""
    drawing = svg.curves(
        {
            name: [(at / 3600, done / 1e6) for at, done in result["curve"]]
            for name, result in results.items()
        },
        across="hours",
        label="million pictures done",
    )
    goal.write_text(drawing, encoding="utf-8")
    print(f"written: {goal}")


def show(name: str, result: dict[str, Any]) -> None:
    shares = "  ".join(f"{key} {share:.2%}" for key, share in result["shares"].items())
    print(
        f"{name}: {result['seconds'] / 3600:.2f} h ({result['end_seconds'] / 3600:.2f} h to the"
        f" end), {result['pictures_per_second']:.1f} pictures/s,"
        f" {result['paid_core_hours']:.0f} core-hours\n    {shares}\n"
        f"    done {result['done']}, quarantined {result['quarantined']}, again"
        f" {result['again']}, begun {result['begun']}, claims {result['claims']}, crashes"
        f" {result['crashes']}, machines {result['losses']}, drivers {result['deaths']}",
        flush=True,
    )


def main() -> None:
    """Measure, or simulate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", type=Path, metavar="PHOTOGRAPHS")
    parser.add_argument("--count", type=int, default=12, help="pictures to be measured")
    parser.add_argument("--pieces", type=int, default=4, help="on which models are compared")
    parser.add_argument("--record", type=Path, default=latest(MEASURED))
    parser.add_argument("--model", default="vdsr-fast int8")
    parser.add_argument("--format", choices=("png", "jpeg"), default="png")
    parser.add_argument("--pictures", type=int, default=10_000_000)
    parser.add_argument("--actors", type=int, default=1000)
    parser.add_argument("--drivers", type=int, default=16)
    parser.add_argument("--request-seconds", type=float, default=REQUEST_SECONDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="scenarios with this in their names")
    parser.add_argument("--plot", type=Path, help="write the drawing, and the record")
    given = parser.parse_args()
    if given.measure is not None:
        measure(given.measure, given.count, given.pieces)
        return
    if given.record is None:
        parser.error("no record of what was measured: run it with --measure first")
    measured = json.loads(given.record.read_text("utf-8"))["figures"]
    chosen = {
        name: fleet_of(
            measured,
            given.model,
            given.format,
            pictures=given.pictures,
            actors=given.actors,
            request_seconds=given.request_seconds,
            page_seconds=given.request_seconds,
            seed=given.seed,
            **options,
        )
        for name, options in scenarios(given.drivers).items()
        if given.only is None or given.only in name
    }
    if not chosen:
        sys.exit(f"no scenario has {given.only!r} in its name")
    results = {}
    with multiprocessing.get_context("spawn").Pool(min(len(chosen), 2)) as pool:
        for name, result in zip(chosen, pool.imap(simulate, chosen.values()), strict=True):
            show(name, result)
            results[name] = result
    if given.plot is not None:
        plot(results, given.plot)
        for result in results.values():
            thinned = math.ceil(len(result["curve"]) / 50)
            result["curve"] = [[round(at), done] for at, done in result["curve"][::thinned]] + [
                [round(result["curve"][-1][0]), result["curve"][-1][1]]
            ]
        one = next(iter(chosen.values()))
        left_out = ("core_seconds", "start_seconds", *scenario_fields())
        settings = {
            field.name: getattr(one, field.name)
            for field in fields(one)
            if field.name not in left_out
        }
        figures = {
            "measured": given.record.name,
            "model": given.model,
            "format": given.format,
            "fleet": settings,
            "scenarios": {
                name: scenarios(given.drivers)[name] | {"result": result}
                for name, result in results.items()
            },
        }
        machine.record(NAME, figures)


def scenario_fields() -> set[str]:
    """What scenarios differ in."""
    return {key for options in scenarios(1).values() for key in options}


if __name__ == "__main__":
    main()
