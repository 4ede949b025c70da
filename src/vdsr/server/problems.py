"""Errors as answers: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vdsr.errors import InputError, OutOfMemory, OutputError, UsageError, VdsrError

_log = logging.getLogger("vdsr.server")
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that says what was wrong and what to do.

    Args:
        status: of HTTP.
        detail: one line for people.
        headers: more of the answer's.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def answer(
    request_id: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A problem as a response."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def of_error(error: VdsrError, text: str) -> Problem:
    """An error of this package as a problem; `text` is what a client may read of it."""
    if isinstance(error, UsageError):
        return Problem(400, text)
    if isinstance(error, InputError):
        return Problem(422, text)
    if isinstance(error, OutOfMemory):
        return Problem(422, text)
    if isinstance(error, OutputError):
        return Problem(503, "the server has no room for it now", {"Retry-After": "60"})
    return Problem(422, text)


def install(app: FastAPI) -> None:
    """Have an application answer all errors so."""

    def respond(
        request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> JSONResponse:
        return answer(getattr(request.state, "id", ""), status, detail, headers)

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return respond(request, error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return respond(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(request, 422, told(error.errors()))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected", exc_info=error)
        return respond(request, 500, "an unexpected error: see the server's log")


def told(errors: Any) -> str:  # noqa: ANN401 - pydantic's list
    """Errors of pydantic in a line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in errors
    )
