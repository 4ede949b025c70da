"""Hostile requests against a server: no 5xx but a deliberate 503, no growth, it still answers.

    python benchmarks/serve_hostile.py [--requests 5000]

Truncated forms, wrong lengths, slow bodies, bombs, huge headers, tricks with paths, random
bytes, and the spoiled pictures of `fuzz_inputs`. The server runs with its limits as they are,
but for the rate, which would answer most of it.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import sys
import tempfile
import time
import zlib
from pathlib import Path

import fuzz_inputs
from serve_load import Served

AT_ONCE = 24
PARTS = 10
SLOW_SHARE = 0.01
HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"
PATHS = (
    "/../../etc/passwd",
    "/static/..%2f..%2fapp.py",
    "/static/%2e%2e/%2e%2e/app.py",
    "/v1/jobs/..%2f..%2f.vdsr-manifest.sqlite/result",
    "/v1/jobs/%00/result",
    "/v1/jobs/" + "a" * 5000,
    "//v1//upscale",
    "/v1/jobs/' OR 1=1 --",
    "/v1/upscale?scale=nan",
    "/v1/upscale?scale=1e308&fit=999999999x1",
)


def bomb(rng: random.Random) -> bytes:
    """A PNG that says, or is, far more than its bytes."""
    side = rng.choice((12_000, 30_000, 65_000, 2**31 - 1))
    head = side.to_bytes(4, "big") * 2 + bytes([8, rng.choice((0, 2, 6)), 0, 0, 0])
    data = zlib.compress(bytes(5_000_000), 9)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def spoiled(rng: random.Random) -> bytes:
    """A picture with something wrong."""
    return fuzz_inputs.spoiled("pictures", rng.randrange(100_000))


def posted(body: bytes, length: int | None = None, kind: str = "", query: str = "scale=2") -> bytes:
    """A request."""
    said = len(body) if length is None else length
    head = f"POST /v1/upscale?{query} HTTP/1.1\r\nContent-Length: {said}\r\n"
    if kind:
        head += f"Content-Type: {kind}\r\n"
    return head.encode() + HOST + b"\r\n" + body


def form(rng: random.Random, content: bytes) -> bytes:
    """A form with something wrong."""
    names = ("../../x.png", "a\0b", "'" * 300, "CON", 'x"; name="y', "ü" * 200)
    name = rng.choice(names)
    boundary = rng.choice(("b", "-" * 70, "x y", ""))
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = part.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    body = body[: rng.choice((len(body), len(body) - 3, len(body) // 2, 10))]
    if rng.random() < 0.1:
        body = b"--b\r\nX: " + b"y" * 20_000 + body
    if rng.random() < 0.1:
        body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nv\r\n' * 500 + body
    return posted(body, kind=f"multipart/form-data; boundary={boundary}")


def request(rng: random.Random) -> bytes:
    """One hostile request."""
    content = rng.choice((spoiled, spoiled, spoiled, bomb, lambda r: r.randbytes(3000)))(rng)
    choice = rng.randrange(10)
    if choice < 4:
        scale = rng.choice(("2", "3", "16", "0", "-1", "x"))
        return posted(content, query=f"scale={scale}&format={rng.choice(('', 'png', 'tiff'))}")
    if choice < 6:
        return form(rng, content)
    if choice == 6:
        return posted(content[:2000], length=rng.choice((0, 1, 10**15, 5000)))
    if choice == 7:
        method = rng.choice(("GET", "DELETE", "PUT", "BREW", "HEAD"))
        return f"{method} {rng.choice(PATHS)} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    if choice == 8:
        many = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 500) for i in range(rng.choice((10, 500))))
        return b"GET /v1/models HTTP/1.1\r\n" + HOST + many + b"\r\n"
    return rng.randbytes(rng.randrange(1, 4000))


async def send(port: int, data: bytes, *, slowly: bool) -> int:
    """Send a request; gives the status of the answer, 0 for none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if slowly:
                for i in range(0, min(len(data), 20)):
                    writer.write(data[i : i + 1])
                    await asyncio.sleep(0.2)
            writer.write(data)
            await writer.drain()
            line = await asyncio.wait_for(reader.readline(), 45)
            while await asyncio.wait_for(reader.read(65536), 45):
                pass
        finally:
            writer.close()
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0


async def attack(server: Served, seeds: range) -> collections.Counter[int]:
    """Send the requests of these seeds; gives how often each status came."""
    port, seen = int(server.address.rpartition(":")[2]), collections.Counter[int]()
    numbers = iter(seeds)

    async def one() -> None:
        for number in numbers:
            rng = random.Random(number)
            seen[await send(port, request(rng), slowly=rng.random() < SLOW_SHARE)] += 1

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return seen


def main() -> None:
    """Attack, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    count = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as name:
        server = Served(Path(name))
        try:
            total: collections.Counter[int] = collections.Counter()
            memory, start = [], time.monotonic()
            for part in range(PARTS):
                total += asyncio.run(
                    attack(server, range(part * count // PARTS, (part + 1) * count // PARTS))
                )
                memory.append(server.parts())
                print(f"{sum(total.values())}: {memory[-1]} MiB", flush=True)
            seconds = time.monotonic() - start
            alive = asyncio.run(
                send(
                    int(server.address[-5:]),
                    b"GET /v1/readyz HTTP/1.1\r\n" + HOST + b"\r\n",
                    slowly=False,
                )
            )
            left = len(list((Path(name) / "pictures").iterdir()))
        finally:
            peak = server.stop()
    print(f"{count} requests in {seconds:.0f} s: {dict(sorted(total.items()))} (0: no answer)")
    print(f"{peak >> 20} MiB at most; left on disk: {left}")
    print(f"it answers: {alive}")
    bad = {status for status in total if status >= 500 and status != 503}
    if bad or alive != 200:
        sys.exit(f"statuses that must not be: {bad}, and it answers {alive}")


if __name__ == "__main__":
    main()
