"""VDSR, the network: 20 convolutions that predict what bicubic enlargement has lost.

And SRCNN, which it is measured against: three convolutions that give the picture itself.

References:
    J. Kim, J. K. Lee, K. M. Lee, "Accurate Image Super-Resolution Using Very Deep
    Convolutional Networks", CVPR 2016, https://arxiv.org/abs/1511.04587: depth 20,
    width 64, 3x3 kernels, ReLU, zero padding, residual output.
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015,
    https://arxiv.org/abs/1502.01852: the initialization.
    C. Dong, C. C. Loy, K. He, X. Tang, "Image Super-Resolution Using Deep Convolutional
    Networks", TPAMI 2016, https://arxiv.org/abs/1501.00092: 9-1-5 and 9-5-5.

Folded networks: see `vdsr.model.architecture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vdsr.model.architecture import Architecture, Layer

KERNEL = 3


class Chain(nn.Module):
    """Convolution, ReLU, convolution, ..., convolution, all with zero padding.

    Args:
        kernels: side of every layer's kernel, odd.
        channels: outputs of every layer but the last, which gives what the first one takes.
        bias: whether the layers have biases; they start at 0.
        residual: whether the input is added to the output.
        fold, planes: see `vdsr.model.architecture.Architecture`.

    Attributes:
        slope: of what is below 0 behind a layer, in training: 0 is ReLU, which is what a
            model file has.
        int8: layers, from 0, that compute as they would in int8, see `rounded`.
    """

    def __init__(
        self,
        kernels: Sequence[int],
        channels: Sequence[int],
        *,
        bias: bool,
        residual: bool,
        fold: int = 1,
        planes: int = 1,
    ) -> None:
        super().__init__()
        self.residual, self.fold, self.planes, self.slope = residual, fold, planes, 0.0
        self.int8: frozenset[int] = frozenset()
        end = planes * fold**2
        ends = [end, *channels, end]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, k, padding=k // 2, bias=bias)
            for a, b, k in zip(ends[:-1], ends[1:], kernels, strict=True)
        )
        for layer in self.convolutions:
            # Standard deviation sqrt(2 / (k k Cout)): He's, over the outputs of a layer.
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """The layers, in order."""
        return cast("list[nn.Conv2d]", list(self.layers))

    def forward(self, y: Tensor) -> Tensor:
        """Restore a picture.

        Args:
            y: float `[N, planes, H, W]`, bicubically enlarged luma (or Y, Cb, Cr) / 255; H
                and W are multiples of the fold.

        Returns:
            Same shape; not clipped.
        """
        *inner, last = self.layers
        h = self.folded(y)
        for number, layer in enumerate(inner):
            h = _in_int8(layer, h) if number in self.int8 else layer(h)
            # In place: what a convolution gives is not needed for its own gradient.
            h = functional.leaky_relu_(h, self.slope) if self.slope else h.relu_()
        out: Tensor = last(h)
        if self.fold > 1:
            out = functional.pixel_shuffle(out, self.fold)
        return y + out if self.residual else out

    def folded(self, y: Tensor) -> Tensor:
        """What the first layer takes: squares of px as channels, channels last."""
        h = functional.pixel_unshuffle(y, self.fold) if self.fold > 1 else y
        # Convolutions are faster so: by a fifth in fp32 on a CPU, by half in bf16.
        return h.contiguous(memory_format=torch.channels_last)

    def architecture(self) -> Architecture:
        """The layers as float32 arrays, for model files; copies of the weights."""
        return Architecture(
            layers=tuple(
                Layer(
                    weight=_array(layer.weight),
                    bias=None if layer.bias is None else _array(layer.bias),
                )
                for layer in self.convolutions
            ),
            residual=self.residual,
            fold=self.fold,
            planes=self.planes,
        )

    def load_architecture(self, architecture: Architecture) -> None:
        """Take over the weights of a model file or checkpoint.

        Raises:
            ValueError: if depth, width, fold, planes, biases or the residual differ.
        """
        own = self.architecture()
        if _shapes(own) != _shapes(architecture):
            raise ValueError("these layers are not those of this network")
        with torch.no_grad():
            for layer, source in zip(self.convolutions, architecture, strict=True):
                layer.weight.copy_(torch.from_numpy(source.weight))
                if source.bias is not None and layer.bias is not None:
                    layer.bias.copy_(torch.from_numpy(source.bias))


class VDSR(Chain):
    """`y + layers(y)`: depth x (convolution 3x3, ReLU), the last one without ReLU.

    Args:
        depth: number of convolutions, at least 2. The receptive field is 2 x depth x fold + 1
            px.
        width: channels between the layers.
        bias: whether the layers have biases; they start at 0.
        residual: False for `layers(y)`, which the paper compares with.
        fold, planes: see `vdsr.model.architecture.Architecture`.

    Raises:
        ValueError: for a depth below 2 or a width below 1.
    """

    def __init__(
        self,
        *,
        depth: int = 20,
        width: int = 64,
        bias: bool = True,
        residual: bool = True,
        fold: int = 1,
        planes: int = 1,
    ) -> None:
        if depth < 2 or width < 1:
            raise ValueError(f"a VDSR has depth >= 2 and width >= 1, not {depth} and {width}")
        super().__init__(
            [KERNEL] * depth,
            [width] * (depth - 1),
            bias=bias,
            residual=residual,
            fold=fold,
            planes=planes,
        )


class SRCNN(Chain):
    """`layers(y)`: three convolutions, 64 and 32 channels between them, no residual.

    Unlike the original, which shrinks its picture, this one pads with zeros.

    Args:
        kernels: sides of the kernels: (9, 1, 5), or (9, 5, 5), slower and better.
    """

    def __init__(self, *, kernels: tuple[int, int, int] = (9, 5, 5)) -> None:
        super().__init__(kernels, [64, 32], bias=True, residual=False)

    @torch.no_grad()
    def begin_as_bicubic(self) -> None:
        """Let the first channel carry the picture, and the last layer take nothing else.

        The picture is not negative, so that no ReLU changes it. Random weights have to learn
        it first, and it is thousands of times stronger than what they are to add.
        """
        *_, last = self.convolutions
        last.weight.zero_()
        for layer in self.convolutions:
            middle = layer.kernel_size[0] // 2
            layer.weight[0] = 0.0
            layer.weight[0, 0, middle, middle] = 1.0


def rounded(values: Tensor, largest: Tensor, steps: int) -> Tensor:
    """Values on so many steps from 0 to the largest, with the gradient of the values.

    Straight through, as Y. Bengio, N. Leonard, A. Courville, "Estimating or Propagating Gradients
    Through Stochastic Neurons", 2013, https://arxiv.org/abs/1308.3432; in training so that int8
    loses less: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, https://arxiv.org/abs/1712.05877.

    Args:
        values: of any shape.
        largest: above 0; of a shape that broadcasts to that of `values`.
        steps: from 0 to the largest.
    """
    step = largest / steps
    return values + (torch.round(values / step) * step - values).detach()


def _in_int8(layer: nn.Module, h: Tensor) -> Tensor:
    """A layer as the quantizer has it: inputs of 8 bits, weights of 7 for each output channel."""
    assert isinstance(layer, nn.Conv2d)
    least = torch.finfo(torch.float32).tiny
    given = rounded(h, h.detach().amax().clamp_min(least), 255)
    peaks = layer.weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(least)
    weight = rounded(layer.weight, peaks, 63)
    return functional.conv2d(given, weight, layer.bias, padding=layer.padding)


def _array(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = (
        tensor.detach().cpu().float().numpy().copy()
    )
    return array


def _shapes(architecture: Architecture) -> tuple[object, ...]:
    """All that must be equal for weights to fit."""
    layers = [(layer.weight.shape, layer.bias is not None) for layer in architecture]
    return architecture.residual, architecture.fold, architecture.planes, layers
