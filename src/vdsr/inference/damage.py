"""What compression and noise have done to a picture, judged by what is in its pixels.

A file says little of that: a JPEG of quality 40 that was saved again at 95, or as PNG, still
has its blocks. So windows of the pixels are looked at; the steps that a JPEG names itself
are only a further hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.color import FULL
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.jpeg_tables import quantization_tables
from vdsr.imaging.jpeg_grid import grid_trace
from vdsr.imaging.noise import noise_level
from vdsr.inference.pictures import Picture

# Set on photographs, drawings and textures that no network is measured by, damaged in known
# ways: see benchmarks/damage.py. Below 1.6 levels of noise the network for clean pictures is
# as good. Steps of 2.5 on average are those of quality 98.
BLOCKS, NOISE, STEPS = 1.15, 1.6, 2.5

# Windows that are looked at: of so many px, at most so many to a side.
_SIDE, _MOST = 128, 4
# A file can be decoded from its top on only, and is decoded once more later; windows of a
# giant one lie within its first rows, of so many px together.
_DECODED = 32_000_000


@dataclass(frozen=True, kw_only=True)
class Damage:
    """How a picture is damaged.

    Attributes:
        blocks: strength of blocks of 8x8 px, see `vdsr.imaging.jpeg_grid.GridTrace`.
        noise: deviation of white noise, levels of luma in 0..255.
        steps: mean of the quantization steps of luma that a JPEG file names; else None.
    """

    blocks: float
    noise: float
    steps: float | None = None

    @property
    def found(self) -> tuple[str, ...]:
        """What is damaged, a phrase each; none for a clean picture."""
        found = []
        if self.blocks > BLOCKS:
            found.append(f"blocks of JPEG (strength {self.blocks:.1f})")
        elif self.steps is not None and self.steps > STEPS:
            found.append(f"a JPEG with steps of {self.steps:.1f} on average")
        if self.noise > NOISE:
            found.append(f"noise of about {self.noise:.1f} levels")
        return tuple(found)

    @property
    def words(self) -> str:
        """In one phrase."""
        return " and ".join(self.found) or "neither blocks of JPEG nor noise were found"


def judge(picture: Picture) -> Damage:
    """Look at a picture.

    Of a file no more than its first 32 Mpixel are decoded for this.

    Raises:
        InputError: if it cannot be decoded.
    """
    found = list(_windows(picture))
    corners, windows = [corner for corner, _ in found], [window for _, window in found]
    steps = None
    if picture.reader is not None and picture.reader.format.name == "jpeg":
        table = quantization_tables(picture.reader.path).get(0)
        steps = None if table is None else float(table.mean())
    return Damage(
        blocks=grid_trace(windows, corners).strength,
        noise=noise_level(windows) if windows else 0.0,
        steps=steps,
    )


def _windows(picture: Picture) -> Iterator[tuple[tuple[int, int], NDArray[np.float32]]]:
    """Windows spread evenly, opaque ones: row and column, and luma in 0..255."""
    layout = picture.layout
    height = layout.height
    if picture.reader is not None:
        height = min(height, max(_SIDE, _DECODED // layout.width))
    lefts = _spread(layout.width)
    for top, rows in _bands(picture.strips(), _spread(height)):
        for left in lefts:
            part = rows[:, left : left + _SIDE]
            if layout.has_alpha:
                opaque = 1.0 if layout.dtype == "float32" else np.iinfo(layout.dtype).max
                if (part[..., -1] < opaque).any():
                    continue
                part = part[..., :-1]
            yield (top, left), _luma(part)


def _spread(length: int) -> list[int]:
    """Where windows begin along an axis; together they are all of a short one."""
    count = min(_MOST, -(-length // _SIDE))
    if count == 1:
        return [0]
    if count * _SIDE >= length:  # without overlap, which would count some px twice
        return list(range(0, length, _SIDE))
    return [int(i * (length - _SIDE) / (count - 1)) for i in range(count)]


def _bands(strips: Iterable[Samples], tops: list[int]) -> Iterator[tuple[int, Samples]]:
    """The rows from each top on, of a window's height or up to the end; no more is decoded."""
    wanted, first = list(tops), 0
    held: Samples | None = None
    for strip in strips:
        held = strip if held is None or len(held) == 0 else np.concatenate([held, strip])
        while wanted and first + len(held) >= wanted[0] + _SIDE:
            top = wanted.pop(0)
            yield top, held[top - first : top - first + _SIDE]
        if not wanted:
            return
        done = min(len(held), wanted[0] - first)
        held, first = held[done:], first + done
    for top in wanted:  # windows that the end cuts
        assert held is not None
        yield top, held[top - first :]


def _luma(samples: Samples) -> NDArray[np.float32]:
    """Full-range luma, as JPEG has it, float32 `[h, w]` in 0..255."""
    values = samples.astype(np.float32)
    if samples.dtype == np.float32:
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
        low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
        values = (values - low) * np.float32(255.0 / (high - low))
    elif samples.dtype == np.uint16:
        values *= np.float32(255.0 / 65535.0)
    if values.shape[2] == 1:
        return values[..., 0]
    return FULL.luma(np.ascontiguousarray(values.transpose(2, 0, 1)))
