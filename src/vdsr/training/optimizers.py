"""Muon, for the inner convolutions; everything else is torch's own.

References:
    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/: momentum, then the nearest orthogonal
    matrix by five Newton-Schulz steps; kernels flattened to matrices
    `[out, in x k x k]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW for the rest, at their own rates.

    Args:
        kernels: weights `[out, in, k, k]` of the layers between the first and the last.
        others: the kernels of the first and the last layer.
        biases: all biases. Where activations are small, steps as large as those of kernels
            push channels below zero for good, and they are idle from then on.
        rate: step of a kernel: the root mean square of what it changes, per step, is
            `rate` x sqrt(max(1, out / (in k k)) / max(out, in k k)), whatever the gradient.
        other_rate, bias_rate: rates of AdamW for the others and the biases.
        momentum: of Muon, Nesterov's.
        betas: of AdamW.
        decay: decoupled weight decay of both.
    """

    def __init__(
        self,
        kernels: Iterable[Tensor],
        others: Iterable[Tensor],
        biases: Iterable[Tensor] = (),
        *,
        rate: float,
        other_rate: float,
        bias_rate: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        decay: float = 0.0,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(kernels), "lr": rate, "muon": True},
            {"params": list(others), "lr": other_rate, "muon": False},
            {"params": list(biases), "lr": bias_rate or other_rate, "muon": False},
        ]
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"momentum": momentum, "betas": betas, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; `closure` computes the gradients again where it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            with_gradient = [p for p in group["params"] if p.grad is not None]
            for parameter in with_gradient:
                parameter.mul_(1.0 - group["lr"] * group["decay"])
            if group["muon"]:
                self._muon(with_gradient, group)
            else:
                for parameter in with_gradient:
                    self._adam(parameter, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        toward: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for parameter in parameters:
            gradient, state = _gradient(parameter), self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(gradient, 1.0 - group["momentum"])
            ahead = torch.lerp(gradient, state["momentum"], group["momentum"]).flatten(1)
            toward.setdefault(tuple(ahead.shape), []).append((parameter, ahead))
        # Matrices of one shape together: on a GPU many small products cost more than few.
        for (rows, columns), pairs in toward.items():
            gain = max(1.0, rows / columns) ** 0.5
            steps = orthogonal(torch.stack([ahead for _, ahead in pairs]))
            for (parameter, _), step in zip(pairs, steps, strict=True):
                parameter.add_(step.view_as(parameter), alpha=-group["lr"] * gain)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = _gradient(parameter), self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(gradient, 1.0 - first)
        state["square"].lerp_(gradient.square(), 1.0 - second)
        mean = state["mean"] / (1.0 - first ** state["step"])
        root = (state["square"] / (1.0 - second ** state["step"])).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, root, value=-group["lr"])


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter without a gradient cannot be moved")
    return parameter.grad


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest matrices with orthonormal rows or columns.

    Args:
        matrices: float `[..., m, n]`.

    Returns:
        Same shape; all singular values between about 0.7 and 1.2.

    Each of the steps, x -> (a + b x x' + c (x x')^2) x, multiplies by a polynomial in x x' from
    the left. So only the square x x' is carried through the steps, and their product meets x
    at the end: a third of the arithmetic, where x has nine times as many columns as rows.
    """
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x: Tensor = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    square = x @ x.mT
    one = torch.eye(square.shape[-1], dtype=x.dtype, device=x.device)
    product = one
    for i in range(_STEPS):
        step = a * one + b * square + c * square @ square
        product = step if i == 0 else step @ product
        square = step @ square @ step
    x = product @ x
    found: Tensor = x if wide else x.mT
    return found
