"""Idle channels, reinitialized without changing what the network computes.

A channel behind a ReLU that is never above zero gives nothing, and gets no gradient: it is
lost for training. Here it gets new random weights on its way in, each kernel with a sum of 0,
and zeros on its way out: the network computes the same, and the next step can use the channel.

References:
    S. Sokar et al., "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", ICML
    2023, https://arxiv.org/abs/2302.12902: the same remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from vdsr.training.network import Chain


@torch.no_grad()
def idle_channels(network: Chain, batches: Iterable[Tensor]) -> list[Tensor]:
    """Channels that are never above zero.

    Args:
        network: a chain.
        batches: float `[N, planes, H, W]`, what the network takes.

    Returns:
        For each layer but the last, bool `[channels]`.
    """
    layers = network.convolutions[:-1]
    largest: list[Tensor | None] = [None] * len(layers)
    for batch in batches:
        h = network.folded(batch)
        for i, layer in enumerate(layers):
            h = layer(h).relu_()
            most, before = h.amax((0, 2, 3)), largest[i]
            largest[i] = most if before is None else torch.maximum(before, most)
    return [most <= 0.0 for most in largest if most is not None]


@torch.no_grad()
def revive(
    network: Chain,
    idle: list[Tensor],
    *,
    mean: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> int:
    """Give idle channels new weights on their way in and zeros on their way out.

    Args:
        network: changed in place.
        idle: see `idle_channels`.
        mean: the running mean of its weights, by name; gets the same.
        optimizer: forgets what it has gathered for these weights.
        seed: of the new weights.

    Returns:
        How many channels there were.
    """
    layers = network.convolutions
    generator = torch.Generator().manual_seed(seed)
    for i, dead in enumerate(idle):
        if not dead.any():
            continue
        weight, bias, behind = layers[i].weight, layers[i].bias, layers[i + 1].weight
        live = weight[~dead]
        # As large as the others are; He's where there are no others.
        size = live.square().mean().sqrt() if len(live) else (2.0 / weight[0].numel()) ** 0.5
        drawn = torch.randn(weight[dead].shape, generator=generator)
        if drawn[0, 0].numel() > 1:
            # Blind to brightness: it is stronger than all detail, and with it many new channels
            # at once would drown what the next layer gets as soon as it listens to them.
            drawn -= drawn.mean((2, 3), keepdim=True)
        drawn = drawn.to(weight.device) * size
        changed = {f"layers.{i}.weight": drawn}
        if bias is not None:
            changed[f"layers.{i}.bias"] = torch.zeros(int(dead.sum()), device=weight.device)
        for name, values in changed.items():
            for target in (network.get_parameter(name), mean[name]):
                target[dead] = values
        for target in (behind, mean[f"layers.{i + 1}.weight"]):
            target[:, dead] = 0.0
        for parameter in (weight, *([] if bias is None else [bias])):
            _forget(optimizer.state.get(parameter, {}), (dead,))
        _forget(optimizer.state.get(behind, {}), (slice(None), dead))
    return sum(int(dead.sum()) for dead in idle)


def _forget(state: Mapping[str, Any], where: tuple[Any, ...]) -> None:
    for value in state.values():
        if isinstance(value, Tensor) and value.ndim:
            value[where] = 0.0
