"""What the API answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import ValidationError
from sse_starlette import EventSourceResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from vdsr.errors import VdsrError
from vdsr.inference.engine import Engine
from vdsr.inference.target import Target
from vdsr.jobs.naming import NamePattern
from vdsr.server.problems import MEDIA_TYPE, Problem, of_error, told
from vdsr.server.schemas import (
    Figures,
    JobInfo,
    ModelInfo,
    Models,
    Options,
    ProblemInfo,
    State,
)
from vdsr.server.service import FullError, Job, Service, without_paths
from vdsr.server.store import Kept
from vdsr.server.uploads import read_body, shown_name
from vdsr.version import __version__

_EVENT_SECONDS = 0.25
# What file systems take.
_NAME_BYTES = 255
_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "gif": "image/gif",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    said = {"model": ProblemInfo, "content": {MEDIA_TYPE: {}}}
    return dict.fromkeys((400, 401, 422, 429, *statuses), said)


router = APIRouter(prefix="/v1", responses=_problems())
watched = APIRouter()

_BINARY = {"schema": {"type": "string", "format": "binary"}}
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
        "content": {"multipart/form-data": _FORM, "application/octet-stream": _BINARY},
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


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _in_thread(request: Request, call: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Wait for a process, in a thread of its own; errors as problems."""
    try:
        return await anyio.to_thread.run_sync(
            lambda: call(*args, **kwargs), limiter=request.app.state.limiter
        )
    except FullError as error:
        raise Problem(429, str(error), {"Retry-After": str(error.seconds)}) from error


def _options(request: Request, query: Options, fields: dict[str, str]) -> Options:
    """Those of the address, and those of the form."""
    try:
        options = Options(**{**query.model_dump(exclude_unset=True), **fields})
    except ValidationError as error:
        raise Problem(422, told(error.errors())) from error
    names = [engine.model.metadata.name for engine in _service(request).engines]
    # Where there are two, the picture decides.
    known = (None, *names) if len(names) == 1 else (None,)
    if options.model not in (*known, request.app.state.settings.model):
        raise Problem(422, f"there is no model {options.model!r:.60} here: see /v1/models")
    return options


async def _received(request: Request, query: Options) -> Kept:
    """Read, look at and check what a client sends; nothing is left of what is refused."""
    service, settings = _service(request), request.app.state.settings
    client = request.state.client
    try:
        announced = int(request.headers.get("content-length", "0")[:20] or 0)
    except ValueError:
        announced = 0
    await _in_thread(request, service.check_room, min(announced, settings.max_body))
    kept: Kept = await _in_thread(request, service.new, client, "picture", {})
    try:
        name, fields = await read_body(
            request, kept.source, most=settings.max_body, seconds=settings.body_seconds
        )
        options = _options(request, query, fields)
        kept.name = shown_name(name or options.name)
        kept.options = options.for_upscaler()
        await _in_thread(request, service.look, kept)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await _in_thread(request, service.discard, kept)
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
    service = _service(request)
    try:
        job: Job = await _in_thread(request, service.submit, kept, keep=keep)
    except (Problem, VdsrError) as error:
        await _in_thread(request, service.discard, kept)
        if isinstance(error, VdsrError):
            raise of_error(error, "") from error
        raise
    return job


