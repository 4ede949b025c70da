"""A job from storage to storage, with drivers that die and a server that fails."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import pyvips

from mixed_folder import mixed_folder, start, tree
from networks import small_network
from ray_cluster import PATIENCE, RayCluster, wait
from s3_server import BUCKET, environment, s3_server
from vdsr.cluster import stored_job, stored_listing
from vdsr.cluster.hands import Actors
from vdsr.cluster.storage import Object, Storage
from vdsr.cluster.stored import JOB, SOURCE, TAG
from vdsr.cluster.stored_listing import Listing, Outputs
from vdsr.cluster.stored_state import DONE, FAILED, MINE, TAKEN, Claim, StoredState
from vdsr.errors import UsageError
from vdsr.jobs.manifest import MANIFEST
from vdsr.jobs.runner import RunOptions
from vdsr.jobs.settings import JobSettings


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `in`, a model, and the folder `whole` that one machine made of it."""
    place = tmp_path_factory.mktemp("stored")
    (place / "small.onnx").write_bytes(small_network().data)
    mixed_folder(place / "in", 84, 5, side=24)
    for path in (place / "in").rglob("*"):
        try:
            str(path).encode()
        except UnicodeEncodeError:  # names in storage are UTF-8
            path.unlink()
    command = ("upscale", place / "in", place / "whole", "-s", "2", "-m", place / "small.onnx")
    assert ended(start(*command))[0] == 1
    return place


@pytest.fixture
def storage(cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("obstore", reason="needs obstore, of the extra 'cluster'")
    pytest.importorskip("moto", reason="needs moto, of the extra 'dev'")
    for name, value in environment(cluster.s3_port).items():
        monkeypatch.setenv(name, value)
    with s3_server(cluster.s3_port, seed=7):
        yield


def upload(folder: Path, name: str) -> None:
    goal = Storage(f"s3://{BUCKET}/{name}")
    for path in folder.rglob("*"):
        if path.is_file():
            goal.upload(path.relative_to(folder).as_posix(), path, {})


def outputs(name: str) -> dict[str, datetime]:
    """Outputs, and when they were written."""
    found = Storage(f"s3://{BUCKET}/{name}").list()
    return {one.name: one.changed for one in found if not one.name.startswith(".vdsr/")}


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    _, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode, [
        line for line in err.splitlines() if line.startswith("vdsr: error: ")
    ]


def plan(*place: str | Path) -> dict[str, str]:
    """What a job would do: pictures, and their outputs."""
    process = start("upscale", *place, "--dry-run", "--json")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["left"] == len(found["pictures"])
    return {pair["input"]: pair["output"] for pair in found["pictures"]}


@pytest.mark.slow
def test_two_drivers_one_of_them_killed(
    cluster: RayCluster, storage: None, job: Path, tmp_path: Path
):
    upload(job / "in", "in")
    place = (f"s3://{BUCKET}/in", f"s3://{BUCKET}/out", "-s", "2", "-m", job / "small.onnx")
    command = ("upscale", *place, "--cluster", cluster.address, "--actor-cpus", "1", "-q")
    planned = plan(*place)
    assert set(tree(job / "whole")) <= {name.partition("/out/")[2] for name in planned.values()}
    assert not list(Storage(f"s3://{BUCKET}/out").list())  # nothing is written
    first, second = start(*command), start(*command)
    wait(lambda: len(outputs("out")) >= 10)
    first.kill()
    first.communicate()
    before = outputs("out")
    code, errors = ended(second)
    whole = tree(job / "whole")
    broken = sum(path.is_file() for path in (job / "in").rglob("*")) - len(whole)
    after = outputs("out")
    assert set(after) == set(whole)
    assert code == 1
    assert 0 < len(errors) < broken  # of these some are no pictures at all
    # One that was in its place, and not yet called done, is not made again either.
    assert {name: after[name] for name in before} == before
    goal = Storage(f"s3://{BUCKET}/out")
    for name in after:
        assert goal.read(name) == (job / "whole" / name).read_bytes()
    code, again = ended(start(*command))
    assert (code, again) == (1, errors)
    assert outputs("out") == after
    # What the killed one could not give back any more is nobody's.
    left = [f".vdsr/leases/{one.name}" for one in goal.list(".vdsr/leases")]
    owners = {json.loads(goal.read(name) or b"")["worker"] for name in left}
    assert len(owners) <= 1
    assert {name.split("/", 3)[3] for name in left} <= {one.name for one in goal.list(".vdsr/done")}
    # What was lost is made again; what somebody has put in the place of an output stays.
    lost, foreign, *_ = after
    goal.delete(lost)
    time.sleep(1.1)  # times of objects are whole seconds
    goal.write(foreign, b"of somebody")
    assert {goal.at(lost), goal.at(foreign)} <= set(plan(*place).values())
    assert len(plan(*place)) == 2 + len(errors)
    code, more = ended(start(*command))
    assert (code, len(more)) == (1, len(errors) + 1)
    assert any(foreign in line and "exists already" in line for line in more)
    assert goal.read(lost) == (job / "whole" / lost).read_bytes()
    assert goal.read(foreign) == b"of somebody"
    code, more = ended(start(*command, "--overwrite"))
    assert (code, more) == (1, errors)
    assert goal.read(foreign) == (job / "whole" / foreign).read_bytes()
    now = outputs("out")
    assert {name for name in now if now[name] != after[name]} == {lost, foreign}


@pytest.mark.slow
def test_a_picture_that_kills_its_actor(cluster: RayCluster, storage: None, job: Path):
    folder = job / "killing"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "x"):
        pixels = rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)
        pyvips.Image.new_from_array(pixels).write_to_file(str(folder / f"{name}.png"))
    (folder / "killer.png").write_bytes((folder / "a.png").read_bytes() + b"killer")
    upload(folder, "killing")
    place = (f"s3://{BUCKET}/killing", f"s3://{BUCKET}/left", "-m", job / "small.onnx")
    command = ("upscale", *place, "--cluster", cluster.address, "--actor-cpus", "1", "-q")
    code, (line,) = ended(start("status", f"s3://{BUCKET}/left"))
    assert (code, "there is no job" in line) == (1, True)
    for _ in range(2):  # the second time by the record alone
        code, (line,) = ended(start(*command))
        assert (code, "killer.png: in quarantine" in line) == (1, True)
        assert set(outputs("left")) == {f"{name}_x4.png" for name in ("a", "b", "c", "x")}

    process = start("status", f"s3://{BUCKET}/left", "--json")
    found = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == 0
    assert (found["done"], found["failed"], found["quarantined"], found["in_work"]) == (4, 1, 1, 0)
    assert (found["input"], found["workers"]) == (place[0], [])
    (failure,) = found["failures"]
    assert failure["input"] == f"{place[0]}/killer.png"
    # It is tried again where that is asked for, and kills again.
    failed = json.loads(Storage(f"s3://{BUCKET}/left").read(".vdsr/failed/killer.png") or b"")
    code, (line,) = ended(start(*command, "--retry-failed"))
    assert (code, "killer.png: in quarantine" in line) == (1, True)
    again = json.loads(Storage(f"s3://{BUCKET}/left").read(".vdsr/failed/killer.png") or b"")
    assert again["time"] > failed["time"]


