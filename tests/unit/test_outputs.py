"""Outputs: whole or not there, nothing replaced that must stay, nothing left behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vdsr import outputs, unfinished
from vdsr.errors import OutputError, OutputExists
from vdsr.outputs import put, refuse_existing, work_folder, write_atomic, write_whole
from vdsr.unfinished import sweep

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
# Begins a file, says so, and waits to be killed.
_BEGIN = """
import sys, time
from pathlib import Path
from vdsr.outputs import Part, work_folder
part = Part(Path(sys.argv[1]) / "out.bin", overwrite=False)
with work_folder(Path(sys.argv[1])) as made:
    (made / "half").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder counts as swept already."""
    monkeypatch.setattr(unfinished, "_swept", set())


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_written_is_there_when_whole(tmp_path: Path) -> None:
    goal = tmp_path / "out.bin"
    with write_atomic(goal) as file:
        file.write(b"whole")
        assert not goal.exists()
    assert goal.read_bytes() == b"whole"
    write_whole(goal, "naïve")
    assert goal.read_text("utf-8") == "naïve"
    assert names(tmp_path) == ["out.bin"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    goal = tmp_path / "out.bin"
    goal.write_bytes(b"before")
    with pytest.raises(RuntimeError), write_atomic(goal) as file:
        file.write(b"half")
        raise RuntimeError
    with (
        pytest.raises(OutputError, match=r"out\.bin: it cannot be written: No space"),
        write_atomic(goal),
    ):
        raise OSError(28, "No space left on device")
    assert goal.read_bytes() == b"before"
    assert names(tmp_path) == ["out.bin"]


def test_the_unfinished_name_is_another_every_time(tmp_path: Path) -> None:
    seen = set()
    for _ in range(3):
        with write_atomic(tmp_path / "out.bin"):
            seen.update(p.name for p in tmp_path.glob(".vdsr-*"))
    assert len(seen) == 3


def test_names_of_any_length(tmp_path: Path) -> None:
    goal = tmp_path / ("x" * 251 + ".bin")
    write_whole(goal, b"long")
    assert goal.read_bytes() == b"long"


@posix
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    goal = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.bin"))
    write_whole(goal, b"x")
    assert [os.fsencode(p.name) for p in tmp_path.iterdir()] == [b"caf\xe9.bin"]


@posix
def test_overwriting_keeps_the_mode(tmp_path: Path) -> None:
    for mode in (0o600, 0o640, 0o664):
        goal = tmp_path / f"{mode:o}.bin"
        goal.write_bytes(b"before")
        goal.chmod(mode)
        with write_atomic(goal) as file:
            (part,) = tmp_path.glob(".vdsr-*")
            assert stat.S_IMODE(part.stat().st_mode) & ~mode == 0
            file.write(b"after")
        assert (stat.S_IMODE(goal.stat().st_mode), goal.read_bytes()) == (mode, b"after")


@posix
def test_new_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "out.bin", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == 0o640


@posix
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real = tmp_path / "disk" / "real.bin"
    real.write_bytes(b"before")
    real.chmod(0o600)
    link = tmp_path / "link.bin"
    link.symlink_to("disk/real.bin")
    with pytest.raises(OutputExists):
        write_whole(link, b"after", overwrite=False)
    write_whole(link, b"after")
    assert link.is_symlink()
    assert (real.read_bytes(), stat.S_IMODE(real.stat().st_mode)) == (b"after", 0o600)
    assert names(tmp_path / "disk") == ["real.bin"]


@posix
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, overwrite: bool) -> None:
    link = tmp_path / "link.bin"
    link.symlink_to("later/disk.bin")
    with pytest.raises(OutputError, match="leads nowhere, to later"):
        write_whole(link, b"x", overwrite=overwrite)
    loop = tmp_path / "loop.bin"
    loop.symlink_to("loop.bin")
    with pytest.raises(OutputError):
        write_whole(loop, b"x", overwrite=overwrite)
    assert link.is_symlink()
    assert names(tmp_path) == ["link.bin", "loop.bin"]


@posix
def test_a_write_protected_file_is_refused(tmp_path: Path) -> None:
    goal = tmp_path / "out.bin"
    goal.write_bytes(b"before")
    goal.chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        write_whole(goal, b"after")
    assert goal.read_bytes() == b"before"


def test_refusals_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "there.bin").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    for name, folder, said in [
        ("there.bin", False, "exists already: overwrite=True"),
        ("folder", False, "it is a folder"),
        ("none/out.bin", False, "does not exist: make it first"),
        ("there.bin", True, "a folder is to be made"),
        ("folder", True, "exists already: overwrite=True"),
        ("nul\0l", False, "cannot be written"),
    ]:
        with pytest.raises(OutputError, match=said):
            refuse_existing(tmp_path / name, overwrite=False, folder=folder)
    refuse_existing(tmp_path / "there.bin", tmp_path / "new.bin", overwrite=True)
    refuse_existing(tmp_path / "a" / "b", overwrite=False, folder=True)


def test_what_comes_while_one_writes_is_not_replaced(tmp_path: Path) -> None:
    goal = tmp_path / "out.bin"
    with pytest.raises(OutputExists), write_atomic(goal, overwrite=False) as file:
        file.write(b"mine")
        goal.write_bytes(b"yours")
    assert goal.read_bytes() == b"yours"
    assert names(tmp_path) == ["out.bin"]


def test_the_same_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", missing)
    test_what_comes_while_one_writes_is_not_replaced(tmp_path)
    write_whole(tmp_path / "new.bin", b"x", overwrite=False)
    assert names(tmp_path) == ["new.bin", "out.bin"]


def test_folders_are_replaced_whole(tmp_path: Path) -> None:
    goal = tmp_path / "goal"
    goal.mkdir()
    (goal / "old").write_text("old")
    with work_folder(tmp_path) as work:
        (work / "made").mkdir()
        (work / "made" / "new").write_text("new")
        put(work / "made", goal)
        (work / "file").write_text("file")
        put(work / "file", tmp_path / "file")
    assert (names(goal), names(tmp_path)) == (["new"], ["file", "goal"])


def test_a_failure_in_a_work_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), work_folder(tmp_path) as work:
        (work / "half").write_text("half")
        raise RuntimeError
    assert names(tmp_path) == []


def test_what_the_dead_left_is_cleared_away(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == "begun\n"
        sweep(tmp_path)
        assert len(names(tmp_path)) == 2  # it is alive
        process.kill()
        process.wait()
    assert len(names(tmp_path)) == 2
    unfinished._swept.clear()
    write_whole(tmp_path / "next.bin", b"x")
    assert names(tmp_path) == ["next.bin"]


@posix
def test_sweeping_touches_nothing_else(tmp_path: Path) -> None:
    mine = tmp_path / f".vdsr-{'0' * 32}.part"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    mine.symlink_to(elsewhere)
    (tmp_path / ".vdsr-notes.part").write_bytes(b"x")
    young = tmp_path / f".vdsr-{'1' * 32}.part"
    young.mkdir()
    old = tmp_path / f".vdsr-{'2' * 32}.part"
    old.mkdir()
    os.utime(old, (time.time() - 3600,) * 2)
    sweep(tmp_path)
    assert names(tmp_path) == sorted([mine.name, ".vdsr-notes.part", young.name, "elsewhere"])
    assert elsewhere.read_bytes() == b"precious"


def test_what_is_just_begun_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    """One thread sweeps again and again what others have made, and not yet locked."""
    ended = threading.Event()

    def sweep_again_and_again() -> None:
        while not ended.is_set():
            unfinished._swept.discard(tmp_path)
            sweep(tmp_path)

    def write(name: str) -> None:
        for i in range(200):
            outputs.write_whole(tmp_path / f"{name}{i}", b"x")
            with outputs.work_folder(tmp_path) as made:
                (made / "y").write_bytes(b"y")

    with ThreadPoolExecutor(4) as pool:
        sweeping = [pool.submit(sweep_again_and_again) for _ in range(2)]
        writing = [pool.submit(write, name) for name in "ab"]
        try:
            for one in writing:
                one.result()
        finally:
            ended.set()
        for one in sweeping:
            one.result()
    assert len(list(tmp_path.iterdir())) == 400
