"""Where on the Earth the pixels of a TIFF file lie, for another size of the same picture.

After OGC 19-008r4 (GeoTIFF 1.1, 7.1 and annex E) and the RPC extension
(http://geotiff.maptools.org/rpc_prop.html).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vdsr.imaging.files.tiff_structure import SHORT, Directory, Value

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, RPC = 33550, 33922, 34264, 34735, 50844
TAGS = frozenset({PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS, 34736, 34737, RPC})
"""Tags that say where a picture lies: the further ones are numbers and texts of the keys."""

_DOUBLE = 12
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_RPC_VALUES = 92


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the pixels of a picture come from.

    Attributes:
        x, y: by how much its sides grew.
        left, top: where it begins in the whole result, px; above 0 for a cutout.
    """

    x: float
    y: float
    left: int = 0
    top: int = 0


def placed(tags: Directory, placement: Placement) -> Directory | None:
    """The tags of a picture for what it has become; None if they are malformed."""
    half = 0.5 if _is_point(tags.get(GEO_KEYS)) else 0.0
    result = dict(tags)
    try:
        for tag, change in (
            (PIXEL_SCALE, _pixel_scale),
            (TIE_POINTS, _tie_points),
            (TRANSFORMATION, _transformation),
            (RPC, _rational_polynomials),
        ):
            item = tags.get(tag)
            if item is None:
                continue
            if isinstance(item, dict) or item.kind != _DOUBLE:
                return None
            values = list(struct.unpack(f"<{len(item.data) // 8}d", item.data))
            values = change(values, placement, half)
            result[tag] = Value(_DOUBLE, struct.pack(f"<{len(values)}d", *values))
    except (struct.error, IndexError):
        return None
    return result


def _is_point(keys: Value | Directory | None) -> bool:
    """Whether whole coordinates are the centers of pixels, instead of their corners."""
    if not isinstance(keys, Value) or keys.kind != SHORT:
        return False
    numbers = struct.unpack(f"<{len(keys.data) // 2}H", keys.data)
    return any(
        numbers[i] == _RASTER_TYPE and numbers[i + 3] == _PIXEL_IS_POINT
        for i in range(4, len(numbers) - 3, 4)
    )


def _pixel_scale(values: list[float], placement: Placement, half: float) -> list[float]:
    return [values[0] / placement.x, values[1] / placement.y, *values[2:]]


def _tie_points(values: list[float], placement: Placement, half: float) -> list[float]:
    """What lies on the Earth stays; where it is in the picture moves."""
    for i in range(0, len(values) - 5, 6):
        values[i] = (values[i] + half) * placement.x - half - placement.left
        values[i + 1] = (values[i + 1] + half) * placement.y - half - placement.top
    return values


def _transformation(values: list[float], placement: Placement, half: float) -> list[float]:
    """A matrix of 4 rows, from column, row, depth and 1 to the Earth."""
    shift_x = (placement.left + half) / placement.x - half
    shift_y = (placement.top + half) / placement.y - half
    for i in range(0, 16, 4):
        values[i + 3] += values[i] * shift_x + values[i + 1] * shift_y
        values[i] /= placement.x
        values[i + 1] /= placement.y
    return values


def _rational_polynomials(values: list[float], placement: Placement, half: float) -> list[float]:
    """LINE_OFF, SAMP_OFF, LINE_SCALE and SAMP_SCALE; whole coordinates are centers."""
    if len(values) != _RPC_VALUES:
        raise IndexError
    values[2] = (values[2] + 0.5) * placement.y - 0.5 - placement.top
    values[3] = (values[3] + 0.5) * placement.x - 0.5 - placement.left
    values[7] *= placement.y
    values[8] *= placement.x
    return values