@pytest.mark.slow
def test_between_a_folder_and_storage(
    cluster: RayCluster, storage: None, job: Path, tmp_path: Path
):
    """There and back; a driver is killed in the middle of each."""
    options = ("-m", job / "small.onnx", "--cluster", cluster.address, "--actor-cpus", "1", "-q")
    whole = tree(job / "whole")
    there = ("upscale", job / "in", f"s3://{BUCKET}/there", "-s", "2", *options)
    process = start(*there)
    wait(lambda: len(outputs("there")) >= 10)
    process.kill()
    process.communicate()
    before = outputs("there")
    code, errors = ended(start(*there))
    after = outputs("there")
    assert (code, set(after)) == (1, set(whole))
    assert {name: after[name] for name in before} == before
    goal = Storage(f"s3://{BUCKET}/there")
    assert all(goal.read(name) == (job / "whole" / name).read_bytes() for name in after)

    upload(job / "in", "back")
    out = tmp_path / "out"
    back = ("upscale", f"s3://{BUCKET}/back", f"file://{out}", "-s", "2", *options)
    process = start(*back)
    wait(lambda: out.is_dir() and len(_made(out)) >= 10)
    process.kill()
    process.communicate()
    before_back = _made(out)
    code, more = ended(start(*back))
    assert (code, len(more)) == (1, len(errors))
    now = _made(out)
    assert {name: now[name] for name in before_back} == before_back
    assert {name: (out / name).read_bytes() for name in now} == {
        name: (job / "whole" / name).read_bytes() for name in whole
    }
    assert ended(start(*back)) == (1, more)
    assert _made(out) == now
    assert plan(*back[1:3], "-s", "2", "-m", job / "small.onnx").keys() == {
        line.removeprefix("vdsr: error: ").partition(": ")[0] for line in more
    }
    process = start("status", out, "--json")
    found = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert (found["done"], found["failed"]) == (len(now), len(more))


