"""Object storage: what lies at an address, read and written whole, in a bounded number of tries.

By obstore, and not by pyarrow's file systems, which cannot put an object on the condition that
there is none of its name.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from vdsr.errors import InputError, OutputError, UsageError
from vdsr.extras import require

SCHEMES = ("s3", "gs", "az")
# What lies below this, beside the outputs, is the state of a job.
HOME = ".vdsr"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
# Each request is tried for so long by the client itself, and each picture so often by us.
_RETRY_SECONDS = 60
TRIES = 6
_PAUSE = 0.2
_PAGE = 1000
# Bytes of an object that are put at once, and held for that: each part is paid for as a request.
_CHUNK = 32 * 1024**2


def is_address(text: str) -> bool:
    """Whether a text is an address of some storage, and no path."""
    return _ADDRESS.match(text) is not None


_T = TypeVar("_T")
_Error = InputError | OutputError


@dataclass(frozen=True)
class Object:
    """An object in a listing.

    Attributes:
        name: below the address that was listed, with `/`.
        size: bytes.
        changed: when it was written.
        tag: changes with the content.
    """

    name: str
    size: int
    changed: datetime
    tag: str


class Place(Protocol):
    """Where pictures or outputs of a job lie: object storage, or a folder.

    Attributes:
        address: with its scheme.
    """

    address: str

    def at(self, name: str) -> str:
        """What people call an object."""

    def refusal(self, name: str) -> str | None:
        """Why no object can be of this name; None if one can."""

    def list(self, below: str | None = None, after: str | None = None) -> Iterator[Object]:
        """All objects, or those whose names begin with `below/`, in the order of their names.

        They are read as they are asked for.

        Args:
            below: what their names begin with, without the `/`.
            after: the name behind which they begin; there need be none of it.

        Raises:
            InputError: if they cannot be listed, or do not come in order.
        """

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none; returns whether there was none.

        Args:
            name: of the object.
            data: its content, by which its writer knows it for its own.

        Raises:
            OutputError: if it cannot be written.
        """

    def write(self, name: str, data: bytes) -> None:
        """Put an object, whether there is one or not.

        Raises:
            OutputError: if it cannot be written.
        """

    def read(self, name: str) -> bytes | None:
        """An object's content; None if there is none.

        Raises:
            InputError: if it cannot be read.
        """

    def delete(self, name: str) -> None:
        """Delete an object; where there is none, nothing happens.

        Raises:
            OutputError: if it cannot be deleted.
        """

    def delete_all(self, below: str) -> None:
        """Delete all objects whose names begin with `below/`.

        Raises:
            InputError, OutputError: if they cannot be listed, or deleted.
        """

    def marks(self, name: str) -> dict[str, str] | None:
        """The texts that `upload` put at an object; None if there is no object.

        Raises:
            InputError: if they cannot be read.
        """

    def fetch(self, name: str, goal: Path) -> Object:
        """Have an object in a file.

        Raises:
            InputError: if there is none, or it cannot be read.
        """

    def upload(self, name: str, source: Path, marks: Mapping[str, str]) -> None:
        """Make an object of a file: there whole, or not at all.

        Args:
            name: of the object.
            source: the file.
            marks: texts by names that begin with `vdsr-`, see `marks`.

        Raises:
            OutputError: if it cannot be written.
        """


