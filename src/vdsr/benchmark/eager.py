"""The reference: the network as public implementations run it, in eager PyTorch.

`nn.Conv2d` and `nn.ReLU(inplace=True)` one after the other, float32, contiguous, in
`torch.inference_mode`, as https://github.com/twtygqyy/pytorch-vdsr does. Run as a program
it enlarges a file with the same bicubic and the same PNG as this package:

    python -m vdsr.benchmark.eager WEIGHTS.pt IN OUT SCALE THREADS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vdsr.errors import MissingExtra
from vdsr.imaging.color import STUDIO
from vdsr.imaging.resample import imresize
from vdsr.inference.tiling import filled
from vdsr.model.architecture import FloatArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from vdsr.model.architecture import Architecture


class EagerNetwork:
    """The reference network.

    Args:
        tensors: weight and bias of each convolution; a bias may be None.
        residual: whether the input is added to the output.
        threads: CPU threads.
        fold: of the network.
    """

    def __init__(
        self,
        tensors: Sequence[tuple[Tensor, Tensor | None]],
        *,
        residual: bool,
        threads: int,
        fold: int = 1,
    ) -> None:
        self._chain: nn.Module = chain(tensors, fold=fold)
        self._fold = fold
        self._residual = residual
        self._threads = threads

    def run(self, y: FloatArray) -> FloatArray:
        """Restore float32 `[N, planes, H, W]` in 0..1."""
        import torch

        # Set at every run: other networks of this process set it, too.
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            x = torch.from_numpy(filled(y, self._fold))
            out: Tensor = self._chain(x)
            restored = np.asarray((out + x if self._residual else out).numpy())
        height, width = y.shape[-2:]
        return restored[..., :height, :width]


def chain(tensors: Sequence[tuple[Tensor, Tensor | None]], *, fold: int = 1) -> nn.Sequential:
    """Convolutions with these weights, and ReLU in place between them; folded and unfolded."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for weight, bias in tensors:
        outputs, inputs, kernel, _ = weight.shape
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias is not None)
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None and layer.bias is not None:
                layer.bias.copy_(bias)
        modules += [layer, nn.ReLU(inplace=True)]
    modules = modules[:-1]
    if fold > 1:
        modules = [nn.PixelUnshuffle(fold), *modules, nn.PixelShuffle(fold)]
    return nn.Sequential(*modules).eval()


def tensors_of(architecture: Architecture) -> list[tuple[Tensor, Tensor | None]]:
    """The layers of a model file as tensors.

    Raises:
        MissingExtra: without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    return [
        (
            torch.from_numpy(layer.weight),
            None if layer.bias is None else torch.from_numpy(layer.bias),
        )
        for layer in architecture
    ]


def save_weights(architecture: Architecture, path: Path) -> None:
    """Write the layers as the program below reads them: a file of tensors."""
    import torch

    content = (tensors_of(architecture), architecture.residual, architecture.fold)
    torch.save(content, path)


def enlarge(
    network: EagerNetwork, pixels: NDArray[np.uint8], scale: float, *, color: bool
) -> NDArray[np.uint8]:
    """What the program below does with a picture.

    Args:
        network: of luma or of Y, Cb, Cr.
        pixels: uint8 `[H, W, 3]`, RGB.
        scale: 1 or more.
        color: whether the network takes Y, Cb, Cr.

    Returns:
        uint8 `[scale x H, scale x W, 3]`.
    """
    planes = imresize(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32), scale=scale)
    if color:
        y = np.ascontiguousarray(STUDIO.to_ycbcr(planes) / np.float32(255))
        more = (network.run(y[None])[0] - y) * np.float32(255)
        added = np.tensordot(STUDIO.inverse.astype(np.float32), more, 1)
    else:
        y = np.ascontiguousarray(STUDIO.luma(planes) / np.float32(255))
        # Adding d to the studio luma adds 255/219 d to red, green and blue.
        added = (network.run(y[None, None])[0] - y) * np.float32(255 * 255 / 219)
    samples = np.clip(np.rint(planes + added), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(samples.transpose(1, 2, 0))


def _main(weights: Path, source: Path, goal: Path, scale: float, threads: int) -> None:
    import torch

    from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
    from vdsr.inference import memory

    tensors, residual, fold = torch.load(weights, weights_only=True)
    network = EagerNetwork(tensors, residual=residual, threads=threads, fold=fold)
    pixels = np.concatenate(list(PictureReader(source).strips()))[..., :3]
    color = tensors[0][0].shape[1] == 3 * fold**2
    samples = enlarge(network, pixels, scale, color=color)
    height, width = samples.shape[:2]
    layout = PixelLayout(width=width, height=height, bands=3, dtype="uint8")
    with PictureWriter(goal, layout, FORMATS["png"], overwrite=True) as writer:
        writer.write(samples)
    sys.stdout.write(json.dumps({"peak_memory_bytes": memory.peak_resident()}) + "\n")


if __name__ == "__main__":
    _main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        float(sys.argv[4]),
        int(sys.argv[5]),
    )
