"""A Ray cluster of this machine for tests: a head, and nodes that come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from s3_server import environment, free_port

PATIENCE = 240
# Kills the process that reads a file whose name, or end, is "killer".
KILLER = """
import hashlib, os
digest = hashlib.file_digest
def file_digest(file, kind):
    end = file.read()[-6:]
    file.seek(0)
    if "killer" in os.path.basename(str(file.name)) or end == b"killer":
        os.kill(os.getpid(), 9)
    return digest(file, kind)
hashlib.file_digest = file_digest
"""


def wait(until: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something holds."""
    end = time.monotonic() + patience
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


class RayCluster:
    """The running cluster.

    Attributes:
        address: HOST:PORT of its head.
        s3_port: where its processes look for object storage.
    """

    def __init__(self, cluster: Any, s3_port: int) -> None:
        self._cluster = cluster
        self.s3_port = s3_port
        self.address: str = cluster.address

    def actors(self) -> list[int]:
        """The processes of actors that have pictures in progress, or have had."""
        return self._workers("ray::EnlargerActor")

    def replicas(self) -> list[int]:
        """The processes of replicas of a server."""
        return self._workers("ray::ServeReplica:vdsr-")

    def _workers(self, kind: str) -> list[int]:
        nodes = self._cluster.list_all_nodes()
        raylets = {node.all_processes["raylet"][0].process.pid for node in nodes}
        return [
            pid for pid, parent, name in _processes() if parent in raylets and name.startswith(kind)
        ]

    def add_node(self, cpus: int) -> Any:
        """Start one more node; returns it."""
        return self._cluster.add_node(num_cpus=cpus, **_SMALL)

    def remove_node(self, node: Any) -> None:
        """Kill a node, with all that runs there."""
        self._cluster.remove_node(node, allow_graceful=False)


_SMALL: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 128 * 1024**2}


def _processes() -> Iterator[tuple[int, int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "cmdline").read_text(errors="replace")
                parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            except OSError:
                continue
            yield int(folder.name), int(parent), name


@contextmanager
def ray_cluster(site: Path) -> Iterator[RayCluster]:
    """A head with two CPUs, whose processes run a `sitecustomize` of this folder."""
    from ray.cluster_utils import Cluster

    site.mkdir()
    (site / "sitecustomize.py").write_text(KILLER)
    port = free_port()
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, (str(site), known)))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment(port) | {"PYTHONPATH": path}).items():
            patch.setenv(name, value)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **_SMALL})
    try:
        yield RayCluster(cluster, port)
    finally:
        cluster.shutdown()
