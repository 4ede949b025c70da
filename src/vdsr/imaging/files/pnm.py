"""The portable anymaps of Netpbm: PBM, PGM, PPM, PAM, and PFM with floats.

After the manual pages of Netpbm (pbm(5), pgm(5), ppm(5), pam(5)) and Paul Debevec's
description of PFM. Samples are brought to the whole range of 8 or 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError

_HEAD_BYTES = 65536
_TOKEN = re.compile(rb"(?:\s|#[^\n]*(?:\n|$))*([^\s#]+)")
_PLAIN = {b"P1": 1, b"P2": 1, b"P3": 3}
_BANDS = {b"P4": 1, b"P5": 1, b"P6": 3, b"PF": 3, b"Pf": 1}


def read(path: Path) -> tuple[NDArray[Any], str | None]:
    """The first picture of a file.

    Args:
        path: the file.

    Returns:
        `[H, W, bands]`, uint8, uint16 or float32, and a notice if more follows.

    Raises:
        InputError: if it is malformed or cut short.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    size = path.stat().st_size

    def fail(what: str) -> InputError:
        return InputError(f"{path}: damaged or cut short: {what}")

    kind = head[:2]
    if kind == b"P7":
        width, height, bands, highest, start = _pam(head, fail)
    else:
        count = {b"P1": 2, b"P4": 2}.get(kind, 3)
        tokens, start = _tokens(head, count, fail)
        width, height = (_whole(token, fail) for token in tokens[:2])
        bands, highest = _BANDS.get(kind, _PLAIN.get(kind, 1)), 1
        if kind in (b"PF", b"Pf"):
            return _floats(path, (height, width, bands), tokens[2], start + 1, size, fail)
        if count == 3:
            highest = _whole(tokens[2], fail)
    if not 0 < highest < 65536:
        raise fail(f"its highest value is {highest}, not 1 to 65535")
    if not (width and height and 1 <= bands <= 4):
        raise fail(f"{width}x{height} px with {bands} bands")
    shape = (height, width, bands)
    if kind in _PLAIN:
        return _text(path, shape, highest, start, kind, fail), None
    return _binary(path, shape, highest, start + 1, kind, fail)


_Fail = Callable[[str], InputError]


def _tokens(head: bytes, count: int, fail: _Fail) -> tuple[list[bytes], int]:
    at, found = 2, []
    for _ in range(count):
        match = _TOKEN.match(head, at)
        if match is None:
            raise fail("its header is incomplete")
        found.append(match[1])
        at = match.end()
    return found, at


def _whole(token: bytes, fail: _Fail) -> int:
    if not token.isdigit() or len(token) > 9:
        raise fail(f"its header says {token[:20]!r} where a number belongs")
    return int(token)


def _pam(head: bytes, fail: _Fail) -> tuple[int, int, int, int, int]:
    match = re.search(rb"\nENDHDR[^\n]*\n", head)
    if match is None:
        raise fail("its header has no end")
    said = dict(
        re.findall(rb"(?m)^\s*(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+(\S+)", head[: match.start() + 1])
    )
    if len(said) != 4:
        raise fail("its header is incomplete")
    if re.search(rb"(?m)^\s*TUPLTYPE\s+CMYK", head[: match.start()]):
        raise fail("it holds CMYK, which PAM does not define")
    width, height, bands, highest = (
        _whole(said[key], fail) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
    )
    return width, height, bands, highest, match.end() - 1


def _checked(path: Path, length: int, start: int, fail: _Fail) -> str | None:
    """Whether so many bytes are there; a notice if there are more than line ends behind."""
    size = path.stat().st_size
    if start + length > size:
        raise fail(f"{length} bytes of pixels are needed, {max(0, size - start)} are there")
    return "what follows its first picture was left out" if size > start + length + 2 else None


def _floats(
    path: Path, shape: tuple[int, int, int], scale: bytes, start: int, size: int, fail: _Fail
) -> tuple[NDArray[Any], str | None]:
    try:
        order = "<" if float(scale) < 0 else ">"
    except ValueError:
        raise fail(f"its scale is {scale[:20]!r}, not a number") from None
    if 0 in shape:
        raise fail(f"{shape[1]}x{shape[0]} px")
    notice = _checked(path, 4 * int(np.prod(shape, dtype=np.int64)), start, fail)
    rows = np.memmap(path, order + "f4", "r", start, shape)
    return np.ascontiguousarray(rows[::-1], np.float32), notice  # stored from the bottom up


def _binary(
    path: Path, shape: tuple[int, int, int], highest: int, start: int, kind: bytes, fail: _Fail
) -> tuple[NDArray[Any], str | None]:
    height, width, bands = shape
    if kind == b"P4":
        row = -(-width // 8)
        notice = _checked(path, row * height, start, fail)
        packed = np.memmap(path, np.uint8, "r", start, (height, row))
        bits = np.unpackbits(packed, axis=1)[:, :width, None]
        return (1 - bits) * np.uint8(255), notice
    dtype = np.dtype(np.uint8 if highest < 256 else ">u2")
    notice = _checked(path, height * width * bands * dtype.itemsize, start, fail)
    return _stretched(np.memmap(path, dtype, "r", start, shape), highest, fail), notice


def _text(
    path: Path, shape: tuple[int, int, int], highest: int, start: int, kind: bytes, fail: _Fail
) -> NDArray[Any]:
    count = int(np.prod(shape, dtype=np.int64))
    text = path.read_bytes()[start:]
    if count > len(text):
        raise fail(f"{count} samples are needed, {len(text)} bytes are there")
    text = re.sub(rb"#[^\n]*", b"", text)
    if kind == b"P1":  # digits need no space between them
        digits = re.sub(rb"\s", b"", text)[:count]
        values = np.frombuffer(digits, np.uint8) - ord("0")
    else:
        words = text.split(None, count)[:count]
        if not all(word.isdigit() and len(word) <= 5 for word in words):
            raise fail("it holds something other than numbers")
        values = np.array([int(word) for word in words], np.int64)
    if len(values) < count:
        raise fail(f"{count} samples are needed, {len(values)} are there")
    if kind == b"P1":
        if values.max(initial=0) > 1:
            raise fail("it holds something other than 0 and 1")
        return ((1 - values) * np.uint8(255)).reshape(shape)
    return _stretched(values.reshape(shape), highest, fail)


def _stretched(values: NDArray[Any], highest: int, fail: _Fail) -> NDArray[Any]:
    """Whole numbers up to `highest` in the whole range of their type."""
    dtype, peak = (np.dtype(np.uint8), 255) if highest < 256 else (np.dtype(np.uint16), 65535)
    if highest == peak and values.dtype == dtype:
        return values
    if values.max() > highest:
        raise fail(f"a sample is larger than the highest value, {highest}")
    if highest == peak:
        return values.astype(dtype)
    table = np.rint(np.arange(highest + 1) * (peak / highest)).astype(dtype)
    stretched: NDArray[Any] = table[values]
    return stretched
