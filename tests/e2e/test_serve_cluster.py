"""`vdsr serve --cluster` answers what one machine answers, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs 'vdsr[serve]'")
httpx = pytest.importorskip("httpx", reason="needs 'vdsr[client]'")
pytest.importorskip("ray", reason="needs 'vdsr[cluster]'")
pytest.importorskip("grpc_reflection", reason="needs 'vdsr[cluster]'")

import serving  # noqa: E402
import vdsr  # noqa: E402
from mixed_folder import start  # noqa: E402
from ray_cluster import RayCluster, wait  # noqa: E402
from vdsr.server.client import Client, ServerError  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="the server's processes need POSIX"),
]


@pytest.fixture(scope="module")
def server(
    cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[serving.Server]:
    options = ("--cluster", cluster.address, "--replicas", "1..2", "--rate", "0")
    with serving.serving(tmp_path_factory.mktemp("serve"), *options) as one:
        yield one


@pytest.fixture
def client(server: serving.Server) -> Iterator[Client]:
    with Client(server.address, timeout=120, patience=30) as one:
        yield one


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture that takes seconds."""
    return serving.photograph(1600, 1600)


@pytest.fixture(scope="module")
def large_result(large: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a server without a cluster makes of it, in the same tiles."""
    with serving.serving(tmp_path_factory.mktemp("plain")) as one, Client(one.address) as client:
        return client.upscale(large, scale=2)


def made_here(server: serving.Server, data: bytes, tmp_path: Path) -> bytes:
    source, goal = tmp_path / "source.png", tmp_path / "goal.png"
    source.write_bytes(data)
    with vdsr.Upscaler(serving.tiny_model(server.folder.parent)) as upscaler:
        upscaler.upscale(source, goal, scale=2)
    return goal.read_bytes()


def state(client: Client, job: dict[str, Any]) -> str:
    return str(client.job(job["id"])["state"])


def kill_while_at_work(cluster: RayCluster, client: Client, job: dict[str, Any]) -> None:
    """Kill the replicas as soon as one of them has done a part of a picture."""
    wait(lambda: cluster.replicas() and client.job(job["id"])["progress"] > 0)
    assert state(client, job) == "working"
    for pid in cluster.replicas():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_answer_is_that_of_one_machine(server, client, tmp_path):
    data = serving.photograph(60, 90)
    wanted = made_here(server, data, tmp_path)
    assert client.upscale(data, scale=2) == wanted
    job = client.submit(data, scale=2)
    assert client.wait(job["id"])["state"] == "done"
    assert client.result(job["id"]) == wanted


def test_an_answer_survives_the_death_of_a_replica(cluster, client, large, large_result):
    job = client.submit(large, scale=2)
    before = cluster.replicas()
    kill_while_at_work(cluster, client, job)
    assert client.wait(job["id"])["state"] == "done"
    assert client.result(job["id"]) == large_result
    assert not set(before) & set(cluster.replicas())


def test_a_picture_that_always_kills_its_process_is_refused(client):
    with pytest.raises(ServerError) as refused:
        client.upscale(serving.photograph(30, 40) + b"killer", scale=2)
    assert refused.value.status == 422
    assert "died (it was ended by SIGKILL), 2 times" in refused.value.detail
    assert client.upscale(serving.photograph(30, 40), scale=2)


def test_a_picture_that_always_kills_its_replica_is_refused(cluster, client, large):
    job = client.submit(large, scale=2)
    kill_while_at_work(cluster, client, job)
    other = client.submit(serving.photograph(30, 40), scale=2)
    wait(lambda: client.job(job["id"])["progress"] == 0)
    kill_while_at_work(cluster, client, job)
    ended = client.wait(job["id"])
    assert ended["state"] == "failed"
    assert "died (with its replica), 2 times" in ended["error"]
    assert client.wait(other["id"])["state"] == "done"


def test_replicas_grow_with_the_queue(cluster, client, large):
    wait(lambda: len(cluster.replicas()) == 1)
    jobs = [client.submit(large, scale=2) for _ in range(8)]
    wait(lambda: len(cluster.replicas()) == 2)
    assert {client.wait(job["id"])["state"] for job in jobs} == {"done"}


def test_the_end(cluster, server, client, large):
    job = client.submit(large, scale=2)
    wait(lambda: state(client, job) == "working")
    assert server.stop() == 0
    wait(lambda: not cluster.replicas())
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "Connecting to existing Ray cluster" not in log
    assert "Started a local Ray instance" not in log


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--cluster", "local", "--replicas", "4..1"), 2, "4..1"),
        (("--cluster", "local", "--replicas", "some"), 2, "MIN..MAX"),
        (("--cluster", "127.0.0.1:9"), 1, "no Ray cluster can be reached there"),
        (("--replicas", "2"), 2, "name it: --cluster"),
    ],
)
def test_what_cannot_be(tmp_path, options, code, said):
    process = start("serve", "--folder", tmp_path, *options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in err
    assert "Traceback" not in err
