"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vdsr.inference import cpu

PACKAGES = ("vdsr", "numpy", "openvino", "onnxruntime", "torch", "pyvips-binary")


def describe() -> dict[str, Any]:
    """Processor, instruction sets, memory, system and versions, as an object for JSON."""
    return {
        "cpu": cpu.name(),
        "cores": cpu.cores(),
        "instructions": list(cpu.instructions()),
        "memory_bytes": _memory(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
    }


def installed_version(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
