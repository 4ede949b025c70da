"""The processor: its cores, and whether it multiplies integers faster than floats."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Flags of Linux (x86 and ARM), and what numpy calls the same.
_INSTRUCTIONS = {
    "AVX2": ("avx2", "AVX2", "X86_V3"),
    "AVX-512": ("avx512f", "AVX512F", "AVX512_SKX", "X86_V4"),
    "AVX-512 VNNI": ("avx512_vnni", "AVX512VNNI", "AVX512_CLX", "AVX512_ICL"),
    "AVX VNNI": ("avx_vnni", "AVXVNNI"),
    "AVX-512 BF16": ("avx512_bf16", "AVX512BF16", "AVX512_SPR"),
    "AMX int8": ("amx_int8", "AMXINT8"),
    "NEON dot product": ("asimddp", "ASIMDDP"),
}
# Products of bytes, summed in 32 bits, four or more to a lane.
_INT8 = ("AVX-512 VNNI", "AVX VNNI", "AMX int8", "NEON dot product")
_X86 = ("x86_64", "amd64", "i386", "i686")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def name() -> str:
    """The processor, as the system names it."""
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instructions() -> tuple[str, ...]:
    """Instruction sets of the processor that matter here; none where nobody tells."""
    found = set(_cpuinfo().split()) or _numpy_features() | _macos_features()
    return tuple(name for name, flags in _INSTRUCTIONS.items() if found.intersection(flags))


def int8_instructions() -> tuple[str, ...]:
    """Those with which int8 is faster than fp32; empty if there are none, or none known."""
    return tuple(name for name in instructions() if name in _INT8)


def int8_saturates() -> bool:
    """Whether sums of 8-bit products are cut off at 16 bits: x86 without VNNI.

    There `vpmaddubsw` adds two products of uint8 and int8, up to 64,770, in an int16.
    With weights of 7 bits the sums fit.
    """
    return platform.machine().lower() in _X86 and not int8_instructions()


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _numpy_features() -> set[str]:
    """What numpy found when it was imported, where it says so (from 1.26 on)."""
    import numpy as np

    try:
        extensions = np.show_config(mode="dicts")["SIMD Extensions"]
        return {*extensions.get("baseline", ()), *extensions.get("found", ())}
    except (AttributeError, KeyError, TypeError):
        return set()


def _macos_features() -> set[str]:
    """Apple's processors: numpy does not ask for what all of them have."""
    if sys.platform != "darwin":
        return set()
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.optional.arm.FEAT_DotProd"],
            capture_output=True,
            check=False,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return set()
    return {"asimddp"} if done.stdout.strip() == "1" else set()
