"""How many pixels a picture has per inch, centimeter, or unit of its own."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Unit = Literal["inch", "cm", "own", "aspect"]
CM_PER_INCH = Fraction(254, 100)
_LONG = 2**32 - 1


@dataclass(frozen=True)
class Resolution:
    """Pixels per unit.

    Attributes:
        x, y: horizontal and vertical, above 0.
        unit: `inch`, `cm`, `own` for a unit that is named elsewhere, as ImageJ's, or
            `aspect` where only the ratio of `x` and `y` has a meaning.
    """

    x: Fraction
    y: Fraction
    unit: Unit

    def turned(self) -> Resolution:
        """That of the picture turned by a quarter."""
        return Resolution(self.y, self.x, self.unit)

    def scaled(self, x: Fraction, y: Fraction) -> Resolution:
        """That of a picture with `x` and `y` times the pixels on the same surface."""
        return Resolution(self.x * x, self.y * y, self.unit)

    def per_meter(self) -> tuple[int, int] | None:
        """Whole pixels per meter, as PNG has them; None if that is not known."""
        if self.unit not in ("inch", "cm"):
            return None
        factor = 100 if self.unit == "cm" else 100 / CM_PER_INCH
        found = round(self.x * factor), round(self.y * factor)
        return found if min(found) > 0 and max(found) <= _LONG else None


def resolution(x: Fraction, y: Fraction, unit: Unit) -> Resolution | None:
    """A resolution; None where a number is 0, or the pixels are merely square."""
    if x <= 0 or y <= 0 or (unit == "aspect" and x == y):
        return None
    return Resolution(x, y, unit)


def whole(x: Fraction, y: Fraction, most: int) -> tuple[int, int] | None:
    """Two whole numbers from 1 to `most` in the ratio of two others, as nearly as it goes."""
    ratio = (x / y).limit_denominator(most)
    return (ratio.numerator, ratio.denominator) if 0 < ratio.numerator <= most else None
