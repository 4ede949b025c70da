"""A server in a process of its own, on the loopback address, with a tiny network."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyvips

import networks


def tiny_model(folder: Path) -> Path:
    """A network of eight channels, as a file."""
    path = folder / "tiny.onnx"
    if not path.exists():
        path.write_bytes(networks.small_network().data)
    return path


def photograph(height: int, width: int, *, seed: int = 0, suffix: str = ".png") -> bytes:
    """A smooth colored picture with edges and some noise, as a file."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.02, 0.2, 3)
    planes = [np.sin(a * x + b * y), np.sign(np.sin(b * x - c * y)), np.cos(c * x)]
    picture = 128 + 60 * np.stack(planes, -1) + rng.normal(0, 4, (height, width, 3))
    image = pyvips.Image.new_from_array(np.clip(picture, 0, 255).astype(np.uint8))
    return bytes(image.write_to_buffer(suffix))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """`vdsr serve`, started and waited for."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.folder = folder / "served"
        self.log = folder / "server.log"
        command = [
            *(sys.executable, "-m", "vdsr", "serve", "--port", str(self.port)),
            *("--folder", str(self.folder), "--model", str(tiny_model(folder)), *options),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/readyz").status_code == 200:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the server did not come up: {self.log.read_text()}")

    def children(self) -> list[int]:
        """Processes that decode and encode."""
        path = Path(f"/proc/{self.process.pid}/task")
        found = []
        for task in path.iterdir():
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def kill(self) -> None:
        """End it as a power cut would, with its processes."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.stop()
