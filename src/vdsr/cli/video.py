"""`vdsr video`: one film into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdsr.cli.console import INTERRUPTED, check_outputs, duration, report, say
from vdsr.cli.options import (
    Backend,
    Fit,
    Height,
    Json,
    MaxMemory,
    Model,
    Overwrite,
    Precision,
    Quiet,
    Restore,
    Scale,
    Threads,
    Width,
)
from vdsr.cli.parsing import parse_box, parse_seconds
from vdsr.cli.progress import FilmDisplay

if TYPE_CHECKING:
    from vdsr.video.order import FilmResult

_PICTURES = "How the pictures are encoded"


def video(
    film: Annotated[Path, typer.Argument(metavar="IN", help="The film.")],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The enlarged film: .mkv, .mp4, .m4v, .mov, .webm, .gif, .apng, .png or .webp.",
        ),
    ],
    scale: Scale = None,
    width: Width = None,
    height: Height = None,
    fit: Fit = None,
    restore: Restore = False,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            metavar="NAME",
            help="h264, hevc, av1, vp9, prores or ffv1. (default: by container and depth)",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            "--crf",
            metavar="N",
            help="Constant rate factor: less is better and larger."
            " (default: h264 16, hevc 18, av1 and vp9 24)",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Of the encoder: ultrafast to placebo, av1 0 to 13, vp9 0 to 8, prores a profile."
            " (default: medium, 7, 3, hq)",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "--pix-fmt",
            metavar="NAME",
            help="As yuv420p or yuv422p10le. (default: the film's, or the nearest)",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    deinterlace: Annotated[
        bool, typer.Option("--deinterlace", help="Make interlaced pictures whole first (bwdif).")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Damage in the film, and what cannot be kept, is an error."),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="Begin here: seconds, or H:MM:SS."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="TIME", help="End here: seconds, or H:MM:SS.")
    ] = None,
    preview: Annotated[
        float | None,
        typer.Option(
            "--preview",
            metavar="SECONDS",
            help="Make a clip of the middle (or from --start on), bicubic beside the result,"
            " to OUT.preview, and stop.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="KIND",
            help="Leave out audio, subtitles, attachments, video (covers) or data; several times:"
            " each of them.",
        ),
    ] = None,
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Throw away what an interrupted run of other settings left."),
    ] = False,
    segment: Annotated[
        int,
        typer.Option(
            "--segment",
            metavar="N",
            help="Frames between two points from which an interrupted run goes on.",
        ),
    ] = 240,
    model: Model = "vdsr",
    backend: Backend = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Enlarge a film. Audio, subtitles, chapters, attachments, times and colors are kept.

    Interrupt it whenever you like, and run the same command again to continue.

    Example: vdsr video reel.mp4 large.mkv --scale 2
    """
    from vdsr.extras import require
    from vdsr.inference.memory import parse_size
    from vdsr.inference.upscaler import Upscaler
    from vdsr.video.film import preview_of
    from vdsr.video.order import FilmOrder

    require("av")
    options: dict[str, Any] = {
        "scale": scale,
        "width": width,
        "height": height,
        "fit": None if fit is None else parse_box(fit),
        "restore": restore,
        "codec": codec,
        "crf": crf,
        "preset": preset,
        "pix_fmt": pix_fmt,
        "deinterlace": deinterlace,
        "strict": strict,
        "start": None if start is None else parse_seconds(start),
        "end": None if end is None else parse_seconds(end),
        "preview": preview,
        "drop": tuple(drop or ()),
        "redo": redo,
        "segment": segment,
        "overwrite": overwrite,
    }
    # Whatever is wrong with the options is said before the model is loaded.
    _ = FilmOrder.of(options).size
    check_outputs(output if preview is None else preview_of(output), json=json, overwrite=overwrite)
    with (
        Upscaler(
            model,
            backend=backend,
            precision=precision,
            threads=threads,
            max_memory=None if max_memory is None else parse_size(max_memory),
        ) as upscaler,
        FilmDisplay(film.name, quiet=quiet) as display,
    ):
        try:
            result = upscaler.video(film, output, progress=display, **options)
        except KeyboardInterrupt as error:
            _say_interrupted(display)
            raise typer.Exit(INTERRUPTED) from error
    _report(result, quiet=quiet, json=json)


def _say_interrupted(display: FilmDisplay) -> None:
    kept = "its finished segments are kept: the same command continues from there"
    done = f" at frame {display.done}" if display.done else ""
    say(f"vdsr: interrupted{done}: {kept}")


def _report(result: FilmResult, *, quiet: bool, json: str | None) -> None:
    if not quiet:
        for notice in result.notices:
            say(f"{result.input}: note: {notice}")
    kept = f", {100 * result.kept:.0f} % of it unchanged" if result.kept >= 0.005 else ""
    resumed = f", {result.resumed} of them before" if result.resumed else ""
    text = (
        f"{result.output}: {result.frames} frames{resumed}, {result.width}x{result.height} px,"
        f" {result.codec} {result.pix_fmt}, in {duration(result.seconds)}"
        f" ({result.frames_per_second:.2f} frames/s{kept}, {result.model} {result.precision} on"
        f" {result.backend})"
    )
    report(text, result.as_dict(), quiet=quiet, json=json)
