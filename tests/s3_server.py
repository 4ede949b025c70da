"""A server of object storage on loopback, with faults if they are asked for.

    python s3_server.py PORT [SEED]

With a seed, one request in five is answered by 503, late, or torn: by a part of the answer,
or, when all was done, by none. It is moto's server, of the extra `dev`.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 60
BUCKET = "pictures"


def _faulty(app: Callable[..., Iterable[bytes]], seed: int) -> Callable[..., Iterable[bytes]]:
    rng = random.Random(seed)

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        fault = rng.choice(("503", "slow", "torn", "gone")) if rng.random() < 0.2 else ""
        if fault == "503":
            start("503 Slow Down", [("Content-Type", "text/xml"), ("Content-Length", "0")])
            return [b""]
        if fault == "slow":
            time.sleep(0.5)
        answer = app(environ, start)
        if fault not in ("torn", "gone"):
            return answer
        body = b"".join(answer)

        def torn() -> Iterator[bytes]:
            if fault == "torn":
                yield body[: len(body) // 2]
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

        return torn()

    return serve


def main() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    app: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
    if len(sys.argv) > 2:
        app = _faulty(app, int(sys.argv[2]))
    make_server("127.0.0.1", int(sys.argv[1]), app, True, request_handler=Quiet).serve_forever()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(port: int) -> dict[str, str]:
    """What clients of the server on this port are told."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def s3_server(port: int, seed: int | None = None) -> Iterator[None]:
    """The server, in a process of its own; its storage is empty but for a bucket."""
    options = [] if seed is None else [str(seed)]
    process = subprocess.Popen([sys.executable, os.fspath(Path(__file__)), str(port), *options])
    try:
        _make_bucket(port)
        yield
    finally:
        process.kill()
        process.wait()


def _make_bucket(port: int) -> None:
    import http.client

    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("PUT", f"/{BUCKET}")
            status = connection.getresponse().status
            connection.close()
            if status in (200, 409):
                return
        assert time.monotonic() < end
        time.sleep(0.1)


if __name__ == "__main__":
    main()