@router.post(
    "/upscale",
    summary="Enlarge a picture",
    response_class=Response,
    responses={
        200: {"description": "The result.", "content": dict.fromkeys(_TYPES.values(), _BINARY)},
        202: {"model": JobInfo, "description": "With `Prefer: respond-async`: a job."},
        **_problems(408, 413, 503),
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
        return JSONResponse(_info(request, job).model_dump(), 202, headers)
    service = _service(request)
    async with _cancelled_without_client(request, job):
        await asyncio.wrap_future(job.finished)
    if kept.state != "done":
        await _in_thread(request, service.forget, job)
        ending = "server is ending" in (kept.error or "")
        status, headers = (503, {"Retry-After": "5"}) if ending else (422, {})
        raise Problem(status, kept.error or "it was cancelled", headers)
    return _result(job, BackgroundTask(service.forget, job))


@asynccontextmanager
async def _cancelled_without_client(request: Request, job: Job) -> AsyncIterator[None]:
    """Cancel the work if the client goes away before it is done."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        service = _service(request)
        await _in_thread(request, service.forget, job)

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        _service(request).forget(job)
        raise
    finally:
        watching.cancel()


def _job(request: Request, id: str) -> Job:
    job = _service(request).get(id, request.state.client)
    if job is None:
        raise Problem(404, "there is no such job: it has expired, was deleted, or never was")
    return job


def _finished(request: Request, id: str) -> Job:
    job = _job(request, id)
    if job.kept.state == "failed":
        raise Problem(422, job.kept.error or "it failed")
    if job.kept.state != "done":
        raise Problem(409, "it is not done yet", {"Retry-After": "1"})
    return job


def _result_name(kept: Kept) -> str:
    options = {k: v for k, v in kept.options.items() if k in Target.__dataclass_fields__}
    if options.get("fit") is not None:
        options["fit"] = tuple(options["fit"])
    pattern = NamePattern(None, Target(**options), kept.looked["format"])
    return pattern.name(kept.name, kept.name, 0, _NAME_BYTES)


def _info(request: Request, job: Job) -> JobInfo:
    kept = job.kept
    settings = request.app.state.settings
    progress = job.done_pixels / job.all_pixels if job.all_pixels else 0.0
    return JobInfo(
        id=kept.id,
        state=kept.state,  # type: ignore[arg-type]
        name=kept.name,
        width=kept.looked["width"],
        height=kept.looked["height"],
        result_width=kept.looked["result"][0],
        result_height=kept.looked["result"][1],
        format=kept.looked["format"],
        progress=1.0 if kept.state == "done" else min(progress, 0.999),
        error=kept.error,
        result_name=_result_name(kept),
        result_bytes=kept.outcome.get("bytes"),
        digest=kept.outcome.get("digest"),
        seconds=kept.outcome.get("seconds"),
        notices=kept.outcome.get("notices", []),
        expires=None if kept.ended is None else kept.ended + settings.expiry,
    )


@router.get("/jobs/{id}", summary="How a job stands", responses=_problems(404))
async def job(request: Request, id: str) -> JobInfo:
    """State, progress, and what is known of the result."""
    return _info(request, _job(request, id))


def _result(job: Job, after: BackgroundTask | None = None) -> FileResponse:
    kept = job.kept
    name = _result_name(kept)
    plain = name.encode("ascii", errors="replace").decode().replace("?", "_").replace('"', "_")
    named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return FileResponse(
        kept.result,
        media_type=_TYPES[kept.looked["format"]],
        headers={"Content-Disposition": named},
        background=after,
    )


_GIVEN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": dict.fromkeys(_TYPES.values(), _BINARY)}
}


@router.get(
    "/jobs/{id}/result",
    summary="The result of a job",
    response_class=FileResponse,
    responses={**_GIVEN, **_problems(404, 409)},
)
async def result(request: Request, id: str) -> FileResponse:
    """The larger picture; until the job expires or is deleted, as often as wanted."""
    return _result(_finished(request, id))


@router.delete("/jobs/{id}", status_code=204, summary="Cancel or delete", responses=_problems(404))
async def delete(request: Request, id: str) -> Response:
    """Cancel a job that is not done, and delete picture and result."""
    await _in_thread(request, _service(request).forget, _job(request, id))
    return Response(status_code=204)


@router.get(
    "/jobs/{id}/events",
    summary="A job as it goes on",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-sent events: `job`, with a job as data; the last one is done"
            " or failed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **_problems(404),
    },
)
async def events(request: Request, id: str) -> EventSourceResponse:
    """Progress by server-sent events, until the job has ended."""
    job = _job(request, id)

    async def stream() -> AsyncIterator[dict[str, str]]:
        last = ""
        finished = asyncio.wrap_future(job.finished)
        while True:
            ended = job.finished.done()
            told = _info(request, job).model_dump_json()
            if told != last or ended:
                last = told
                yield {"event": "job", "data": told}
            if ended:
                return
            await asyncio.wait([asyncio.shield(finished)], timeout=_EVENT_SECONDS)

    return EventSourceResponse(stream())


@router.get(
    "/jobs/{id}/view",
    summary="A window of a result, for showing it",
    response_class=Response,
    responses={
        200: {"content": {"image/png": _BINARY}, "description": "A PNG of 8 bits."},
        **_problems(404, 409),
    },
)
async def view(
    request: Request,
    id: str,
    kind: Literal["before", "after", "residual"] = "after",
    left: Annotated[int | None, Query(ge=0, description="px of the result")] = None,
    top: Annotated[int | None, Query(ge=0)] = None,
    width: Annotated[int | None, Query(ge=1, le=2048)] = None,
    height: Annotated[int | None, Query(ge=1, le=2048)] = None,
) -> Response:
    """Bicubic interpolation alone, the result, or what was added (gray is nothing, x4).

    Without a window, all of it, shrunk where it is larger than 2048 px.
    """
    job = _finished(request, id)
    window = [left, top, width, height]
    given = [value for value in window if value is not None]
    if given and len(given) < len(window):
        raise Problem(422, "a window is left, top, width and height: give all, or none")
    try:
        _, png = await _in_thread(
            request, _service(request).show, job.kept, "view", kind=kind, box=given or None
        )
    except VdsrError as error:
        raise of_error(error, without_paths(error, job.kept)) from error
    return Response(png, media_type="image/png")


@router.get("/jobs/{id}/figures", summary="Consistency", responses=_problems(404, 409))
async def figures(request: Request, id: str) -> Figures:
    """How well the result, shrunk again, agrees with the picture."""
    job = _finished(request, id)
    try:
        shown, _ = await _in_thread(request, _service(request).show, job.kept, "figures")
    except VdsrError as error:
        raise of_error(error, without_paths(error, job.kept)) from error
    return Figures(**shown)


def _model(engine: Engine) -> ModelInfo:
    metadata = engine.model.metadata
    return ModelInfo(
        name=metadata.name,
        version=metadata.version,
        digest=engine.model.digest,
        precision=engine.choice.precision,
        backend=engine.choice.backend,
        scales=list(metadata.scales),
        license=metadata.license,
    )


@router.get("/models", summary="Models and limits")
async def models(request: Request) -> Models:
    """What the server has open. No other model can be asked for."""
    service, settings = _service(request), request.app.state.settings
    return Models(
        models=[_model(engine) for engine in service.engines],
        formats=list(_TYPES),
        max_pixels=settings.max_pixels,
        max_body=settings.max_body,
    )


@watched.get("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether it lives")
async def healthz() -> State:
    """That the server answers."""
    return State(status="ok", version=__version__)


@watched.get("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether it takes pictures", responses=_problems(503))
async def readyz(request: Request) -> State:
    """Whether there is room for another picture."""
    if not _service(request).is_ready:
        raise Problem(503, "the queue is full, or the server is ending", {"Retry-After": "5"})
    return State(status="ready", version=__version__)


@watched.get("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Requests, pixels, queue, latency and memory, in Prometheus' text format."""
    text = request.app.state.metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
