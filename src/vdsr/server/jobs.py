"""What the API answers about jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from sse_starlette import EventSourceResponse

from vdsr.errors import VdsrError
from vdsr.server.answers import (
    BINARY,
    TYPES,
    documented,
    finished_job,
    full_is_said,
    in_thread,
    info,
    job_of,
    result_file,
    service_of,
)
from vdsr.server.job import without_paths
from vdsr.server.problems import Problem, of_error
from vdsr.server.schemas import Figures, JobInfo

router = APIRouter()

_EVENT_SECONDS = 0.25


@router.get("/jobs/{id}", summary="How a job stands", responses=documented(404))
async def job(request: Request, id: str) -> JobInfo:
    """State, progress, and what is known of the result."""
    return info(request, job_of(request, id))


_GIVEN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": dict.fromkeys(TYPES.values(), BINARY)}
}


@router.get(
    "/jobs/{id}/result",
    summary="The result of a job",
    response_class=FileResponse,
    responses={**_GIVEN, **documented(404, 409)},
)
async def result(request: Request, id: str) -> FileResponse:
    """The larger picture; until the job expires or is deleted, as often as wanted."""
    return result_file(finished_job(request, id))


@router.delete("/jobs/{id}", status_code=204, summary="Cancel or delete", responses=documented(404))
async def delete(request: Request, id: str) -> Response:
    """Cancel a job that is not done, and delete picture and result."""
    await in_thread(request, service_of(request).forget, job_of(request, id))
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
        **documented(404),
    },
)
async def events(request: Request, id: str) -> EventSourceResponse:
    """Progress by server-sent events, until the job has ended."""
    job = job_of(request, id)

    async def stream() -> AsyncIterator[dict[str, str]]:
        last = ""
        finished = asyncio.wrap_future(job.finished)
        while True:
            ended = job.finished.done()
            told = info(request, job).model_dump_json()
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
        200: {"content": {"image/png": BINARY}, "description": "A PNG of 8 bits."},
        **documented(404, 409),
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
    job = finished_job(request, id)
    window = [left, top, width, height]
    given = [value for value in window if value is not None]
    if given and len(given) < len(window):
        raise Problem(422, "a window is left, top, width and height: give all, or none")
    try:
        with full_is_said():
            _, png = await service_of(request).show(job.kept, "view", kind=kind, box=given or None)
    except VdsrError as error:
        raise of_error(error, without_paths(error, job.kept)) from error
    return Response(png, media_type="image/png")


@router.get("/jobs/{id}/figures", summary="Consistency", responses=documented(404, 409))
async def figures(request: Request, id: str) -> Figures:
    """How well the result, shrunk again, agrees with the picture."""
    job = finished_job(request, id)
    try:
        with full_is_said():
            shown, _ = await service_of(request).show(job.kept, "figures")
    except VdsrError as error:
        raise of_error(error, without_paths(error, job.kept)) from error
    return Figures(**shown)
