"""`vdsr doctor`: what is installed, what works, what would be used."""

from __future__ import annotations

import platform
import re
from importlib.metadata import requires
from typing import TYPE_CHECKING, Any

from vdsr.cli.console import check_outputs, report
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.errors import VdsrError
from vdsr.version import __version__

if TYPE_CHECKING:
    from vdsr.model.file import ModelFile

_REQUIREMENT = re.compile(r"([\w.-]+).*; extra == ['\"](\w+)['\"]")
_PROBE = 48


def doctor(overwrite: Overwrite = False, quiet: Quiet = False, json: Json = None) -> None:
    """Show what is installed, which backends work, and what would be used.

    Example: vdsr doctor --json
    """
    from vdsr.benchmark import machine
    from vdsr.inference import backends, cpu, memory
    from vdsr.inference.selection import automatic_models
    from vdsr.model.file import load_model, shipped_models

    check_outputs(json=json, overwrite=overwrite)
    model = load_model()
    found: dict[str, Any] = {
        "vdsr": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu.name(),
        "cores": cpu.cores(),
        "instructions": list(cpu.instructions()),
        "kind": cpu.kind(),
        "limit": cpu.limit(),
        "int8": {
            "faster": cpu.int8_is_faster(backends.settle("auto")),
            "saturates": cpu.int8_saturates(),
        },
        "memory_available_bytes": memory.available(),
        "packages": {
            name: machine.installed_version(name) for name in ("numpy", "pyvips", "pyvips-binary")
        },
        "libvips": _libvips(),
        "extras": {
            extra: {name: machine.installed_version(name) for name in names}
            for extra, names in _extras().items()
        },
        "backends": {name: _backend(name, model) for name in backends.BACKENDS},
        "models": list(shipped_models()),
    }
    models = automatic_models()
    found["would_use"] = _use(models.clean)
    found["would_use_when_damaged"] = _use(models.damaged)
    found["would_use_to_restore"] = _use(models.own_size)
    report(_text(found), found, quiet=quiet, json=json)


def _use(model: str) -> dict[str, str]:
    """What a shipped model would be run in, and on."""
    from vdsr.inference.selection import select

    file, choice = select(model)
    return {
        "model": f"{file.metadata.name} {file.metadata.version}",
        "backend": choice.backend,
        "precision": choice.precision,
    }


def _text(found: dict[str, Any]) -> str:
    from vdsr.inference import memory

    rows = [
        ("vdsr", f"{found['vdsr']} (Python {found['python']}, {found['system']})"),
        ("CPU", f"{found['cpu']}, {found['cores']} cores"),
        ("kind", found["kind"] + (f", limited to {found['limit']}" if found["limit"] else "")),
        ("instructions", ", ".join(found["instructions"]) or "unknown"),
        ("int8", _int8(found["int8"])),
        ("memory", f"{memory.format_size(found['memory_available_bytes'])} available"),
        ("libvips", found["libvips"]),
    ]
    for name, state in found["backends"].items():
        rows.append((f"backend {name}", state["state"]))
    for extra, packages in found["extras"].items():
        states = (f"{name} {number or 'missing'}" for name, number in packages.items())
        rows.append((f"extra {extra}", ", ".join(states)))
    rows.append(("models", ", ".join(found["models"])))
    last = None
    for label, key in (
        ("would use", "would_use"),
        ("for damaged pictures", "would_use_when_damaged"),
        ("to restore", "would_use_to_restore"),
    ):
        use = found[key]
        if use != last:
            rows.append((label, f"{use['model']}, {use['precision']}, on {use['backend']}"))
        last = use
    return "\n".join(f"{name:<21}{value}" for name, value in rows)


def _int8(found: dict[str, bool]) -> str:
    """What this CPU makes of int8, for people."""
    speed = "faster than fp32" if found["faster"] else "not measured to be faster than fp32"
    right = "sums of 8-bit weights saturate, 7-bit ones are right" if found["saturates"] else ""
    return f"{speed} on processors of this kind; {right or '8-bit weights are right'}"


def _backend(name: str, model: ModelFile) -> dict[str, Any]:
    """Whether a backend runs the shipped model, found by running it."""
    import numpy as np

    from vdsr.benchmark import machine
    from vdsr.inference import backends

    if not backends.is_installed(name):
        return {"installed": None, "works": False, "precisions": [], "state": "not installed"}
    number = machine.installed_version(name)
    try:
        offered = backends.precisions(name)
        network = backends.open_backend(model, backends.choose(model, name))
        y = np.full((1, 1, _PROBE, _PROBE), 0.5, np.float32)
        works = bool(np.isfinite(network.run(y)).all())
        network.close()
    except (VdsrError, ImportError, OSError, RuntimeError) as error:
        text = " ".join(str(error).split())
        return {
            "installed": number,
            "works": False,
            "precisions": [],
            "state": f"{number}: broken: {text}",
        }
    state = f"{number}: works ({', '.join(offered)})" if works else f"{number}: gives no numbers"
    return {"installed": number, "works": works, "precisions": list(offered), "state": state}


def _extras() -> dict[str, list[str]]:
    """The packages behind each extra, as the installed package declares them."""
    extras: dict[str, list[str]] = {}
    for requirement in requires("vdsr") or []:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] != "dev":
            extras.setdefault(match[2], []).append(match[1])
    return extras


def _libvips() -> str:
    import pyvips

    numbers = ".".join(str(pyvips.version(i)) for i in range(3))
    loaders = ("png", "jpeg", "webp", "tiff", "heif", "gif")
    readable = [n for n in loaders if pyvips.type_find("VipsOperation", f"{n}load")]
    return f"{numbers} (reads {', '.join(readable)})"
