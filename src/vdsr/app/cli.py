"""The command line. Each command says what it takes, and loads its work when it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vdsr.app import cli_benchmark, cli_quantize, cli_train
from vdsr.app.console import INTERRUPTED, TERMINATED, command, json_argument
from vdsr.app.options import Json, Model, Overwrite, Quiet

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
        from vdsr import __version__

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
    from vdsr.app.upscale import Request, run

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
    from vdsr.app.info import run

    run(model, size, json)


@app.command("import")
@command
def import_(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="safetensors, or a PyTorch checkpoint.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The model file.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the model file. (default: the file's)")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the weights.")] = "0",
    scales: Annotated[
        str, typer.Option("--scales", help="Scales that it was trained for.")
    ] = "2,3,4",
    luma: Annotated[
        str, typer.Option("--luma", help="Range of its luma: studio (16..235) or full.")
    ] = "studio",
    residual: Annotated[
        bool | None,
        typer.Option(
            "--residual/--direct",
            help="Whether its output is added to its input. (default: by its layers)",
        ),
    ] = None,
    training_data: Annotated[
        str, typer.Option("--training-data", help="What it was trained on.")
    ] = "unknown",
    licence: Annotated[str, typer.Option("--licence", help="Terms of the weights.")] = "unknown",
    psnr: Annotated[
        list[str] | None,
        typer.Option("--psnr", metavar="NAME=DB", help="A measured figure; may be repeated."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a model file of a checkpoint. Nothing in the checkpoint is ever run."""
    from vdsr.app.importing import run

    run(
        checkpoint,
        output,
        name=name,
        version=version,
        scales=scales,
        luma=luma,
        residual=residual,
        training_data=training_data,
        licence=licence,
        psnr=psnr or [],
        overwrite=overwrite,
    )


@app.command()
@command
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, or a file.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="onnx, openvino, ncnn, torchscript, onnx-image, tensorrt or vacc.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file or folder to make.")
    ],
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32 or fp16. (default: the model's)")
    ] = None,
    static: Annotated[
        str | None,
        typer.Option("--static", metavar="NxCxHxW", help="One input shape, as 1x1x256x256."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option("--opset", help="ONNX opset, from 10; int8 from 13. (default: 13)")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", "-s", help="onnx-image: 2, 3 or 4.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="FOLDER",
            help="Check it on these; vacc: the card's inputs. (default: generated ones)",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration", metavar="FOLDER", help="vacc: pictures that int8 is calibrated on."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it in its runtime, and compare.")
    ] = True,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Export a model to another format, and check it in that format's own runtime."""
    from vdsr.app.exporting import run

    run(
        model,
        output,
        format=format,
        precision=precision,
        static=static,
        opset=opset,
        scale=scale,
        pictures=pictures,
        calibration=calibration,
        check=check,
        overwrite=overwrite,
        json=json,
        quiet=quiet,
    )


@app.command()
@command
def evaluate(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            "-d",
            metavar="FOLDER|NAME",
            help="Pictures: a folder, or set5, set14, b100, urban100; may be repeated.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="A shipped model, or a model file; may be repeated. (default: vdsr)",
        ),
    ] = None,
    scales: Annotated[
        str | None, typer.Option("--scales", "-s", help="Scales, 2 to 8. (default: 2,3,4)")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", "-p", help="paper, float, file, fixed256; or several. (default: paper)"
        ),
    ] = None,
    crop: Annotated[
        str,
        typer.Option(
            "--crop", help="single: to a multiple of the scale; cumulative: of 2, 3, ... in turn."
        ),
    ] = "single",
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", metavar="FOLDER", help="fixed256: the enlarged pictures."),
    ] = None,
    outputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--outputs",
            metavar="FOLDER",
            help="Measure what came back from an accelerator (.npz) instead; may be repeated.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--save-pictures", metavar="FOLDER", help="--outputs: write the restored pictures."
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="auto, openvino, onnxruntime or torch; or several.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            "--precision", help="auto (that of the model), fp32, fp16 or int8; or several."
        ),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads. (default: all cores)")
    ] = None,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Besides PSNR and SSIM: consistency, speed, fid.")
    ] = "psnr,ssim",
    fid_network: Annotated[
        Path | None,
        typer.Option(
            "--fid-network", metavar="FILE", help="ONNX or TorchScript. (default: inception)"
        ),
    ] = None,
    json: Json = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a page of HTML with cut-outs."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.")
    ] = False,
) -> None:
    """Measure models on pictures by the field's protocols, beside bicubic."""
    if outputs:
        from vdsr.app import outputs as returned

        if model or report or metrics != "psnr,ssim" or protocol not in (None, "fixed256"):
            from vdsr.errors import UsageError

            raise UsageError(
                "--outputs are measured by fixed256, without --model, --metrics and --report"
            )
        returned.run(
            returned.Request(
                outputs=tuple(outputs),
                data=tuple(data),
                scales=scales,
                inputs=inputs,
                pictures=pictures,
                json=json,
                csv=csv,
                overwrite=overwrite,
                quiet=quiet,
            )
        )
        return
    from vdsr.app.evaluate import Request, run

    run(
        Request(
            models=tuple(model or ["vdsr"]),
            data=tuple(data),
            scales=scales or "2,3,4",
            protocol=protocol or "paper",
            crop=crop,
            inputs=inputs,
            backend=backend,
            precision=precision,
            threads=threads,
            metrics=metrics,
            fid_network=fid_network,
            json=json,
            csv=csv,
            report=report,
            overwrite=overwrite,
            quiet=quiet,
        )
    )


@app.command()
@command
def vacc(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What 'vdsr export --format vacc' made.")
    ],
    backend: Annotated[
        str,
        typer.Option("--backend", help="vaststreamx: the card; stand-in: ONNX Runtime here."),
    ] = "stand-in",
    precision: Annotated[
        str, typer.Option("--precision", help="fp32 (stand-in), fp16, int8; all, or several.")
    ] = "all",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="(default: FOLDER/outputs)"),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Run an accelerator folder's inputs on the card, or on this machine in its stead."""
    from vdsr.app.vacc import Request, run

    run(
        Request(
            folder=folder,
            backend=backend,
            precision=precision,
            output=output,
            overwrite=overwrite,
            json=json,
            quiet=quiet,
        )
    )


@data_app.command()
@command
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="set5, set14, b100, urban100; or inception, the network of FID."
        ),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Fetch a dataset from its public address, check it, and print where it is."""
    from vdsr.app.evaluate import fetch

    fetch(name, quiet=quiet)


data_app.command()(command(cli_train.pack))
app.command()(command(cli_train.train))
app.command()(command(cli_quantize.quantize))
app.command()(command(cli_benchmark.benchmark))


@app.command()
@command
def doctor(json: Json = None) -> None:
    """Show what is installed, which backends work, and what would be used."""
    from vdsr.app.doctor import run

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
