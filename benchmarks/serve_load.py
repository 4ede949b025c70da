"""A server under load: 64 clients, mixed sizes, every answer compared.

    python benchmarks/serve_load.py [--seconds 180] [--clients 64]

Measures, in one run: a folder job over the pictures (px/s); the latency of small pictures alone;
the server under load over the same pictures (px/s, latency of small ones, memory, wrong or lost
answers); that latency and the folder job again. Each latency under load is divided by the median
alone of pictures of its size.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pyvips

from vdsr import Upscaler
from vdsr.server.process import TILE
from vdsr.server.worker import resident_bytes

SIDES = {64: 40, 128: 25, 256: 20, 512: 10, 1024: 5}
SCALE = 2
SMALL = (64, 128)
# One client in so many sends small pictures, with a pause of about so many seconds between
# them: if all did so without pause, they would wait for each other alone. The others send
# larger ones without pause.
SMALL_CLIENTS, PAUSE = 8, 4.0
COUNT = 40


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = make_pictures(folder / "in")
        wanted = references(pictures)
        before = folder_speed(folder / "in", folder / "out1")
        server = Served(folder / "served")
        try:
            alone = asyncio.run(latency_alone(server.address, pictures))
            load = asyncio.run(under_load(server, pictures, wanted, options))
            alone += asyncio.run(latency_alone(server.address, pictures))
        finally:
            peak = server.stop()
        after = folder_speed(folder / "in", folder / "out2")
    report((before, after), alone, load, peak, options.clients)


def make_pictures(folder: Path) -> dict[Path, int]:
    """Seeded pictures with the shares of `SIDES`: path and side."""
    folder.mkdir()
    random.seed(0)
    rng = np.random.default_rng(0)
    sides = [side for side, share in SIDES.items() for _ in range(max(1, COUNT * share // 100))]
    made = {}
    for i, side in enumerate(sides):
        y, x = np.mgrid[:side, :side] / 40
        a, b = rng.uniform(-3, 3, 2)
        waves = np.stack([np.sin(a * x + b * y), np.cos(b * x), np.sign(np.sin(x - a * y))], -1)
        noise = rng.normal(0, 3, waves.shape)
        levels = np.clip(128 + 70 * waves + noise, 0, 255).astype(np.uint8)
        path = folder / f"{i:03}.png"
        pyvips.Image.new_from_array(levels).write_to_file(str(path))
        made[path] = side
    return made


def references(pictures: dict[Path, int]) -> dict[Path, str]:
    """Digests of the right answers."""
    found = {}
    with tempfile.TemporaryDirectory() as name, Upscaler(tile=TILE, max_memory="2GiB") as upscaler:
        for path in pictures:
            goal = Path(name) / path.name
            upscaler.upscale(path, goal, scale=SCALE)
            found[path] = hashlib.sha256(goal.read_bytes()).hexdigest()
    return found


def folder_speed(source: Path, goal: Path) -> float:
    """Result px per second of a folder job, start-up included."""
    start = time.monotonic()
    command = [sys.executable, "-m", "vdsr", "upscale", str(source), f"{goal}/", "-s", str(SCALE)]
    subprocess.run([*command, "-q"], check=True)
    seconds = time.monotonic() - start
    pixels = 0
    for path in goal.glob("*.png"):
        image = pyvips.Image.new_from_file(str(path))
        pixels += image.width * image.height
    return pixels / seconds


class Served:
    """A server, and its memory as it goes."""

    def __init__(self, folder: Path) -> None:
        port = 18474
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "vdsr", "serve", "--port", str(port), "--rate", "0"]
        self._process = subprocess.Popen(
            [*command, "--folder", str(folder), "--max-queue", "200"], stderr=subprocess.DEVNULL
        )
        for _ in range(100):
            try:
                httpx.get(f"{self.address}/v1/readyz").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        self._peak, self._ended = 0, threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def parts(self) -> tuple[int, int]:
        """MiB held by the server, and by its processes."""
        others = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                pids = (task / "children").read_text().split()
            except OSError:
                continue
            others += sum(resident_bytes(int(pid)) for pid in pids)
        return resident_bytes(self._process.pid) >> 20, others >> 20

    def resident(self) -> int:
        """Bytes held by both."""
        return sum(self.parts()) << 20

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._peak = max(self._peak, self.resident())

    def stop(self) -> int:
        """End it; gives the most memory it held."""
        self._ended.set()
        self._watcher.join()
        self._process.terminate()
        self._process.wait()
        return self._peak


async def ask(client: httpx.AsyncClient, path: Path) -> tuple[float, str]:
    """Send a picture; gives the seconds it took, and the digest of the answer."""
    start = time.monotonic()
    answer = await client.post(f"/v1/upscale?scale={SCALE}", content=path.read_bytes())
    seconds = time.monotonic() - start
    return seconds, (
        hashlib.sha256(answer.content).hexdigest()
        if answer.status_code == 200
        else f"status {answer.status_code}"
    )


# Side of a small picture, and seconds that it took.
Latencies = list[tuple[int, float]]


async def latency_alone(address: str, pictures: dict[Path, int]) -> Latencies:
    """Of small pictures, one after the other, on an idle server."""
    small = [path for path, side in pictures.items() if side in SMALL]
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        await asyncio.gather(*(ask(client, path) for path in small[:12]))  # it is warm
        return [(pictures[path], (await ask(client, path))[0]) for path in small]


@dataclass(frozen=True)
class Load:
    """What came of it: px/s, latencies of small pictures, what was wrong, bytes held."""

    speed: float
    small: Latencies
    wrong: list[str]
    answers: int
    first: int
    last: int


async def under_load(
    server: Served, pictures: dict[Path, int], wanted: dict[Path, str], options: argparse.Namespace
) -> Load:
    """Let all clients send pictures until the time is over, and wait for the last answers."""
    end = time.monotonic() + options.seconds
    small: Latencies = []
    wrong: list[str] = []
    pixels = answers = 0
    paths = list(pictures)

    paced = [path for path in paths if pictures[path] in SMALL]
    busy = [path for path in paths if pictures[path] not in SMALL]

    async def one(number: int) -> None:
        nonlocal pixels, answers
        chosen = random.Random(number)
        small_ones = number % SMALL_CLIENTS == 0
        async with httpx.AsyncClient(base_url=server.address, timeout=1200) as client:
            while time.monotonic() < end:
                if small_ones:  # a person, or a program with other things to do
                    await asyncio.sleep(chosen.uniform(0.5, 1.5) * PAUSE)
                path = chosen.choice(paced if small_ones else busy)
                seconds, digest = await ask(client, path)
                answers += 1
                pixels += (SCALE * pictures[path]) ** 2
                if digest != wanted[path]:
                    wrong.append(f"{path.name}: {digest[:20]}")
                if pictures[path] in SMALL:
                    small.append((pictures[path], seconds))

    start = time.monotonic()
    first = server.resident()
    await asyncio.gather(*(one(number) for number in range(options.clients)))
    speed = pixels / (time.monotonic() - start)
    return Load(speed, small, wrong, answers, first, server.resident())


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def report(
    folder: tuple[float, float], alone: Latencies, load: Load, peak: int, clients: int
) -> None:
    """Print what was measured."""
    ratio = load.speed / statistics.fmean(folder)
    print(f"{clients} clients: {load.answers} answers, wrong or lost: {len(load.wrong)}")
    print(f"folder job: {folder[0] / 1e6:.3f} and {folder[1] / 1e6:.3f} Mpixel/s")
    print(f"server:     {load.speed / 1e6:.3f} Mpixel/s, {ratio:.0%} of it")
    times = []
    for side in SMALL:
        usual = statistics.median(seconds for s, seconds in alone if s == side)
        for name, values in {"alone": alone, "under load": load.small}.items():
            chosen = [seconds for s, seconds in values if s == side]
            median, high = 1000 * statistics.median(chosen), 1000 * p95(chosen)
            count = len(chosen)
            print(f"{side} px {name}: {count}, median {median:.0f} ms, p95 {high:.0f} ms")
        times += [seconds / usual for s, seconds in load.small if s == side]
    print(
        f"under load, times the median alone: {statistics.median(times):.1f}, p95 {p95(times):.1f}"
    )
    print(f"memory: {load.first >> 20}, {load.last >> 20} MiB; {peak >> 20} MiB at most")
    for line in load.wrong[:10]:
        print(line)


if __name__ == "__main__":
    main()
