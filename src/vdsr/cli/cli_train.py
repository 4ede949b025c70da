"""The commands for training; see `vdsr.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.options import Json, Overwrite, Quiet

Folders = Annotated[
    list[Path], typer.Argument(metavar="FOLDER...", help="Photographs, or gray pictures of luma.")
]
Licence = Annotated[
    str, typer.Option("--licence", help="Terms of the pictures; they go onto the model's card.")
]


def pack(
    folders: Folders,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PACK", help="The pack.")],
    licence: Licence = "unknown",
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", help="A folder of pictures that must not be trained on."),
    ] = None,
    keep_evaluation: Annotated[
        bool, typer.Option("--keep-evaluation", help="Keep pictures of known evaluation sets.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Pack photographs into one file of luma: all the data that training needs."""
    from vdsr.cli.training import run_pack

    run_pack(
        folders,
        output,
        licence=licence,
        evaluation=evaluation or [],
        keep_evaluation=keep_evaluation,
        overwrite=overwrite,
        quiet=quiet,
        json=json,
    )


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's name, or a TOML file.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The model file.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", metavar="FOLDER|PACK", help="Pictures; may be repeated."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            metavar="NAME|MODEL|CHECKPOINT",
            help="Weights to start from: a shipped model, a model file or a checkpoint.",
        ),
    ] = None,
    start_data: Annotated[
        str, typer.Option("--start-data", help="What a checkpoint to start from was trained on.")
    ] = "unknown",
    licence: Licence = "unknown",
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the model file. (default: the recipe's)")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the weights.")] = "0",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run was interrupted.")
    ] = False,
    overwrite: Overwrite = False,
    devices: Annotated[int, typer.Option("--devices", help="GPUs; without one, processes.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", help="CPU threads. (default: all cores)", show_default=False)
    ] = 0,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Train a network by a recipe; ends with a model file and its card."""
    from vdsr.cli.training import run_train

    run_train(
        recipe,
        data or [],
        output,
        start_from=start_from,
        start_data=start_data,
        licence=licence,
        name=name,
        version=version,
        resume=resume,
        overwrite=overwrite,
        devices=devices,
        threads=threads,
        quiet=quiet,
        json=json,
    )
