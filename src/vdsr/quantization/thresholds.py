"""Where activations are cut off before they become 0..255: four ways to calibrate.

All work on a histogram of a layer's input, which is not negative since a ReLU gave it.
Zeros are left out of the histogram: 0 is always met exactly.

References:
    S. Migacz, "8-bit Inference with TensorRT", GTC 2017 (slides 33 to 41): `kl`.
    H. Wu et al., "Integer Quantization for Deep Learning Inference", 2020,
    https://arxiv.org/abs/2004.09602, section 5: `minmax`, `percentile`, and `kl` as "entropy".
    M. Nagel et al., "A White Paper on Neural Network Quantization", 2021,
    https://arxiv.org/abs/2106.08295, section 3.1: `mse`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHODS = ("kl", "minmax", "percentile", "mse")
# The vendors' names for the same.
ALIASES = {"kl_divergence": "kl", "entropy": "kl", "max": "minmax"}
BINS = 2048
LEVELS = 256
_CANDIDATES = 128
_PART = 2**20


@dataclass(frozen=True)
class Histogram:
    """How often a layer's input takes which positive values.

    Attributes:
        counts: float64 `[BINS]`, of equal width, from 0 to `highest`.
        highest: the largest value seen.
    """

    counts: NDArray[np.float64]
    highest: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Histogram:
        """Of an array, of any shape; values that are not above 0 are left out."""
        highest = float(values.max(initial=0.0))
        if not highest > 0.0 or not np.isfinite(highest):
            return cls(np.zeros(BINS), highest)
        counts = np.zeros(BINS, np.int64)
        # In parts: an index takes twice the memory of a value.
        for part in np.array_split(values.ravel(), max(1, values.size // _PART)):
            index = (part[part > 0.0] * np.float32(BINS / highest)).astype(np.intp)
            counts += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)
        return cls(counts.astype(np.float64), highest)

    @property
    def width(self) -> float:
        """Of a bin."""
        return self.highest / BINS

    def share_above(self, threshold: float) -> float:
        """Share of the positive values that lie above a threshold, 0..1."""
        first = int(np.ceil(threshold / self.width - 1e-9))
        return float(self.counts[first:].sum() / max(self.counts.sum(), 1.0))


def threshold(histogram: Histogram, method: str, *, percentile: float = 99.999) -> float:
    """The value that becomes 255.

    Args:
        histogram: of the layer's input.
        method: one of `METHODS`.
        percentile: of the positive values, for `percentile`.

    Returns:
        Above 0, at most the highest value; 0 or not finite only if the histogram is empty
        or its highest value is not finite.
    """
    if not histogram.counts.any():
        return histogram.highest
    if method == "minmax":
        return histogram.highest
    if method == "percentile":
        reached = np.searchsorted(
            np.cumsum(histogram.counts), histogram.counts.sum() * percentile / 100.0
        )
        return min(float(reached + 1) * histogram.width, histogram.highest)
    if method == "mse":
        return _least_squares(histogram)
    if method == "kl":
        return _least_divergence(histogram)
    raise ValueError(f"unknown method {method!r}: {', '.join(METHODS)}")


def _least_squares(histogram: Histogram) -> float:
    """The threshold with the least mean squared error of rounding and clipping."""
    values = (np.arange(BINS) + 0.5) * histogram.width
    used = histogram.counts > 0
    values, counts = values[used], histogram.counts[used]
    candidates = histogram.highest * np.linspace(0.2, 1.0, _CANDIDATES)
    errors = []
    for candidate in candidates:
        step = candidate / (LEVELS - 1)
        # Within a bin values are spread: rounding errs by step^2 / 12, wherever they are.
        beyond = np.maximum(values - candidate, 0.0)
        errors.append((counts * np.where(beyond > 0, beyond**2, step**2 / 12)).sum())
    return float(candidates[int(np.argmin(errors))])


def _least_divergence(histogram: Histogram) -> float:
    """The threshold whose 256 levels tell least apart, in the sense of Kullback and Leibler.

    For every number of bins kept: P is their counts, with all beyond added to the last
    one; Q is the same counts without those beyond, merged into 256 levels and spread again
    over the bins that are not empty; KL(P, Q) = sum P log(P / Q).
    """
    counts = histogram.counts
    best, found = np.inf, BINS
    beyond = counts.sum() - np.cumsum(counts)
    for kept in range(LEVELS, BINS + 1):
        inside = counts[:kept]
        p = inside.copy()
        p[-1] += beyond[kept - 1]
        level = np.arange(kept) * LEVELS // kept
        filled = inside > 0
        mass = np.bincount(level, weights=inside, minlength=LEVELS)
        number = np.bincount(level, weights=filled, minlength=LEVELS)
        q = np.where(filled, (mass / np.maximum(number, 1.0))[level], 0.0)
        total = q.sum()
        if not total > 0.0:
            continue
        p, q = p / p.sum(), q / total
        seen = p > 0
        # Where Q has nothing and P something, the divergence is infinite; a little instead.
        divergence = float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-9))).sum())
        if divergence < best:
            best, found = divergence, kept
    return found * histogram.width
