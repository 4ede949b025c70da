"""Some of many, evenly."""

from __future__ import annotations

_GOLDEN_RATIO = 0.6180339887498949


def spread(count: int) -> list[int]:
    """0 to count - 1, such that any first few lie evenly among all.

    They do not fall into step with what repeats, as every third would with three scales.
    """
    return sorted(range(count), key=lambda i: i * _GOLDEN_RATIO % 1.0)
