"""A folder job on a cluster makes the bytes of one machine, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips

from mixed_folder import identities, mixed_folder, start, tree
from networks import small_network
from ray_cluster import PATIENCE, RayCluster, wait
from vdsr.jobs.manifest import MANIFEST


@dataclass(frozen=True)
class Job:
    """A folder with broken pictures among others, a model, and what one machine made of it."""

    folder: Path
    model: Path
    whole: Path
    errors: list[str]

    def command(self, out: Path, *options: str) -> tuple[str | Path, ...]:
        return ("upscale", self.folder, out, "-s", "2", "-m", self.model, "-q", *options)


def ended(process: object) -> tuple[int, list[str]]:
    _, err = process.communicate(timeout=PATIENCE)  # type: ignore[attr-defined]
    assert "Traceback" not in err, err
    lines = [line for line in err.splitlines() if line.startswith("vdsr: error: ")]
    return process.returncode, sorted(lines)  # type: ignore[attr-defined]


def job(place: Path, count: int, broken: int, side: int) -> Job:
    model = place / "small.onnx"
    model.write_bytes(small_network().data)
    mixed_folder(place / "in", count, broken, side=side)
    found = Job(place / "in", model, place / "whole", [])
    code, errors = ended(start(*found.command(found.whole)))
    assert (code, len(errors)) == (1, broken)
    assert len(tree(found.whole)) == count - broken
    return Job(found.folder, model, found.whole, errors)


def check_end(one: Job, out: Path, process: object) -> None:
    assert ended(process) == (1, one.errors)
    assert tree(out) == tree(one.whole)


def count(out: Path, which: str) -> int:
    """How many pictures of a manifest are of a kind."""
    with sqlite3.connect(out / MANIFEST) as db:
        (found,) = db.execute(f"SELECT count(*) FROM pictures WHERE {which}").fetchone()
    return int(found)


def wait_for(goal: int, out: Path, process: object) -> None:
    """Wait until so many outputs are there, or the command has ended."""
    wait(lambda: len(identities(out)) >= goal or process.poll() is not None)  # type: ignore[attr-defined]


def kill_an_actor(cluster: RayCluster) -> Callable[[], bool]:
    def kill() -> bool:
        for pid in cluster.actors()[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    return kill


def test_a_cluster_makes_the_same_bytes(cluster: RayCluster, tmp_path: Path):
    one = job(tmp_path, 21, 3, 12)
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    check_end(one, tmp_path / "out", start(*one.command(tmp_path / "out", *options)))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("large"), 240, 8, 48)


@pytest.mark.slow
def test_actors_killed_ten_times(cluster: RayCluster, large: Job, tmp_path: Path):
    out = tmp_path / "out"
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    process = start(*large.command(out, *options))
    seen: dict[str, tuple[int, int]] = {}
    for kill in range(10):
        wait_for(len(seen) + 6, out, process)
        seen = identities(out)
        # Those in progress at a death are done last, by themselves: a second death is theirs.
        assert (count(out, "alone"), process.poll()) == (0, None), kill
        wait(kill_an_actor(cluster))
    check_end(large, out, process)
    now = identities(out)
    assert {name: now[name] for name in seen} == seen  # none was made again


@pytest.mark.slow
def test_a_node_killed_ten_times(cluster: RayCluster, large: Job, tmp_path: Path):
    out = tmp_path / "out"
    node = cluster.add_node(3)
    # More than the head has: all actors are on the node.
    process = start(*large.command(out, "--cluster", cluster.address, "--actor-cpus", "3"))
    seen: dict[str, tuple[int, int]] = {}
    for kill in range(10):
        wait_for(len(seen) + 6, out, process)
        assert process.poll() is None, kill
        cluster.remove_node(node)
        now = identities(out)
        assert {name: now[name] for name in seen} == seen
        seen = now
        node = cluster.add_node(3)
    check_end(large, out, process)
    now = identities(out)
    assert {name: now[name] for name in seen} == seen
    # No picture is held to have ended a machine.
    assert not count(out, "crashes")
    cluster.remove_node(node)


@pytest.mark.slow
def test_the_driver_killed_and_started_again(cluster: RayCluster, large: Job, tmp_path: Path):
    out = tmp_path / "out"
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    seen: dict[str, tuple[int, int]] = {}
    for _ in range(3):
        process = start(*large.command(out, *options))
        wait_for(len(seen) + 20, out, process)
        process.kill()
        process.communicate()
        now = identities(out)
        assert {name: now.get(name) for name in seen} == seen
        seen = now
    assert len(seen) < len(tree(large.whole))
    check_end(large, out, start(*large.command(out, *options)))
    now = identities(out)
    assert {name: now[name] for name in seen} == seen


@pytest.mark.slow
def test_two_drivers_share_the_work(cluster: RayCluster, large: Job, tmp_path: Path):
    out = tmp_path / "out"
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    here = start(*large.command(out, *options))
    wait_for(1, out, here)
    there = start(*large.command(out))
    check_end(large, out, here)
    check_end(large, out, there)


@pytest.mark.slow
def test_a_picture_that_kills_its_actor_is_quarantined(
    cluster: RayCluster, large: Job, tmp_path: Path
):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "killer", "x", "y", "z"):
        pixels = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(folder / f"{name}.png"))
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    command = ("upscale", folder, out, "-s", "2", "-m", large.model, *options)
    code, (line,) = ended(start(*command))
    assert code == 1
    assert "killer.png: in quarantine" in line
    assert "--retry-failed" in line
    assert len(tree(out)) == 7


@pytest.mark.slow
def test_actors_help_with_a_giant(cluster: RayCluster, large: Job, tmp_path: Path):
    """One that has nothing to do makes strips further down; the death of either loses none."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    noise = pyvips.Image.gaussnoise(1600, 1500).cast("uchar").copy(interpretation="b-w")
    noise.tiffsave(str(folder / "a.tif"))
    command = ("upscale", folder, "-s", "4", "-m", large.model, "-q", "--resume")
    command += ("--max-memory", "512MiB", "--tile", "96")
    assert ended(start(*command, tmp_path / "whole")) == (0, [])
    options = ("--cluster", cluster.address, "--actor-cpus", "1")
    process = start(*command, out, *options)
    for _ in range(2):
        wait(lambda: len(cluster.actors()) == 2)
        known = _ahead(out)
        wait(lambda known=known: _ahead(out) - known or process.poll() is not None)
        assert process.poll() is None
        kill_an_actor(cluster)()
    assert ended(process) == (0, [])
    assert tree(out) == tree(tmp_path / "whole")


def _ahead(out: Path) -> set[str]:
    """Strips that are made and are not the next one, while one actor alone writes the picture."""
    found: set[str] = set()
    for folder in out.glob(".vdsr-*.strips"):
        made = {path.name[:6] for path in folder.glob("*.made")}
        kept = {path.name[:6] for path in folder.glob("*.raw")}
        found |= {number for number in made if int(number) > len(kept)}
    return found


@pytest.mark.slow
def test_a_cluster_of_this_machine(large: Job, tmp_path: Path):
    pytest.importorskip("ray", reason="needs Ray, of the extra 'cluster'")
    out = tmp_path / "out"
    check_end(large, out, start(*large.command(out, "--cluster", "local")))


def test_no_cluster_at_an_address(tmp_path: Path):
    pytest.importorskip("ray", reason="needs Ray, of the extra 'cluster'")
    (tmp_path / "in").mkdir()
    command = ("upscale", tmp_path / "in", tmp_path / "out", "--cluster", "127.0.0.1:9")
    code, (line,) = ended(start(*command))
    assert code == 1
    assert "127.0.0.1:9: no Ray cluster can be reached there" in line
    assert not (tmp_path / "out").exists()
