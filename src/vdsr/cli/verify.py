"""`vdsr verify`: whether a picture is what a network made of a source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.console import check_outputs, report
from vdsr.cli.options import Json, MaxMemory, Quiet, Threads
from vdsr.cli.progress import PictureDisplay


def verify(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The enlarged picture.")],
    source: Annotated[
        Path, typer.Option("--source", metavar="IN", help="The picture that it was made of.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="The model. (default: the shipped one that OUT names)",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            min=0.0,
            max=255.0,
            metavar="LEVELS",
            help="Levels of 0..255 that are taken as equal: 1 for what another processor made.",
        ),
    ] = 0.0,
    threads: Threads = None,
    max_memory: MaxMemory = None,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Say whether a picture is what the network made of a source: yes, no, or altered since.

    The result is made again, as the picture says that it was made, and compared: pixels and
    metadata. Exit code 0 for yes, 1 for no and altered.

    Example: vdsr verify large.png --source photo.jpg
    """
    from vdsr.inference.verify import YES
    from vdsr.inference.verify import verify as verify_picture

    check_outputs(json=json, overwrite=False)
    with PictureDisplay(output.name, quiet=quiet) as display:
        found = verify_picture(
            output,
            source,
            model=model,
            tolerance=tolerance,
            threads=threads,
            max_memory=max_memory,
            progress=display,
        )
    text = f"{output}: {found.verdict}: {'; '.join(found.reasons)}"
    content = {"output": str(output), "source": str(source), **found.as_dict()}
    report(text, content, quiet=quiet, json=json)
    if found.verdict != YES:
        raise typer.Exit(1)
