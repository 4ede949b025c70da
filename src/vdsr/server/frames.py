"""Messages between the server and its processes: a line of JSON, and bytes behind it."""

from __future__ import annotations

import json
from typing import IO, Any

import numpy as np

from vdsr.model.architecture import FloatArray

Message = dict[str, Any]


def send(stream: IO[bytes], message: Message, payload: bytes | memoryview = b"") -> None:
    """Write a message.

    Raises:
        OSError, ValueError: if nobody reads any more.
    """
    head = json.dumps({**message, "bytes": len(payload)}).encode("ascii")
    stream.write(b"%d\n" % len(head) + head)
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Message, bytes] | None:
    """Read a message; None if the stream has ended, within one or between two."""
    line = stream.readline(20)
    if not line.endswith(b"\n"):
        return None
    head = stream.read(int(line))
    if len(head) < int(line):
        return None
    message: Message = json.loads(head)
    size = message.pop("bytes")
    payload = stream.read(size)
    return None if len(payload) < size else (message, payload)


def send_tile(stream: IO[bytes], array: FloatArray, model: int = 0) -> None:
    """Write a float32 array as a message, for the model of this number."""
    whole = np.ascontiguousarray(array, np.float32)
    message = {"tile": list(whole.shape), "model": model}
    send(stream, message, whole.reshape(-1).view(np.uint8).data)


def as_array(shape: list[int], payload: bytes) -> FloatArray:
    """The array of such a message."""
    return np.frombuffer(payload, np.float32).reshape(shape)
