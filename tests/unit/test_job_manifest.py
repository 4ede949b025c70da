"""The manifest and its leases: what is done again, and what of the dead is taken back."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from vdsr.errors import InputError, OutputError, UsageError
from vdsr.inference.target import Target
from vdsr.jobs import others as others_module
from vdsr.jobs.balance import balance
from vdsr.jobs.discovery import Found
from vdsr.jobs.enrol import check_outputs, enrol
from vdsr.jobs.leases import CRASHES, Worker
from vdsr.jobs.manifest import MANIFEST, Manifest
from vdsr.jobs.naming import NamePattern
from vdsr.jobs.opening import begin, known_settings, settle
from vdsr.jobs.others import CUT_SHORT, Others
from vdsr.jobs.picture import Outcome
from vdsr.jobs.settings import JobSettings

PATTERN = NamePattern(None, Target(), None)


@pytest.fixture
def manifest(tmp_path: Path):
    manifest = Manifest(tmp_path / MANIFEST)
    yield manifest
    manifest.close()


def found(name: str, *, size: int = 3, mtime: int = 1, skipped: str | None = None) -> Found:
    return Found(f"/in/{name}", name, size, mtime, skipped)


def enter(manifest: Manifest, *files: Found, **options: bool) -> int:
    return enrol(manifest, files, PATTERN, manifest.folder, **options)


def states(manifest: Manifest) -> dict[str, str]:
    rows = manifest.db.execute("SELECT relative, state FROM pictures")
    return {os.fsdecode(a): b for a, b in rows}


def hired(manifest: Manifest) -> Worker:
    folder = manifest.folder / "work" / "made"
    folder.mkdir(parents=True, exist_ok=True)
    return Worker(manifest, manifest.folder, folder)


def make(manifest: Manifest, worker: Worker, id: int, data: bytes = b"output") -> Path:
    """What a worker does up to the renaming."""
    made = manifest.folder / "work" / "made" / f"{id}.png"
    made.write_bytes(data)
    outcome = Outcome(
        id=id,
        state="done",
        size=3,
        mtime_ns=1,
        digest="d",
        output_size=len(data),
        output_mtime_ns=made.stat().st_mtime_ns,
        output_digest=hashlib.sha256(data).hexdigest(),
    )
    with manifest.transaction():
        assert worker.finishing(outcome, made, {})
    return made


def do(manifest: Manifest, worker: Worker, scan: int) -> None:
    with manifest.transaction():
        leases = worker.claim(10, scan)
    for lease in leases:
        make(manifest, worker, lease.id).rename(manifest.folder / lease.output)
        with manifest.transaction():
            worker.done(lease.id)


def test_only_what_is_missing_changed_or_failed_is_done(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"), found("b.png"), found("c.png"), found("d.png"))
    do(manifest, worker, scan)
    with manifest.transaction() as db:
        db.execute("UPDATE pictures SET state = 'failed' WHERE relative = ?", (b"d.png",))
    (manifest.folder / "b_x4.png").unlink()
    files = (found("a.png"), found("b.png"), found("c.png", mtime=2), found("d.png"))
    scan = enter(manifest, *files)
    check_outputs(manifest, manifest.folder, scan, overwrite=False)
    expected = {"a.png": "done", "b.png": "waiting", "c.png": "waiting", "d.png": "waiting"}
    assert states(manifest) == expected
    worker.leave()


def test_a_watching_job_leaves_failed_pictures_until_they_change(manifest: Manifest):
    enter(manifest, found("a.png"), found("b.png"))
    with manifest.transaction() as db:
        db.execute("UPDATE pictures SET state = 'failed'")
    enter(manifest, found("a.png"), found("b.png", size=4), again=False)
    assert states(manifest) == {"a.png": "failed", "b.png": "waiting"}


def test_an_altered_output_is_a_fault_and_not_replaced(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"), found("b.png"))
    do(manifest, worker, scan)
    output = manifest.folder / "a_x4.png"
    output.write_bytes(b"OUTPUT")
    os.utime(output, ns=(5, 5))
    check_outputs(manifest, manifest.folder, scan, overwrite=False)
    found_balance = balance(manifest, manifest.folder, scan)
    assert (found_balance.done, len(found_balance.faults), found_balance.is_even) == (2, 1, False)
    assert "altered" in found_balance.faults[0]
    check_outputs(manifest, manifest.folder, scan, overwrite=True)
    assert states(manifest) == {"a.png": "waiting", "b.png": "done"}
    worker.leave()


def test_an_output_that_was_only_touched_is_no_fault(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"))
    do(manifest, worker, scan)
    os.utime(manifest.folder / "a_x4.png", ns=(5, 5))
    assert balance(manifest, manifest.folder, scan).is_even
    worker.leave()


def test_a_thorough_balance_reads_the_outputs(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"))
    do(manifest, worker, scan)
    output = manifest.folder / "a_x4.png"
    before = output.stat().st_mtime_ns
    output.write_bytes(b"OUTPUT")
    os.utime(output, ns=(before, before))
    assert balance(manifest, manifest.folder, scan).is_even
    assert not balance(manifest, manifest.folder, scan, thorough=True).is_even
    worker.leave()


def died(manifest: Manifest) -> None:
    """As if the process of all workers had ended."""
    with manifest.transaction() as db:
        db.execute("UPDATE workers SET started = '1'")


def test_what_a_dead_worker_had_in_work_is_done_again_alone(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"), found("b.png"))
    with manifest.transaction():
        (lease,) = worker.claim(1, scan)
    assert Others(manifest, manifest.folder).take_back() == 0
    died(manifest)
    assert Others(manifest, manifest.folder).take_back() == 1
    assert states(manifest) == {"a.png": "waiting", "b.png": "waiting"}
    other = hired(manifest)
    with manifest.transaction():
        assert [one.source for one in other.claim(9, scan)] == ["/in/b.png"]
        (again,) = other.claim_suspect(scan)
        assert (again.id, again.alone) == (lease.id, True)
        assert not worker.finishing(Outcome(id=lease.id, state="done"), manifest.folder / "x", {})
    worker.leave()
    other.leave()


@pytest.mark.parametrize("placed", [False, True])
def test_what_a_dead_worker_had_finished_is_not_done_again(manifest: Manifest, placed: bool):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"))
    with manifest.transaction():
        (lease,) = worker.claim(1, scan)
    made = make(manifest, worker, lease.id)
    if placed:
        made.rename(manifest.folder / "a_x4.png")
    died(manifest)
    Others(manifest, manifest.folder).take_back()
    assert states(manifest) == {"a.png": "done"}
    assert (manifest.folder / "a_x4.png").read_bytes() == b"output"
    assert not made.exists()
    assert balance(manifest, manifest.folder, scan).is_even
    worker.leave()


def test_half_of_what_a_dead_worker_had_finished_is_done_again(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"))
    with manifest.transaction():
        (lease,) = worker.claim(1, scan)
    make(manifest, worker, lease.id).write_bytes(b"out")
    died(manifest)
    Others(manifest, manifest.folder).take_back()
    assert states(manifest) == {"a.png": "waiting"}
    assert not (manifest.folder / "a_x4.png").exists()
    worker.leave()


def test_a_picture_is_quarantined_after_two_tries(manifest: Manifest):
    worker = hired(manifest)
    scan = enter(manifest, found("a.png"), found("b.png"))
    with manifest.transaction():
        first, second = worker.claim(2, scan)
        assert worker.suspect([first.id, second.id], "was ended by SIGKILL") == []
        assert worker.claim(2, scan) == []
        (alone,) = worker.claim_suspect(scan)
        assert worker.suspect([alone.id], "was ended by SIGKILL") == [alone.id]
        assert CRASHES == 2
    assert states(manifest) == {"a.png": "quarantined", "b.png": "waiting"}
    enter(manifest, found("a.png"), found("b.png"))
    assert states(manifest)["a.png"] == "quarantined"
    enter(manifest, found("a.png"), found("b.png"), retry=True)
    assert states(manifest)["a.png"] == "waiting"
    worker.leave()


def test_a_changed_file_leaves_quarantine(manifest: Manifest):
    enter(manifest, found("a.png"))
    with manifest.transaction() as db:
        db.execute("UPDATE pictures SET state = 'quarantined', crashes = 2")
    enter(manifest, found("a.png", size=9))
    assert states(manifest) == {"a.png": "waiting"}


def test_a_picture_that_ends_the_whole_program_is_quarantined_in_the_end(manifest: Manifest):
    scan = enter(manifest, found("a.png"))
    with manifest.transaction() as db:
        db.execute("UPDATE pictures SET crashes = 1")
    for _ in range(CUT_SHORT):
        assert states(manifest) == {"a.png": "waiting"}
        worker = hired(manifest)
        with manifest.transaction():
            assert len(worker.claim_suspect(scan)) == 1
        died(manifest)
        Others(manifest, manifest.folder).take_back()
        worker.leave()
    assert states(manifest) == {"a.png": "quarantined"}


def test_a_worker_of_another_system_is_dead_when_it_no_longer_beats(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
):
    worker = hired(manifest)
    with manifest.transaction() as db:
        db.execute("UPDATE workers SET host = 'elsewhere'")
    others = Others(manifest, manifest.folder)
    now = 1000.0
    monkeypatch.setattr(others_module.time, "monotonic", lambda: now)
    assert others.take_back() == 0
    now += others_module.SILENT_SECONDS - 1
    with manifest.transaction() as db:
        db.execute("UPDATE workers SET beats = beats + 1")
    assert others.take_back() == 0
    now += others_module.SILENT_SECONDS - 1
    assert others.take_back() == 0
    now += 2
    assert others.take_back() == 1
    worker.leave()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
def test_a_process_that_is_dead_but_not_collected_counts_as_dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert others_module.started(process.pid) is None
    process.wait()
    assert others_module.started(os.getpid()) is not None


def test_settings_that_changed_are_named(manifest: Manifest):
    others = Others(manifest, manifest.folder)
    begin(manifest, JobSettings(scale=3), others, redo=False)  # and its model could not be had
    begin(manifest, JobSettings(scale=2, format="png"), others, redo=False)
    manifest.set_value("model", "m")
    begin(manifest, JobSettings(scale=2.0, format=".PNG"), others, redo=False)
    with pytest.raises(UsageError, match="scale was 2, and is 4; format was png, and is jpeg"):
        begin(manifest, JobSettings(format="jpg"), others, redo=False)
    begin(manifest, JobSettings(fit=(30, 40)), others, redo=True)
    assert known_settings(manifest) == JobSettings(fit=(30, 40))


def test_a_job_cannot_begin_anew_while_another_process_is_at_work(manifest: Manifest):
    others = Others(manifest, manifest.folder)
    begin(manifest, JobSettings(), others, redo=False)
    manifest.set_value("model", "m")
    worker = hired(manifest)
    with pytest.raises(UsageError, match="another process is at work"):
        begin(manifest, JobSettings(scale=2), others, redo=True)
    worker.leave()
    begin(manifest, JobSettings(scale=2), others, redo=True)


def test_another_model_under_the_same_name_is_found_out(manifest: Manifest):
    opened = {"model": "m 1", "backend": "b", "precision": "p", "memory": 800, "workers": 8}
    assert settle(manifest, opened, max_memory=None).share == 100
    # What a picture may use stays, whatever is free today.
    again = settle(manifest, {**opened, "memory": 80, "workers": 4}, max_memory=None)
    assert (again.memory, again.share, again.workers) == (800, 100, 4)
    with pytest.raises(UsageError, match="model was m 1, and is m 2"):
        settle(manifest, {**opened, "model": "m 2"}, max_memory=None)


def test_files_that_are_no_manifest(tmp_path: Path):
    path = tmp_path / MANIFEST
    with pytest.raises(InputError, match="no job has run there"):
        Manifest(path, create=False)
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(InputError, match="damaged, or no manifest"):
        Manifest(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(InputError, match="not a manifest of vdsr"):
        Manifest(path)


def test_a_later_version_is_refused(manifest: Manifest):
    manifest.db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="version 99"):
        Manifest(manifest.path)


def test_a_copy_changes_nothing(manifest: Manifest):
    enter(manifest, found("a.png"))
    copy = manifest.copy()
    enter(copy, found("a.png"), found("b.png"))
    assert states(manifest) == {"a.png": "waiting"}
    assert states(copy) == {"a.png": "waiting", "b.png": "waiting"}
    copy.close()


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises((OutputError, InputError), match="manifest"):
        Manifest(tmp_path / MANIFEST)


def test_settings_survive_being_written():
    settings = JobSettings(fit=(3, 4), format="webp", quality=80, name="{stem}", tile=64)
    assert JobSettings.of_json(settings.as_json()) == settings
    with pytest.raises(ValueError, match="not known"):
        JobSettings.of_json('{"color": 1}')
    assert replace(settings, quality=None).options("png")["quality"] is None
    assert settings.options("webp")["quality"] == 80


def test_a_manifest_that_many_open_at_once(tmp_path: Path):
    """SQLite does not wait for the others by itself where it switches to a write-ahead log."""
    with ThreadPoolExecutor(6) as pool:
        for i in range(30):
            path = tmp_path / str(i) / MANIFEST
            path.parent.mkdir()
            for manifest in pool.map(Manifest, [path] * 6):
                manifest.close()


def test_a_scan_that_ends_late_takes_nothing_from_a_later_one(manifest: Manifest):
    def files():
        nonlocal later
        later = enter(manifest, found("a.png"))
        yield found("a.png")

    later = 0
    earlier = enrol(manifest, files(), PATTERN, manifest.folder)
    assert earlier < later
    worker = hired(manifest)
    with manifest.transaction():
        assert len(worker.claim(10, later)) == 1


def test_beginning_the_same_job_takes_nothing_from_one_that_opens_its_model(manifest: Manifest):
    others = Others(manifest, manifest.folder)
    begin(manifest, JobSettings(scale=2), others, redo=False)
    scan, worker = enter(manifest, found("a.png")), hired(manifest)
    with manifest.transaction():
        assert len(worker.claim(10, scan)) == 1
    begin(manifest, JobSettings(scale=2), others, redo=False)
    assert states(manifest) == {"a.png": "working"}
    with pytest.raises(UsageError, match="scale was 2, and is 3"):
        begin(manifest, JobSettings(scale=3), others, redo=False)


def test_a_reason_may_hold_a_name_that_is_not_utf8(manifest: Manifest):
    scan, worker = enter(manifest, found("a.png")), hired(manifest)
    with manifest.transaction():
        (lease,) = worker.claim(10, scan)
        worker.failed(lease.id, os.fsdecode(b"caf\xe9.png: no"))
    assert manifest.one("SELECT error FROM pictures WHERE id = ?", lease.id)["error"] == (
        "caf\\xe9.png: no"
    )