def _made(out: Path) -> dict[str, int]:
    """Outputs in a folder, and which files they are."""
    return {
        path.relative_to(out).as_posix(): path.stat().st_ino
        for path in out.rglob("*")
        if path.is_file()
        and not path.relative_to(out).as_posix().startswith(".vdsr")
        and not path.name.startswith(".vdsr-")
    }


@pytest.mark.slow
def test_actors_help_with_a_giant(cluster: RayCluster, storage: None, job: Path, tmp_path: Path):
    """One that has nothing to do makes strips further down; the death of either loses none."""
    folder = tmp_path / "giants"
    folder.mkdir()
    noise = pyvips.Image.gaussnoise(1600, 1500).cast("uchar").copy(interpretation="b-w")
    noise.tiffsave(str(folder / "a.tif"))
    upload(folder, "giants")
    goal = Storage(f"s3://{BUCKET}/larger")
    options = ("-s", "4", "-m", job / "small.onnx", "--resume", "--max-memory", "512MiB", "-q")
    assert ended(start("upscale", folder, tmp_path / "whole", *options, "--tile", "96")) == (0, [])
    place = (f"s3://{BUCKET}/giants", goal.address, "--cluster", cluster.address)
    process = start("upscale", *place, *options, "--tile", "96", "--actor-cpus", "1")

    def made() -> int:
        return sum(1 for _ in goal.list(".vdsr/strips/a.tif/made"))

    wait(lambda: made() or process.poll() is not None)
    assert process.poll() is None
    os.kill(cluster.actors()[0], signal.SIGKILL)
    assert ended(process) == (0, [])
    assert goal.read("a_x4.tif") == (tmp_path / "whole/a_x4.tif").read_bytes()
    assert not list(goal.list(".vdsr/strips"))


@pytest.mark.slow
def test_a_job_starts_over(cluster: RayCluster, storage: None, job: Path, tmp_path: Path):
    folder, goal = job / "few", Storage(f"s3://{BUCKET}/over")
    folder.mkdir()
    for i, path in enumerate(sorted((job / "whole").rglob("*.png"))[:3]):
        (folder / f"{i}.png").write_bytes(path.read_bytes())
    upload(folder, "few")
    other = tmp_path / "other.onnx"
    other.write_bytes(small_network(seed=5).data)
    place = (f"s3://{BUCKET}/few", goal.address, "-s", "2")
    options = ("--cluster", cluster.address, "--actor-cpus", "1", "-q")
    assert ended(start("upscale", *place, "-m", job / "small.onnx", *options)) == (0, [])
    before = {name: goal.read(name) for name in outputs("over")}
    again = ("upscale", *place, "-m", other, *options)
    code, (line,) = ended(start(*again))
    assert (code, "made with other settings: model was" in line) == (2, True)
    # Another driver is at work, or seems to be.
    state = StoredState(goal, overwrite=False, retry=False)
    state.begin(JobSettings(scale=2, model=str(job / "small.onnx")), place[0])
    code, (line,) = ended(start(*again, "--redo"))
    assert (code, "another driver is at work there" in line) == (2, True)
    # One that is killed while it forgets what is done: the old job goes on with what is there.
    goal.delete_all(".vdsr/done")
    assert state.claim(Object("0.png", 1, datetime.now(), _tag("few", "0.png")), "0_x2.png") == (
        Claim(DONE)
    )
    state.leave()
    assert len(plan(*place, "--redo")) == 3
    assert ended(start(*again, "--redo")) == (0, [])
    after = {name: goal.read(name) for name in outputs("over")}
    assert set(after) == set(before)
    assert all(after[name] != before[name] for name in before)
    times = outputs("over")
    assert ended(start(*again)) == (0, [])
    assert outputs("over") == times  # nothing was left to be done


def _tag(name: str, of: str) -> str:
    return next(one.tag for one in Storage(f"s3://{BUCKET}/{name}").list() if one.name == of)


