"""`vdsr data pack`: photographs become one file of luma, or of RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.console import check_outputs, report, say_left_out
from vdsr.cli.options import Json, License, Overwrite, Quiet
from vdsr.extras import require


def pack(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Photographs, or gray pictures of luma."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PACK", help="The pack.")],
    license: License = "unknown",
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            "--evaluation", metavar="FILE", help="A folder of pictures that must not be trained on."
        ),
    ] = None,
    keep_evaluation: Annotated[
        bool, typer.Option("--keep-evaluation", help="Keep pictures of known evaluation sets.")
    ] = False,
    color: Annotated[
        bool, typer.Option("--color", help="Keep RGB: for networks of Y, Cb, Cr, and damage.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Pack photographs into one file of luma or RGB: all the data that training needs.

    Example: vdsr data pack photographs/ --license CC0-1.0 --output mine.pack
    """
    from vdsr.data.pack import pack_folders
    from vdsr.data.packfile import write_pack

    require("PIL")
    check_outputs(output, json=json, overwrite=overwrite)
    made = pack_folders(
        folders,
        license=license,
        evaluation=evaluation or [],
        keep_evaluation=keep_evaluation,
        color=color,
    )
    write_pack(made.pack, output)
    say_left_out(made.left_out, quiet=quiet)
    size = output.stat().st_size
    content = {
        "output": str(output),
        "pictures": len(made.pack.pictures),
        "color": made.pack.color,
        "pixels": made.pack.pixels,
        "bytes": size,
        "digest": made.pack.digest,
        "left_out": list(made.left_out),
    }
    text = (
        f"{output}: {len(made.pack.pictures)} pictures, {made.pack.pixels / 1e6:.1f} Mpixel,"
        f" {size / 1e6:.1f} MB, digest {made.pack.digest[:12]}"
    )
    report(text, content, quiet=quiet, json=json)
