"""From what is asked for (scale, size, box) to bicubic passes."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

from vdsr.errors import UsageError
from vdsr.imaging.resample import Axis, Bicubic

MAX_SCALE = 16.0
# What picture libraries count sides in.
MAX_SIDE = 2**31 - 1
# The largest scale that one pass of the network is trained for.
PASS_SCALE = 4.0
SMALLEST_FACTOR = 2.0
DEFAULT_SCALE = 4.0
_SIDES = ("width", "height")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What size a picture shall get. At most one way of saying so; none is x4.

    Attributes:
        scale: factor for both sides, above 1 and at most 16; a side becomes ceil(scale x n).
        width: px; without `height`, the height follows.
        height: px; without `width`, the width follows.
        fit: (width, height) of a box; the largest size of the same shape that fits in.
        restore: keep the size, and run the network on the picture as it is.

    Raises:
        UsageError: for contradictions, and sizes that are out of range.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    restore: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        sized = self.width is not None or self.height is not None
        if (self.scale is not None) + sized + (self.fit is not None) > 1:
            raise UsageError("give one of scale, width and height, or fit")
        if self.restore and (sized or self.fit is not None or self.scale not in (None, 1.0)):
            raise UsageError("restore keeps the size: it goes with no other scale or size")
        if self.scale == 1.0 and not self.restore:
            raise UsageError("scale 1 is for restore=True only")
        if self.scale is not None and not (
            math.isfinite(self.scale) and 1.0 <= self.scale <= MAX_SCALE
        ):
            raise UsageError(f"a scale is above 1 and at most {MAX_SCALE:g}, not {self.scale:g}")
        for side in (self.width, self.height, *(self.fit or ())):
            if side is not None and side < 1:
                raise UsageError(f"a side is at least 1 px, not {side}")
            if side is not None and side > MAX_SIDE:
                raise UsageError(f"a side is at most {MAX_SIDE} px")

    def __str__(self) -> str:
        """As `scale 4`, `width 800, height 600`, `fit 1920x1080` or `restore`."""
        if self.restore:
            return "restore"
        if self.fit is not None:
            return f"fit {self.fit[0]}x{self.fit[1]}"
        sides = (("width", self.width), ("height", self.height))
        named = ", ".join(f"{name} {side}" for name, side in sides if side is not None)
        return named or f"scale {self.asked_scale!r}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """The target whose `str` this is.

        Raises:
            UsageError: if it is not one.
        """
        try:
            if text == "restore":
                return cls(restore=True)
            named = dict(part.split(" ", 1) for part in text.split(", "))
            if "fit" in named:
                wide, high = map(int, named["fit"].split("x"))
                return cls(fit=(wide, high))
            scale = float(named["scale"]) if "scale" in named else None
            width, height = (int(named[side]) if side in named else None for side in _SIDES)
            return cls(scale=scale, width=width, height=height)
        except ValueError as error:
            raise UsageError(f"no target: {text!r:.60}") from error

    def _check_types(self) -> None:
        if self.scale is not None and not _is_a(numbers.Real, self.scale):
            raise UsageError(f"a scale is a number, not {self.scale!r:.60}")
        for side in (self.width, self.height):
            if side is not None and not _is_a(numbers.Integral, side):
                raise UsageError(f"a side is a whole number of px, not {side!r:.60}")
        if self.fit is not None:
            pair = isinstance(self.fit, tuple | list) and len(self.fit) == 2
            if not pair or not all(_is_a(numbers.Integral, side) for side in self.fit):
                raise UsageError(f"fit is a pair (width, height) in px, not {self.fit!r:.60}")

    @property
    def asked_scale(self) -> float | None:
        """The scale that is asked for; None where a size is, and the scale follows from it."""
        if self.restore:
            return 1.0
        if self.fit is not None or self.width is not None or self.height is not None:
            return None
        return DEFAULT_SCALE if self.scale is None else float(self.scale)

    def axes(self, height: int, width: int) -> tuple[Axis, Axis]:
        """Vertical and horizontal axis for a picture of `height` x `width` px.

        Raises:
            UsageError: if the picture would shrink, or grow by more than 16.
        """
        if self.restore:
            return Axis(height, height, 1.0), Axis(width, width, 1.0)
        rows, columns = self._axes(height, width)
        for axis in (rows, columns):
            if axis.scale > MAX_SCALE:
                raise UsageError(f"{width}x{height} px would grow by {axis.scale:.3g}: 16 at most")
            if axis.length_out < axis.length_in:
                raise UsageError(
                    f"{width}x{height} px would shrink to"
                    f" {columns.length_out}x{rows.length_out}: this program enlarges"
                )
        if all(axis.length_out == axis.length_in for axis in (rows, columns)):
            raise UsageError(
                f"{width}x{height} px would stay as it is: restore=True keeps the size"
            )
        return rows, columns

    def _axes(self, height: int, width: int) -> tuple[Axis, Axis]:
        if self.fit is not None:
            box_width, box_height = self.fit
            scale = min(box_width / width, box_height / height)
            rows, columns = Axis.by_scale(height, scale), Axis.by_scale(width, scale)
            # A side that was rounded up must not leave the box.
            return (
                Axis(height, min(rows.length_out, box_height), scale),
                Axis(width, min(columns.length_out, box_width), scale),
            )
        if self.width is not None and self.height is not None:
            return Axis.by_size(height, self.height), Axis.by_size(width, self.width)
        if self.width is not None:
            return Axis.by_scale(height, self.width / width), Axis.by_size(width, self.width)
        if self.height is not None:
            return Axis.by_size(height, self.height), Axis.by_scale(width, self.height / height)
        asked = self.asked_scale
        assert asked is not None  # no size is
        return Axis.by_scale(height, asked), Axis.by_scale(width, asked)


def _is_a(kind: type, value: object) -> bool:
    """Whether a value is a number of this kind; those of NumPy are, truth values are not."""
    return isinstance(value, kind) and not isinstance(value, bool)


def plan_passes(height: int, width: int, target: Target) -> tuple[Bicubic, ...]:
    """The enlargements to be done one after the other, none by more than 4.

    Args:
        height, width: of the picture, px.
        target: what is asked for.

    Returns:
        At least one pass; the input of each is the output of the one before.

    Raises:
        UsageError: see `Target.axes`.
    """
    rows, columns = target.axes(height, width)
    passes = []
    while max(rows.scale, columns.scale) > PASS_SCALE:
        first = Bicubic(_first(rows), _first(columns))
        passes.append(first)
        rows, columns = _rest(rows, first.rows), _rest(columns, first.columns)
    passes.append(Bicubic(rows, columns))
    return tuple(passes)


def _first(axis: Axis) -> Axis:
    if axis.scale <= PASS_SCALE:
        return axis
    # The smaller factor first, and none below 2, which the network has not seen: x8 as
    # 2 x 4 is better by 0.1 dB than as 4 x 2 (benchmarks/passes.py).
    return Axis.by_scale(axis.length_in, max(SMALLEST_FACTOR, axis.scale / PASS_SCALE))


def _rest(axis: Axis, done: Axis) -> Axis:
    if axis.scale <= PASS_SCALE:
        return Axis(axis.length_out, axis.length_out, 1.0)
    return Axis(done.length_out, axis.length_out, axis.scale / done.scale)
