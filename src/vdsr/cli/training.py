"""`vdsr data pack` and `vdsr train`: from photographs to a model file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from vdsr.checkpoints.reader import read_checkpoint
from vdsr.cli.console import INTERRUPTED, duration, say, write_json
from vdsr.data.pack import pack_folders
from vdsr.data.packfile import Pack, join_packs, read_pack, write_pack
from vdsr.errors import InputError, MissingExtra, OutputError, UsageError
from vdsr.model.file import load_model, shipped_models
from vdsr.model.onnx_writer import write_model
from vdsr.training.recipe import Recipe, Source
from vdsr.training.recipe_file import load_recipe
from vdsr.training.run import Options, Outcome, Start

_SHOWN = 5


def run_pack(
    folders: Sequence[Path],
    output: Path,
    *,
    licence: str,
    evaluation: Sequence[Path],
    keep_evaluation: bool,
    overwrite: bool,
    quiet: bool,
    json: str | None,
) -> None:
    """Read the pictures of some folders and write one pack.

    Raises:
        InputError: if a folder is missing, or there is no picture to train on.
        OutputError: if the pack exists or cannot be written.
    """
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: it exists already: --overwrite replaces it")
    packed = pack_folders(
        folders, licence=licence, evaluation=evaluation, keep_evaluation=keep_evaluation
    )
    write_pack(packed.pack, output)
    _say_left_out(packed.left_out, quiet=quiet)
    pack, size = packed.pack, output.stat().st_size
    if json is not None:
        content = {
            "output": str(output),
            "pictures": len(pack.pictures),
            "pixels": pack.pixels,
            "bytes": size,
            "digest": pack.digest,
            "left_out": list(packed.left_out),
        }
        write_json(content, json)
    if not quiet and json != "-":
        typer.echo(
            f"{output}: {len(pack.pictures)} pictures, {pack.pixels / 1e6:.1f} Mpixel,"
            f" {size / 1e6:.1f} MB, digest {pack.digest[:12]}"
        )


def run_train(
    recipe: str,
    data: Sequence[Path],
    output: Path,
    *,
    start_from: Path | None,
    start_data: str,
    licence: str,
    name: str | None,
    version: str,
    resume: bool,
    overwrite: bool,
    devices: int,
    threads: int,
    quiet: bool,
    json: str | None,
) -> None:
    """Train by a recipe and write the model file and its card.

    Checkpoint and logs lie in a folder beside the model: `MODEL.training`.

    Raises:
        UsageError: for an unknown or malformed recipe, or options that do not fit.
        InputError: if there is nothing to train on.
        CheckpointError: if what is to be started from or resumed cannot be read.
        OutputError: if the model exists, or something cannot be written.
        VdsrError: if the loss is no number any more, or diverges.
    """
    settings = load_recipe(recipe)
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: a model file ends in .onnx")
    if devices < 1 or threads < 0:
        raise UsageError("--devices is 1 or more, --threads 0 or more")
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: it exists already: --overwrite replaces it")
    # torch is not needed for packs, and takes a while to load.
    try:
        from vdsr.training import lightning
        from vdsr.training.checkpoint import NAME
        from vdsr.training.trainer import train
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    quiet = quiet or not lightning.leads()
    folder = output.with_suffix(".training")
    start = None if start_from is None else _start(start_from, start_data)
    pack = _data(settings, data, licence, quiet=quiet)
    if overwrite and not resume and lightning.leads():
        (folder / NAME).unlink(missing_ok=True)
    if not quiet:
        _announce(settings, pack, folder)
    outcome = train(
        settings,
        pack,
        folder,
        start=start,
        resume=resume,
        options=Options(
            devices=devices,
            threads=threads,
            progress=not quiet and sys.stderr.isatty(),
            say=(lambda line: None) if quiet else say,
        ),
    )
    if not outcome.finished:
        if not quiet:
            say(f"stopped after {outcome.steps} steps: the same command with --resume goes on")
        raise typer.Exit(INTERRUPTED)
    if outcome.leads:
        _finish(settings, pack, outcome, output, name or settings.name, version, quiet, json)


def _finish(
    recipe: Recipe,
    pack: Pack,
    outcome: Outcome,
    output: Path,
    name: str,
    version: str,
    quiet: bool,
    json: str | None,
) -> None:
    """Write the model file and its card, and report."""
    from vdsr.training import card

    metadata = card.metadata(recipe, pack, outcome, name=name, number=version)
    digest = write_model(outcome.architecture, metadata, output)
    page = output.with_suffix(".md")
    try:
        page.write_text(card.page(metadata, recipe, outcome, digest=digest), "utf-8")
    except OSError as error:
        raise OutputError(f"{page}: it cannot be written: {error.strerror}") from error
    if json is not None:
        content = {
            "output": str(output),
            "card": str(page),
            "sha256": digest,
            "recipe": recipe.name,
            "recipe_digest": recipe.digest,
            "data_digest": pack.digest,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "device": outcome.device,
            "bicubic": outcome.bicubic,
            "psnr": dict(metadata.psnr),
        }
        write_json(content, json)
    if not quiet and json != "-":
        typer.echo(
            f"{output}: {outcome.architecture.depth} layers, {outcome.steps} steps in"
            f" {duration(outcome.seconds)} on {outcome.device}; card: {page}"
        )


def _start(path: Path, trained_on: str) -> Start:
    if path.suffix == ".onnx" or str(path) in shipped_models():
        model = load_model(str(path))
        card = model.metadata
        origin = f"{card.name} {card.version} (trained on {card.training_data})"
        return Start(architecture=model.architecture, origin=origin)
    return Start(
        architecture=read_checkpoint(path), origin=f"{path.name} (trained on {trained_on})"
    )


def _data(recipe: Recipe, named: Sequence[Path], licence: str, *, quiet: bool) -> Pack:
    """All pictures: those named on the command line, else the recipe's own."""
    sources = [Source(path=str(path), licence=licence) for path in named] or recipe.data.sources
    if not sources:
        raise UsageError(f"the recipe {recipe.name} names no data: --data FOLDER or PACK does")
    packs = []
    for source in sources:
        path = Path(source.path)
        if path.is_dir():
            packed = pack_folders([path], licence=source.licence)
            _say_left_out(packed.left_out, quiet=quiet)
            packs.append(packed.pack)
        elif path.exists():
            packs.append(read_pack(path))
        else:
            raise InputError(f"{path}: there is no such folder or pack")
    return join_packs(packs)


def _announce(recipe: Recipe, pack: Pack, folder: Path) -> None:
    minutes = sum(stage.minutes for stage in recipe.stages)
    steps = sum(stage.steps for stage in recipe.stages)
    work = " and ".join(
        text
        for text in (duration(60 * minutes) if minutes else "", f"{steps} steps" * bool(steps))
        if text
    )
    say(
        f"{recipe.name}: {len(pack.pictures)} pictures, {pack.pixels / 1e6:.1f} Mpixel; {work};"
        f" checkpoint and logs in {folder}"
    )


def _say_left_out(left_out: Sequence[str], *, quiet: bool) -> None:
    if quiet or not left_out:
        return
    for line in left_out[:_SHOWN]:
        say(f"left out: {line}")
    if len(left_out) > _SHOWN:
        say(f"left out: {len(left_out) - _SHOWN} more pictures")
