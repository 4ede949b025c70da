"""TorchScript: a network that libtorch runs without this package, and without Python.

Float32 in and out, every size. In fp16 the convolutions compute in halves, which is meant
for GPUs; the residual is added in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vdsr.export.check import SIDE, Array, Run, luma_check
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, shape_facts
from vdsr.export.onnx import shape_text
from vdsr.export.source import Network
from vdsr.model.architecture import Architecture

# torch computes halves a hundred times slower than floats on a CPU that has none.
_HALF_SIDE = 48
_TRACED_CELLS = 16


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    net = network.architecture
    half = network.precision == "fp16"

    def write(folder: Path) -> None:
        save(network.architecture, folder / name, half=half)

    def open_file(folder: Path) -> Run:
        return run_file(folder / name)

    side = _HALF_SIDE if half else SIDE
    return ExportPlan(
        names=(name,),
        write=write,
        checks=(luma_check("PyTorch", open_file, network.precision, side=side),),
        facts=shape_facts(net, shape_text(None, net.planes)),
    )


def save(architecture: Architecture, path: Path, *, half: bool) -> None:
    """Write TorchScript. The same layers give the same tensors, not the same bytes.

    Args:
        architecture: the layers; tensors are named `layers.I.weight` and `layers.I.bias`.
        path: the file to write.
        half: whether weights and convolutions are in halves.
    """
    import torch
    from torch import nn

    class Chain(nn.Module):
        """The layers, folded and unfolded, with their input added if they are a residual."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList()
            for layer in architecture:
                sizes = (layer.in_channels, layer.out_channels, layer.kernel)
                convolution = nn.Conv2d(
                    *sizes, padding=layer.kernel // 2, bias=layer.bias is not None
                )
                convolution.weight.data = torch.from_numpy(layer.weight.copy())
                if layer.bias is not None and convolution.bias is not None:
                    convolution.bias.data = torch.from_numpy(layer.bias.copy())
                self.layers.append(convolution.half() if half else convolution)

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            h = y.half() if half else y
            if architecture.fold > 1:
                h = torch.nn.functional.pixel_unshuffle(h, architecture.fold)
            for i, layer in enumerate(self.layers):
                h = layer(torch.relu(h) if i else h)
            h = h.float()
            if architecture.fold > 1:
                h = torch.nn.functional.pixel_shuffle(h, architecture.fold)
            return y + h if architecture.residual else h

    side = _TRACED_CELLS * architecture.fold
    traced_on = torch.zeros(1, architecture.planes, side, side)
    with _no_warning(), torch.no_grad():
        traced = torch.jit.trace(Chain().eval(), traced_on, check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(str(path))


def run_file(path: Path) -> Run:
    """A function of one array, float32 `[N, planes, H, W]`, that runs TorchScript on the CPU."""
    import torch

    with _no_warning():
        network = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(array: Array) -> Array:
        with torch.inference_mode():
            result: Array = network(torch.from_numpy(array.copy())).numpy()
        return result

    return run


@contextmanager
def _no_warning() -> Iterator[None]:
    """PyTorch calls `torch.jit` deprecated; libtorch still runs what it writes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
        yield


FORMAT = ExportFormat(
    name="torchscript",
    suffix=".pt",
    precisions=("fp32", "fp16"),
    takes=frozenset(),
    needs=("torch",),
    plan=_plan,
)
