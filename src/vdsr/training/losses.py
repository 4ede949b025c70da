"""What training makes small: L1, Charbonnier and squared error, and how they are summed.

References:
    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994; as in Lai et al., https://arxiv.org/abs/1704.03915, with
    epsilon 0.001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("l1", "charbonnier", "mse")
REDUCTIONS = ("mean", "sum", "half_sum")

_EPSILON = 1e-3


def loss(restored: Tensor, original: Tensor, kind: str, reduction: str) -> Tensor:
    """The loss of a batch.

    Args:
        restored: float `[N, 1, H, W]`, luma / 255.
        original: same shape.
        kind: `l1`: |d|; `charbonnier`: sqrt(d^2 + 0.001^2); `mse`: d^2.
        reduction: over all N x H x W values: `mean`; `sum`, as pytorch-vdsr; `half_sum`:
            sum / (2 N), as Caffe's and MatConvNet's Euclidean loss.

    Returns:
        A scalar.
    """
    difference = restored - original
    if difference.element_size() < 4:
        difference = difference.float()
    if kind == "l1":
        each = difference.abs()
    elif kind == "mse":
        each = difference.square()
    else:
        each = (difference.square() + _EPSILON**2).sqrt()
    if reduction == "mean":
        return each.mean()
    return each.sum() if reduction == "sum" else each.sum() / (2 * len(each))
