"""The application: what is open while it runs, the page, and what goes around every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware

from vdsr.inference import memory
from vdsr.report.slider import slider_file, slider_markup
from vdsr.server import jobs, problems, receiving, status
from vdsr.server.answers import documented
from vdsr.server.guard import Guard, Rates
from vdsr.server.service import Service
from vdsr.server.worker import resident_bytes
from vdsr.version import __version__

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Requests that wait for the disk at once; the others wait for these.
_WAITING = 32
_STATIC = Path(str(files("vdsr.server").joinpath("static")))


def make_app(service: Service) -> FastAPI:
    """The application of a server.

    Args:
        service: does the work; closed when the application ends.
    """
    settings, metrics = service.settings, service.metrics

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service
        app.state.limiter = anyio.CapacityLimiter(_WAITING)
        metrics.watch(lambda: _gauges(service))
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="vdsr",
        version=__version__,
        description="Enlarge pictures faithfully.",
        lifespan=lifespan,
        docs_url=None,  # which loads scripts from elsewhere
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.settings, app.state.metrics = settings, metrics
    problems.install(app)
    for part in (receiving, jobs, status):
        app.include_router(part.router, prefix="/v1", responses=documented())
    app.include_router(status.watched)
    _add_page(app)
    app.openapi = lambda: _document(app, bool(settings.tokens))  # type: ignore[method-assign]
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Prefer"],
            expose_headers=["Location", "Retry-After", "X-Request-Id", "Content-Disposition"],
        )
    app.add_middleware(Guard, settings=settings, metrics=metrics, rates=Rates(settings.rate))
    return app


def _gauges(service: Service) -> dict[str, tuple[str, float]]:
    counts = service.counts()
    pids = [worker.pid for worker in service.workers]
    resident = sum(resident_bytes(pid) for pid in pids if pid is not None)
    own = memory.resident()
    return {
        "vdsr_waiting": ("Pictures that wait", counts["waiting"]),
        "vdsr_working": ("Pictures in work", counts["working"]),
        "vdsr_folder_bytes": ("What pictures and results take on disk", counts["bytes"]),
        "vdsr_memory_bytes": ("Resident memory, with that of the processes", own + resident),
        "vdsr_pixels_per_second": ("Speed of the network", service.pixels_per_second),
    }


def _add_page(app: FastAPI) -> None:
    """The page and its parts, read once: a request names one of them, never a path."""
    found: dict[str, tuple[bytes, str]] = {}
    for path in _STATIC.iterdir():
        if path.suffix in _TYPES:
            found[path.name] = (path.read_bytes(), _TYPES[path.suffix])
    for suffix in (".css", ".js"):
        found[f"slider{suffix}"] = (slider_file(suffix).encode(), _TYPES[suffix])
    markup = slider_markup("", "", names=("bicubic", "vdsr"), width=1, height=1)
    page = found["index.html"][0].replace(b"<!-- slider -->", markup.encode())

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type="text/html", headers={"Cache-Control": "no-cache"})

    @app.get("/static/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in found:
            raise problems.Problem(404, "there is no such part of the page")
        content, kind = found[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


def _document(app: FastAPI, needs_token: bool) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        if needs_token:
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer"}
            document["security"] = [{"token": []}]
        app.openapi_schema = document
    return app.openapi_schema
