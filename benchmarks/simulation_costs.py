"""What ten million pictures cost, from what was measured and from list prices.

    python benchmarks/simulation_costs.py [--pictures 10000000] [--spot 0.4] [--utilization 0.3]

Reads the latest record of `simulation.py --measure`. Prices are those of us-east-1, in US
dollars; what is estimated and what is assumed says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from performance_page import latest
from simulation import MEASURED

from vdsr.model.file import load_model
from vdsr.report.table import Table

# AWS's price list for EC2 in us-east-1, published on 2026-10-08: c7a.4xlarge, 16 vCPUs, each of
# them a core.
CORE_HOUR = 0.82112 / 16
# g6.xlarge (L4) as quoted on 2026-09-26, g5.xlarge (A10G) in 2026; p5.48xlarge (8 H100) as
# capacity blocks, AWS's page of the end of 2024. Dense FP16 of the tensor cores, TFLOP/s, from
# NVIDIA's data sheets; vCPUs of each GPU's share of the machine.
GPUS = {
    "L4 (g6.xlarge)": (0.8048, 121.0, 4),
    "A10G (g5.xlarge)": (1.006, 70.0, 4),
    "H100 (p5.48xlarge / 8)": (39.33 / 8, 989.0, 24),
}
# AWS's price list for S3 in us-east-1 of 2026-09-28: requests, each; deleting is free. Storage
# per GB and month beyond 50 and 500 TB.
PUT, GET = 0.005 / 1000, 0.0004 / 1000
STORAGE = ((50e3, 0.023), (500e3, 0.022), (float("inf"), 0.021))
PRICES = {"PUT": PUT, "POST": PUT, "LIST": PUT, "GET": GET, "HEAD": GET, "DELETE": 0.0}


def core_seconds(measured: dict[str, Any], model: str, format: str) -> float:
    """Of a picture, mean."""
    times = measured["models"]["speeds"][model]["times_as_fast"]
    found: list[float] = []
    for one in measured["whole"]["each"]:
        beside = one["write_jpeg"] - one["write_png"] if format == "jpeg" else 0.0
        found.append(one["core_seconds"] / times + beside)
    return statistics.mean(found)


def beside_network(measured: dict[str, Any], format: str) -> float:
    """Core seconds of a picture for all but the network: what a GPU's processors do."""
    found: list[float] = [
        one["read"] + one["interpolate"] + one[f"write_{format}"]
        for one in measured["whole"]["each"]
    ]
    return statistics.mean(found)


def requests(measured: dict[str, Any]) -> dict[str, float]:
    """Of a picture, by method; inputs, and what is done, are listed once."""
    by_method = measured["requests"]["by_method"]
    total: dict[str, float] = {"LIST": 2 / 1000}
    for part in ("claim", "actor", "record"):
        for kind, number in by_method[part].items():
            total[kind] = total.get(kind, 0.0) + number
    return total


def stored(gigabytes: float) -> float:
    """Dollars a month."""
    total, below = 0.0, 0.0
    for limit, price in STORAGE:
        total += max(0.0, min(gigabytes, limit) - below) * price
        below = limit
    return total


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", type=Path, default=latest(MEASURED))
    parser.add_argument("--pictures", type=int, default=10_000_000)
    parser.add_argument("--spot", type=float, default=0.4, help="of the price on demand (assumed)")
    parser.add_argument("--utilization", type=float, default=0.3, help="of a GPU (assumed)")
    given = parser.parse_args()
    if given.record is None:
        parser.error("no record of what was measured: run simulation.py with --measure first")
    measured = json.loads(given.record.read_text("utf-8"))["figures"]
    each = measured["whole"]["each"]
    million = 1e6

    rows: list[tuple[str, ...]] = []
    for model in measured["models"]["speeds"]:
        seconds = core_seconds(measured, model, "png")
        hours = seconds * million / 3600
        rows.append(
            (
                model,
                f"{measured['whole']['megapixels'] / seconds:.3f}",
                f"{seconds:.1f}",
                f"{hours:,.0f}",
                f"${hours * CORE_HOUR:,.0f}",
                f"${hours * CORE_HOUR * given.spot:,.0f}",
            )
        )
    print(
        _table(
            "model|Mpx/s of input per core|core-seconds per picture|core-hours per million"
            "|on demand|spot",
            rows,
        )
    )

    rows = []
    for model in ("vdsr-fast", "vdsr"):
        macs = load_model(model).architecture.macs_per_pixel
        for name, (price, tflops, cpus) in GPUS.items():
            pixels = each[0]["output_pixels"]
            network = 2 * macs * pixels / (tflops * 1e12 * given.utilization)
            codecs = beside_network(measured, "png") / cpus
            hours = max(network, codecs) * million / 3600
            limit = "network" if network > codecs else "files"
            rows.append(
                (
                    model,
                    name,
                    f"{network:.2f}",
                    f"{codecs:.2f}",
                    f"{limit}",
                    f"{hours:,.0f}",
                    f"${hours * price:,.0f}",
                )
            )
    print(
        _table(
            "model|GPU|network, s|files, s|limit|GPU-hours per million|on demand (estimate)",
            rows,
        )
    )

    total = requests(measured)
    rows = [
        (kind, f"{number:g}", f"${number * PRICES[kind] * million:,.2f}")
        for kind, number in sorted(total.items())
    ]
    rows.append(
        (
            "all",
            f"{sum(total.values()):g}",
            f"${sum(n * PRICES[kind] for kind, n in total.items()) * million:,.2f}",
        )
    )
    print(_table("request|of a picture|per million pictures", rows))

    sizes = {
        "PNG in": statistics.mean(one["input_png_bytes"] for one in each),
        "JPEG in": statistics.mean(one["input_bytes"] for one in each),
        "PNG out": statistics.mean(one["output_bytes"] for one in each),
        "JPEG out": statistics.mean(one["jpeg_bytes"] for one in each),
    }
    rows = [
        (
            name,
            f"{size / 1e6:.2f}",
            f"{size * given.pictures / 1e12:,.1f}",
            f"${stored(size * given.pictures / 1e9):,.0f}",
        )
        for name, size in sizes.items()
    ]
    print(_table(f"file|MB each|TB of {given.pictures:,}|a month in S3", rows))
    print(
        "core-seconds beside the network: "
        + ", ".join(
            f"{key} {statistics.mean(one[key] for one in each):.2f}"
            for key in ("read", "interpolate", "write_png", "write_jpeg")
        )
    )


def _table(heads: str, rows: Sequence[Sequence[str]]) -> str:
    return Table(heads.split("|"), rows).markdown() + "\n"


if __name__ == "__main__":
    main()
