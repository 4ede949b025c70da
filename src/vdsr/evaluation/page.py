"""The report: one page of HTML that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from vdsr.evaluation.cutouts import RESIDUAL_GAIN
from vdsr.evaluation.evaluate import ImageResult, Row
from vdsr.evaluation.report import cell, tables
from vdsr.report import page as frame
from vdsr.report.svg import lines


def page(rows: Sequence[Row], *, heading: str, warnings: Sequence[str] = ()) -> str:
    """The rows as a page: tables, plots, and cut-outs where the rows have them.

    Args:
        rows: at least one.
        heading: what was measured.
        warnings: lines that are shown above the tables.

    Returns:
        A whole HTML document; pictures are PNGs inside it.
    """
    body: list[str] = []
    for protocol, table in tables(rows).items():
        chosen = [row for row in rows if row.protocol == protocol]
        body.append(f"<h2>Protocol <code>{html.escape(protocol)}</code></h2>")
        body.append(table.html())
        body += _plots(chosen)
        body += _crops(chosen)
    return frame.page(heading, body, warnings=warnings)


def label(row: Row) -> str:
    """A model with its precision and backend, for legends."""
    return row.model if row.backend is None else f"{row.model} {row.precision} {row.backend}"


def _plots(rows: list[Row]) -> Iterator[str]:
    for dataset in dict.fromkeys(row.dataset for row in rows):
        series: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            if row.dataset == dataset:
                series.setdefault(label(row), []).append((row.scale, row.psnr))
        yield lines(series, label=f"PSNR in dB on {dataset}")


def _crops(rows: list[Row]) -> Iterator[str]:
    """Per picture: original, bicubic, then result and residual of every model."""
    for dataset, scale in dict.fromkeys((row.dataset, row.scale) for row in rows):
        group = [row for row in rows if (row.dataset, row.scale) == (dataset, scale)]
        # Bicubic comes first in every group.
        for results in zip(*(row.images for row in group), strict=True):
            restored = [pair for pair in zip(group, results, strict=True) if pair[1].cutout]
            if restored:
                name = html.escape(f"{dataset} x{scale}: {results[0].image}")
                yield f"<h3>{name}</h3>{frame.figures(_figures(results[0], restored))}"


def _figures(bicubic: ImageResult, restored: list[tuple[Row, ImageResult]]) -> Iterator[str]:
    first = restored[0][1].cutout
    if first is not None:
        yield frame.figure(first.original, "original")
        yield frame.figure(first.bicubic, f"bicubic, {cell('psnr', bicubic.psnr)} dB")
    for row, result in restored:
        if result.cutout is not None:
            text = f"{label(row)}, {cell('psnr', result.psnr)} dB"
            yield frame.figure(result.cutout.result, text)
            yield frame.figure(result.cutout.residual, f"its residual, times {RESIDUAL_GAIN:g}")
