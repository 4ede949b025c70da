"""`vdsr info`: a model, described."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from vdsr.cli.console import check_outputs, report
from vdsr.cli.options import Json, Overwrite, Quiet
from vdsr.cli.parsing import parse_box

if TYPE_CHECKING:
    from vdsr.model.architecture import Architecture


def info(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A shipped model, or a file.")
    ] = "vdsr",
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", help="Size that the work is counted for.")
    ] = "256x256",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = None,
) -> None:
    """Show a model: layers, parameters, receptive field, work for a size, card.

    Example: vdsr info vdsr --size 1920x1080
    """
    from vdsr.model.file import load_model

    width, height = parse_box(size)
    check_outputs(json=json, overwrite=overwrite)
    file = load_model(model)
    net, card, bits = file.architecture, file.metadata, file.weight_bits
    content = {
        "name": card.name,
        "version": card.version,
        "sha256": file.digest,
        "precision": card.precision,
        "weight_bits": file.weight_bits,
        "luma": card.luma,
        "scales": list(card.scales),
        "training_data": card.training_data,
        "license": card.license,
        "recipe": card.recipe,
        "psnr": dict(card.psnr),
        "residual": net.residual,
        "fold": net.fold,
        "planes": net.planes,
        "layers": net.depth,
        "width": net.width,
        "parameters": net.parameters,
        "receptive_field": net.receptive_field,
        "size": [width, height],
        "macs": net.macs(height, width),
        "flops": net.flops(height, width),
        "flops_vastai_convention": net.flops_with_bias_convention(height, width),
    }
    rows = [
        ("model", f"{card.name} {card.version}"),
        ("sha256", file.digest),
        ("precision", card.precision + (f", {bits}-bit weights" if bits else "")),
        ("luma", f"{card.luma} range"),
        ("scales", ", ".join(f"x{scale}" for scale in card.scales)),
        ("training data", card.training_data),
        ("license", card.license),
        ("recipe", card.recipe),
        *((name, f"{value:.2f} dB") for name, value in card.psnr.items()),
        ("layers", f"{net.depth}: {_layers(net)}"),
        ("output", "input + last layer (residual)" if net.residual else "last layer"),
        ("planes", "luma" if net.planes == 1 else "Y, Cb, Cr"),
        *([("fold", f"{net.fold}x{net.fold} px at a time")] if net.fold > 1 else []),
        ("parameters", f"{net.parameters:,}"),
        ("receptive field", f"{net.receptive_field} px ({net.halo} to every side)"),
        (f"for {width}x{height} px", f"{net.macs(height, width) / 1e9:.3f} GMAC"),
        ("", f"{net.flops(height, width) / 1e9:.3f} GFLOP (2 per MAC)"),
        (
            "",
            f"{net.flops_with_bias_convention(height, width) / 1e9:.3f} G by the convention"
            " 2 H W sum(Cin (k k + 1) Cout) of Vastai's model card",
        ),
    ]
    indent = max(len(name) for name, _ in rows) + 2
    text = "\n".join(f"{name:<{indent}}{value}" for name, value in rows)
    report(text, content, quiet=quiet, json=json)


def _layers(net: Architecture) -> str:
    shapes = [(f"{la.kernel}x{la.kernel}", la.in_channels, la.out_channels) for la in net]
    groups = [(shape, len(list(group))) for shape, group in groupby(shapes)]
    biased = " with biases" if any(layer.bias is not None for layer in net) else " without biases"
    return ", ".join(f"{n} x {k} {i}->{o}" for (k, i, o), n in groups) + biased
