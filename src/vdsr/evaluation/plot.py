"""A plot of PSNR by scale, as SVG that stands in a page by itself."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 310, 14, 40
# Okabe and Ito's colours, which people of any colour vision tell apart.
_COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Points = Sequence[tuple[int, float]]


def plot(series: Mapping[str, Points], *, label: str) -> str:
    """Lines over scales.

    Args:
        series: by name, (scale, PSNR in dB) in the order of the scales. What is not finite
            is left out.
        label: of the vertical axis.

    Returns:
        An `<svg>` element; empty if there is nothing to draw.
    """
    kept = {
        name: [(scale, value) for scale, value in points if math.isfinite(value)]
        for name, points in series.items()
    }
    points = [point for line in kept.values() for point in line]
    if not points:
        return ""
    axes = _Axes(points)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(label)}">',
        *axes.draw(label),
    ]
    for i, (name, line) in enumerate(kept.items()):
        color = _COLORS[i % len(_COLORS)]
        places = [(axes.x(scale), axes.y(value)) for scale, value in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in places]
        y = _TOP + 14 + 20 * i
        x = _WIDTH - _RIGHT + 16
        parts.append(f'<rect x="{x}" y="{y - 6}" width="14" height="4" fill="{color}"/>')
        parts.append(f'<text x="{x + 20}" y="{y}">{html.escape(name)}</text>')
    return "".join((*parts, "</svg>"))


class _Axes:
    """Places on the page for scales and decibels."""

    def __init__(self, points: Points) -> None:
        self._scales = sorted({scale for scale, _ in points})
        values = [value for _, value in points]
        spread = max(values) - min(values)
        self._step = next((s for s in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0) if spread / s <= 7), 20.0)
        self._low = math.floor(min(values) / self._step) * self._step
        self._high = max(math.ceil(max(values) / self._step) * self._step, self._low + self._step)

    def x(self, scale: int) -> float:
        room = _WIDTH - _LEFT - _RIGHT
        return _LEFT + room * (self._scales.index(scale) + 0.5) / len(self._scales)

    def y(self, value: float) -> float:
        room = _HEIGHT - _TOP - _BOTTOM
        return _TOP + room * (self._high - value) / (self._high - self._low)

    def draw(self, label: str) -> list[str]:
        right = _WIDTH - _RIGHT
        parts = []
        for i in range(round((self._high - self._low) / self._step) + 1):
            value = self._low + i * self._step
            y = self.y(value)
            parts.append(
                f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        parts += [
            f'<text x="{self.x(s):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">x{s}</text>'
            for s in self._scales
        ]
        middle = (_LEFT + right) / 2
        text = html.escape(label)
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 3}" text-anchor="middle">{text}</text>')
        return parts
