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
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
from performance_page import latest
from simulation_fleet import Fleet
from simulation_model import Simulation

from vdsr.report import svg

NAME = "simulation"
MEASURED = "simulation-measured"
PARTS = ("whole", "models", "requests", "driver")
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


def scenarios(pictures: int, drivers: int) -> dict[str, dict[str, Any]]:
    """By name, what differs from one driver without failures."""
    common = {"pictures": pictures, "drivers": drivers}
    return {
        "one driver": ORDINARY | {"pictures": pictures},
        "one driver, 16 requests": ORDINARY | {"pictures": pictures, "requests": 16},
        f"{drivers} drivers, no failures": common,
        f"{drivers} drivers": ORDINARY | common,
        f"{drivers} drivers, spot": ORDINARY | common | {"losses": SPOT},
        f"{drivers} drivers, 5% lost an hour": ORDINARY | common | {"losses": 0.05},
        # Each of them claims all pictures, which takes as much longer: a tenth of them shows it.
        f"{drivers} drivers on one listing": (
            ORDINARY | common | {"shared": True, "pictures": pictures // 10}
        ),
    }


def measure(photographs: Path, parts: list[str], first: int, count: int) -> None:
    """Measure, and record each part at once, beside those that the latest record has."""
    from simulation_measure import models, pictures, whole
    from simulation_overheads import driver, requests

    def known() -> dict[str, Any]:
        record = latest(MEASURED)
        return {} if record is None else dict(json.loads(record.read_text("utf-8"))["figures"])

    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        folder = Path(name)
        paths = pictures(photographs, folder, first, count)
        ways: dict[str, Callable[[], dict[str, Any]]] = {
            "whole": lambda: merged(known().get("whole"), whole(folder, paths)),
            "models": lambda: models(folder, paths),
            "requests": lambda: requests(
                round(
                    statistics.median(one["input_png_bytes"] for one in known()["whole"]["each"])
                ),
                round(statistics.median(one["output_bytes"] for one in known()["whole"]["each"])),
                1200,
            ),
            "driver": lambda: driver(2000, [0, 1000, 4000, 16000]),
        }
        for part in parts:
            found = ways[part]()
            machine.record(MEASURED, known() | {part: found})


def merged(known: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """Pictures that were measured before, and now."""
    before = {} if known is None else {one["source"]: one for one in known["each"]}
    each = before | {one["source"]: one for one in found["each"]}
    return found | {"each": [each[name] for name in sorted(each)]}


def fleet_of(measured: dict[str, Any], model: str, format: str, **options: Any) -> Fleet:  # noqa: ANN401
    """A fleet of what was measured."""
    requests, driver = measured["requests"], measured["driver"]
    times = measured["models"]["speeds"][model]["times_as_fast"]
    seconds = []
    for one in measured["whole"]["each"]:
        beside = one["write_jpeg"] - one["write_png"] if format == "jpeg" else 0.0
        seconds.append(one["core_seconds"] / times + beside)
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
    """Pictures done over time, to four times what the fastest takes."""
    right = 4 * min(result["seconds"] for result in results.values())
    drawing = svg.curves(
        {
            name: [(at / 3600, done / 1e6) for at, done in result["curve"] if at <= right]
            for name, result in results.items()
            if "one listing" not in name
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--first", type=int, default=0, help="picture to be measured")
    parser.add_argument("--count", type=int, default=12, help="pictures to be measured")
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
        measure(given.measure, given.parts, given.first, given.count)
        return
    if given.record is None:
        parser.error("no record of what was measured: run it with --measure first")
    measured = json.loads(given.record.read_text("utf-8"))["figures"]
    chosen = {
        name: fleet_of(
            measured,
            given.model,
            given.format,
            actors=given.actors,
            request_seconds=given.request_seconds,
            page_seconds=given.request_seconds,
            seed=given.seed,
            **options,
        )
        for name, options in scenarios(given.pictures, given.drivers).items()
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
            points = result["curve"]
            kept = [*points[:: math.ceil(len(points) / 40)], points[-1]]
            result["curve"] = [[round(at), done] for at, done in kept]
        figures = {
            "measured": given.record.name,
            "model": given.model,
            "format": given.format,
            "seed": given.seed,
            "actors": given.actors,
            "request_seconds": given.request_seconds,
            "scenarios": {
                name: settings | {"result": results[name]}
                for name, settings in scenarios(given.pictures, given.drivers).items()
                if name in results
            },
        }
        machine.record(NAME, figures)


if __name__ == "__main__":
    main()
