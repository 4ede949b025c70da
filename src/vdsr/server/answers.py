"""What the answers of the API have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from vdsr.inference.target import Target
from vdsr.jobs.naming import NamePattern
from vdsr.server.job import FullError, Job
from vdsr.server.problems import MEDIA_TYPE, Problem
from vdsr.server.schemas import JobInfo, ProblemInfo
from vdsr.server.service import Service
from vdsr.server.store import Kept

BINARY = {"schema": {"type": "string", "format": "binary"}}
# What file systems take.
_NAME_BYTES = 255
TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "gif": "image/gif",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors that an answer may be, for the API's document."""
    said = {"model": ProblemInfo, "content": {MEDIA_TYPE: {}}}
    return dict.fromkeys((400, 401, 422, 429, *statuses), said)


def service_of(request: Request) -> Service:
    """What does the work."""
    service: Service = request.app.state.service
    return service


async def in_thread(request: Request, call: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Wait for the disk, in a thread of its own; errors as problems."""
    with full_is_said():
        return await anyio.to_thread.run_sync(
            lambda: call(*args, **kwargs), limiter=request.app.state.limiter
        )


@contextmanager
def full_is_said() -> Iterator[None]:
    """Answer 429 where no more can be taken."""
    try:
        yield
    except FullError as error:
        raise Problem(429, str(error), {"Retry-After": str(error.seconds)}) from error


def job_of(request: Request, id: str) -> Job:
    """A job of the client who asks, or 404."""
    job = service_of(request).get(id, request.state.client)
    if job is None:
        raise Problem(404, "there is no such job: it has expired, was deleted, or never was")
    return job


def finished_job(request: Request, id: str) -> Job:
    """A job whose result is there; or 404, 409 or 422."""
    job = job_of(request, id)
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


def info(request: Request, job: Job) -> JobInfo:
    """What a client is told of a job."""
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


def result_file(job: Job, after: BackgroundTask | None = None) -> FileResponse:
    """The answer with a result; `after` is done when it is sent."""
    kept = job.kept
    name = _result_name(kept)
    plain = name.encode("ascii", errors="replace").decode().replace("?", "_").replace('"', "_")
    named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return FileResponse(
        kept.result,
        media_type=TYPES[kept.looked["format"]],
        headers={"Content-Disposition": named},
        background=after,
    )
