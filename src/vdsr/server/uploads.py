"""Reading what clients send: onto the disk as it comes, within limits, and nothing trusted."""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from vdsr.server.problems import Problem

# Of form fields that are not the picture.
_FIELDS, _FIELD_BYTES = 20, 1000
# Bytes of the headers of one part.
_HEADER_BYTES = 8192
_MULTIPART_ROOM = 64 * 1024
# Seconds without any byte.
_SILENCE = 20.0
_NAME = 120


async def read_body(
    request: Request, goal: Path, *, most: int, seconds: float
) -> tuple[str | None, dict[str, str]]:
    """Read a picture into a file.

    Args:
        request: whose body is the picture, or a form with it and options.
        goal: file to be made.
        most: bytes that a picture may have.
        seconds: longest time that it may take.

    Returns:
        The client's name of the file, and the other fields of the form.

    Raises:
        Problem: 400, 408, 413 or 415.
        ClientDisconnect: if the client goes away.
    """
    header = Message()
    header["content-type"] = request.headers.get("content-type", "application/octet-stream")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > most + _MULTIPART_ROOM:
        raise _too_large(most)
    chunks = _chunks(request, most=most + _MULTIPART_ROOM, seconds=seconds)
    with goal.open("wb") as file:
        if header.get_content_type() == "multipart/form-data":
            boundary = header.get_param("boundary")
            if not isinstance(boundary, str) or not 1 <= len(boundary) <= 70:
                raise Problem(400, "multipart/form-data: it names no boundary")
            form = _Form(boundary, file, most)
            async for chunk in chunks:
                form.write(chunk)
            form.finish()
            return form.name, form.fields
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            file.write(chunk)
    if size == 0:
        raise Problem(400, "no picture was sent: it is the body, or the field 'file' of a form")
    return None, {}


async def _chunks(request: Request, *, most: int, seconds: float) -> AsyncIterator[bytes]:
    end, size = time.monotonic() + seconds, 0
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(min(_SILENCE, max(0.0, end - time.monotonic()))):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Problem(408, "the upload is too slow", {"Connection": "close"}) from error
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        if chunk:
            yield chunk


def _too_large(most: int) -> Problem:
    return Problem(
        413, f"larger than the {most} bytes that this server takes", {"Connection": "close"}
    )


class _Form:
    """A form, as its bytes come: the field `file` goes to a file, others are kept, all bounded."""

    def __init__(self, boundary: str, file: IO[bytes], most: int) -> None:
        self.name: str | None = None
        self.fields: dict[str, str] = {}
        self._file, self._most, self._size = file, most, 0
        self._headers = self._head = b""
        self._field: str | None = None
        self._value = b""
        self._has_file = self._ended = False
        self._parser = MultipartParser(
            boundary.encode("latin-1", errors="replace"),
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_header,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_data,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Problem(400, f"multipart/form-data: {error}") from error

    def finish(self) -> None:
        if not self._ended:
            raise Problem(400, "multipart/form-data: it is cut short")
        if not self._has_file:
            raise Problem(400, "no picture was sent: it is the field 'file' of the form")

    def _begin(self) -> None:
        self._headers, self._head, self._value, self._field = b"", b"", b"", None

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._head += data[start:end]
        self._bound(len(self._headers) + len(self._head))

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        if b":" not in self._head:
            self._head += b":"
        self._take_header(data, start, end)

    def _bound(self, size: int) -> None:
        if size > _HEADER_BYTES:
            raise Problem(400, "multipart/form-data: the headers of a part are too long")

    def _end_header(self) -> None:
        self._headers += self._head + b"\n"
        self._head = b""

    def _begin_data(self) -> None:
        part = Message()
        for line in self._headers.decode("utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-disposition":
                part["content-disposition"] = value.strip()
        field = part.get_param("name", header="content-disposition")
        self._field = field if isinstance(field, str) else None
        if self._field == "file":
            if self._has_file:
                raise Problem(400, "one picture in one request: several fields 'file' were sent")
            self._has_file = True
            self.name = part.get_filename()
        elif self._field is None or len(self.fields) >= _FIELDS:
            raise Problem(400, "multipart/form-data: a part without a name, or too many parts")

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._size += end - start
            if self._size > self._most:
                raise _too_large(self._most)
            self._file.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_BYTES:
            raise Problem(400, f"multipart/form-data: the field {self._field!r:.40} is too long")

    def _end_part(self) -> None:
        if self._field not in (None, "file"):
            self.fields[str(self._field)] = self._value.decode("utf-8", errors="replace")

    def _end(self) -> None:
        self._ended = True


def shown_name(name: str | None) -> str:
    """A client's name of a file, as it may be shown: no folders, nothing that is not printable."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    text = unicodedata.normalize("NFC", last.encode("utf-8", errors="replace").decode())
    clean = "".join(c for c in text if c.isprintable() and c not in '<>:"|?*').strip(" .")
    return clean[-_NAME:] or "picture"
