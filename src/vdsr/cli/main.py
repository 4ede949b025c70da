"""The command line. Each command says what it takes, and loads its work when it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli import cli_benchmark, cli_evaluate, cli_export, cli_quantize, cli_train
from vdsr.cli.console import INTERRUPTED, TERMINATED, command, json_argument
from vdsr.cli.options import Json, Model, Overwrite, Quiet

app = typer.Typer(
    name="vdsr",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Enlarge pictures faithfully with VDSR: nothing is invented that cannot be shown.",
    epilog="Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.",
)

data_app = typer.Typer(
    name="data", no_args_is_help=True, help="Pictures to measure on and to train with."
)
app.add_typer(data_app)


def _version(wanted: bool) -> None:
    if wanted:
        from vdsr.version import __version__

        typer.echo(f"vdsr {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Enlarge pictures faithfully with VDSR: nothing is invented that cannot be shown."""


@app.command()
@command
def upscale(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The picture.")],
    goal: Annotated[Path, typer.Argument(metavar="OUT", help="The enlarged picture.")],
    scale: Annotated[
        float | None,
        typer.Option("--scale", "-s", help="Factor for both sides, above 1 up to 16. (default: 4)"),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", help="Width in px; the height follows, or --height.")
    ] = None,
    height: Annotated[
        int | None, typer.Option("--height", help="Height in px; the width follows, or --width.")
    ] = None,
    fit: Annotated[
        str | None, typer.Option("--fit", metavar="WxH", help="Largest size that fits in this box.")
    ] = None,
    restore: Annotated[
        bool, typer.Option("--restore", help="Keep the size: run the network on the picture as is.")
    ] = False,
    model: Model = "vdsr",
    backend: Annotated[
        str, typer.Option("--backend", help="auto, openvino, onnxruntime or torch.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="fp32, fp16 or int8. (default: auto: int8 for a shipped model where it is faster)",
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
        typer.Option("--tile", help="Largest side of a tile in px. (default: by memory)"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads. (default: all cores)")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="png, jpeg, webp, tiff, avif or gif. (default: by suffix)"),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option("--quality", help="1..100. (default: JPEG 95, AVIF 90, WebP lossless)"),
    ] = None,
    overwrite: Overwrite = False,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Enlarge 512 px of the middle first, and say where they are."
        ),
    ] = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Enlarge a picture. Profile, EXIF, XMP, resolution and bit depth are kept."""
    from vdsr.cli.upscale import Request, run

    run(
        Request(
            source=source,
            goal=goal,
            scale=scale,
            width=width,
            height=height,
            fit=fit,
            restore=restore,
            model=model,
            backend=backend,
            precision=precision,
            max_memory=max_memory,
            tile=tile,
            threads=threads,
            format=format,
            quality=quality,
            overwrite=overwrite,
            preview=preview,
            quiet=quiet,
            json=json,
        )
    )


@app.command()
@command
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a file.")] = (
        "vdsr"
    ),
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Size that the work is counted for.")
    ] = "256x256",
    json: Json = None,
) -> None:
    """Show a model: layers, parameters, receptive field, work for a size, card."""
    from vdsr.cli.info import run

    run(model, size, json)


app.command("import")(command(cli_export.import_))
app.command()(command(cli_export.export))
app.command()(command(cli_evaluate.evaluate))
app.command()(command(cli_export.vacc))
data_app.command()(command(cli_evaluate.fetch))
data_app.command()(command(cli_train.pack))
app.command()(command(cli_train.train))
app.command()(command(cli_quantize.quantize))
app.command()(command(cli_benchmark.benchmark))


@app.command()
@command
def doctor(json: Json = None) -> None:
    """Show what is installed, which backends work, and what would be used."""
    from vdsr.cli.doctor import run

    run(json)


def main() -> None:
    """Entry point of the command `vdsr`."""
    try:
        app(args=json_argument(sys.argv[1:]))
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):
            # An orderly end would wait for the tile in work; files are cleared away already.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
