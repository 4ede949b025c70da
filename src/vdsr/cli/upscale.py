"""`vdsr upscale`: its options, and whether they are of one picture or of many."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdsr.cli.console import check_outputs
from vdsr.cli.folder import is_folder_job, upscale_folder
from vdsr.cli.options import (
    Backend,
    Compression,
    Fit,
    Height,
    InPlace,
    Json,
    MaxMemory,
    Model,
    OutputFormat,
    Overwrite,
    Precision,
    Pyramid,
    Quality,
    Quiet,
    Restore,
    Resume,
    Scale,
    Threads,
    Tiled,
    Width,
)
from vdsr.cli.parsing import parse_box
from vdsr.cli.picture import upscale_picture
from vdsr.cli.stdio import STDIO
from vdsr.cli.stored import upscale_stored
from vdsr.cluster.folder_storage import local_path
from vdsr.cluster.storage import is_address
from vdsr.errors import UsageError

if TYPE_CHECKING:
    from vdsr.cluster.options import ClusterOptions

_FOLDERS = "Folders"
_CLUSTER = "Folders on a cluster"


def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="The picture, or - for standard input; or several, folders, and patterns; or,"
            " on a cluster, an address of storage: s3://bucket/photos.",
            show_default=False,
            default_factory=list,
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="The enlarged picture, or - for standard output; or a folder for several,"
            " or an address of storage. None with --in-place.",
        ),
    ],
    scale: Scale = None,
    width: Width = None,
    height: Height = None,
    fit: Fit = None,
    restore: Restore = False,
    model: Model = "auto",
    backend: Backend = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", metavar="N", help="Largest side of a tile in px. (default: by memory)"
        ),
    ] = None,
    threads: Threads = None,
    format: OutputFormat = None,
    quality: Quality = None,
    compression: Compression = None,
    tiled: Tiled = False,
    pyramid: Pyramid = False,
    residual: Annotated[
        Path | None,
        typer.Option(
            "--residual",
            metavar="FILE",
            help="Also write what was added, as a picture around gray; of many, into a folder.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--report",
            "--compare",
            metavar="FILE",
            help="Also write a page that compares bicubic and result; of many, into a folder.",
        ),
    ] = None,
    page: Annotated[
        int | None,
        typer.Option("--page", metavar="N", help="Which page of a TIFF file, from 1."),
    ] = None,
    pages: Annotated[
        str | None,
        typer.Option("--pages", metavar="all", help="All pages of a TIFF file, into a TIFF file."),
    ] = None,
    consistent: Annotated[
        bool,
        typer.Option(
            "--consistent",
            help="Adjust the result until, shrunk again and rounded, it is the picture itself.",
        ),
    ] = False,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="Average the network over eight flips and rotations: a little better, 8 x slower.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    in_place: InPlace = False,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Enlarge 512 px of the middle alone, to OUT.preview, and stop."
        ),
    ] = False,
    quiet: Quiet = False,
    json: Json = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="PATTERN",
            help="Names in a folder, of {stem}, {scale}, {size} and {suffix}."
            " (default: {stem}_x{scale}{suffix})",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="PATTERN",
            help="Only files of a folder that match, as '*.tif'; several times: any of them.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="No files and folders that match, as 'thumbs' or 'raw/*'.",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    resume: Resume = None,
    redo: Annotated[
        bool,
        typer.Option(
            "--redo",
            help="Do everything again, with these settings.",
            rich_help_panel=_FOLDERS,
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Try again also what was quarantined.",
            rich_help_panel=_FOLDERS,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what would be done, where to, how long it takes, and on how much disk.",
            rich_help_panel=_FOLDERS,
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on looking for new files, until Ctrl-C.",
            rich_help_panel=_FOLDERS,
        ),
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Work on a Ray cluster: HOST:PORT of its head, auto, or local for this machine.",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    actor_cpus: Annotated[
        int | None,
        typer.Option(
            "--actor-cpus",
            metavar="N",
            help="CPUs of each actor, which has a model open. (default: 4, or all of the smallest"
            " machine)",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    actor_gpus: Annotated[
        float | None,
        typer.Option(
            "--actor-gpus",
            metavar="N",
            help="GPUs of each actor, or the part of one. (default: 0)",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
) -> None:
    """Enlarge a picture, or many. Profile, EXIF, XMP, resolution and bit depth are kept.

    Several pictures, and folders with all that is in them, go into a folder OUT, with a
    manifest: interrupt it whenever you like, and run the same command again to continue.

    Example: vdsr upscale photo.jpg large.png --scale 4
    """
    from vdsr.inference.memory import parse_size
    from vdsr.inference.target import Target

    inputs, output = _with_output(inputs, output, in_place=in_place)
    size: Any = {
        "scale": scale,
        "width": width,
        "height": height,
        "fit": None if fit is None else parse_box(fit),
        "restore": restore,
    }
    network: Any = {"model": model, "backend": backend, "precision": precision, "tile": tile}
    result: Any = {
        "format": format,
        "quality": quality,
        "compression": compression,
        "tiled": tiled,
        "pyramid": pyramid,
        "page": page,
        "pages": pages,
        "consistent": consistent,
        "ensemble": ensemble,
    }
    target = Target(**size)
    check_outputs(json=json, overwrite=overwrite)
    memory = None if max_memory is None else parse_size(max_memory)
    place = _cluster(cluster, actor_cpus, actor_gpus)
    inputs, output = list(map(local_path, inputs)), local_path(output)
    stored = any(map(is_address, (*inputs, output)))
    paths, goal = list(map(Path, inputs)), Path(output)
    in_folder = stored or output.endswith(("/", os.sep)) or is_folder_job(paths, goal)
    if place is not None and not in_folder:
        raise UsageError("--cluster is for many pictures: name a folder, or several of them")

    if not (in_folder or dry_run or watch or redo or retry_failed):
        upscale_picture(
            paths[0],
            output,
            network | {"threads": threads, "max_memory": memory},
            result
            | {
                "target": target,
                "residual": residual,
                "compare": compare,
                "resume": resume,
                "overwrite": overwrite,
                "in_place": in_place,
            },
            preview=preview,
            quiet=quiet,
            json=json,
        )
        return

    from vdsr.jobs.discovery import Selection
    from vdsr.jobs.runner import RunOptions
    from vdsr.jobs.settings import JobSettings

    _refuse_for_folders(inputs, output, in_place=in_place)
    settings = JobSettings(
        **size,
        **network,
        **result,
        name=name,
        residual=None if residual is None else str(residual),
        compare=None if compare is None else str(compare),
        preview=preview,
    )
    options = RunOptions(
        selection=Selection(include=tuple(include or ()), exclude=tuple(exclude or ())),
        overwrite=overwrite,
        redo=redo,
        retry_failed=retry_failed,
        watch=watch,
        threads=threads,
        max_memory=memory,
        resume=resume,
    )
    talk: Any = {"dry_run": dry_run, "quiet": quiet, "json": json}
    if stored:
        upscale_stored(inputs, output, settings, options, cluster=place, **talk)
    else:
        upscale_folder(paths, goal, settings, options, cluster=place, **talk)


def _with_output(inputs: list[str], output: str, *, in_place: bool) -> tuple[list[str], str]:
    """Inputs and output; one word alone, which the parser takes for the output, is an input."""
    if inputs:
        return inputs, output
    if not in_place:
        raise UsageError(f"{output}: name the output, too; or --in-place, to replace it")
    return [output], output


def _refuse_for_folders(inputs: list[str], output: str, *, in_place: bool) -> None:
    """What is for one picture alone."""
    if in_place:
        raise UsageError("--in-place is for one picture: give it as IN, without an OUT")
    if STDIO in (output, *inputs):
        raise UsageError("- is for one picture, from or to a pipe: not for folders")


def _cluster(address: str | None, cpus: int | None, gpus: float | None) -> ClusterOptions | None:
    """Where a folder is worked on; None for this process and machine."""
    from vdsr.cluster.options import ClusterOptions

    if address is None:
        if cpus is not None or gpus is not None:
            raise UsageError("--actor-cpus and --actor-gpus are of a cluster: name it: --cluster")
        return None
    return ClusterOptions(address=address, actor_cpus=cpus, actor_gpus=gpus or 0.0)
