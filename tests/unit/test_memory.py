"""Sizes, and what is free."""

from __future__ import annotations

import pytest

from vdsr.errors import UsageError
from vdsr.inference.memory import MIB, available, format_size, parse_size, peak_resident


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
    with pytest.raises(UsageError, match=r"no size|too little"):
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
