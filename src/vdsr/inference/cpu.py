"""The processor: its cores, its instructions, and what it makes of int8."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
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
# What keeps oneDNN, OpenVINO's and torch's library of kernels, from newer instructions:
# https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html
LIMIT_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_AVX512 = ("AVX2", "AVX-512")
_VNNI = (*_AVX512, "AVX-512 VNNI")
_BF16 = (*_VNNI, "AVX VNNI", "AVX-512 BF16")
_LIMITS: dict[str, tuple[str, ...]] = {
    "SSE41": (),
    "AVX": (),
    "AVX2": ("AVX2",),
    "AVX2_VNNI": ("AVX2", "AVX VNNI"),
    "AVX2_VNNI_2": ("AVX2", "AVX VNNI"),
    "AVX512_CORE": _AVX512,
    "AVX512_CORE_VNNI": _VNNI,
    "AVX512_CORE_BF16": _BF16,
    "AVX512_CORE_FP16": _BF16,
    "AVX10_1_512": _BF16,
}


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
    if sys.platform == "darwin" and (brand := _sysctl("machdep.cpu.brand_string")):
        return brand
    return platform.processor() or platform.machine()


def limit() -> str | None:
    """The instruction set that an environment variable keeps oneDNN to; None without one."""
    for variable in LIMIT_VARIABLES:
        value = os.environ.get(variable, "").upper()
        if value:
            return value if value in _LIMITS else None
    return None


def instructions() -> tuple[str, ...]:
    """Instruction sets in use that matter here; none where nobody tells."""
    found = set(_cpuinfo().split()) or _numpy_features() | _macos_features()
    known = (name for name, flags in _INSTRUCTIONS.items() if found.intersection(flags))
    kept = limit()
    # The limits name instructions of x86 alone.
    return tuple(n for n in known if kept is None or n.startswith("NEON") or n in _LIMITS[kept])


def int8_instructions() -> tuple[str, ...]:
    """Those that sum products of bytes in 32 bits; empty if there are none, or none known."""
    return tuple(name for name in instructions() if name in _INT8)


def is_x86() -> bool:
    """Whether this is a processor of Intel's or AMD's kind."""
    return platform.machine().lower() in _X86


def kind() -> str:
    """What this processor is for int8, in a few words: `VNNI`, `AVX2 without VNNI`, ...."""
    if not is_x86():
        return platform.machine() or "unknown"
    if not int8_saturates():
        return "VNNI"
    return "AVX2 without VNNI" if "AVX2" in instructions() else "without AVX2"


def int8_is_faster(backend: str) -> bool:
    """Whether int8 was measured to be faster than fp32 on processors of this kind.

    Times as fast as fp32, the shipped networks, two cores (docs/deployment.md): OpenVINO 7.2
    with AMX, 3.1 with VNNI, 1.6 with AVX-512, 1.7 with AVX2, 2.4 with SSE4.2; ONNX Runtime 1.7
    with VNNI, 1.5 with AVX2, 1.0 with SSE4.2. Others than x86 were not measured.

    Args:
        backend: name of a backend.
    """
    if backend == "openvino":
        return is_x86()
    return backend == "onnxruntime" and is_x86() and "AVX2" in instructions()


@cache
def int8_saturates() -> bool:
    """Whether sums of 8-bit products are cut off at 16 bits here, found by summing some.

    x86 without VNNI adds two products of uint8 and int8 (`vpmaddubsw`), up to 64,770, in an
    int16. With weights of 7 bits the sums fit.
    """
    import numpy as np
    import openvino
    from openvino import opset13 as ops

    channels, largest, weight = 16, 255.0, 127
    x = ops.parameter([1, channels, 8, 8], np.float32)
    data = ops.fake_quantize(x, *(np.float32(v) for v in (0.0, largest, 0.0, largest)), 256)
    integers = np.full((channels, channels, 3, 3), weight, np.int8)
    weights = ops.multiply(ops.convert(ops.constant(integers), "f32"), np.float32(1.0 / weight))
    y = ops.convolution(data, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    graph = openvino.Model([y], [x], "sums")
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.infer([np.full((1, channels, 8, 8), largest, np.float32)])
    lowest = float(request.get_output_tensor().data.min())
    return lowest < 0.9 * channels * 9 * largest


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
    return {"asimddp"} if _sysctl("hw.optional.arm.FEAT_DotProd") == "1" else set()


def _sysctl(name: str) -> str:
    """What macOS says of itself; empty if it does not."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name],
            capture_output=True,
            check=False,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
