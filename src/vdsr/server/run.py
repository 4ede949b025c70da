"""The server as a process: uvicorn, and connections that have to say something."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vdsr.server.app import make_app
from vdsr.server.crew import Elsewhere
from vdsr.server.service import Service
from vdsr.server.settings import ServerSettings

# Seconds until the headers of a first request must be there.
_HEADER_SECONDS = 15.0
_MOST_CONNECTIONS = 1000


class _Impatient(H11Protocol):
    """Closes connections that send no request, or the headers of one too slowly."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(_HEADER_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Does not raise the signal again that asked it to end, once it has ended in order.

    OpenVINO leaves the main thread a stack for signals that it has given back: the next signal
    would be a crash.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_of(settings: ServerSettings, elsewhere: Elsewhere | None = None) -> uvicorn.Server:
    """A server, with its model open, ready to run.

    Raises:
        VdsrError: if the model cannot be opened, or the folder not be had.
    """
    return _Server(
        uvicorn.Config(
            make_app(Service(settings, elsewhere)),
            host=settings.host,
            port=settings.port,
            http=_Impatient,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=round(settings.grace_seconds) + 5,
            h11_max_incomplete_event_size=32 * 1024,
        )
    )


class _Lines(logging.Formatter):
    """A line of JSON for each record; those of requests are JSON already."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        content: dict[str, Any] = {"time": self.formatTime(record), "level": record.levelname}
        if record.name == "vdsr.server.access":
            content |= json.loads(text)
        else:
            content |= {"logger": record.name, "message": text}
            if record.exc_info:
                content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content)


def start_logging() -> None:
    """Log to standard error, a line of JSON for each event; no picture, no token, no file name."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def serve(settings: ServerSettings, elsewhere: Elsewhere | None = None) -> bool:
    """Run until the process is asked to end; returns whether the server came up.

    Args:
        settings: see there.
        elsewhere: does the pictures; None for this machine.

    Raises:
        VdsrError: see `server_of`.
    """
    start_logging()
    server = server_of(settings, elsewhere)
    server.run()
    return bool(server.started)
