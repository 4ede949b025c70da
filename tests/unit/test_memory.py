"""Sizes, and what is free."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vdsr.errors import OutOfMemory, UsageError
from vdsr.inference import memory
from vdsr.inference.memory import (
    MIB,
    available,
    format_size,
    is_shortage,
    parse_size,
    peak_resident,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 * MIB),
        ("1GiB", 1024 * MIB),
        ("1.5 GB", 1_500_000_000),
        ("2g", 2_000_000_000),
        ("100mib", 100 * MIB),
        ("200000000", 200_000_000),
        ("70000 KiB", 70000 * 1024),
    ],
)
def test_sizes_are_read(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1GiB", "1TiB", "10 MiB", "1e9", "GiB", "63MiB"])
def test_what_is_no_size_or_too_small_is_refused(text: str):
    with pytest.raises(UsageError, match=r"not a size|too little"):
        parse_size(text)


def test_sizes_are_written():
    assert [format_size(s) for s in (100 * MIB, 1024 * MIB, 2.5 * 1024 * MIB)] == [
        "100 MiB",
        "1.0 GiB",
        "2.5 GiB",
    ]


def test_the_machine_has_memory_and_this_process_uses_some():
    assert available() > 64 * MIB
    before = peak_resident()
    block = bytearray(60 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_resident() >= before
    assert peak_resident() > 60 * MIB


def test_a_number_beyond_all_measure_is_no_size():
    with pytest.raises(UsageError, match="more memory than any machine has"):
        parse_size("9" * 400 + "GiB")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 1000 MiB free and no control groups yet."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        f"MemTotal: 9999999 kB\nMemAvailable:   {1000 * 1024} kB\n"
    )
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    return tmp_path


def write_group(folder: Path, **files: str | int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("memory_", "memory.")).write_text(f"{text}\n")


def test_without_control_groups_what_is_free_counts(machine: Path):
    assert available() == 1000 * MIB


def test_where_nothing_is_known_something_is_assumed(machine: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    (machine / "proc/meminfo").unlink()
    assert available() == 4096 * MIB


def test_a_group_of_version_2_limits(machine: Path):
    (machine / "proc/self/cgroup").write_text("0::/\n")
    write_group(machine / "cgroup", memory_max=512 * MIB, memory_current=200 * MIB)
    assert available() == 312 * MIB
    write_group(machine / "cgroup", memory_max=100 * MIB)
    assert available() == 0
    write_group(machine / "cgroup", memory_max="max")
    assert available() == 1000 * MIB


def test_cache_that_nobody_uses_is_free(machine: Path):
    (machine / "proc/self/cgroup").write_text("0::/\n")
    write_group(
        machine / "cgroup",
        memory_max=512 * MIB,
        memory_current=500 * MIB,
        memory_stat=f"anon 7\ninactive_file {400 * MIB}\nworkingset 3",
    )
    assert available() == 412 * MIB


def test_every_group_above_the_process_counts(machine: Path):
    (machine / "proc/self/cgroup").write_text("0::/system.slice/one.service\n")
    inner = machine / "cgroup/system.slice/one.service"
    write_group(inner, memory_max=900 * MIB, memory_current=0)
    assert available() == 900 * MIB
    write_group(inner.parent, memory_max=300 * MIB, memory_current=50 * MIB)
    assert available() == 250 * MIB


def test_a_group_of_version_1_limits(machine: Path):
    (machine / "proc/self/cgroup").write_text("9:cpu:/x\n4:rdma,memory:/docker/abc\n0::/\n")
    # In a container, its own group is the root that it sees.
    write_group(
        machine / "cgroup/memory",
        memory_limit_in_bytes=700 * MIB,
        memory_usage_in_bytes=600 * MIB,
        memory_stat=f"inactive_file 1\ntotal_inactive_file {300 * MIB}",
    )
    assert available() == 400 * MIB


def test_the_peak_is_that_of_this_process(machine: Path):
    (machine / "proc/self/status").write_text("VmPeak:  9 kB\nVmHWM:\t   2048 kB\n")
    assert peak_resident() == 2 * MIB


class FakePsutil:
    """What psutil says on Windows."""

    @staticmethod
    def virtual_memory() -> SimpleNamespace:
        return SimpleNamespace(available=3 * 1024 * MIB)

    @staticmethod
    def Process() -> SimpleNamespace:  # noqa: N802 - its name
        return SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=77 * MIB))


@pytest.mark.parametrize(
    ("module", "free", "peak"), [(FakePsutil, 3 * 1024 * MIB, 77 * MIB), (None, 4 * 1024 * MIB, 0)]
)
def test_where_there_is_no_proc_psutil_is_asked(
    machine: Path, monkeypatch: pytest.MonkeyPatch, module: object, free: int, peak: int
):
    for path in (machine / "proc").rglob("*"):
        if path.is_file():
            path.unlink()
    monkeypatch.setitem(sys.modules, "psutil", module)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert (available(), peak_resident()) == (free, peak)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemory("full"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[CPU] Check 'ptr' failed: Failed to allocate 9 bytes of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), True),
        (RuntimeError("CUDA out of memory"), True),
        (RuntimeError("no arena based allocator registered"), False),
        (ValueError("shape"), False),
    ],
)
def test_failed_allocations_are_known_by_their_words(error: Exception, expected: bool):
    assert is_shortage(error) == expected
