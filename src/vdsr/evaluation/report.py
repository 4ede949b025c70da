"""Rows as a table for the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vdsr.evaluation.evaluate import Row

_LEFT = ("dataset", "protocol", "model", "precision", "backend", "crop")
_FORMATS = {
    "scale": "x{}",
    "psnr": "{:.3f}",
    "ssim": "{:.4f}",
    "seconds": "{:.2f}",
    "consistency": "{:.2f}",
    "seconds_per_megapixel": "{:.2f}",
    "fid": "{:.3f}",
}
_TITLES = {
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "consistency": "consistency dB",
    "seconds_per_megapixel": "s/Mpixel",
    "fid": "FID",
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


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, one table per protocol, whose figures cannot be compared.

    Args:
        rows: at least one.

    Returns:
        Lines, without a newline at the end.
    """
    protocols = dict.fromkeys(row.protocol for row in rows)
    return "\n\n".join(_table([r for r in rows if r.protocol == name]) for name in protocols)


def _table(rows: list[Row]) -> str:
    names = columns(rows)
    lines = [[title(name) for name in names]]
    for row in rows:
        figures = row.figures()
        lines.append([cell(name, figures.get(name)) for name in names])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if name in _LEFT else text.rjust(width)
            for name, text, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a heading, figures in full; the single pictures are left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.figures() for row in rows)
    return text.getvalue()
