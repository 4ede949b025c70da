"""Arrays in `.npz` files, as the card's tools read and write them.

A file of a few bytes can unpack to any number of them, and its header can claim any shape:
so the header is read first, and then only as much as the shape that is expected has.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.inputs import read_file

INPUT_KEY, OUTPUT_KEY = "input_0", "output_0"

_MAX_BYTES = 256 << 20
_NAMED = 5
_KINDS = {"f": "float", "u": "uint8"}


def npz(key: str, array: NDArray[np.generic]) -> bytes:
    """One array as an `.npz` file; the same array gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{key: array})  # type: ignore[arg-type]
    return buffer.getvalue()


def read_npz(path: Path, key: str, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    """One array of an `.npz` file.

    Args:
        path: of the file.
        key: of the array.
        shape: that it must have.
        kind: of its numbers: `f` for any float, `u` for uint8.

    Raises:
        InputError: if the file cannot be read, or the array is missing, of another shape or
            kind, or cut short.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(path, _MAX_BYTES))) as archive:
            names = archive.namelist()
            if f"{key}.npy" not in names:
                found = ", ".join(f"{name.removesuffix('.npy'):.40}" for name in names[:_NAMED])
                raise _Other(f"there is no {key} in it, but {found or 'nothing'}")
            with archive.open(f"{key}.npy") as member:
                return _array(member, key, shape, kind)
    except _Other as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    except InputError as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    # Whatever zipfile, its decompressors and numpy raise for what they cannot read.
    except Exception as error:
        raise InputError(f"{path}: it is not a readable .npz file: {error!s:.100}") from error


class _Other(Exception):
    """A readable file that holds something else."""


def _array(member: IO[bytes], key: str, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    version = np.lib.format.read_magic(member)
    if version[0] > 2:
        raise _Other(f"{key} is written in a form of numpy that only structures need")
    read = (
        np.lib.format.read_array_header_1_0
        if version[0] == 1
        else np.lib.format.read_array_header_2_0
    )
    found, fortran, dtype = read(member)
    if found != shape or dtype.kind != kind or (kind == "u" and dtype.itemsize != 1):
        raise _Other(f"{key} is {dtype} {list(found)}, not {_KINDS[kind]} {list(shape)}"[:200])
    size = math.prod(shape) * dtype.itemsize
    data = member.read(size + 1)
    if len(data) != size:
        raise _Other(f"{key} is cut short, or longer than its shape")
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape[::-1]).transpose() if fortran else flat.reshape(shape)
