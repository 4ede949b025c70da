"""Tensors as they lie in a checkpoint: type, shape, and a view into raw bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vdsr.errors import CheckpointError
from vdsr.model.architecture import FloatArray

Buffer = bytes | memoryview

# bfloat16 is the upper half of a float32; numpy has no such type, so it is read as uint16.
DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "u1",
}
FLOATS = ("float64", "float32", "float16", "bfloat16")

_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A strided view into a storage that is only read when it is asked for.

    Attributes:
        dtype: a key of `DTYPES`, or another name for a type that cannot be read.
        shape: length of every axis; the empty tuple for a single number.
        strides: distance between neighbors along every axis, in elements.
        offset: index of the first element in the storage.
        storage: gives the storage's bytes.
        big_endian: whether the most significant byte comes first.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: Callable[[], Buffer]
    big_endian: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def to_float32(self) -> FloatArray:
        """The tensor as a contiguous float32 array of its own, `shape`, any finite range.

        Raises:
            CheckpointError: if the view reaches outside of the storage, shows an
                element twice, is empty, or holds a number that is not finite in float32.
        """
        data = self.storage()
        code = np.dtype((">" if self.big_endian else "<") + DTYPES[self.dtype])
        self._check_bounds(len(data) // code.itemsize)
        view = np.ndarray(
            self.shape,
            code,
            buffer=data,
            offset=self.offset * code.itemsize,
            strides=self._byte_strides(code.itemsize),
        )
        if self.dtype == "bfloat16":
            view = (view.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.array(view, np.float32, order="C")
        if not np.isfinite(array).all():
            raise CheckpointError("it holds numbers that are infinite or not a number")
        return array

    def _byte_strides(self, size: int) -> tuple[int, ...]:
        """Strides in bytes; along an axis of length 1 nothing is ever skipped."""
        steps = zip(self.shape, self.strides, strict=True)
        return tuple(stride * size if length > 1 else 0 for length, stride in steps)

    def _check_bounds(self, elements: int) -> None:
        if self.size == 0:
            raise CheckpointError(f"its shape {list(self.shape)} has an empty axis")
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((length - 1) * stride for length, stride in steps)
        # More elements than the storage has means strides that show some of them
        # again: a few bytes could then ask for any amount of memory.
        negative = self.offset < 0 or min((*self.shape, *self.strides), default=0) < 0
        if negative or last >= elements or self.size > elements:
            raise CheckpointError(f"it reaches outside of its storage of {elements} numbers")


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of an array of this shape whose last axis is dense."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def shown(text: str) -> str:
    """A name out of a file as one short printable piece of a message."""
    safe = ascii(text[: _SHOWN + 1])[1:-1]
    return safe if len(safe) <= _SHOWN else safe[: _SHOWN - 3] + "..."
