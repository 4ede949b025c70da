"""A page of HTML that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import numpy as np
import pyvips
from numpy.typing import NDArray

# Largest side of a thumbnail, px.
_THUMBNAIL = 192

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;max-width:760px;font-size:13px;overflow:visible}
.pictures{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 1.5em}
figure{margin:0}figcaption{font-size:13px;color:#555}
.pictures figcaption{max-width:192px}
.pictures img{width:192px;image-rendering:pixelated;display:block}
.pictures.large img{width:auto;max-width:100%}.pictures.large figcaption{max-width:none}
.pictures.maps figure{flex:1 1 300px}.pictures.maps img{width:100%}
.pictures.crops{flex-wrap:nowrap}.pictures.crops figure{flex:0 1 256px;min-width:0}
.pictures.crops img{width:100%}.pictures.maps figcaption{max-width:none}
.warning{border-left:4px solid #d55e00;padding-left:.8em}
"""


def page(
    heading: str,
    body: Iterable[str],
    *,
    warnings: Sequence[str] = (),
    summary: str = "",
    thumbnail: NDArray[np.uint8] | None = None,
) -> str:
    """A whole document.

    Args:
        heading: plain text; also the title.
        body: pieces of HTML.
        warnings: lines of plain text that are shown above them.
        summary: plain text for those who list pages; empty for none.
        thumbnail: uint8 `[H, W]` or `[H, W, 3]`, of any size, for them, too.
    """
    title = html.escape(heading)
    shown = "".join(f'<p class="warning">{html.escape(text)}</p>' for text in warnings)
    head = f'<meta name="description" content="{html.escape(summary)}">' if summary else ""
    if thumbnail is not None:
        head += f'<link rel="icon" href="{_thumbnail_uri(thumbnail)}">'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>{head}<style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{shown}{''.join(body)}</body></html>\n"
    )


def _thumbnail_uri(picture: NDArray[np.uint8]) -> str:
    image = pyvips.Image.new_from_array(np.ascontiguousarray(picture))
    small = image.thumbnail_image(_THUMBNAIL, height=_THUMBNAIL, size="down")
    data = small.jpegsave_buffer(Q=80)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture inside the page: uint8 `[H, W]` or `[H, W, 1..4]` as an address of a PNG."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(picture))
    data = image.write_to_buffer(".png")
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def figure(picture: NDArray[np.uint8], caption: str) -> str:
    """A picture with its caption; uint8 `[H, W]` or `[H, W, 3]`."""
    text = html.escape(caption)
    return (
        f'<figure><img src="{data_uri(picture)}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def figures(pictures: Iterable[str], *, kind: str = "") -> str:
    """Figures beside each other.

    Args:
        pictures: figures.
        kind: empty for small ones; `large` for the size they have; `maps` for two in a row;
            `crops` for all in a row.
    """
    return f'<div class="{f"pictures {kind}".strip()}">{"".join(pictures)}</div>'
