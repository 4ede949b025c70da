"""A client of a server of this program, for programs: `pip install 'vdsr[client]'`.

with Client("http://127.0.0.1:8000") as client:
data = client.upscale("photo.jpg", scale=2)
job = client.submit("photo.jpg", scale=4)
client.wait(job["id"])
data = client.result(job["id"])
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict, Unpack

import httpx

from vdsr.errors import VdsrError

Picture = str | os.PathLike[str] | bytes


class RequestOptions(TypedDict, total=False):
    """What is to become of a picture; see `/v1/openapi.json`."""

    scale: float
    width: int
    height: int
    fit: str
    restore: bool
    format: str
    quality: int
    page: int
    model: str
    name: str


class JobState(TypedDict):
    """A job, as the server tells of it."""

    id: str
    state: str
    name: str
    width: int
    height: int
    result_width: int
    result_height: int
    format: str
    progress: float
    error: str | None
    result_name: str
    result_bytes: int | None
    digest: str | None
    seconds: float | None
    notices: list[str]
    expires: NotRequired[float | None]


class ServerError(VdsrError):
    """The server refused.

    Attributes:
        status: of HTTP.
        detail: why.
        retry_after: seconds after which to try again, where it says so.
        request_id: for the server's log.
    """

    def __init__(self, response: httpx.Response) -> None:
        try:
            content: dict[str, Any] = response.json()
        except ValueError:
            content = {}
        self.status = response.status_code
        self.detail = str(content.get("detail") or response.reason_phrase)
        self.request_id = str(content.get("request_id", ""))
        after = response.headers.get("retry-after", "")
        self.retry_after = float(after) if after.isdecimal() else None
        super().__init__(f"the server refused ({self.status}): {self.detail}")


def _content(picture: Picture) -> tuple[bytes, str | None]:
    if isinstance(picture, bytes):
        return picture, None
    path = Path(picture)
    return path.read_bytes(), path.name


def _query(options: Mapping[str, Any], name: str | None) -> dict[str, str]:
    given = {"name": name, **options}
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in given.items()
        if value is not None
    }


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        response.read()
        raise ServerError(response)
    return response


def _retry(response: httpx.Response, until: float) -> float | None:
    """Seconds to wait before another try; None for no other."""
    if response.status_code not in (429, 503) or time.monotonic() >= until:
        return None
    after = response.headers.get("retry-after", "1")
    return min(float(after) if after.isdecimal() else 1.0, max(0.1, until - time.monotonic()))


_ASYNC = {"Prefer": "respond-async"}


class Client:
    """A connection to a server, for one thread or several.

    Args:
        address: as `http://127.0.0.1:8000`.
        token: for servers that ask for one.
        timeout: seconds for one answer.
        patience: seconds for which a full server is asked again.
        transport: of httpx, for tests.

    Raises:
        ServerError: from every method, if the server refuses.
        httpx.HTTPError: if it cannot be reached.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        timeout: float = 600.0,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.Client(
            base_url=address, headers=_headers(token), timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _post(
        self, picture: Picture, options: Mapping[str, Any], headers: Mapping[str, str]
    ) -> httpx.Response:
        data, name = _content(picture)
        until = time.monotonic() + self._patience
        while True:
            response = self._http.post(
                "/v1/upscale", params=_query(options, name), content=data, headers=headers
            )
            wait = _retry(response, until)
            if wait is None:
                return _checked(response)
            time.sleep(wait)

    def upscale(self, picture: Picture, **options: Unpack[RequestOptions]) -> bytes:
        """Enlarge a picture, and wait for it.

        Args:
            picture: a path, or the bytes of a picture file.
            options: see `RequestOptions`; x4 if no size is given.

        Returns:
            The bytes of the larger picture's file.
        """
        return self._post(picture, options, {}).content

    def submit(self, picture: Picture, **options: Unpack[RequestOptions]) -> JobState:
        """Send a picture, and do not wait for it."""
        job: JobState = self._post(picture, options, _ASYNC).json()
        return job

    def job(self, id: str) -> JobState:
        """How a job stands."""
        job: JobState = _checked(self._http.get(f"/v1/jobs/{id}")).json()
        return job

    def events(self, id: str) -> Iterator[JobState]:
        """A job as it goes on, until it has ended."""
        with self._http.stream("GET", f"/v1/jobs/{id}/events") as response:
            for line in _checked(response).iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def wait(self, id: str) -> JobState:
        """Wait until a job is done or has failed."""
        last: JobState | None = None
        for last in self.events(id):
            if last["state"] in ("done", "failed"):
                break
        return last or self.job(id)

    def result(self, id: str) -> bytes:
        """The bytes of a finished job's picture."""
        return _checked(self._http.get(f"/v1/jobs/{id}/result")).content

    def delete(self, id: str) -> None:
        """Cancel a job, or delete its result."""
        _checked(self._http.delete(f"/v1/jobs/{id}"))

    def models(self) -> dict[str, Any]:
        """The server's models and limits."""
        found: dict[str, Any] = _checked(self._http.get("/v1/models")).json()
        return found


class AsyncClient:
    """The same for asyncio; see `Client`."""

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        timeout: float = 600.0,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.AsyncClient(
            base_url=address, headers=_headers(token), timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def _post(
        self, picture: Picture, options: Mapping[str, Any], headers: Mapping[str, str]
    ) -> httpx.Response:
        data, name = _content(picture)
        until = time.monotonic() + self._patience
        while True:
            response = await self._http.post(
                "/v1/upscale", params=_query(options, name), content=data, headers=headers
            )
            wait = _retry(response, until)
            if wait is None:
                return _checked(response)
            await asyncio.sleep(wait)

    async def upscale(self, picture: Picture, **options: Unpack[RequestOptions]) -> bytes:
        """See `Client.upscale`."""
        return (await self._post(picture, options, {})).content

    async def submit(self, picture: Picture, **options: Unpack[RequestOptions]) -> JobState:
        """See `Client.submit`."""
        job: JobState = (await self._post(picture, options, _ASYNC)).json()
        return job

    async def job(self, id: str) -> JobState:
        """See `Client.job`."""
        job: JobState = _checked(await self._http.get(f"/v1/jobs/{id}")).json()
        return job

    async def events(self, id: str) -> AsyncIterator[JobState]:
        """See `Client.events`."""
        async with self._http.stream("GET", f"/v1/jobs/{id}/events") as response:
            if response.is_error:
                await response.aread()
            async for line in _checked(response).aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    async def wait(self, id: str) -> JobState:
        """See `Client.wait`."""
        last: JobState | None = None
        async for last in self.events(id):
            if last["state"] in ("done", "failed"):
                break
        return last or await self.job(id)

    async def result(self, id: str) -> bytes:
        """See `Client.result`."""
        return _checked(await self._http.get(f"/v1/jobs/{id}/result")).content

    async def delete(self, id: str) -> None:
        """See `Client.delete`."""
        _checked(await self._http.delete(f"/v1/jobs/{id}"))

    async def models(self) -> dict[str, Any]:
        """See `Client.models`."""
        found: dict[str, Any] = _checked(await self._http.get("/v1/models")).json()
        return found