@pytest.mark.slow
def test_watching_takes_what_comes(cluster: RayCluster, storage: None, job: Path):
    source, goal = Storage(f"s3://{BUCKET}/watched"), Storage(f"s3://{BUCKET}/seen")
    (picture, other, *_) = sorted((job / "whole").rglob("*.png"))
    source.write("broken.png", b"no picture")
    place = (source.address, goal.address, "-s", "2", "-m", job / "small.onnx", "--watch")
    options = ("--cluster", cluster.address, "--actor-cpus", "1", "-q")
    process = start("upscale", *place, *options)
    for name, path in (("late.png", picture), ("later.png", other), ("broken.png", other)):
        source.upload(name, path, {})
        made = f"{name.removesuffix('.png')}_x2.png"
        wait(lambda made=made: made in outputs("seen"))
    before = outputs("seen")
    process_of_status = start("status", goal.address)
    told, _ = process_of_status.communicate(timeout=PATIENCE)
    assert "done, 0 failed" in told.splitlines()[0]
    assert told.splitlines()[1] == f"at work: process {process.pid}"
    time.sleep(1.1)  # times of objects are whole seconds
    source.upload("late.png", other, {})
    wait(lambda: outputs("seen")["late_x2.png"] > before["late_x2.png"])
    assert goal.read("late_x2.png") == goal.read("later_x2.png")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[0] == ""
    assert process.returncode == 130


def test_few_pictures_of_other_drivers_are_held(monkeypatch: pytest.MonkeyPatch):
    """All is listed again, where there are more, and what others have done is counted."""
    monkeypatch.setattr(stored_job, "_LOOK", 0.01)
    monkeypatch.setattr(stored_job, "_AHEAD", 300)
    held: list[int] = []

    class Listed(Listing):
        times = 0

        def pictures(self) -> Iterator[Object]:
            Listed.times += 1
            self.found = 3000
            if Listed.times > 1:
                self.done = 2999
            for i in range(3000 if Listed.times == 1 else 1):
                yield Object(f"{i:04}.png", 1, datetime.now(), "")

    def claim(source: Object, _: str) -> Claim:
        held.append(len(run._taken))
        failed = source.name == "0000.png"
        return Claim(FAILED, "broken") if failed else Claim(TAKEN)

    goal = cast("Storage", SimpleNamespace(address="s3://x/out", at=lambda name: name))
    state = cast("StoredState", SimpleNamespace(claim=claim, opened=lambda: None))
    actors = cast("Actors", SimpleNamespace(wait=time.sleep, threads=1))
    listing = Listed(goal, goal, state, JobSettings(scale=2), RunOptions().selection)
    run = stored_job._Run(listing, RunOptions(), actors, lambda _: None)
    report, failures = run.run()
    assert max(held) <= stored_job._HELD < 3000
    assert Listed.times == 2
    assert failures == [("0000.png", "broken")]
    assert (report.balance.done, report.balance.failed) == (2999, 1)
    assert report.balance.is_even


