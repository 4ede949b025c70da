"""A shipped network as training has it, and patches as the recipe `photo` draws them for it."""

from __future__ import annotations

from pathlib import Path

from vdsr.data.packfile import read_pack
from vdsr.model.file import ModelFile
from vdsr.training.network import VDSR
from vdsr.training.patches import Patches
from vdsr.training.recipe_file import load_recipe


def network_and_patches(model: ModelFile, pack: Path) -> tuple[VDSR, Patches]:
    """The network with its weights, and batches for it.

    Args:
        model: of a VDSR; one of luma gets undamaged patches of x2, x3 and x4.
        pack: of color for a network of Y, Cb, Cr.
    """
    taken, recipe = model.architecture, load_recipe("photo")
    color, data = taken.planes == 3, recipe.data
    patches = Patches(
        read_pack(pack).pictures,
        scales=data.scales if color else (2, 3, 4),
        patch=data.patch,
        batch=data.batch,
        planes=taken.planes,
        focus=data.focus,
        damage=recipe.damage if color else None,
    )
    network = VDSR(depth=taken.depth, fold=taken.fold, planes=taken.planes)
    network.load_architecture(taken)
    return network, patches
