"""A plain chain of convolutions, as numbers: what it holds, sees and costs.

VDSR (Kim, Lee, Lee, CVPR 2016, https://arxiv.org/abs/1511.04587) and SRCNN
(Dong et al., 2014, https://arxiv.org/abs/1501.00092) are both such chains:
convolution, ReLU, convolution, ..., convolution, stride 1, zero padding that
keeps the size. VDSR adds the chain's output to its input; SRCNN does not.

A folded chain works on `fold` x `fold` px at a time, laid behind each other as channels
(space-to-depth), and unfolds its last channels again: FFDNet (Zhang et al., TIP 2018,
https://arxiv.org/abs/1710.04026) did so to DnCNN, after ESPCN (Shi et al., CVPR 2016,
https://arxiv.org/abs/1609.05158). The arithmetic per pixel falls by `fold` squared, and
the network sees `fold` times as far.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import ModelError

FloatArray = NDArray[np.float32]

FOLDS = (1, 2, 3, 4)
# Luma; or Y, Cb, Cr.
PLANES = (1, 3)
# Far above any network of this kind, far below what overruns a runtime's stack.
MAX_DEPTH = 1000
MAX_KERNEL = 255


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
        if self.weight.size == 0 or shape[2] > MAX_KERNEL:
            raise ModelError(
                f"a layer has channels, and a kernel of at most {MAX_KERNEL} px, not {list(shape)}"
            )
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
    """A chain of `Layer` with ReLU between them, from a picture to a picture.

    Attributes:
        layers: the convolutions in order; channel counts fit each other. The first takes and
            the last gives `folded_planes` channels, in torch's `pixel_unshuffle` order:
            plane c at row i and column j of its `fold` x `fold` px is channel
            c x fold x fold + i x fold + j.
        residual: whether the input is added to the output of the last layer.
        fold: side of the squares of px that are laid behind each other: 1, 2, 3 or 4.
        planes: of the picture: 1 for luma, 3 for Y, Cb, Cr.

    Raises:
        ModelError: if the layers do not fit together.
    """

    layers: tuple[Layer, ...]
    residual: bool
    fold: int = 1
    planes: int = 1

    def __post_init__(self) -> None:
        if not self.layers:
            raise ModelError("a network needs at least one layer")
        if self.depth > MAX_DEPTH:
            raise ModelError(f"it has {self.depth} layers, more than {MAX_DEPTH} layers")
        check_shape(self.fold, self.planes)
        channels = self.folded_planes
        for i, layer in enumerate(self.layers):
            if layer.in_channels != channels:
                raise ModelError(
                    f"layer {i} takes {layer.in_channels} channels, but gets {channels}"
                )
            channels = layer.out_channels
        if channels != self.folded_planes:
            raise ModelError(
                f"the last layer gives {channels} channels; a network of {self.planes} planes"
                f" and fold {self.fold} gives {self.folded_planes}"
            )

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @property
    def folded_planes(self) -> int:
        """Channels that the first layer takes and the last one gives."""
        return self.planes * self.fold**2

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return len(self.layers)

    @property
    def width(self) -> int:
        """Largest number of channels between two layers."""
        return max((layer.out_channels for layer in self.layers[:-1]), default=self.folded_planes)

    @property
    def parameters(self) -> int:
        """Number of trained numbers, biases included."""
        return sum(
            layer.weight.size + (0 if layer.bias is None else layer.bias.size) for layer in self
        )

    @property
    def halo(self) -> int:
        """How far an output pixel sees in every direction, in px: fold x sum of (k - 1) / 2.

        Counted from the square of `fold` x `fold` px that the pixel lies in: to one side it
        sees up to `fold` - 1 px further.
        """
        return self.fold * sum(layer.kernel // 2 for layer in self)

    @property
    def receptive_field(self) -> int:
        """Side of the square that an output pixel sees, in px: 2 x halo + 1."""
        return 2 * self.halo + 1

    @property
    def macs_per_pixel(self) -> float:
        """Multiply-accumulates per pixel, biases and the residual addition not counted."""
        return self._weights / self.fold**2

    @property
    def _weights(self) -> int:
        return sum(layer.weight.size for layer in self)

    def folded(self, x: FloatArray) -> FloatArray:
        """What the first layer takes of pictures: their squares of px behind each other.

        Args:
            x: float32 `[N, planes, H, W]`, H and W multiples of `fold`.

        Returns:
            float32 `[N, planes x fold x fold, H / fold, W / fold]`; `x` for a fold of 1.
        """
        if self.fold == 1:
            return x
        count, planes, height, width = x.shape
        f = self.fold
        squares = x.reshape(count, planes, height // f, f, width // f, f)
        return np.ascontiguousarray(
            squares.transpose(0, 1, 3, 5, 2, 4).reshape(count, -1, height // f, width // f)
        )

    def cells(self, height: int, width: int) -> int:
        """Squares of `fold` x `fold` px that cover a picture: its px, for a fold of 1."""
        return -(-height // self.fold) * -(-width // self.fold)

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for one picture of `height` x `width` px."""
        return self._weights * self.cells(height, width)

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
            * self.cells(height, width)
            * sum(la.in_channels * (la.kernel**2 + 1) * la.out_channels for la in self)
        )


def check_shape(fold: int, planes: int) -> None:
    """Refuse a fold or a number of planes that no network has.

    Raises:
        ModelError: if one is out of range.
    """
    for name, value, known in (("fold", fold, FOLDS), ("planes", planes, PLANES)):
        if type(value) is not int or value not in known:
            raise ModelError(f"{name} is one of {', '.join(map(str, known))}, not {value!r}")


def shape_of(channels: int) -> tuple[int, int] | None:
    """Fold and planes of a network whose first layer takes so many channels.

    No two of them take the same number. None if none does.
    """
    known = {p * f**2: (f, p) for f in FOLDS for p in PLANES}
    return known.get(channels)
