"""Plain values in a pickle: numbers, texts and empty containers.

The encoding of each instruction is the one that `pickletools` documents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from vdsr.errors import CheckpointError

_MAX_INTEGER_BYTES = 255
# Names, and the source of a class that old versions put beside it.
_MAX_TEXT_BYTES = 1 << 20


class Reader:
    """A position in a file's bytes; never hands out more than there are.

    Attributes:
        data: the whole file.
        position: index of the next byte.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def skip(self, size: int) -> int:
        """Move on by `size` bytes and return where they begin.

        Raises:
            CheckpointError: if there are fewer left, or `size` is negative.
        """
        start = self.position
        if not 0 <= size <= len(self.data) - start:
            raise CheckpointError(f"it is cut short or damaged at byte {start}")
        self.position = start + size
        return start

    def take(self, size: int) -> bytes:
        """The next `size` bytes; errors as in `skip`."""
        start = self.skip(size)
        return self.data[start : start + size]

    def number(self, code: str) -> int:
        """The next little-endian integer, of a one-letter `struct` code."""
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0])

    def line(self) -> str:
        """The text up to the next line feed, which is passed over."""
        end = self.data.find(b"\n", self.position, self.position + _MAX_TEXT_BYTES)
        if end < 0:
            raise CheckpointError(f"it is cut short or damaged at byte {self.position}")
        text = self.take(end - self.position)
        self.skip(1)
        return text.decode("utf-8")


def _sized(code: str, encoding: str | None) -> Callable[[Reader], object]:
    def read(reader: Reader) -> object:
        size = reader.number(code)
        if size > _MAX_TEXT_BYTES:
            reader.skip(size)
            raise CheckpointError(f"it holds a text of {size} bytes")
        data = reader.take(size)
        return data if encoding is None else data.decode(encoding, "surrogatepass")

    return read


def _integer(code: str) -> Callable[[Reader], object]:
    def read(reader: Reader) -> object:
        size = reader.number(code)
        if size > _MAX_INTEGER_BYTES:
            raise CheckpointError(f"it holds an integer of {size} bytes")
        return int.from_bytes(reader.take(size), "little", signed=True)

    return read


def _text_integer(reader: Reader) -> object:
    text = reader.line().removesuffix("L")
    return {"00": False, "01": True}.get(text) if text in ("00", "01") else int(text)


# Instructions that push a value. Python 2 wrote text as bytes: U and T are latin-1.
LITERALS: dict[bytes, Callable[[Reader], object]] = {
    b"N": lambda reader: None,
    b"\x88": lambda reader: True,
    b"\x89": lambda reader: False,
    b")": lambda reader: (),
    b"]": lambda reader: [],
    b"\x8f": lambda reader: [],  # a set, of which nothing is needed but that it is there
    b"}": lambda reader: {},
    b"J": lambda reader: reader.number("i"),
    b"K": lambda reader: reader.number("B"),
    b"M": lambda reader: reader.number("H"),
    b"I": _text_integer,
    b"L": _text_integer,
    b"\x8a": _integer("B"),
    b"\x8b": _integer("i"),
    b"G": lambda reader: struct.unpack(">d", reader.take(8))[0],
    b"U": _sized("B", "latin-1"),
    b"T": _sized("i", "latin-1"),
    b"X": _sized("I", "utf-8"),
    b"\x8c": _sized("B", "utf-8"),
    b"\x8d": _sized("Q", "utf-8"),
    b"C": _sized("B", None),
    b"B": _sized("I", None),
    b"\x8e": _sized("Q", None),
}
