"""The commands that measure; see `vdsr.cli.main`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.options import Json, Overwrite


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
        from vdsr.cli import outputs as returned

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
    from vdsr.cli.evaluate import Request, run

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
    from vdsr.cli.evaluate import fetch

    fetch(name, quiet=quiet)
