"""The page that leads to the pages of a job's pictures, each with a thumbnail.

A page of a picture holds its own thumbnail and summary in its head, so that making an index
of 100,000 of them decodes no picture.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from vdsr.jobs.manifest import Manifest
from vdsr.jobs.settings import BESIDE
from vdsr.outputs import write_whole
from vdsr.report.page import page

INDEX = "index.html"
# Entries of one page, and what of a picture's page is read for its entry.
_ENTRIES, _HEAD = 500, 1 << 16
_THUMBNAIL = re.compile(r'<link rel="icon" href="(data:image/jpeg;base64,[\w+/=]+)">')
_SUMMARY = re.compile(r'<meta name="description" content="([^"<>]*)">')


def write_index(manifest: Manifest, folder: Path) -> None:
    """Write `index.html`, and `index-2.html` and so on where there are many pictures.

    Args:
        manifest: of the job.
        folder: of the pages, which are mirrored in it.

    Raises:
        OutputError: if it cannot be written.
    """
    rows = manifest.pages("SELECT id, output FROM pictures WHERE state = 'done' AND {after}")
    names = sorted(os.fsdecode(row["output"]) for row in rows)
    present = [name for name in names if (folder / f"{name}{BESIDE['compare']}").is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, max(1, len(present)), _ENTRIES)
    parts = [present[start : start + _ENTRIES] for start in starts]
    for number, part in enumerate(parts, 1):
        title = "Pictures enlarged" + (f", {number} of {len(parts)}" if len(parts) > 1 else "")
        text = page(title, _body(folder, part, number, len(parts), len(present)))
        write_whole(folder / _name(number), text)


def _name(number: int) -> str:
    return INDEX if number == 1 else f"index-{number}.html"


def _body(
    folder: Path, names: Iterable[str], number: int, count: int, pictures: int
) -> Iterator[str]:
    yield f"<p>{pictures} pictures, each with a page that shows what was added.</p>"
    if count > 1:
        links = (
            f"<b>{i}</b>" if i == number else f'<a href="{_name(i)}">{i}</a>'
            for i in range(1, count + 1)
        )
        yield f"<p>Pages: {' '.join(links)}</p>"
    yield f'<div class="pictures">{"".join(_entry(folder, name) for name in names)}</div>'


def _entry(folder: Path, name: str) -> str:
    file = f"{name}{BESIDE['compare']}"
    with (folder / file).open(encoding="utf-8", errors="replace") as opened:
        head = opened.read(_HEAD)
    thumbnail, summary = _THUMBNAIL.search(head), _SUMMARY.search(head)
    # Names of any bytes: what is shown must be text, what is followed must be those bytes.
    shown = html.escape(os.fsencode(name).decode("utf-8", "replace"))
    image = "" if thumbnail is None else f'<img src="{thumbnail[1]}" alt="" loading="lazy">'
    said = "" if summary is None else f"<br>{summary[1]}"
    address = quote(os.fsencode(file))
    return (
        f'<figure><a href="{address}">{image}</a>'
        f'<figcaption><a href="{address}">{shown}</a>{said}</figcaption></figure>'
    )
