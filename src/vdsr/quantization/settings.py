"""What can be asked of quantization."""

from __future__ import annotations

from dataclasses import dataclass

from vdsr.errors import UsageError
from vdsr.quantization.thresholds import METHODS

WEIGHT_BITS = (7, 8)


@dataclass(frozen=True, kw_only=True)
class QuantizationSettings:
    """How to quantize.

    Attributes:
        method: how activations are calibrated, one of `METHODS`.
        percentile: for the method of that name, 90..100.
        weight_bits: 7, right on every processor; or 8, which saturate where sums of two
            products are cut off at 16 bits: on x86 without VNNI.
        keep_float: layers that stay in float, by index; None is the first and the last.
        equalize: power by which channels are brought to one range, 0..1; see `equalize`.
        split: let idle channels take a share of those whose rounding costs most; see `split`.
        compensate: fit weights to what int8 makes of their inputs, round them so that their
            errors cancel, and correct the biases; else each weight becomes its nearest
            integer, and biases stay.

    Raises:
        UsageError: for values out of range.
    """

    method: str = "minmax"
    percentile: float = 99.999
    weight_bits: int = 7
    keep_float: tuple[int, ...] | None = None
    equalize: float = 1.0
    split: bool = True
    compensate: bool = True

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"unknown method {self.method!r}: {', '.join(METHODS)}, or auto")
        if self.weight_bits not in WEIGHT_BITS:
            raise UsageError(f"weights have 8 or 7 bits, not {self.weight_bits}")
        if not 90.0 <= self.percentile <= 100.0:
            raise UsageError(f"a percentile lies in 90..100, not {self.percentile}")
        if not 0.0 <= self.equalize <= 1.0:
            raise UsageError(f"equalization lies in 0..1, not {self.equalize}")
