"""`vdsr serve` from outside: the API by its own client, limits, kills, and what it keeps."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs 'vdsr[serve]'")
httpx = pytest.importorskip("httpx", reason="needs 'vdsr[client]'")

import serving  # noqa: E402
import vdsr  # noqa: E402
from vdsr.server.client import AsyncClient, Client, ServerError  # noqa: E402

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the server's processes need POSIX")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    options = ("--workers", "3", "--max-pixels", "4000000", "--max-body", "64MiB", "--rate", "0")
    with serving.serving(tmp_path_factory.mktemp("serve"), *options) as one:
        yield one


@pytest.fixture
def client(server: serving.Server) -> Iterator[Client]:
    with Client(server.address, timeout=60, patience=10) as one:
        yield one


@pytest.fixture(scope="module")
def picture() -> bytes:
    return serving.photograph(60, 90)


def _wanted(server: serving.Server, data: bytes, tmp_path: Path, **options: object) -> bytes:
    source, goal = tmp_path / "source.png", tmp_path / "goal.png"
    source.write_bytes(data)
    model = serving.tiny_model(server.folder.parent)
    with vdsr.Upscaler(model) as upscaler:
        upscaler.upscale(source, goal, **options)  # type: ignore[call-overload]
    return goal.read_bytes()


def test_the_answer_is_what_the_command_makes(server, client, picture, tmp_path):
    wanted = _wanted(server, picture, tmp_path, scale=2)
    assert client.upscale(picture, scale=2) == wanted
    job = client.submit(picture, scale=2, name="../../etc/photo.png")
    assert job["name"] == "photo.png"
    assert job["result_name"] == "photo_x2.png"
    ended = client.wait(job["id"])
    assert (ended["state"], ended["progress"]) == ("done", 1.0)
    assert client.result(job["id"]) == wanted
    assert ended["digest"].removeprefix("sha256:") == hashlib.sha256(wanted).hexdigest()
    client.delete(job["id"])
    with pytest.raises(ServerError) as refused:
        client.job(job["id"])
    assert refused.value.status == 404


def test_forms_and_the_async_client(server, picture):
    form = httpx.post(
        f"{server.address}/v1/upscale",
        files={"file": ("ünder.png", picture)},
        data={"width": "180", "format": "jpeg", "quality": "90"},
    )
    assert form.status_code == 200
    assert form.headers["content-type"] == "image/jpeg"
    assert "%C3%BCnder_180w.jpg" in form.headers["content-disposition"]

    async def run() -> tuple[bytes, dict[str, object]]:
        async with AsyncClient(server.address) as client:
            job = await client.submit(picture, scale=3)
            await client.wait(job["id"])
            result = await client.result(job["id"])
            assert result == await client.upscale(picture, scale=3)
            await client.delete(job["id"])
            return result, await client.models()

    result, models = asyncio.run(run())
    assert result.startswith(b"\x89PNG")
    assert [one["name"] for one in models["models"]] == ["test"]


@pytest.mark.parametrize(
    ("query", "body", "status", "said"),
    [
        ("scale=2", b"hello", 422, "in a known format"),
        ("scale=99", b"x", 422, "scale"),
        ("scale=2&width=100", None, 400, "give one of"),
        ("model=/etc/passwd", None, 422, "there is no model"),
        ("nothing=1", None, 422, "nothing"),
        ("fit=1x1", None, 400, "shrink"),
        ("format=png&quality=3", None, 400, "lossless"),
        ("scale=16&page=2", None, 422, "no page 2"),
        ("scale=2", b"", 400, "no picture was sent"),
    ],
)
def test_what_is_wrong_is_said(server, picture, query, body, status, said):
    content = picture if body is None else body
    answer = httpx.post(f"{server.address}/v1/upscale?{query}", content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert said in problem["detail"]
    assert str(server.folder) not in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_too_many_pixels_are_refused_before_they_are_decoded(server, client):
    with pytest.raises(ServerError) as refused:
        client.upscale(serving.photograph(300, 300), scale=8)
    assert refused.value.status == 422
    assert "4 Mpixel" in refused.value.detail


def _raw(server: serving.Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        one.sendall(request)
        one.settimeout(1)
        parts = []
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := one.recv(65536):
                parts.append(part)
        return b"".join(parts)


def test_bodies_that_lie_do_no_harm(server, client, picture):
    head = b"POST /v1/upscale?scale=2 HTTP/1.1\r\nHost: a\r\n"
    large = _raw(server, head + b"Content-Length: 99999999999\r\n\r\n")
    assert large.startswith(b"HTTP/1.1 413")
    form = head + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 60\r\n\r\n"
    part = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc'
    cut = _raw(server, form + part.ljust(60, b"x"))
    assert cut.startswith(b"HTTP/1.1 400")
    _raw(server, head + b"Content-Length: 5000\r\n\r\nabc")
    _raw(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/v1/jobs/../../etc/passwd/result"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()
    assert client.upscale(picture, scale=2)


def test_headers_metrics_and_health(server, client, picture):
    client.upscale(picture, scale=2)
    for path in ("/", "/v1/models", "/v1/nothing", "/static/style.css"):
        headers = httpx.get(server.address + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in headers
        assert len(headers["x-request-id"]) == 16
    text = httpx.get(f"{server.address}/metrics").text
    for name in ("vdsr_requests_total", "vdsr_pixels_total", "vdsr_waiting", "vdsr_memory_bytes"):
        assert name in text
    assert 'vdsr_picture_seconds_bucket{le="+Inf",size="small"}' in text
    document = httpx.get(f"{server.address}/v1/openapi.json").json()
    assert {"/v1/upscale", "/v1/jobs/{id}", "/v1/models"} <= set(document["paths"])


def test_a_window_of_what_was_done_is_shown(client, server, picture):
    job = client.submit(picture, scale=2)
    client.wait(job["id"])
    for kind in ("before", "after", "residual"):
        query = f"kind={kind}&left=10&top=20&width=50&height=40"
        answer = httpx.get(f"{server.address}/v1/jobs/{job['id']}/view?{query}")
        pixels = vdsr.read_image(answer.content)
        assert pixels.shape == (40, 50, 3)
        if kind == "after":
            whole = vdsr.read_image(client.result(job["id"]))
            assert (pixels == whole[20:60, 10:60]).all()
    figures = httpx.get(f"{server.address}/v1/jobs/{job['id']}/figures").json()
    assert 10 < figures["psnr"] < 80
    outside = httpx.get(
        f"{server.address}/v1/jobs/{job['id']}/view?left=999&top=0&width=9&height=9"
    )
    assert outside.status_code == 400


def test_a_killed_process_takes_nobody_with_it(server, picture, tmp_path):
    wanted = _wanted(server, picture, tmp_path, scale=2)

    def ask(i: int) -> bytes:
        with Client(server.address) as client:
            return client.upscale(picture, scale=2)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, i) for i in range(40)]
        for _ in range(3):
            time.sleep(0.1)
            for pid in server.children()[:1]:
                os.kill(pid, signal.SIGKILL)
        results = []
        for answer in answers:
            try:
                results.append(answer.result())
            except ServerError as error:  # a process was killed while it looked
                assert error.status == 422
    assert all(result == wanted for result in results)
    assert len(results) >= 34


def _metric(server: serving.Server, name: str) -> float:
    text = httpx.get(f"{server.address}/metrics").text
    return sum(float(line.rsplit(" ")[-1]) for line in text.splitlines() if line.startswith(name))


def test_a_client_that_goes_away_cancels_its_work(server):
    finished = _metric(server, 'vdsr_pictures_total{state="done"}')
    data = serving.photograph(450, 550)
    with pytest.raises(httpx.TimeoutException):
        httpx.post(
            f"{server.address}/v1/upscale?scale=4",
            content=data,
            timeout=httpx.Timeout(30, read=0.1),
        )
    for _ in range(300):
        if _metric(server, "vdsr_working ") == _metric(server, "vdsr_waiting ") == 0:
            break
        time.sleep(0.1)
    assert _metric(server, "vdsr_working ") == 0
    assert _metric(server, 'vdsr_pictures_total{state="done"}') == finished


def test_every_accepted_job_survives_a_power_cut(tmp_path, picture):
    folder = tmp_path
    options = ("--workers", "2", "--threads", "1", "--rate", "0")
    pictures = [serving.photograph(90, 120, seed=seed) for seed in range(5)]
    server = serving.Server(folder, *options)
    with Client(server.address) as client:
        jobs = [client.submit(pictures[i % 5], scale=4)["id"] for i in range(20)]
        time.sleep(0.3)
    server.kill()
    upload = server.folder / "pictures" / "half-an-upload"
    upload.mkdir()
    again = serving.Server(folder, *options)
    try:
        assert not upload.exists()
        with Client(again.address) as client:
            wanted = [client.upscale(one, scale=4) for one in pictures]
            for i, id in enumerate(jobs):
                ended = client.wait(id)
                assert (ended["state"], ended["error"]) == ("done", None)
                assert client.result(id) == wanted[i % 5]
    finally:
        assert again.stop() == 0
    with sqlite3.connect(again.folder / ".vdsr-manifest.sqlite") as db:
        assert db.execute("SELECT state, count(*) FROM pictures GROUP BY state").fetchall() == [
            ("done", 20)
        ]


def test_full_expired_and_limited(tmp_path, picture):
    options = ("--workers", "1", "--max-queue", "1", "--expiry", "1", "--rate", "1")
    with serving.serving(tmp_path, *options) as server:
        data = serving.photograph(300, 400)
        statuses = []
        for _ in range(5):
            answer = httpx.post(
                f"{server.address}/v1/upscale?scale=4",
                content=data,
                headers={"Prefer": "respond-async"},
            )
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
        assert 202 in statuses
        assert 429 in statuses
        with httpx.Client(base_url=server.address) as one:
            many = [one.get("/v1/models").status_code for _ in range(60)]
        assert {200, 429} == set(many)
        for _ in range(300):
            if not list((server.folder / "pictures").iterdir()):
                break
            time.sleep(0.1)
        assert not list((server.folder / "pictures").iterdir())


def test_tokens(tmp_path, picture):
    tokens = tmp_path / "tokens"
    tokens.write_text("# for us\nfirst-token-of-length\nsecond-token-of-length\n")
    with serving.serving(tmp_path, "--token-file", str(tokens), "--workers", "1") as server:
        assert httpx.get(f"{server.address}/").status_code == 200
        assert httpx.get(f"{server.address}/v1/healthz").status_code == 200
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "\x7f"}):
            answer = httpx.get(f"{server.address}/v1/models", headers=headers)
            assert answer.status_code == 401
        with (
            Client(server.address, token="first-token-of-length") as ours,
            Client(server.address, token="second-token-of-length") as theirs,
        ):
            job = ours.submit(picture, scale=2)
            assert ours.wait(job["id"])["state"] == "done"
            with pytest.raises(ServerError) as refused:
                theirs.result(job["id"])
            assert refused.value.status == 404
        assert "token-of-length" not in server.log.read_text()
