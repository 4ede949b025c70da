"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A shipped model, or a model file; auto chooses by damage.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="CPU threads. (default: all cores)"),
]
License = Annotated[
    str,
    typer.Option(
        "--license",
        "--licence",
        metavar="NAME",
        help="Terms of the pictures, for the model's card.",
    ),
]
Json = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        help="Write the result as JSON: to FILE (.json), else to standard output.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Replace the input itself, once the new picture is whole."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
