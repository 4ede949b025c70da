"""`vdsr upscale`: one picture into another."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, duration, report, say, told_of
from vdsr.cli.folder import is_folder_job, upscale_folder
from vdsr.cli.options import (
    Compression,
    InPlace,
    Json,
    Model,
    OutputFormat,
    Overwrite,
    Pyramid,
    Quality,
    Quiet,
    Resume,
    Tiled,
)
from vdsr.cli.parsing import parse_box
from vdsr.cli.progress import PictureDisplay
from vdsr.cli.stdio import STDIO, check_stdout, format_for_stdout, stdin
from vdsr.errors import UsageError

if TYPE_CHECKING:
    from vdsr.imaging.files.storage import Storage
    from vdsr.inference.engine import Result


_FOLDERS = "Folders"


def upscale(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN",
            help="The picture, or - for standard input; or several, folders, and patterns.",
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="The enlarged picture, or - for standard output; or a folder for several.",
        ),
    ],
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            metavar="X",
            help="Factor for both sides, above 1 up to 16. (default: 4)",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="N", help="Width in px; the height follows, or --height."),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option("--height", metavar="N", help="Height in px; the width follows, or --width."),
    ] = None,
    fit: Annotated[
        str | None, typer.Option("--fit", metavar="WxH", help="Largest size that fits in this box.")
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Keep the size: run the network on the picture as is.")
    ] = False,
    model: Model = "auto",
    backend: Annotated[
        str, typer.Option("--backend", metavar="NAME", help="auto, openvino, onnxruntime or torch.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="auto, fp32, fp16 or int8; auto is int8 for a shipped model where it is faster.",
        ),
    ] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="Working memory, as 512MiB or 2GiB. (default: half of what is free)",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile", metavar="N", help="Largest side of a tile in px. (default: by memory)"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", help="CPU threads. (default: all cores)")
    ] = None,
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
            help="Do all anew, with these settings.",
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
) -> None:
    """Enlarge a picture, or many. Profile, EXIF, XMP, resolution and bit depth are kept.

    Several pictures, and folders with all that is in them, go into a folder OUT, with a
    manifest: interrupt it as you like, and run the same again to go on.

    Example: vdsr upscale photo.jpg large.png --scale 4
    """
    from vdsr.imaging.files.storage import Storage
    from vdsr.inference.memory import parse_size
    from vdsr.inference.target import Target
    from vdsr.inference.upscaler import Upscaler

    box = None if fit is None else parse_box(fit)
    target = Target(scale=scale, width=width, height=height, fit=box, restore=restore)
    check_outputs(json=json, overwrite=overwrite)
    goal = Path(output)
    in_folder = output.endswith(("/", os.sep)) or is_folder_job(inputs, goal)
    if in_folder or dry_run or watch or redo or retry_failed:
        if in_place:
            raise UsageError("--in-place is for one picture: give it as IN and as OUT")
        if STDIO in (output, *map(str, inputs)):
            raise UsageError("- is for one picture, from or to a pipe: not for folders")
        from vdsr.jobs.discovery import Selection
        from vdsr.jobs.runner import RunOptions
        from vdsr.jobs.settings import JobSettings

        upscale_folder(
            inputs,
            goal,
            JobSettings(
                scale=scale,
                width=width,
                height=height,
                fit=box,
                restore=restore,
                format=format,
                quality=quality,
                compression=compression,
                tiled=tiled,
                pyramid=pyramid,
                name=name,
                model=model,
                backend=backend,
                precision=precision,
                tile=tile,
                residual=None if residual is None else str(residual),
                compare=None if compare is None else str(compare),
                page=page,
                pages=pages,
                consistent=consistent,
                ensemble=ensemble,
                preview=preview,
            ),
            RunOptions(
                selection=Selection(include=tuple(include or ()), exclude=tuple(exclude or ())),
                overwrite=overwrite,
                redo=redo,
                retry_failed=retry_failed,
                watch=watch,
                threads=threads,
                max_memory=None if max_memory is None else parse_size(max_memory),
                resume=resume,
            ),
            dry_run=dry_run,
            quiet=quiet,
            json=json,
        )
        return
    source: Path | IO[bytes] = stdin() if str(inputs[0]) == STDIO else inputs[0]
    to_stdout = output == STDIO
    if to_stdout:
        format = format or format_for_stdout(source)
        check_stdout(json=json, in_place=in_place, preview=preview)
    # Whatever is wrong with the options is said before the model is loaded.
    storage = Storage(compression=compression, tiled=tiled, pyramid=pyramid)
    goal = _checked(goal, format, quality, storage)
    if pages is not None and (preview or pages != "all"):
        wrong = "--preview is of one page: --page" if pages == "all" else "--pages is 'all': --page"
        raise UsageError(f"{wrong} N chooses one")
    made = _preview_of(goal) if preview else goal
    if preview and not isinstance(source, Path):
        raise UsageError("--preview reads a file, not standard input")
    if preview and (residual or compare):
        raise UsageError("--preview makes the middle alone: no --residual or --compare with it")
    if preview and consistent:
        raise UsageError("--preview makes the middle alone, which is not --consistent by itself")
    check_outputs(made, residual, compare, json=json, overwrite=overwrite)
    with Upscaler(
        model,
        backend=backend,
        precision=precision,
        threads=threads,
        max_memory=None if max_memory is None else parse_size(max_memory),
        tile=tile,
    ) as upscaler:
        if preview and isinstance(source, Path):
            left, top, wide, high = upscaler.preview(
                source,
                made,
                target=target,
                ensemble=ensemble,
                page=page,
                format=format,
                quality=quality,
                compression=compression,
                tiled=tiled,
                pyramid=pyramid,
                overwrite=overwrite,
            )
            place = {"left": left, "top": top, "width": wide, "height": high}
            report(
                f"{made}: the {wide}x{high} px from ({left}, {top}) on, as they will be",
                {"input": str(source), "output": str(made), **place},
                quiet=quiet,
                json=json,
            )
            return
        told = told_of("vdsr.inference.strips", quiet=quiet)
        with told, PictureDisplay(inputs[0].name, quiet=quiet) as display:
            result = upscaler.upscale(
                source,
                sys.stdout.buffer if to_stdout else goal,
                target=target,
                format=format,
                quality=quality,
                compression=compression,
                tiled=tiled,
                pyramid=pyramid,
                resume=resume,
                residual=residual,
                compare=compare,
                consistent=consistent,
                ensemble=ensemble,
                page=page,
                pages=pages,
                overwrite=overwrite,
                in_place=in_place,
                progress=display,
            )
    _report(result, quiet=quiet, json=json, talk=to_stdout)


def _checked(goal: Path, format: str | None, quality: int | None, storage: Storage) -> Path:
    """Where a result goes, whose format has what was asked for."""
    from vdsr.imaging.files import format_of
    from vdsr.imaging.files.deep_zoom import goal_of
    from vdsr.imaging.files.formats import check_quality

    kind = format_of(goal, format)
    storage.check(kind)
    check_quality(kind, quality, lossy=storage.is_lossy)
    return goal_of(goal) if kind.name == "dz" else goal


def _preview_of(goal: Path) -> Path:
    """Where the preview of a result goes, in a name that is not too long."""
    end = f".preview{goal.suffix}"
    return goal.with_name(os.fsdecode(os.fsencode(goal.stem)[: 255 - len(os.fsencode(end))]) + end)


def _report(result: Result, *, quiet: bool, json: str | None, talk: bool) -> None:
    if not quiet:
        if result.why is not None:
            say(f"{result.input}: {result.model} was chosen: {result.why}")
        for notice in result.notices:
            say(f"{result.input}: note: {notice}")
    several = f" and {result.pages - 1} more pages" if result.pages > 1 else ""
    text = (
        f"{result.output}: {result.width}x{result.height} px{several}, x{result.scale:g} in"
        f" {duration(result.seconds)} ({result.megapixels_per_second:.2f} Mpixel/s,"
        f" {result.model} {result.precision} on {result.backend})"
    )
    if talk and not quiet:  # the picture itself is on standard output
        say(text)
    report(text, result.as_dict(), quiet=quiet or talk, json=json)