class Storage:
    """What lies at an address, as `s3://bucket/photos`; see `Place`.

    Credentials, endpoint and region come from the environment, by the names that the vendors
    use: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS` and so on.
    It may be used by several threads.

    Args:
        address: with the scheme `s3`, `gs` or `az`.

    Raises:
        MissingExtra: if obstore is not installed.
        UsageError: if the address is not one of these.
    """

    def __init__(self, address: str) -> None:
        match = _ADDRESS.match(address)
        if match is None or match[1] not in SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise UsageError(f"{address}: addresses of storage that are known: {known}")
        require("obstore")
        import obstore
        from obstore.store import from_url

        self.address = address.rstrip("/")
        self._obstore = obstore
        try:
            self._store = from_url(
                self.address,
                client_options={
                    "timeout": "300s",
                    "connect_timeout": "10s",
                    # Whoever names an endpoint without encryption means it.
                    "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
                },
                retry_config={
                    "max_retries": 8,
                    "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                },
            )
        except Exception as error:
            raise UsageError(f"{address}: {_reason(error)}") from error

    def at(self, name: str) -> str:
        """The address of an object."""
        return f"{self.address}/{name}"

    def refusal(self, name: str) -> str | None:
        """See `Place.refusal`."""
        try:
            name.encode()
        except UnicodeEncodeError:
            return "name is no UTF-8"
        return None

    def list(self, below: str | None = None, after: str | None = None) -> Iterator[Object]:
        """See `Place.list`."""
        prefix = "" if below is None else f"{below}/"
        last = after
        failures = 0
        with self._errors(InputError, below or ""):
            while True:
                try:
                    pages = self._obstore.list(self._store, below, offset=last, chunk_size=_PAGE)
                    for meta in itertools.chain.from_iterable(pages):
                        path, failures = meta["path"], 0
                        if last is not None and path.encode() < last.encode():
                            raise InputError("this storage does not list objects by their names")
                        last = path
                        name = path.removeprefix(prefix)
                        tag = meta["e_tag"] or ""
                        yield Object(name, meta["size"], meta["last_modified"], tag)
                    return
                except self._obstore.exceptions.GenericError:
                    failures += 1
                    if failures == TRIES:
                        raise
                    time.sleep(_PAUSE * 2**failures)

    def create(self, name: str, data: bytes) -> bool:
        """See `Place.create`."""

        def put() -> bool:
            try:
                self._obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except self._obstore.exceptions.AlreadyExistsError:
                # The answer to an earlier try of this very request may have been lost.
                return self.read(name) == data
            return True

        return self._tried(OutputError, name, put)

    def write(self, name: str, data: bytes) -> None:
        """See `Place.write`."""
        self._tried(
            OutputError,
            name,
            lambda: self._obstore.put(self._store, name, data, use_multipart=False),
        )

    def read(self, name: str) -> bytes | None:
        """See `Place.read`."""

        def get() -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return bytes(self._obstore.get(self._store, name).bytes())
            return None

        return self._tried(InputError, name, get)

    def delete(self, name: str) -> None:
        """See `Place.delete`."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._obstore.delete(self._store, name)

        self._tried(OutputError, name, delete)

    def delete_all(self, below: str) -> None:
        """See `Place.delete_all`."""
        names = (f"{below}/{one.name}" for one in self.list(below))
        while some := list(itertools.islice(names, _PAGE)):
            self._tried(OutputError, below, partial(self._obstore.delete, self._store, some))

    def marks(self, name: str) -> dict[str, str] | None:
        """See `Place.marks`."""

        def get() -> dict[str, str] | None:
            with contextlib.suppress(FileNotFoundError):
                found = self._obstore.get(self._store, name, options={"head": True}).attributes
                marks = {key: unquote(value) for key, value in found.items()}
                return {key: value for key, value in marks.items() if key.startswith("vdsr-")}
            return None

        return self._tried(InputError, name, get)

    def fetch(self, name: str, goal: Path) -> Object:
        """See `Place.fetch`."""

        def get() -> Object:
            try:
                found = self._obstore.get(self._store, name)
            except FileNotFoundError as error:
                raise InputError("there is no such object") from error
            with goal.open("wb") as file:
                for chunk in found:
                    file.write(chunk)
            meta = found.meta
            if goal.stat().st_size != meta["size"]:
                raise self._obstore.exceptions.GenericError("it came cut short")
            return Object(name, meta["size"], meta["last_modified"], meta["e_tag"] or "")

        return self._tried(InputError, name, get)

    def upload(self, name: str, source: Path, marks: Mapping[str, str]) -> None:
        """See `Place.upload`."""
        attributes: dict[str, str] = {key: quote(value) for key, value in marks.items()}

        def put() -> None:
            with source.open("rb") as file:
                self._obstore.put(
                    self._store,
                    name,
                    file,
                    attributes=attributes,
                    chunk_size=_CHUNK,
                    max_concurrency=1,
                )

        self._tried(OutputError, name, put)

    def _tried(self, kind: type[_Error], name: str, request: Callable[[], _T]) -> _T:
        """Do a request, again if it fails for a reason that may pass.

        The client tries again what the server has refused for now. It does not where an answer
        was torn, or where a request might have been done: ours may be done twice.
        """
        with self._errors(kind, name):
            for i in range(TRIES - 1):
                try:
                    return request()
                except self._obstore.exceptions.GenericError:
                    time.sleep(_PAUSE * 2**i)
            return request()

    @contextlib.contextmanager
    def _errors(self, kind: type[_Error], name: str) -> Iterator[None]:
        try:
            yield
        except (self._obstore.exceptions.BaseError, ValueError, OSError) as error:
            raise kind(f"{self.at(name)}: {_reason(error)}") from error


def _reason(error: Any) -> str:  # noqa: ANN401 - an error of obstore
    """The first lines of an error of obstore, which goes on with its internals."""
    text = str(error).split("\n\nDebug source")[0]
    return " ".join(text.split())[:300]