def test_who_has_a_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Claims, as two drivers make them, with a server that fails."""
    pytest.importorskip("obstore", reason="needs obstore, of the extra 'cluster'")
    pytest.importorskip("moto", reason="needs moto, of the extra 'dev'")
    from s3_server import free_port

    port = free_port()
    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "made").write_bytes(b"made")
    with s3_server(port, seed=3):
        goal = Storage(f"s3://{BUCKET}/out")
        one, two = (StoredState(goal, overwrite=False, retry=False) for _ in range(2))
        one.begin(JobSettings(scale=2), "s3://x/in")
        two.begin(JobSettings(scale=2), "s3://x/in")
        with pytest.raises(UsageError, match="scale was 2, and is 3"):
            two.begin(JobSettings(scale=3), "s3://x/in")
        a = Object("ä b/1.png", 1, datetime.now(), "tag")
        assert one.claim(a, "ä b/1_x2.png").verdict == MINE
        assert two.claim(a, "ä b/1_x2.png").verdict == TAKEN
        one.leave()  # without having given it back: as if it had died
        assert two.claim(a, "ä b/1_x2.png").verdict == MINE
        # The output is there, and its driver dies before it says so: it is not made again.
        goal.upload(
            "ä b/1_x2.png", tmp_path / "made", {SOURCE: a.name, TAG: "tag", JOB: two.job_id}
        )
        two.leave()
        three = StoredState(goal, overwrite=False, retry=False)
        three.begin(JobSettings(scale=2), "s3://x/in")
        assert three.claim(a, "ä b/1_x2.png").verdict == DONE
        assert [found.name for found in three.done()] == [a.name]
        assert three.claim(dataclasses.replace(a, tag="changed"), "ä b/1_x2.png").verdict == MINE
        # What somebody else has put in the place of an output stays.
        goal.upload("2_x2.png", tmp_path / "made", {})
        b = dataclasses.replace(a, name="2.png")
        claim = three.claim(b, "2_x2.png")
        assert (claim.verdict, "exists already" in claim.error) == (FAILED, True)
        assert goal.read("2_x2.png") == b"made"
        # A crash outlives the driver that saw it, for those that begin later and for others.
        four = StoredState(goal, overwrite=False, retry=False)
        four.begin(JobSettings(scale=2), "s3://x/in")
        c = dataclasses.replace(a, name="3.png")
        assert three.claim(c, "3_x2.png") == Claim(MINE)
        three.crashed(c, 1)
        three.leave()
        assert four.claim(c, "3_x2.png") == Claim(MINE, crashes=1)
        four.release(c.name)
        four.leave()
        five = StoredState(goal, overwrite=False, retry=False)
        five.begin(JobSettings(scale=2), "s3://x/in")
        assert five.claim(c, "3_x2.png") == Claim(MINE, crashes=1)
        five.failed(c, "it cannot be done", quarantined=True)
        assert not list(goal.list(".vdsr/crashed"))
        five.leave()
        assert not list(goal.list(".vdsr/workers"))


def test_outputs_are_found_in_their_listing():
    rng = random.Random(5)
    names = {"".join(rng.choices("aZ _.9é", k=rng.randint(1, 4))) + ".png" for _ in range(3000)}
    sources = sorted(names, key=str.encode)
    made = [f"{name[:-4]}_x4.png" for name in sources]
    there = {name for name in made if rng.random() < 0.9}
    others = {f"{name}.txt" for name in rng.sample(made, 200)}
    listed = [Object(n, 1, datetime.now(), "") for n in sorted(there | others, key=str.encode)]
    outputs = Outputs(iter(listed))
    assert [outputs.find(name) is not None for name in made] == [name in there for name in made]


def test_the_state_is_not_listed_with_the_outputs():
    """Names before and behind `.vdsr/` are, and there is one page of it at most."""
    names = sorted(["!a.png", "-b.png", ".vdsr.png", ".vdsr0", "c.png", "é.png"])
    names = sorted([*names, *(f".vdsr/done/{i:04}" for i in range(5000))])
    read = []

    def listed(after: str = "") -> Iterator[Object]:
        for name in names:
            if name > after:
                read.append(name)
                yield Object(name, 1, datetime.now(), "")

    goal = cast("Storage", SimpleNamespace(list=listed))
    state = StoredState(goal, overwrite=False, retry=False)
    listing = Listing(goal, goal, state, JobSettings(scale=2), RunOptions().selection)
    found = [one.name for one in listing._outputs()]
    assert found == [name for name in names if not name.startswith(".vdsr/")]
    assert len(read) == len(found) + 1


def test_outputs_that_nobody_asks_for_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stored_listing, "_HELD", 100)
    listed = (Object(f"{i:06}", 1, datetime.now(), "") for i in range(5000))
    outputs = Outputs(listed)
    assert outputs.find("004000") is not None
    assert len(outputs._held) <= 100
    assert outputs.find("999999") is None


def test_addresses_that_cannot_be():
    command = ("upscale", "ftp://x/in", "ftp://x/out", "--cluster", "local")
    code, (line,) = ended(start(*command))
    assert (code, "addresses of storage that are known: s3://" in line) == (2, True)
    code, (line,) = ended(start("upscale", "s3://x/in", "s3://x/out"))
    assert (code, "--cluster local" in line) == (2, True)
    two = ("upscale", os.curdir, "s3://x/in", "s3://x/out", "--cluster", "local")
    code, (line,) = ended(start(*two))
    assert (code, "one address or folder for IN" in line) == (2, True)


def test_a_folder_is_of_one_kind_of_job(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out/.vdsr").mkdir(parents=True)
    (tmp_path / "out/.vdsr/job~").write_bytes(b"{}")
    code, (line,) = ended(start("upscale", tmp_path / "in", tmp_path / "out"))
    assert (code, "a job from storage lies there" in line) == (2, True)
    (tmp_path / "out" / MANIFEST).write_bytes(b"")
    mixed = ("upscale", "s3://x/in", tmp_path / "out", "--cluster", "local")
    code, (line,) = ended(start(*mixed))
    assert (code, "a job from folder to folder lies there" in line) == (2, True)
