"""What training makes small: L1, Charbonnier, squared error, its logarithm; how they are summed.

References:
    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994; as in Lai et al., https://arxiv.org/abs/1704.03915, with
    epsilon 0.001.
    L. Chen, X. Chu, X. Zhang, J. Sun, "Simple Baselines for Image Restoration", ECCV 2022,
    https://arxiv.org/abs/2204.04676: PSNR itself as the loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("l1", "charbonnier", "mse", "log_mse")
REDUCTIONS = ("mean", "sum", "half_sum")

_EPSILON = 1e-3
# 2.55 levels of 255, squared: patches that are as good as that, or clean to begin with, do not
# outweigh the others.
_FLOOR = 1e-4


def loss(restored: Tensor, original: Tensor, kind: str, reduction: str) -> Tensor:
    """The loss of a batch.

    Args:
        restored: float `[N, 1, H, W]`, luma / 255.
        original: same shape.
        kind: `l1`: |d|; `charbonnier`: sqrt(d^2 + 0.001^2); `mse`: d^2; `log_mse`: of each
            patch log(1 + mean d^2 / 0.0001), which is PSNR up to sign and scale: a decibel
            counts the same in a patch that was hardly damaged as in one that was ruined.
        reduction: over all N x H x W values, or the N of `log_mse`: `mean`; `sum`, as
            pytorch-vdsr; `half_sum`: sum / (2 N), as Caffe's and MatConvNet's Euclidean loss.

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
    elif kind == "log_mse":
        each = (difference.square().flatten(1).mean(1) / _FLOOR).log1p()
    else:
        each = (difference.square() + _EPSILON**2).sqrt()
    if reduction == "mean":
        return each.mean()
    return each.sum() if reduction == "sum" else each.sum() / (2 * len(each))
