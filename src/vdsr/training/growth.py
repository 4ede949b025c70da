"""Deeper networks from shallower ones, that compute the same at first.

References:
    T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating Learning via Knowledge
    Transfer", ICLR 2016, https://arxiv.org/abs/1511.05641: after a ReLU, a convolution
    whose kernel is the identity (a Dirac) changes nothing, nor does the ReLU after it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vdsr.errors import UsageError
from vdsr.model.architecture import Architecture, FloatArray, Layer


def deepen(
    architecture: Architecture, depth: int, *, noise: float = 0.0, seed: int = 0
) -> Architecture:
    """Insert identity layers, spread evenly between the inner ones.

    Args:
        architecture: a chain with one width, at least one layer of width to width away
            from its ends, 3x3 kernels.
        depth: layers wanted, at least as many as there are.
        noise: what is added to the identity layers, in units of He's random weights.
        seed: of the noise.

    Returns:
        A chain of `depth` layers that gives exactly what `architecture` gives, if there is
        no noise.

    Raises:
        UsageError: if it has more layers already, or layers of different widths.
    """
    layers = list(architecture.layers)
    missing = depth - len(layers)
    if missing < 0:
        raise UsageError(f"a network of {len(layers)} layers cannot grow to {depth}")
    inner = len(layers) - 1
    if inner < 1 or len({layer.out_channels for layer in layers[:-1]}) > 1:
        raise UsageError("only a chain of layers of one width can grow")
    # Gap i lies after layer i; the last layer has no ReLU after it, and so no gap.
    gaps = np.floor((np.arange(missing) + 0.5) * inner / max(missing, 1)).astype(int)
    grown: list[Layer] = []
    rng = np.random.default_rng(seed)
    for i, layer in enumerate(layers):
        grown.append(layer)
        for _ in range(int((gaps == i).sum())):
            new = identity(layer)
            deviation = noise * (2.0 / new.weight[0].size) ** 0.5
            drawn = rng.normal(0.0, deviation, new.weight.shape) if noise else 0.0
            grown.append(replace(new, weight=(new.weight + drawn).astype(np.float32)))
    return replace(architecture, layers=tuple(grown))


def with_chroma(architecture: Architecture) -> Architecture:
    """A network of Y, Cb and Cr from one of luma.

    Returns:
        A chain that gives the luma which `architecture` gives, and adds nothing to chroma.

    Raises:
        UsageError: if it has three planes already, or gives no residual.
    """
    if architecture.planes != 1 or not architecture.residual or architecture.depth < 2:
        raise UsageError("only a residual network of luma can be widened to three planes")
    first, *inner, last = architecture.layers
    more = 2 * architecture.fold**2
    taken = np.pad(first.weight, ((0, 0), (0, more), (0, 0), (0, 0)))
    given = np.pad(last.weight, ((0, more), (0, 0), (0, 0), (0, 0)))
    bias: FloatArray | None = None if last.bias is None else np.pad(last.bias, (0, more))
    layers = (replace(first, weight=taken), *inner, Layer(weight=given, bias=bias))
    return replace(architecture, layers=layers, planes=3)


def identity(like: Layer) -> Layer:
    """A 3x3 layer that gives what it takes.

    Args:
        like: the layer before it, whose outputs it takes; it has a bias if that one has.
    """
    width = like.out_channels
    weight = np.zeros((width, width, 3, 3), np.float32)
    weight[np.arange(width), np.arange(width), 1, 1] = 1.0
    return Layer(weight=weight, bias=None if like.bias is None else np.zeros(width, np.float32))
