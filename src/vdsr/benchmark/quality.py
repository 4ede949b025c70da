"""PSNR of the models that are timed, and the plot of speed against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vdsr.benchmark.candidates import Candidate
from vdsr.data.datasets import open_dataset
from vdsr.errors import UsageError
from vdsr.evaluation import candidates as evaluated
from vdsr.evaluation.evaluate import EvaluationSettings, evaluate
from vdsr.report import svg

SCALE = 2
_COLORS = dict(zip(("fp32", "int8", "fp16", "bf16"), svg.COLORS[1:], strict=False))


def measure(found: Sequence[Candidate], data: str, threads: int) -> list[dict[str, Any]]:
    """PSNR by the protocol `float`, x2: bicubic, and every model in every precision.

    One backend stands for all that run the same file: they agree within rounding.

    Args:
        found: what was timed.
        data: a folder of pictures, or the name of a dataset.
        threads: CPU threads.

    Raises:
        VdsrError: if the pictures cannot be measured.
    """
    first: dict[tuple[str, str], Candidate] = {}
    for one in found:
        first.setdefault((one.model.digest, one.precision), one)
    candidates = [
        evaluated.Candidate(
            one.model, backend=one.backend, precision=one.precision, threads=threads
        )
        for one in first.values()
    ]
    settings = EvaluationSettings(protocol="float", scales=(SCALE,))
    try:
        rows = list(evaluate(open_dataset(data), settings, candidates))
    finally:
        for candidate in candidates:
            candidate.close()
    digests = [None, *(digest for digest, _ in first)]
    return [{**row.figures(), "digest": digest} for row, digest in zip(rows, digests, strict=True)]


def plot(figures: Mapping[str, Any]) -> str:
    """Speed (logarithmic) against PSNR, a point per backend and precision.

    Args:
        figures: what `benchmark` gives, with the rows of `measure` under `quality`. The
            largest size is shown, one picture per call.

    Returns:
        An `<svg>` document.

    Raises:
        UsageError: if there is nothing to draw.
    """
    psnr = {(row["digest"], row["precision"]): row["psnr"] for row in figures["quality"]}
    area = {row["size"]: math.prod(map(int, row["size"].split("x"))) for row in figures["network"]}
    size = max(area, key=lambda name: area[name])
    points = [
        (row["megapixels_per_second"], psnr[row["digest"], row["precision"]], row)
        for row in figures["network"]
        if row["size"] == size
        and row["batch"] == 1
        and math.isfinite(psnr.get((row["digest"], row["precision"])) or math.nan)
    ]
    if not points:
        raise UsageError("nothing to plot: a batch of 1 and pictures of finite PSNR are needed")
    bicubic = next(r["psnr"] for r in figures["quality"] if r["model"] == evaluated.BICUBIC)
    first = figures["quality"][0]
    return svg.points(
        [
            svg.Point(
                speed,
                value,
                f"{row['backend']} {row['precision']} ({row['model']}): {speed:.3g}",
                _COLORS.get(row["precision"], svg.COLORS[0]),
            )
            for speed, value, row in points
        ],
        level=None if bicubic is None else ("bicubic", bicubic),
        across=f"Mpixel/s at {size}, one picture per call",
        label=f"PSNR in dB, {first['dataset']} x{SCALE}, float",
    )
