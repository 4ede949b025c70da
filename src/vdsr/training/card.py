"""What a trained model says of itself: its metadata, and a page for people."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from vdsr.data.packfile import Pack
from vdsr.model.architecture import Architecture
from vdsr.model.metadata import ModelMetadata
from vdsr.training.recipe import Recipe
from vdsr.training.run import Outcome
from vdsr.version import __version__

_PACKAGES = ("torch", "pytorch-lightning", "numpy")


def metadata(
    recipe: Recipe, pack: Pack, outcome: Outcome, *, name: str, number: str
) -> ModelMetadata:
    """The metadata of a model file.

    Args:
        recipe: what was done.
        pack: what was trained on.
        outcome: what came of it.
        name: name of the model.
        number: version of the weights.
    """
    origin = f"; started from {outcome.origin}" if outcome.origin else ""
    return ModelMetadata(
        name=name,
        version=number,
        scales=tuple(sorted({int(scale) for scale in recipe.data.scales if scale == int(scale)})),
        residual=outcome.architecture.residual,
        fold=outcome.architecture.fold,
        planes=outcome.architecture.planes,
        training_data=f"{pack.data}, {len(pack.pictures)} pictures{origin}",
        license=pack.license,
        recipe=(
            f"{recipe.name} {recipe.digest[:12]}: {outcome.steps} steps in"
            f" {outcome.seconds / 60:.1f} min on {outcome.device};"
            f" data {pack.digest[:12]}; {_software()}"
        ),
        psnr={f"kept-out pictures {scale}": value for scale, value in _final(outcome).items()},
    )


def page(model: ModelMetadata, recipe: Recipe, outcome: Outcome, *, digest: str) -> str:
    """The card of a model, in Markdown.

    Args:
        model: its metadata.
        recipe: what was done.
        outcome: what came of it.
        digest: SHA-256 of the model file.
    """
    layers = outcome.architecture
    rows = [
        f"# {model.name} {model.version}",
        "",
        recipe.about,
        "",
        f"- Network: {layers.depth} layers of width {layers.width},"
        f" {layers.parameters:,} parameters, {_shape(layers)}",
        f"- Scales: {', '.join(f'x{scale}' for scale in model.scales)}, luma {model.luma} range",
        f"- Trained on: {model.training_data}",
        f"- License: {model.license}",
        f"- Recipe: {model.recipe}",
        f"- SHA-256: {digest}",
        "",
    ]
    final = _final(outcome)
    if final:
        rows += [
            "PSNR in dB of the luma, nothing rounded, of pictures of the same data that were"
            " kept out of training; no figure of any published table:",
            "",
            f"| | {' | '.join(final)} |",
            f"|---|{'---|' * len(final)}",
            f"| bicubic | {' | '.join(f'{outcome.bicubic[s]:.2f}' for s in final)} |",
            f"| {model.name} | {' | '.join(f'{value:.2f}' for value in final.values())} |",
            "",
        ]
    return "\n".join(rows)


def _shape(layers: Architecture) -> str:
    planes = "luma" if layers.planes == 1 else "Y, Cb, Cr"
    return planes if layers.fold == 1 else f"{planes}, folded by {layers.fold}"


def _final(outcome: Outcome) -> dict[str, float]:
    """The last figures, if they are of the last step."""
    last = outcome.scores[-1] if outcome.scores else {}
    if last.get("step") != outcome.steps:
        return {}
    return {name: value for name, value in last.items() if name in outcome.bicubic}


def _software() -> str:
    found = [f"vdsr {__version__}", f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
