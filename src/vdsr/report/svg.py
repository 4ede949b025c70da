"""Drawings as SVG: lines or points over two axes, and bars."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

# Okabe and Ito's colors, which people of any color vision tell apart.
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 300, 24, 46
_BAR_HEIGHT, _BAR_LEFT, _BAR_RIGHT = 20, 70, 130


@dataclass(frozen=True)
class Point:
    """A point to be drawn, with what the legend says of it."""

    x: float
    y: float
    name: str
    color: str


@dataclass(frozen=True)
class _Axes:
    """Where values lie on the drawing."""

    x: Callable[[float], float]
    low: float
    high: float
    step: float

    @classmethod
    def over(cls, x: Callable[[float], float], values: Sequence[float]) -> _Axes:
        """Axes whose vertical one has round marks around `values`."""
        spread = max(values) - min(values)
        step = next((s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if spread / s <= 7), 20.0)
        low = math.floor(min(values) / step) * step
        return cls(x, low, max(math.ceil(max(values) / step) * step, low + step), step)

    def y(self, value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low)

    def draw(self, marks: Mapping[float, str], across: str, up: str) -> list[str]:
        right, middle = _WIDTH - _RIGHT, (_LEFT + _WIDTH - _RIGHT) / 2
        parts = [f'<text x="{_LEFT}" y="{_TOP - 10}">{html.escape(up)}</text>']
        for i in range(round((self.high - self.low) / self.step) + 1):
            value = self.low + i * self.step
            y = self.y(value)
            parts.append(
                f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        parts += [
            f'<text x="{self.x(at):.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{mark}</text>'
            for at, mark in marks.items()
        ]
        parts.append(
            f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
            f"{html.escape(across)}</text>"
        )
        return parts


def lines(series: Mapping[str, Sequence[tuple[int, float]]], *, label: str) -> str:
    """Lines over scales.

    Args:
        series: by name, (scale, value) in the order of the scales. What is not finite is
            left out.
        label: of the vertical axis.

    Returns:
        An `<svg>` document; empty if there is nothing to draw.
    """
    kept = {
        name: [(scale, value) for scale, value in points if math.isfinite(value)]
        for name, points in series.items()
    }
    values = [value for points in kept.values() for _, value in points]
    if not values:
        return ""
    scales = sorted({scale for points in kept.values() for scale, _ in points})

    def x(scale: float) -> float:
        width = _WIDTH - _LEFT - _RIGHT
        return _LEFT + width * (scales.index(int(scale)) + 0.5) / len(scales)

    axes = _Axes.over(x, values)
    parts = axes.draw({scale: f"x{scale}" for scale in scales}, "scale", label)
    for i, (name, points) in enumerate(kept.items()):
        color = COLORS[i % len(COLORS)]
        places = [(x(scale), axes.y(value)) for scale, value in points]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [_dot(left, top, color) for left, top in places]
        parts.append(_legend(i, name, color))
    return _document(parts, label)


def points(
    shown: Sequence[Point], *, level: tuple[str, float] | None, across: str, label: str
) -> str:
    """Points over a logarithmic axis, numbered from the right.

    Args:
        shown: at least one; `x` above 0, all finite.
        level: name and height of a dashed line, for comparison.
        across: of the horizontal axis.
        label: of the vertical axis.

    Returns:
        An `<svg>` document.
    """
    left = math.log10(min(point.x for point in shown)) - 0.1
    right = math.log10(max(point.x for point in shown)) + 0.1

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - left) / (right - left)

    axes = _Axes.over(x, [p.y for p in shown] + ([] if level is None else [level[1]]))
    ends = (min(p.x for p in shown), max(p.x for p in shown))
    parts = axes.draw({value: f"{value:.3g}" for value in ends}, across, label)
    if level is not None:
        y, end = axes.y(level[1]), _WIDTH - _RIGHT
        parts.append(
            f'<path d="M{_LEFT},{y:.1f}H{end}" stroke="#888" stroke-dasharray="4 4"/>'
            f'<text x="{end + 6}" y="{y + 4:.1f}">{html.escape(level[0])}</text>'
        )
    for i, point in enumerate(sorted(shown, key=lambda p: -p.x)):
        at, top = x(point.x), axes.y(point.y)
        parts.append(
            _dot(at, top, point.color)
            + f'<text x="{at:.1f}" y="{top - 9:.1f}" text-anchor="middle">{i + 1}</text>'
        )
        parts.append(_legend(i, f"{i + 1} {point.name}", point.color))
    return _document(parts, label)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], *, across: str, label: str) -> str:
    """Lines over an axis that begins at 0.

    Args:
        series: by name, (x, y) in the order of x, which is 0 or more; at least one point.
        across: of the horizontal axis.
        label: of the vertical axis.

    Returns:
        An `<svg>` document.
    """
    right = max(x for points in series.values() for x, _ in points) or 1.0

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / right

    axes = _Axes.over(x, [0.0, *(y for points in series.values() for _, y in points)])
    step = 10 ** math.floor(math.log10(right))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2, 5) if right / (step * part) <= 6)
    marks = {i * step: f"{i * step:g}" for i in range(int(right / step) + 1)}
    parts = axes.draw(marks, across, label)
    for i, (name, points) in enumerate(series.items()):
        color = COLORS[i % len(COLORS)]
        path = " ".join(f"{x(at):.1f},{axes.y(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(_legend(i, name, color))
    return _document(parts, label)


def bars(values: Sequence[tuple[str, float]], *, unit: str) -> str:
    """Horizontal bars.

    Args:
        values: name and length, 0 or more.
        unit: of the lengths.

    Returns:
        An `<svg>` document.
    """
    top = max((value for _, value in values), default=0.0) or 1.0
    parts = []
    for i, (name, value) in enumerate(values):
        y, length = _BAR_HEIGHT * i, (_WIDTH - _BAR_LEFT - _BAR_RIGHT) * value / top
        parts.append(
            f'<text x="0" y="{y + 14}">{html.escape(name)}</text>'
            f'<rect x="{_BAR_LEFT}" y="{y + 3}" width="{length:.1f}" height="14"'
            f' fill="{COLORS[1]}"/>'
            f'<text x="{_BAR_LEFT + 6 + length:.1f}" y="{y + 14}">{value:.4f}'
            f" {html.escape(unit)}</text>"
        )
    return _document(parts, unit, height=_BAR_HEIGHT * len(values))


def columns(values: Sequence[tuple[int, float]], *, across: str, label: str) -> str:
    """A histogram: columns beside each other, as high as the fourth root of their shares.

    So a share of one in a million is still seen.

    Args:
        values: place and share, 0..1, at least one.
        across: of the horizontal axis.
        label: of the vertical axis.

    Returns:
        An `<svg>` document.
    """
    first, last = values[0][0], values[-1][0]
    wide = (_WIDTH - _LEFT - 20) / (last - first + 1)
    low, high = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    parts = [f'<text x="{_LEFT}" y="{_TOP - 10}">{html.escape(label)}</text>']
    for share, mark in ((1.0, "100%"), (0.1, "10%"), (0.01, "1%"), (1e-4, "0.01%"), (0.0, "0")):
        y = low - high * share**0.25
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - 20}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark}</text>'
        )
    for place, share in values:
        x, tall = _LEFT + wide * (place - first), high * share**0.25
        parts.append(
            f'<rect x="{x:.1f}" y="{low - tall:.1f}" width="{max(1.0, wide - 1):.1f}"'
            f' height="{tall:.1f}" fill="{COLORS[1]}"><title>{place:+d}: {share:.4%}</title></rect>'
        )
        if place % 8 == 0:
            middle = f'<text x="{x + wide / 2:.1f}" text-anchor="middle"'
            parts.append(f'{middle} y="{low + 16}">{place:+d}</text>')
    middle = f'<text x="{_WIDTH / 2}" text-anchor="middle"'
    parts.append(f'{middle} y="{_HEIGHT - 6}">{html.escape(across)}</text>')
    return _document(parts, label)


def _dot(x: float, y: float, color: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>'


def _legend(i: int, name: str, color: str) -> str:
    x, y = _WIDTH - _RIGHT + 16, _TOP + 14 + 20 * i
    return (
        f'<rect x="{x}" y="{y - 6}" width="14" height="4" fill="{color}"/>'
        f'<text x="{x + 20}" y="{y}">{html.escape(name)}</text>'
    )


def _document(parts: Iterable[str], label: str, *, height: int = _HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-label="{html.escape(label)}" font-family="sans-serif" font-size="12">'
        f"{''.join(parts)}</svg>\n"
    )
