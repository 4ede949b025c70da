"""`vdsr upscale` of one picture: what is wrong is said before the model is loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vdsr.cli.console import check_outputs, duration, printable, report, say, told_of
from vdsr.cli.progress import PictureDisplay
from vdsr.cli.stdio import STDIO, check_stdout, format_for_stdout, stdin
from vdsr.errors import UsageError

if TYPE_CHECKING:
    from vdsr.inference.engine import Result
    from vdsr.inference.order import FileOptions
    from vdsr.inference.upscaler import Upscaler, UpscalerOptions


def upscale_picture(
    given: Path,
    output: str,
    engine: UpscalerOptions,
    options: FileOptions,
    *,
    preview: bool,
    quiet: bool,
    json: str | None,
) -> None:
    """Enlarge one picture, and say what became of it.

    Args:
        given: the picture, or `-`.
        output: the result, or `-`.
        engine: what the upscaler is opened with.
        options: of the picture; `-` as an output may choose its format.
        preview: make the middle alone, and stop.
        quiet, json: as `report` takes them.

    Raises:
        VdsrError: see `Upscaler.upscale`.
    """
    from vdsr.inference.upscaler import Upscaler

    source: Path | IO[bytes] = stdin() if str(given) == STDIO else given
    goal, to_stdout = Path(output), output == STDIO
    if to_stdout:
        options["format"] = options["format"] or format_for_stdout(source)
        check_stdout(json=json, in_place=options["in_place"], preview=preview)
    goal = _checked(goal, options)
    _check_pages(options["pages"], preview=preview)
    overwrite, beside = options["overwrite"], (options["residual"], options["compare"])
    if preview:
        if not isinstance(source, Path):
            raise UsageError("--preview reads a file, not standard input")
        if any(beside):
            raise UsageError("--preview makes the middle alone: no --residual or --compare with it")
        if options["consistent"]:
            raise UsageError("--preview makes the middle alone, which is not --consistent")
        made = _preview_of(goal)
        check_outputs(made, json=json, overwrite=overwrite)
        with Upscaler(**engine) as upscaler:
            _preview(upscaler, source, made, options, quiet=quiet, json=json)
        return
    taken = goal if not options["in_place"] else None
    check_outputs(taken, *map(_path, beside), json=json, overwrite=overwrite)
    with (
        Upscaler(**engine) as upscaler,
        told_of("vdsr.inference.strips", quiet=quiet),
        PictureDisplay(given.name, quiet=quiet) as display,
    ):
        result = upscaler.upscale(
            source, sys.stdout.buffer if to_stdout else goal, progress=display, **options
        )
    _report(result, quiet=quiet, json=json, talk=to_stdout)


def _checked(goal: Path, options: FileOptions) -> Path:
    """Where a result goes, whose format has what was asked for."""
    from vdsr.imaging.files import format_of
    from vdsr.imaging.files.deep_zoom import goal_of
    from vdsr.imaging.files.formats import check_quality
    from vdsr.imaging.files.storage import Storage

    storage = Storage(
        compression=options["compression"], tiled=options["tiled"], pyramid=options["pyramid"]
    )
    kind = format_of(goal, options["format"])
    storage.check(kind)
    check_quality(kind, options["quality"], lossy=storage.is_lossy)
    return goal_of(goal) if kind.name == "dz" else goal


def _check_pages(pages: str | None, *, preview: bool) -> None:
    if pages is not None and (preview or pages != "all"):
        wrong = "--preview is of one page: --page" if pages == "all" else "--pages is 'all': --page"
        raise UsageError(f"{wrong} N chooses one")


def _path(name: str | os.PathLike[str] | None) -> Path | None:
    return None if name is None else Path(name)


def _preview_of(goal: Path) -> Path:
    """Where the preview of a result goes, in a name that is not too long."""
    end = f".preview{goal.suffix}"
    return goal.with_name(os.fsdecode(os.fsencode(goal.stem)[: 255 - len(os.fsencode(end))]) + end)


def _preview(
    upscaler: Upscaler,
    source: Path,
    made: Path,
    options: FileOptions,
    *,
    quiet: bool,
    json: str | None,
) -> None:
    left, top, wide, high = upscaler.preview(
        source,
        made,
        target=options["target"],
        ensemble=options["ensemble"],
        page=options["page"],
        format=options["format"],
        quality=options["quality"],
        compression=options["compression"],
        tiled=options["tiled"],
        pyramid=options["pyramid"],
        overwrite=options["overwrite"],
    )
    place = {"left": left, "top": top, "width": wide, "height": high}
    name = printable(str(made))
    report(
        f"{name}: the {wide}x{high} px from ({left}, {top}) on, as they will be",
        {"input": str(source), "output": str(made), **place},
        quiet=quiet,
        json=json,
    )


def _report(result: Result, *, quiet: bool, json: str | None, talk: bool) -> None:
    if not quiet:
        if result.why is not None:
            say(f"{printable(result.input)}: {result.model} was chosen: {result.why}")
        for notice in result.notices:
            say(f"{printable(result.input)}: note: {notice}")
    several = f" and {result.pages - 1} more pages" if result.pages > 1 else ""
    text = (
        f"{printable(result.output)}: {result.width}x{result.height} px{several},"
        f" x{result.scale:g} in {duration(result.seconds)}"
        f" ({result.megapixels_per_second:.2f} Mpixel/s,"
        f" {result.model} {result.precision} on {result.backend})"
    )
    if talk and not quiet:  # the picture itself is on standard output
        say(text)
    report(text, result.as_dict(), quiet=quiet or talk, json=json)
