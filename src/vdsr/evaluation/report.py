"""Rows as a table for the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vdsr.evaluation.evaluate import Row
from vdsr.report.table import Table

_LEFT = ("dataset", "protocol", "model", "precision", "backend", "crop")
_FORMATS = {
    "scale": "x{}",
    "psnr": "{:.3f}",
    "ssim": "{:.4f}",
    "seconds": "{:.2f}",
    "consistency": "{:.2f}",
    "seconds_per_megapixel": "{:.2f}",
    "fid": "{:.3f}",
    "outside_percent": "{:.2f}",
}
_TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "consistency": "consistency dB",
    "seconds_per_megapixel": "s/Mpixel",
    "fid": "FID",
    "outside_percent": "outside %",
}


def columns(rows: Sequence[Row]) -> list[str]:
    """Names of all figures that any of the rows has, in the order of their first use."""
    return list(dict.fromkeys(name for row in rows for name in row.figures()))


def cell(name: str, value: str | float | None) -> str:
    """One figure as text; a missing one is `-`."""
    if value is None:
        return "-"
    if isinstance(value, float):
        base = name if name in _FORMATS else name.partition("_")[0]
        return _FORMATS.get(base, "{:.3f}").format(value)
    return _FORMATS.get(name, "{}").format(value)


def title(name: str) -> str:
    """Heading of a column."""
    if name in _TITLES:
        return _TITLES[name]
    base, _, rest = name.partition("_")
    return f"{_TITLES[base]} {rest}" if base in _TITLES and rest else name.replace("_", " ")


def tables(rows: Sequence[Row]) -> dict[str, Table]:
    """The rows by protocol, whose figures cannot be compared with those of another.

    Args:
        rows: at least one.
    """
    protocols = dict.fromkeys(row.protocol for row in rows)
    return {name: _table([row for row in rows if row.protocol == name]) for name in protocols}


def as_text(rows: Sequence[Row]) -> str:
    """The tables one below the other, without a newline at the end."""
    return "\n\n".join(table.text() for table in tables(rows).values())


def _table(rows: Sequence[Row]) -> Table:
    names = columns(rows)
    cells = [[cell(name, row.figures().get(name)) for name in names] for row in rows]
    left = [i for i, name in enumerate(names) if name in _LEFT]
    return Table([title(name) for name in names], cells, left)


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a heading, figures in full; the single pictures are left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.figures() for row in rows)
    return text.getvalue()
