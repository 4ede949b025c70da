"""A folder job killed at random moments, or shared by processes, makes the same bytes."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mixed_folder import MixedFolder, identities, mixed_folder, start, tree
from networks import small_network

PATIENCE = 600
FORMATS = (None, "png", "jpeg", "webp", "tiff", "avif", "gif")


@dataclass(frozen=True)
class Job:
    """A folder, the model, and what an unbroken run made of it."""

    folder: MixedFolder
    model: Path
    whole: Path

    def command(self, out: Path, *options: str) -> tuple[str | Path, ...]:
        return ("upscale", self.folder.path, out, "-s", "2", "-m", self.model, "-q", *options)


def job(place: Path, count: int, broken: int, side: int, *options: str) -> Job:
    model = place / "small.onnx"
    model.write_bytes(small_network().data)
    folder = mixed_folder(place / "in", count, broken, side=side)
    found = Job(folder, model, place / "whole")
    process = start(*found.command(found.whole, *options))
    _, err = process.communicate(timeout=PATIENCE)
    check_end(found, found.whole, process.returncode, err)
    assert len(tree(found.whole)) == count - broken
    return found


def errors(err: str) -> list[str]:
    assert "Traceback" not in err
    return sorted(line for line in err.splitlines() if line.startswith("vdsr: error: "))


def check_end(job: Job, out: Path, returncode: int, err: str) -> None:
    assert returncode == 1
    lines = errors(err)
    assert len(lines) == len(job.folder.broken)
    for path in job.folder.broken:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        assert sum(f"{shown}: " in line for line in lines) == 1
    assert tree(out) == tree(job.whole)


def check_together(job: Job, out: Path, *options: str) -> None:
    """Two processes at once end as one does."""
    processes = [start(*job.command(out, *options)) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    # Only now: each tidies up its own folder of unfinished files when it ends.
    for process, err in zip(processes, said, strict=True):
        check_end(job, out, process.returncode, err)


def kill_and_resume(job: Job, out: Path, kills: int, *options: str) -> int:
    """Kill it at random moments until the end; returns how often outputs were there already."""
    rng = random.Random(kills)
    seen: dict[str, tuple[int, int]] = {}
    at_work = 0
    for kill in range(kills):
        process = start(*job.command(out, *options))
        # Up to the moment when it has made some more, and then a little longer.
        goal = min(len(seen) + rng.randint(0, job.folder.pictures // kills), len(job_tree(job)))
        end = time.monotonic() + PATIENCE
        while len(identities(out)) < goal and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1 if kill % 3 else 1.0))
        at_work += process.poll() is None
        process.kill()
        process.communicate()
        now = identities(out)
        assert {name: now.get(name) for name in seen} == seen  # none was made again
        seen |= now
    process = start(*job.command(out, *options))
    _, err = process.communicate(timeout=PATIENCE)
    now = identities(out)
    assert {name: now.get(name) for name in seen} == seen
    check_end(job, out, process.returncode, err)
    return at_work


def job_tree(job: Job) -> dict[str, tuple[int, int]]:
    return identities(job.whole)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("small"), 84, 6, 16)


def test_killed_at_six_moments(small: Job, tmp_path: Path):
    assert kill_and_resume(small, tmp_path / "out", 6) >= 2


def test_two_processes_share_the_work(small: Job, tmp_path: Path):
    check_together(small, tmp_path / "out")


def test_one_of_two_processes_is_killed(small: Job, tmp_path: Path):
    out = tmp_path / "out"
    first, second = (start(*small.command(out)) for _ in range(2))
    end = time.monotonic() + PATIENCE
    while not identities(out):
        assert time.monotonic() < end
        time.sleep(0.005)
    first.kill()
    first.communicate()
    before = identities(out)
    _, err = second.communicate(timeout=PATIENCE)
    check_end(small, out, second.returncode, err)
    now = identities(out)
    assert {name: now[name] for name in before} == before


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_300_files_killed_at_30_moments(tmp_path: Path, format: str | None):
    options = () if format is None else ("--format", format)
    big = job(tmp_path, 300, 20, 24, *options)
    assert kill_and_resume(big, tmp_path / "out", 30, *options) >= 10
    check_together(big, tmp_path / "two", *options)
