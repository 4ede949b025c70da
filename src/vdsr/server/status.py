"""What the API answers about the server itself."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vdsr.inference.engine import Engine
from vdsr.server.answers import (
    TYPES,
    documented,
    service_of,
)
from vdsr.server.problems import Problem
from vdsr.server.schemas import ModelInfo, Models, State
from vdsr.version import __version__

router = APIRouter()
watched = APIRouter()


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
    service, settings = service_of(request), request.app.state.settings
    return Models(
        models=[_model(engine) for engine in service.engines],
        formats=list(TYPES),
        max_pixels=settings.max_pixels,
        max_body=settings.max_body,
    )


@watched.get("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether it lives")
async def healthz() -> State:
    """That the server answers."""
    return State(status="ok", version=__version__)


@watched.get("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether it takes pictures", responses=documented(503))
async def readyz(request: Request) -> State:
    """Whether there is room for another picture."""
    if not service_of(request).is_ready:
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
