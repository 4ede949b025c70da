"""What the API answers to a picture that is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from vdsr.errors import VdsrError
from vdsr.server.answers import (
    BINARY,
    TYPES,
    documented,
    full_is_said,
    in_thread,
    info,
    result_file,
    service_of,
)
from vdsr.server.job import Job, without_paths
from vdsr.server.problems import Problem, of_error, told
from vdsr.server.schemas import JobInfo, Options
from vdsr.server.store import Kept
from vdsr.server.uploads import read_body, shown_name

router = APIRouter()

_FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            **Options.model_json_schema()["properties"],
        },
    },
    "example": {"file": "(the bytes of photo.jpg)", "scale": 2, "format": "png"},
}
_UPSCALE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The picture, or a form with it as `file` and options as fields.",
        "content": {"multipart/form-data": _FORM, "application/octet-stream": BINARY},
    },
    "parameters": [
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "example": "respond-async",
            "description": "`respond-async` (RFC 7240): answer with a job, not with the result.",
        }
    ],
}


def _options(request: Request, query: Options, fields: dict[str, str]) -> Options:
    """Those of the address, and those of the form."""
    try:
        options = Options(**{**query.model_dump(exclude_unset=True), **fields})
    except ValidationError as error:
        raise Problem(422, told(error.errors())) from error
    names = [engine.model.metadata.name for engine in service_of(request).engines]
    # Where there are two, the picture decides.
    known = (None, *names) if len(names) == 1 else (None,)
    if options.model not in (*known, request.app.state.settings.model):
        raise Problem(422, f"there is no model {options.model!r:.60} here: see /v1/models")
    return options


async def _received(request: Request, query: Options) -> Kept:
    """Read, look at and check what a client sends; nothing is left of what is refused."""
    service, settings = service_of(request), request.app.state.settings
    client = request.state.client
    try:
        announced = int(request.headers.get("content-length", "0")[:20] or 0)
    except ValueError:
        announced = 0
    kept: Kept = await in_thread(request, service.new, client, min(announced, settings.max_body))
    try:
        name, fields = await read_body(
            request, kept.source, most=settings.max_body, seconds=settings.body_seconds
        )
        options = _options(request, query, fields)
        kept.name = shown_name(name or options.name)
        kept.options = options.for_upscaler()
        with full_is_said():
            await service.look(kept)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await in_thread(request, service.discard, kept)
        if isinstance(error, VdsrError):
            raise of_error(error, without_paths(error, kept)) from error
        if isinstance(error, ClientDisconnect):
            raise Problem(400, "the client went away") from error
        if isinstance(error, OSError):
            full = {"Retry-After": "60"}
            raise Problem(503, "the server cannot keep the picture now", full) from error
        raise
    return kept


async def _submitted(request: Request, kept: Kept, *, keep: bool) -> Job:
    service = service_of(request)
    try:
        job: Job = await in_thread(request, service.submit, kept, keep=keep)
    except (Problem, VdsrError) as error:
        await in_thread(request, service.discard, kept)
        if isinstance(error, VdsrError):
            raise of_error(error, "") from error
        raise
    return job


@router.post(
    "/upscale",
    summary="Enlarge a picture",
    response_class=Response,
    responses={
        200: {"description": "The result.", "content": dict.fromkeys(TYPES.values(), BINARY)},
        202: {"model": JobInfo, "description": "With `Prefer: respond-async`: a job."},
        **documented(408, 413, 503),
    },
    openapi_extra=_UPSCALE,
)
async def upscale(request: Request, query: Annotated[Options, Query()]) -> Response:
    """Send a picture, as it is or in a form, and get the larger one.

    What it is is told by its content, never by its name or type.
    """
    kept = await _received(request, query)
    keep = "respond-async" in request.headers.get("prefer", "")
    job = await _submitted(request, kept, keep=keep)
    if keep:
        headers = {"Location": f"/v1/jobs/{kept.id}", "Preference-Applied": "respond-async"}
        return JSONResponse(info(request, job).model_dump(), 202, headers)
    service = service_of(request)
    async with _cancelled_without_client(request, job):
        await asyncio.wrap_future(job.finished)
    if kept.state != "done":
        await in_thread(request, service.forget, job)
        ending = "server is ending" in (kept.error or "")
        status, headers = (503, {"Retry-After": "5"}) if ending else (422, {})
        raise Problem(status, kept.error or "it was cancelled", headers)
    return result_file(job, BackgroundTask(service.forget, job))


@asynccontextmanager
async def _cancelled_without_client(request: Request, job: Job) -> AsyncIterator[None]:
    """Cancel the work if the client goes away before it is done."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        service = service_of(request)
        await in_thread(request, service.forget, job)

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        service_of(request).forget(job)
        raise
    finally:
        watching.cancel()
