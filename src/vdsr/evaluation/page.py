"""The report: one page of HTML that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr.evaluation.cutouts import RESIDUAL_GAIN
from vdsr.evaluation.evaluate import ImageResult, Row
from vdsr.evaluation.plot import plot
from vdsr.evaluation.report import cell, columns, title

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;max-width:760px;font-size:13px;overflow:visible}
.crops{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 1.5em}
figure{margin:0}figcaption{font-size:13px;color:#555;max-width:192px}
img{width:192px;image-rendering:pixelated;display:block}
.warning{border-left:4px solid #d55e00;padding-left:.8em}
"""


def page(rows: Sequence[Row], *, heading: str, warnings: Sequence[str] = ()) -> str:
    """The rows as a page: tables, plots, and cut-outs where the rows have them.

    Args:
        rows: at least one.
        heading: what was measured.
        warnings: lines that are shown above the tables.

    Returns:
        A whole HTML document; pictures are PNGs inside it.
    """
    body = [f"<h1>{html.escape(heading)}</h1>"]
    body += [f'<p class="warning">{html.escape(text)}</p>' for text in warnings]
    for protocol in dict.fromkeys(row.protocol for row in rows):
        chosen = [row for row in rows if row.protocol == protocol]
        body.append(f"<h2>Protocol <code>{html.escape(protocol)}</code></h2>")
        body.append(_table(chosen))
        body += _plots(chosen)
        body += _crops(chosen)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(heading)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def label(row: Row) -> str:
    """A model with its precision and backend, for legends."""
    return row.model if row.backend is None else f"{row.model} {row.precision} {row.backend}"


def _table(rows: list[Row]) -> str:
    names = columns(rows)
    lines = ["<tr>" + "".join(f"<th>{html.escape(title(n))}</th>" for n in names) + "</tr>"]
    for row in rows:
        figures = row.figures()
        cells = [
            f"<td{' class=n' if isinstance(figures.get(name), float) else ''}>"
            f"{html.escape(cell(name, figures.get(name)))}</td>"
            for name in names
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _plots(rows: list[Row]) -> Iterator[str]:
    for dataset in dict.fromkeys(row.dataset for row in rows):
        series: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            if row.dataset == dataset:
                series.setdefault(label(row), []).append((row.scale, row.psnr))
        yield plot(series, label=f"PSNR in dB on {dataset}")


def _crops(rows: list[Row]) -> Iterator[str]:
    """Per picture: original, bicubic, then result and residual of every model."""
    for dataset, scale in dict.fromkeys((row.dataset, row.scale) for row in rows):
        group = [row for row in rows if (row.dataset, row.scale) == (dataset, scale)]
        # Bicubic comes first in every group.
        for results in zip(*(row.images for row in group), strict=True):
            restored = [pair for pair in zip(group, results, strict=True) if pair[1].cutout]
            if restored:
                name = html.escape(f"{dataset} x{scale}: {results[0].image}")
                yield f'<h3>{name}</h3><div class="crops">'
                yield from _figures(results[0], restored)
                yield "</div>"


def _figures(bicubic: ImageResult, restored: list[tuple[Row, ImageResult]]) -> Iterator[str]:
    first = restored[0][1].cutout
    if first is not None:
        yield _figure(first.original, "original")
        yield _figure(first.bicubic, f"bicubic, {cell('psnr', bicubic.psnr)} dB")
    for row, result in restored:
        if result.cutout is not None:
            text = f"{label(row)}, {cell('psnr', result.psnr)} dB"
            yield _figure(result.cutout.result, text)
            yield _figure(result.cutout.residual, f"its residual, times {RESIDUAL_GAIN:g}")


def _figure(picture: NDArray[np.uint8], text: str) -> str:
    data = pyvips.Image.new_from_array(np.ascontiguousarray(picture)).write_to_buffer(".png")
    source = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    caption = html.escape(text)
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
