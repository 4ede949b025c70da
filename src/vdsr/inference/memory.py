"""How much memory there is, how much a tile takes, and how much was taken."""

from __future__ import annotations

import ctypes
import math
import numbers
import re
import sys
from pathlib import Path

from vdsr.errors import UsageError
from vdsr.model.architecture import Architecture

MIB = 1024**2
# What is assumed where the system does not say what is free.
_UNKNOWN_AVAILABLE = 4 * 1024**3
_MINIMUM = 64 * MIB

# From glibc's malloc.h.
_M_MMAP_THRESHOLD = -3
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
# Limit, use, and the part of the use that is cache nobody uses, in version 1 and 2.
_CGROUP_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_CGROUP_2 = ("memory.max", "memory.current", "inactive_file")

# `std::bad_alloc`, `can't allocate memory`, `Failed to allocate`, `out of memory`.
_SHORTAGE = re.compile(r"bad.alloc|(n't|not|to) allocate|(out of|not enough) memory", re.IGNORECASE)

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes from a text like `512MiB`, `1.5 GB` or `2000000`.

    Raises:
        UsageError: if it is not a size, or less than 64 MiB.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size: write 512MiB or 2GiB")
    size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if not math.isfinite(size):
        raise UsageError(f"{text[:20]}... is more memory than any machine has")
    if size < _MINIMUM:
        raise UsageError(f"{text} is too little memory to work in: at least 64MiB")
    return int(size)


def as_bytes(size: int | str | None) -> int | None:
    """An amount of memory as bytes: a number of them, or a text for `parse_size`.

    Raises:
        UsageError: if it is neither, or none at all.
    """
    if size is None:
        return None
    if isinstance(size, str):
        return parse_size(size)
    if not isinstance(size, numbers.Integral) or isinstance(size, bool):
        raise UsageError(f"memory is a number of bytes or a text like '1GiB', not {size!r:.60}")
    if size < 1:
        raise UsageError(f"memory of at least 1 byte, not {size}")
    return int(size)


def format_size(size: float) -> str:
    """Bytes in binary units, for people."""
    return f"{size / 1024**3:.1f} GiB" if size >= 1024**3 else f"{size / MIB:.0f} MiB"


def available() -> int:
    """Bytes that this process may still take: free memory, and what its cgroup allows."""
    limits = [_meminfo_available(), *_cgroup_available()]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else _psutil_available()


def _psutil_available() -> int:
    """Where there is no /proc: as psutil says, which is installed there."""
    try:
        import psutil
    except ImportError:
        return _UNKNOWN_AVAILABLE
    return int(psutil.virtual_memory().available)


def _meminfo_available() -> int | None:
    kilobytes = _value(_PROC / "meminfo", "MemAvailable")
    return None if kilobytes is None else kilobytes * 1024


def _value(path: Path, key: str) -> int | None:
    """A number of a file with a key and a number in each line (man 5 proc); None if missing."""
    try:
        match = re.search(rf"^{key}:?\s+(\d+)", path.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


def _cgroup_available() -> list[int | None]:
    """What is left in the control groups of this process and above (man 7 cgroups)."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "memory" not in controllers.split(","):
            continue
        root, *names = (_CGROUP / "memory", *_CGROUP_1) if controllers else (_CGROUP, *_CGROUP_2)
        parts = [part for part in path.split("/") if part not in ("", "..")]
        left += [_left(root.joinpath(*parts[:i]), *names) for i in range(len(parts) + 1)]
    return left


def _left(group: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        left = int((group / limit).read_text("ascii")) - int((group / used).read_text("ascii"))
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None
    # The page cache counts as used, but what nobody uses of it is given back on demand.
    found = _value(group / "memory.stat", cache)
    return max(0, left + (found or 0))


def resident() -> int:
    """Resident size of this process, in bytes; 0 where it is not known."""
    kilobytes = _value(_PROC / "self/status", "VmRSS")
    if kilobytes is not None:
        return kilobytes * 1024
    try:
        import psutil
    except ImportError:
        return 0
    return int(psutil.Process().memory_info().rss)


def peak_resident() -> int:
    """Largest resident size of this process so far, in bytes; 0 where it is not known."""
    # Linux's getrusage counts what the process that started this one held, too.
    kilobytes = _value(_PROC / "self/status", "VmHWM")
    if kilobytes is not None:
        return kilobytes * 1024
    try:
        import resource
    except ImportError:
        return _psutil_peak()
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(usage if sys.platform == "darwin" else usage * 1024)


def _psutil_peak() -> int:
    try:
        import psutil
    except ImportError:
        return 0
    # Windows keeps the largest working set.
    return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))


def give_back_at_once() -> None:
    """Have the C library return large arrays to the system as soon as they are freed.

    Left alone, glibc serves arrays of up to 32 MiB from its heap (man 3 mallopt,
    M_MMAP_THRESHOLD). Aligned arrays of many sizes tear holes there that none of them
    fits: networks and decoders then take 2 to 4 times what they use.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, MIB)


def is_shortage(error: Exception) -> bool:
    """Whether an error says, in words or by its type, that memory ran out."""
    return isinstance(error, MemoryError) or _SHORTAGE.search(str(error)) is not None


def network_bytes_per_pixel(architecture: Architecture) -> float:
    """Working memory of a float32 forward pass, per input pixel.

    Two neighboring layers are held at once, and some more besides: measured for 8 to 64
    channels, OpenVINO takes 2.0 to 2.5 layers, ONNX Runtime up to 2.5, torch 2.0 to 2.5.
    Layers of a folded network have one number for each square of `fold` x `fold` px.
    """
    layers = 2.4 * architecture.width / architecture.fold**2
    return 4.0 * (layers + 6.0 * architecture.planes)
