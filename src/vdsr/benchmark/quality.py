"""PSNR of the models that are timed, and the plot of speed against it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vdsr.benchmark.candidates import Candidate
from vdsr.data.datasets import open_dataset
from vdsr.errors import UsageError
from vdsr.evaluation import candidates as evaluated
from vdsr.evaluation.evaluate import EvaluationSettings, evaluate

SCALE = 2
_WIDTH, _HEIGHT = 760, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 230, 20, 50
# Okabe and Ito's colours, which people of any colour vision tell apart.
_COLORS = {"fp32": "#0072b2", "int8": "#d55e00", "fp16": "#009e73", "bf16": "#cc79a7"}


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
    bicubic = next(row["psnr"] for row in figures["quality"] if row["model"] == evaluated.BICUBIC)
    first = figures["quality"][0]
    return _draw(points, bicubic, size, f"PSNR in dB, {first['dataset']} x{SCALE}, float")


def _draw(
    points: Sequence[tuple[float, float, Mapping[str, Any]]],
    bicubic: float | None,
    size: str,
    label: str,
) -> str:
    speeds = [speed for speed, _, _ in points]
    values = [value for _, value, _ in points] + ([] if bicubic is None else [bicubic])
    left, right = math.log10(min(speeds)) - 0.1, math.log10(max(speeds)) + 0.1
    margin = max(0.02, 0.08 * (max(values) - min(values)))
    low, high = min(values) - margin, max(values) + margin

    def x(speed: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(speed) - left) / (right - left)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    title = html.escape(label)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{title}" font-family="sans-serif" font-size="12">',
        f'<path d="M{_LEFT},{_TOP}V{bottom}H{end}" fill="none" stroke="#888"/>',
        f'<text x="{_LEFT}" y="{_TOP - 6}">{title}</text>',
        f'<text x="{(_LEFT + end) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"Mpixel/s at {html.escape(size)}, one picture per call</text>",
    ]
    parts += [
        f'<text x="{x(speed):.1f}" y="{bottom + 16}" text-anchor="middle">{speed:.3g}</text>'
        for speed in (min(speeds), max(speeds))
    ]
    parts += [
        f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        for value in (min(values), max(values))
    ]
    if bicubic is not None:
        parts.append(
            f'<path d="M{_LEFT},{y(bicubic):.1f}H{end}" stroke="#888" stroke-dasharray="4 4"/>'
            f'<text x="{end + 6}" y="{y(bicubic) + 4:.1f}">bicubic</text>'
        )
    for i, (speed, value, row) in enumerate(sorted(points, key=lambda point: -point[0])):
        name = f"{row['backend']} {row['precision']} ({row['model']}): {speed:.3g}"
        color = _COLORS.get(row["precision"], "#000000")
        parts.append(
            f'<circle cx="{x(speed):.1f}" cy="{y(value):.1f}" r="5" fill="{color}"/>'
            f'<text x="{x(speed):.1f}" y="{y(value) - 9:.1f}" text-anchor="middle">{i + 1}</text>'
            f'<text x="{end + 6}" y="{_TOP + 12 + 18 * i}" fill="{color}">'
            f"{i + 1} {html.escape(name)}</text>"
        )
    return "".join((*parts, "</svg>\n"))
