"""The quantization tables of a JPEG file, read from its segments without decoding it.

After ITU-T T.81, B.2.4.1: a DQT segment holds tables of 64 steps each, in zigzag order.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.files.jpeg_segments import segments

Table = NDArray[np.uint16]

_DQT = 0xDB
_SIDE = 8
# The order of T.81, figure A.6: by diagonals, up and down in turn.
_ZIGZAG = sorted(
    ((row, column) for row in range(_SIDE) for column in range(_SIDE)),
    key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
)


def quantization_tables(jpeg: Path | bytes) -> Mapping[int, Table]:
    """The tables of a JPEG, by their number: 0 is that of luma in all usual files.

    Args:
        jpeg: path, or content, of the file.

    Returns:
        uint16 `[8, 8]` each, rows by vertical frequency, steps of 1..65535 in levels of the
        orthonormal DCT. Malformed or missing ones are left out.

    Raises:
        OSError: if the file cannot be read.
    """
    found: dict[int, Table] = {}
    with io.BytesIO(jpeg) if isinstance(jpeg, bytes) else jpeg.open("rb") as file:
        for marker, data in segments(file):
            if marker == _DQT:
                found.update(_tables(data))
    return found


def _tables(data: bytes) -> Iterator[tuple[int, Table]]:
    """Number and steps of all tables in a segment."""
    while data:
        wide, number = data[0] >> 4, data[0] & 15
        end = 1 + _SIDE**2 * (2 if wide else 1)
        if wide > 1 or len(data) < end:
            return
        steps = np.frombuffer(data[1:end], ">u2" if wide else "u1")
        if steps.all():
            table = np.empty((_SIDE, _SIDE), np.uint16)
            table[tuple(np.transpose(_ZIGZAG))] = steps
            yield number, table
        data = data[end:]
