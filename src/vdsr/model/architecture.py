"""A plain chain of convolutions, as numbers: what it holds, sees and costs.

VDSR (Kim, Lee, Lee, CVPR 2016, https://arxiv.org/abs/1511.04587) and SRCNN
(Dong et al., 2014, https://arxiv.org/abs/1501.00092) are both such chains:
convolution, ReLU, convolution, ..., convolution, stride 1, zero padding that
keeps the size. VDSR adds the chain's output to its input; SRCNN does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import ModelError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One convolution.

    Attributes:
        weight: float32 `[out_channels, in_channels, k, k]`, k odd.
        bias: float32 `[out_channels]`, or None for a layer without one.
    """

    weight: FloatArray
    bias: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.weight.shape
        if len(shape) != 4 or shape[2] != shape[3] or shape[2] % 2 == 0:
            raise ModelError(f"a layer's weight is [out, in, k, k] with k odd, not {list(shape)}")
        if self.bias is not None and self.bias.shape != shape[:1]:
            raise ModelError(f"a bias of {list(self.bias.shape)} for a weight of {list(shape)}")

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return int(self.weight.shape[1])

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    @property
    def kernel(self) -> int:
        """Side of the square kernel, in px."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A chain of `Layer` with ReLU between them, from one channel to one channel.

    Attributes:
        layers: the convolutions in order; channel counts fit each other.
        residual: whether the input is added to the output of the last layer.

    Raises:
        ModelError: if the layers do not fit together.
    """

    layers: tuple[Layer, ...]
    residual: bool

    def __post_init__(self) -> None:
        if not self.layers:
            raise ModelError("a network needs at least one layer")
        channels = 1
        for i, layer in enumerate(self.layers):
            if layer.in_channels != channels:
                raise ModelError(
                    f"layer {i} takes {layer.in_channels} channels, but gets {channels}"
                )
            channels = layer.out_channels
        if channels != 1:
            raise ModelError(f"the last layer gives {channels} channels; a luma network gives 1")

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """Largest number of channels between two layers."""
        return max(layer.out_channels for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Number of trained numbers, biases included."""
        return sum(
            layer.weight.size + (0 if layer.bias is None else layer.bias.size) for layer in self
        )

    @property
    def halo(self) -> int:
        """How far an output pixel sees to every side, in px: sum of (k - 1) / 2."""
        return sum(layer.kernel // 2 for layer in self)

    @property
    def receptive_field(self) -> int:
        """Side of the square that an output pixel sees, in px: 2 x halo + 1."""
        return 2 * self.halo + 1

    @property
    def macs_per_pixel(self) -> int:
        """Multiply-accumulates per pixel, biases and the residual addition not counted."""
        return sum(layer.weight.size for layer in self)

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for one picture of `height` x `width` px."""
        return self.macs_per_pixel * height * width

    def flops(self, height: int, width: int) -> int:
        """Floating-point operations: two per multiply-accumulate."""
        return 2 * self.macs(height, width)

    def flops_with_bias_convention(self, height: int, width: int) -> int:
        """2 x H x W x sum(Cin x (k x k + 1) x Cout).

        The convention of the Vastai model card, which counts one more
        multiply-accumulate per kernel, whether or not the layer has a bias
        (VastModelZOO, cv/super_resolution/vdsr: 96.805 G for 256x256).
        """
        return (
            2
            * height
            * width
            * sum(la.in_channels * (la.kernel**2 + 1) * la.out_channels for la in self)
        )
