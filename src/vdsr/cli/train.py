"""`vdsr train`: from photographs to a model file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdsr.cli.console import (
    INTERRUPTED,
    check_outputs,
    duration,
    report,
    say,
    say_left_out,
)
from vdsr.cli.options import Json, License, Overwrite, Quiet
from vdsr.cli.progress import TrainingDisplay
from vdsr.errors import InputError, UsageError
from vdsr.extras import require
from vdsr.inputs import exists, is_folder
from vdsr.outputs import write_whole

if TYPE_CHECKING:
    from vdsr.cluster.options import ClusterOptions
    from vdsr.data.packfile import Pack
    from vdsr.model.metadata import ModelMetadata
    from vdsr.training.recipe import Recipe
    from vdsr.training.run import Outcome, Start, TrainingOptions


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or one of cpu, fast, folded, paper, photo, pytorch-vdsr, refine,"
            " release, restore, smoke, srcnn.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The model file.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            "-d",
            metavar="FOLDER|PACK[@SHARE]",
            help="Pictures; may be repeated. lines.pack@0.1: a tenth of all patches.",
        ),
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
        str,
        typer.Option(
            "--start-data", metavar="NAME", help="What a checkpoint to start from was trained on."
        ),
    ] = "unknown",
    license: License = "unknown",
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="Name in the model file. (default: the recipe's)"
        ),
    ] = None,
    version: Annotated[
        str, typer.Option("--version", metavar="NAME", help="Version of the weights.")
    ] = "0",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run was interrupted.")
    ] = False,
    branch: Annotated[
        bool,
        typer.Option(
            "--branch",
            help="End the trunk as it stands: the rate falls to 0, and the model is written.",
        ),
    ] = False,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            metavar="N",
            help="Stop after this time; --resume goes on.",
            show_default=False,
        ),
    ] = 0.0,
    overwrite: Overwrite = False,
    devices: Annotated[
        int, typer.Option("--devices", metavar="N", help="GPUs; without one, processes.")
    ] = 1,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", metavar="N", help="CPU threads. (default: all cores)", show_default=False
        ),
    ] = 0,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Train by Ray Train, with --devices processes of a Ray cluster: HOST:PORT of"
            " its head, auto, or local for this machine.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Train a network by a recipe; ends with a model file and its card.

    Example: vdsr train cpu --data mine.pack --output mine.onnx
    """
    from vdsr.training.recipe_file import load_recipe
    from vdsr.training.run import TrainingOptions

    chosen = load_recipe(recipe)
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a model file ends in .onnx")
    if devices < 1 or min(threads, minutes) < 0:
        raise UsageError("--devices is 1 or more, --threads and --minutes 0 or more")
    if branch and start_from is not None:
        raise UsageError("a branch starts from its trunk: --start-from has no place beside it")
    check_outputs(output, output.with_suffix(".md"), json=json, overwrite=overwrite)
    require("torch", "pytorch_lightning", "tensorboard", "PIL", "onnx")
    place = None if cluster is None else _cluster(cluster)
    # torch is not needed for packs, and takes a while to load.
    from vdsr.training import lightning
    from vdsr.training.checkpoint import NAME

    quiet = quiet or not lightning.leads()
    folder = output.with_suffix(".training")
    start = None if start_from is None else _start(start_from, start_data)
    pack = _data(chosen, data or [], license, quiet=quiet)
    if overwrite and not resume and not branch and lightning.leads():
        (folder / NAME).unlink(missing_ok=True)
    if not quiet:
        _announce(chosen, pack, folder)
    goal = output.with_suffix(".branch") if branch else None
    with TrainingDisplay(chosen.name, quiet=quiet) as display:
        options = TrainingOptions(
            devices=devices,
            threads=threads,
            minutes=minutes,
            progress=display,
            say=(lambda line: None) if quiet else display.say,
        )
        if place is None:
            outcome = _train(
                chosen, lambda: pack, folder, goal, start=start, resume=resume, options=options
            )
        else:
            from vdsr.cluster.training import train_on_cluster

            # Processes that are started again go on from the last checkpoint.
            if not resume and exists((goal or folder) / NAME):
                if goal is None:
                    raise UsageError(f"{folder}: a run is there already: resume=True continues it")
                (goal / NAME).unlink()
            work = partial(_take_part, chosen, data or [], license, folder, goal, start)
            outcome = train_on_cluster(work, folder, place, options)
    if not outcome.finished:
        if not quiet:
            say(f"stopped after {outcome.steps} steps: the same command with --resume continues")
        raise typer.Exit(INTERRUPTED if outcome.interrupted else 0)
    if outcome.leads:
        from vdsr.training import card

        metadata = card.metadata(chosen, pack, outcome, name=name or chosen.name, number=version)
        content = _write(output, metadata, chosen, outcome)
        text = (
            f"{output}: {outcome.architecture.depth} layers, {outcome.steps} steps in"
            f" {duration(outcome.seconds)} on {outcome.device}; card: {content['card']}"
        )
        report(text, {**content, "data_digest": pack.digest}, quiet=quiet, json=json)


