"""`vdsr compare`: a page that shows how two pictures differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report
from vdsr.cli.options import Json, Overwrite, Quiet

if TYPE_CHECKING:
    from vdsr.inference.comparison import Measures


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A picture, or what was made of it.")],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Its enlargement, or another result of its size.")
    ],
    original: Annotated[
        Path | None,
        typer.Option(
            "--original", metavar="C", help="What they should be: PSNR and SSIM, also as maps."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The page. (default: B.html)"),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Show how two pictures differ: a page with a slider, what was added, where, and figures.

    Of a picture and its enlargement, bicubic and the enlargement are compared, and the
    enlargement shrunk again with the picture. The page needs no other file.

    Example: vdsr compare photo.jpg large.png
    """
    from vdsr.inference.compare import compare as compare_files

    goal = output or second.with_name(f"{second.name}.html")
    check_outputs(goal, json=json, overwrite=overwrite)
    found = compare_files(first, second, original=original, output=goal, overwrite=overwrite)
    report(_text(found, goal), found.as_dict() | {"page": str(goal)}, quiet=quiet, json=json)


def _text(found: Measures, goal: Path) -> str:
    from vdsr.inference.comparison_page import table

    return f"{table(found).text()}\n{goal}: the page"
