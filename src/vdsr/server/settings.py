"""What a server is started with."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from vdsr.errors import UsageError
from vdsr.inference import cpu
from vdsr.inference.selection import AUTO
from vdsr.inputs import read_file

MIB = 1024**2
# Results up to so many px take the fast lane: see `vdsr.server.network`.
SMALL_PIXELS = 256 * 256
_TOKEN_FILE = MIB
_LEAST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server is started with.

    Attributes:
        folder: where pictures and results lie until they expire; the server's alone.
        host, port: where it listens; port 0 is any free one.
        model, backend, precision, threads: see `Upscaler`. Clients cannot name another model.
        workers: processes that decode and encode, each with one picture in work; None is 3
            for each core. A third of them, or one more, is for small pictures; one more looks
            at what is sent.
        max_queue: pictures that may wait.
        max_pixels: largest picture and largest result, px.
        max_body: largest upload, bytes.
        max_disk: bytes that the folder may hold.
        max_memory: bytes that one picture may use in its process.
        expiry: seconds that a result is kept.
        picture_seconds: longest time that one picture may take.
        quiet_seconds: longest time that a process may go without a sign of life.
        body_seconds: longest time that an upload may take.
        grace_seconds: time for what is running when the server is asked to end.
        rate: requests a second that one client may make, ten times as many in a burst; None
            for no limit.
        tokens: SHA-256 digests of those that are let in; empty for everybody.
        origins: of pages elsewhere that may call the API (CORS).

    Raises:
        UsageError: for what is out of range.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    model: str = AUTO
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    workers: int | None = None
    max_queue: int = 64
    max_pixels: int = 150_000_000
    max_body: int = 256 * MIB
    max_disk: int = 10 * 1024 * MIB
    max_memory: int = 1024 * MIB
    expiry: float = 3600.0
    picture_seconds: float = 3600.0
    quiet_seconds: float = 60.0
    body_seconds: float = 300.0
    grace_seconds: float = 30.0
    rate: float | None = 20.0
    tokens: tuple[bytes, ...] = ()
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = {
            "workers": (self.workers, 1),
            "max_queue": (self.max_queue, 1),
            "max_pixels": (self.max_pixels, 1),
            "expiry": (self.expiry, 1),
            "rate": (self.rate, 0.001),
        }
        for name, (value, low) in least.items():
            if value is not None and value < low:
                raise UsageError(f"{name} is at least {low}, not {value:g}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"a port is 0..65535, not {self.port}")

    @property
    def processes(self) -> tuple[int, int]:
        """Processes for any picture, and for small ones alone."""
        count = self.workers or 3 * cpu.cores()
        small = max(1, count // 3)
        return max(1, count - small), small

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """Tokens of a file, one a line; empty lines and lines that begin with `#` do not count.

    Returns:
        Their SHA-256 digests.

    Raises:
        UsageError: if there is none, or one that could be guessed.
        InputError: if the file cannot be read; the message does not name it.
    """
    lines = read_file(path, _TOKEN_FILE).decode("utf-8", errors="replace").splitlines()
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not tokens:
        raise UsageError(f"{path}: it holds no token: write one on a line of its own")
    if any(len(token) < _LEAST_TOKEN for token in tokens):
        raise UsageError(f"{path}: a token has at least {_LEAST_TOKEN} characters")
    return tuple(hashlib.sha256(token.encode()).digest() for token in tokens)
