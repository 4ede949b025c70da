"""The figures of a benchmark as tables, for a terminal and for a page of documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vdsr.inference.memory import format_size
from vdsr.report.table import Table

_Cell = Callable[[Mapping[str, Any]], str]


def _number(key: str, form: str, factor: float = 1.0, unit: str = "") -> _Cell:
    def cell(row: Mapping[str, Any]) -> str:
        value: Any = row
        for part in key.split("."):
            value = value[part]
        return "-" if value is None else format(value * factor, form) + unit

    return cell


def _text(key: str) -> _Cell:
    return lambda row: str(row[key])


_WHO = {"model": _text("model"), "backend": _text("backend"), "precision": _text("precision")}
# Columns of words; the others hold numbers.
_WORDS = ("size", "what", "model", "backend", "precision", "data", "mode")
TABLES: dict[str, tuple[str, dict[str, _Cell]]] = {
    "network": (
        "The network alone",
        {
            "size": _text("size"),
            "batch": _text("batch"),
            **_WHO,
            "p50 ms": _number("latency_seconds.p50", ".0f", 1000),
            "p95 ms": _number("latency_seconds.p95", ".0f", 1000),
            "Mpixel/s": _number("megapixels_per_second", ".3f"),
            "streams Mpixel/s": _number("throughput_megapixels_per_second", ".3f"),
            "of ceiling": _number("share_of_ceiling", ".0f", 100, " %"),
            "times eager": _number("times_reference", ".2f"),
        },
    ),
    "start": (
        "A fresh process, to its first result",
        {
            "size": _text("size"),
            **_WHO,
            "start s": _number("start_seconds.p50", ".2f"),
            "peak memory": lambda row: format_size(row["peak_memory_bytes"]),
        },
    ),
    "program": (
        "The whole program",
        {
            "size": _text("size"),
            "what": _text("what"),
            **_WHO,
            "p50 s": _number("seconds.p50", ".2f"),
            "Mpixel/s": _number("megapixels_per_second", ".3f"),
            "peak memory": lambda row: (
                format_size(row["peak_memory_bytes"]) if "peak_memory_bytes" in row else "-"
            ),
            "times fp32": _number("times_fp32", ".2f"),
            "times eager": _number("times_reference", ".2f"),
        },
    ),
    "quality": (
        "Quality",
        {
            "data": _text("dataset"),
            "scale": _text("scale"),
            "model": _text("model"),
            "precision": lambda row: row["precision"] or "-",
            "PSNR dB (float)": _number("psnr", ".3f"),
        },
    ),
    "gpu": (
        "On the GPU",
        {
            "precision": _text("precision"),
            "mode": _text("mode"),
            "tile": _text("tile"),
            "batch": _text("batch"),
            "streams": _text("streams"),
            "p50 ms": _number("seconds.p50", ".2f", 1000),
            "Mpixel/s": _number("megapixels_per_second", ".1f"),
            "of bf16 ceiling": _number("share_of_ceiling", ".0f", 100, " %"),
        },
    ),
}


def machine_line(figures: Mapping[str, Any]) -> str:
    """The machine in one line."""
    machine = figures["machine"]
    packages = ", ".join(
        f"{name} {number}" for name, number in machine["packages"].items() if number
    )
    memory = machine["memory_bytes"]
    parts = [
        machine["cpu"],
        f"{machine['cores']} cores, {figures['threads']} threads used",
        ", ".join(machine["instructions"]) or "instruction sets unknown",
        "memory unknown" if memory is None else format_size(memory),
        f"Python {machine['python']}",
        packages,
    ]
    return "; ".join(parts)


def ceiling_line(figures: Mapping[str, Any]) -> str:
    """The ceiling in one line."""
    ceiling = figures["ceiling"]
    each = ", ".join(f"{name} {rate:.0f}" for name, rate in ceiling["best_gflops"].items())
    return f"float32 matrix product: {ceiling['gflops']:.0f} GFLOP/s ({each})"


def as_text(figures: Mapping[str, Any]) -> str:
    """All tables, columns aligned."""
    parts = [f"{machine_line(figures)}\n{ceiling_line(figures)}", *figures["notes"]]
    parts += [f"{title}\n{table.text()}" for title, table in _tables(figures)]
    return "\n\n".join(parts)


def as_markdown(figures: Mapping[str, Any]) -> str:
    """All tables, as Markdown."""
    parts = [machine_line(figures) + ".", ceiling_line(figures) + "."]
    parts += [f"{note[0].upper()}{note[1:]}." for note in figures["notes"]]
    parts += [f"## {title}\n\n{table.markdown()}" for title, table in _tables(figures)]
    return "\n\n".join(parts) + "\n"


def _tables(figures: Mapping[str, Any]) -> list[tuple[str, Table]]:
    found = []
    for key, (title, columns) in TABLES.items():
        rows: Sequence[Mapping[str, Any]] = figures.get(key, ())
        if rows:
            cells = [[cell(row) for cell in columns.values()] for row in rows]
            left = [i for i, name in enumerate(columns) if name in _WORDS]
            found.append((title, Table(list(columns), cells, left)))
    return found
