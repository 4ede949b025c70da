"""A batch in parts, one per processor core, each with one thread of arithmetic.

Convolutions of a few dozen pixels are too small to be shared by several threads: each
would wait for the slowest at every layer. Here threads meet once a step. The parts are
always the same and are added in the same order, so that results do not depend on
which is ready first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import torch
from torch import Tensor, nn


def flush() -> None:
    """Take numbers below 1e-38 for 0 in this thread: a CPU computes with them 30 times slower.

    Channels that are idle have moments of such numbers in the optimizer.
    """
    torch.set_flush_denormal(True)


class Parallel:
    """A network whose batches are worked on in parts.

    Args:
        network: from `[N, 1, H, W]` to the same.
        workers: how many parts, and threads. Each uses as many threads of torch as
            `torch.set_num_threads` allows, which should be 1.
        dtype: what convolutions compute in: torch.float32, or torch.bfloat16, which
            processors with AVX512-BF16 or AMX do in half the time.
    """

    def __init__(
        self, network: nn.Module, workers: int, *, dtype: torch.dtype = torch.float32
    ) -> None:
        self._network, self._workers, self._dtype = network, workers, dtype
        self._pool = ThreadPoolExecutor(workers, initializer=flush)

    def _run(self, part: Tensor) -> Tensor:
        """One part, in a thread of its own: autocast holds for the thread that enters it."""
        half = self._dtype != torch.float32
        with torch.enable_grad(), torch.autocast("cpu", self._dtype, enabled=half):
            out: Tensor = self._network(part)
            return out.float()

    def __call__(self, y: Tensor) -> Tensor:
        """Run the network; gradients come back to its parameters, not to `y`.

        Args:
            y: float `[N, 1, H, W]`.

        Returns:
            The same shape.
        """
        weights = list(self._network.parameters())
        parts = y.tensor_split(self._workers)
        return cast("Tensor", _apply(self._run, self._pool, parts, *weights))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


class _Parts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        run: Callable[[Tensor], Tensor],
        pool: ThreadPoolExecutor,
        parts: Sequence[Tensor],
        *weights: Tensor,
    ) -> Tensor:
        ctx.outs = list(pool.map(run, parts))
        ctx.pool, ctx.weights = pool, weights
        return torch.cat([out.detach() for out in ctx.outs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        parts = torch.split(gradients[0], [len(out) for out in ctx.outs])

        def run(out: Tensor, gradient: Tensor) -> Sequence[Tensor]:
            found: Sequence[Tensor] = torch.autograd.grad(out, ctx.weights, gradient)
            return found

        first, *others = ctx.pool.map(run, ctx.outs, parts)
        total = list(first)
        for other in others:
            for sum_, gradient in zip(total, other, strict=True):
                sum_.add_(gradient)
        ctx.outs = None
        return None, None, None, *total


_apply: Callable[..., object] = _Parts.apply