def _cluster(address: str) -> ClusterOptions:
    from vdsr.cluster.options import ClusterOptions

    require("ray", "pandas", "pyarrow", "pydantic")
    return ClusterOptions(address=address)


def _take_part(
    recipe: Recipe,
    data: Sequence[Path],
    license: str,
    folder: Path,
    goal: Path | None,
    start: Start | None,
    options: TrainingOptions,
) -> Outcome:
    """What each process of a cluster does; it reads the data itself."""

    def load() -> Pack:
        return _data(recipe, data, license, quiet=True)

    return _train(recipe, load, folder, goal, start=start, resume=True, options=options)


def _train(
    recipe: Recipe,
    load: Callable[[], Pack],
    folder: Path,
    goal: Path | None,
    *,
    start: Start | None,
    resume: bool,
    options: TrainingOptions,
) -> Outcome:
    """Train, or branch off into the folder `goal`."""
    from vdsr.training import trainer

    if goal is not None:
        return trainer.branch(recipe, load(), folder, goal, resume=resume, options=options)
    return trainer.train(recipe, load(), folder, start=start, resume=resume, options=options)


def _write(
    output: Path, metadata: ModelMetadata, recipe: Recipe, outcome: Outcome
) -> dict[str, Any]:
    """Write the model file and its card, and give what is said of them."""
    from vdsr.model.onnx_writer import write_model
    from vdsr.training import card

    digest = write_model(outcome.architecture, metadata, output)
    page = output.with_suffix(".md")
    write_whole(page, card.page(metadata, recipe, outcome, digest=digest))
    return {
        "output": str(output),
        "card": str(page),
        "sha256": digest,
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "device": outcome.device,
        "bicubic": outcome.bicubic,
        "psnr": dict(metadata.psnr),
    }


def _start(path: Path, trained_on: str) -> Start:
    from vdsr.checkpoints.reader import read_checkpoint
    from vdsr.model.file import load_model, shipped_models
    from vdsr.training.run import Start

    if path.suffix == ".onnx" or str(path) in shipped_models():
        return Start.of(load_model(str(path)))
    return Start(
        architecture=read_checkpoint(path), origin=f"{path.name} (trained on {trained_on})"
    )


def _data(recipe: Recipe, named: Sequence[Path], license: str, *, quiet: bool) -> Pack:
    """All pictures: those named on the command line, else the recipe's own."""
    from vdsr.data.pack import pack_folders
    from vdsr.data.packfile import join_packs, read_pack
    from vdsr.training.recipe_data import source_of

    sources = [source_of(str(path), license) for path in named] or recipe.data.sources
    if not sources:
        raise UsageError(f"the recipe {recipe.name} names no data: --data FOLDER or PACK does")
    packs, color = [], recipe.network.planes > 1
    for source in sources:
        path = Path(source.path)
        if is_folder(path):
            packed = pack_folders([path], license=source.license, color=color)
            say_left_out(packed.left_out, quiet=quiet)
            packs.append(packed.pack)
        elif exists(path):
            packs.append(read_pack(path))
        else:
            raise InputError(f"{path}: there is no such folder or pack")
    return join_packs(packs, [source.share for source in sources])


def _announce(recipe: Recipe, pack: Pack, folder: Path) -> None:
    minutes = sum(stage.minutes for stage in recipe.stages)
    steps = sum(stage.steps for stage in recipe.stages)
    work = " and ".join(
        text
        for text in (
            duration(60 * minutes) if minutes else "",
            f"{steps} steps" if steps else "",
            "until it is stopped (--branch makes a model)" if recipe.stages[-1].endless else "",
        )
        if text
    )
    say(
        f"{recipe.name}: {len(pack.pictures)} pictures, {pack.pixels / 1e6:.1f} Mpixel; {work};"
        f" checkpoint and logs in {folder}"
    )
