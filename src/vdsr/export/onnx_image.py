"""One ONNX graph from a picture to an enlarged picture: color, bicubic, network, join.

uint8 `[1, H, W, 3]` RGB to uint8 `[1, scale x H, scale x W, 3]`: what `Upscaler.upscale`
does, whole, without tiles.

Bicubic interpolation by a whole number has as many kernels as an old pixel has new ones: its
phases. They are one convolution with 5x5 kernels, of which each phase uses at most 4x4, and
DepthToSpace lays its channels out as pixels. Borders are mirrored, the outermost pixel
twice, as MATLAB does, by slices that are put in front and behind: ONNX has no such padding.
The residual dY, times 255 / 219 for studio range, is added to R, G and B; that of a network
of three planes goes through the inverse of BT.601's matrix (see `vdsr.inference.pipeline`). In
fp16 only the network computes in halves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vdsr.errors import MissingExtra, UsageError
from vdsr.export.check import SIDE, Array, Check, Run, Tolerance
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan
from vdsr.export.openvino import run_file as run_by_openvino
from vdsr.export.source import Network
from vdsr.imaging.color import RANGES
from vdsr.imaging.resample import Axis
from vdsr.inference.upscaler import Upscaler
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile
from vdsr.model.graph import ELEMENT_TYPES, Graph, GraphBuilder, Port
from vdsr.model.metadata import PREFIX
from vdsr.model.onnx_writer import DEFAULT_OPSET, check_opset, serialized

if TYPE_CHECKING:
    from vdsr.export.pictures import RGB

SCALES = (2, 3, 4)
# Phases reach 2 px on both sides.
_REACH = 2
# A level where the program rounds up and the graph, in another order of sums, does not.
_TOLERANCE = {
    "fp32": Tolerance(levels=1.0, psnr=75.0),
    "fp16": Tolerance(levels=1.0, psnr=60.0),
    "int8": Tolerance(levels=4.0, psnr=50.0),
}


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    if options.scale not in SCALES:
        given = "none was given" if options.scale is None else f"not {options.scale}"
        raise UsageError(f"the format onnx-image enlarges by a scale of 2, 3 or 4; {given}")
    scale = options.scale
    opset = DEFAULT_OPSET if options.opset is None else options.opset
    data = image_bytes(network, scale, opset=opset)

    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    def reference(model: ModelFile) -> Run:
        precision = "int8" if model.metadata.precision == "int8" else "fp32"
        upscaler = Upscaler(model, backend="openvino", precision=precision)

        def run(array: Array) -> Array:
            large: Array = upscaler.upscale(array[0], scale=scale)
            return large[None]

        return run

    def check(runtime: str, run_file: Callable[[Path], Run]) -> Check:
        return Check(
            runtime=runtime,
            open=lambda folder: run_file(folder / name),
            tolerance=_TOLERANCE[network.precision],
            reference=reference,
            prepare=_prepare,
            peak=255.0,
            side=SIDE // scale,
        )

    return ExportPlan(
        names=(name,),
        write=write,
        checks=(check("ONNX Runtime", run_by_onnxruntime), check("OpenVINO", run_by_openvino)),
        facts={
            "shape": f"1xHxWx3 to 1x{scale}Hx{scale}Wx3",
            "scale": scale,
            "opset": opset,
        },
    )


def _prepare(rgb: RGB, model: ModelFile) -> Array:
    return rgb[None]


def run_by_onnxruntime(path: Path) -> Run:
    """A function of one array that runs an ONNX file of one input on the CPU.

    Raises:
        MissingExtra: if onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnxruntime") from error
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(array: Array) -> Array:
        result: Array = session.run(None, {name: array})[0]
        return result

    return run


def image_bytes(network: Network, scale: int, *, opset: int = DEFAULT_OPSET) -> bytes:
    """The bytes of an ONNX file from picture to enlarged picture.

    Args:
        network: the network.
        scale: whole number, 2 or more.
        opset: version of the ONNX operators.

    Returns:
        A serialized ONNX model: `picture`, uint8 `[1, H, W, 3]` RGB, to `enlarged`, uint8
        `[1, scale x H, scale x W, 3]`; any H and W.

    Raises:
        UsageError: for an opset that is not supported.
        MissingExtra: if onnx is not installed.
    """
    check_opset(opset, int8=bool(network.quantized))
    properties = network.metadata.to_properties()
    # What was measured, was measured of the network alone.
    del properties[f"{PREFIX}psnr"]
    return serialized(
        _Picture(network, scale).graph(), {**properties, f"{PREFIX}picture": f"x{scale}"}, opset
    )


def phases(scale: int) -> FloatArray:
    """The kernels of bicubic interpolation by a whole number, one for each place in a pixel.

    Args:
        scale: 2 or more.

    Returns:
        float32 `[scale x scale, 1, 5, 5]`: the first axis counts rows, then columns; every
        kernel sums to 1.
    """
    middle = 2 * _REACH
    first, weight = Axis.by_scale(2 * middle, scale).matrix(scale * middle, scale * (middle + 1))
    taps = np.zeros((scale, 2 * _REACH + 1))
    start = first - (middle - _REACH)
    taps[:, start : start + weight.shape[1]] = weight
    side = taps.shape[1]
    kernels = taps[:, None, :, None] * taps[None, :, None, :]
    return kernels.reshape(scale * scale, 1, side, side).astype(np.float32)


class _Picture:
    """The graph around a network."""

    def __init__(self, network: Network, scale: int) -> None:
        self._network, self._scale = network, scale
        self._color = RANGES[network.metadata.luma]
        self._graph = GraphBuilder(network.architecture, network.precision, network.quantized)
        self._indices: set[str] = set()

    def graph(self) -> Graph:
        """Everything, from `picture` to `enlarged`."""
        large = self._bicubic(self._decoded())
        joined = self._graph.add("Add", [large, self._residual(large)], "joined")
        self._encoded(joined)
        return self._graph.graph(
            Port(name="picture", dtype="uint8", shape=(1, "H", "W", 3)),
            Port(
                name="enlarged", dtype="uint8", shape=(1, f"{self._scale}H", f"{self._scale}W", 3)
            ),
        )

    def _decoded(self) -> str:
        """The picture as float32 `[3, 1, H, W]`, 0..1: colors take the place of a batch."""
        add = self._graph.add
        value = add("Cast", ["picture"], "picture.float", to=ELEMENT_TYPES["float32"])
        value = add("Div", [value, self._number("white", 255.0)], "picture.unit")
        return add("Transpose", [value], "colors", perm=(3, 0, 1, 2))

    def _bicubic(self, value: str) -> str:
        """Enlarged float32 `[1, 3, scale x H, scale x W]`, neither rounded nor clipped."""
        add = self._graph.add
        for axis, name in ((2, "rows"), (3, "columns")):
            value = self._mirrored(value, axis, name)
        kernels = self._graph.constant("bicubic.phases", phases(self._scale))
        side = 2 * _REACH + 1
        value = add("Conv", [value, kernels], "phases", kernel_shape=(side, side))
        value = add("DepthToSpace", [value], "large.colors", blocksize=self._scale)
        return add("Transpose", [value], "large", perm=(1, 0, 2, 3))

    def _mirrored(self, value: str, axis: int, name: str) -> str:
        """Two more px at both ends of an axis, x1 x0 | x0 x1 ...: first one, then the other.

        The second one is the third of what has grown by one, which is right for a length of
        1, too: there is only that pixel.
        """
        add = self._graph.add
        for step, (low, high) in enumerate(((0, -1), (2, -3))):
            ends = [
                add("Slice", [value, *self._slice(start, axis)], f"{name}.{side}.{step}")
                for side, start in (("before", low), ("after", high))
            ]
            value = add("Concat", [ends[0], value, ends[1]], f"{name}.{step}", axis=axis)
        return value

    def _slice(self, start: int, axis: int) -> list[str]:
        """Start, end and axis of one px; the end of the last one is the end of everything."""
        end = np.iinfo(np.int64).max if start == -1 else start + 1
        return [self._index(number) for number in (start, end, axis)]

    def _residual(self, large: str) -> str:
        """What the network adds to R, G and B: float32 `[1, 1, ...]`, or `[1, 3, ...]`."""
        add, number = self._graph.add, self._number
        net, color = self._network.architecture, self._color
        matrix = color.matrix[: net.planes].astype(np.float32).reshape(net.planes, 3, 1, 1)
        offset = (color.offset[: net.planes] / 255.0).astype(np.float32)
        given = add(
            "Conv",
            [
                large,
                self._graph.constant("luma.weight", matrix),
                self._graph.constant("luma.offset", offset),
            ],
            "luma",
            kernel_shape=(1, 1),
        )
        self._chain(given, "restored")
        value = "restored"
        if not net.residual:
            value = add("Sub", [value, given], "difference")
        if net.planes == 1:
            span = number("luma.span", 255.0 / color.luma_span)
            return add("Mul", [value, span], "residual")
        inverse = color.inverse.astype(np.float32).reshape(3, 3, 1, 1)
        back = self._graph.constant("luma.inverse", inverse)
        return add("Conv", [value, back], "residual", kernel_shape=(1, 1))

    def _chain(self, value: str, goal: str) -> None:
        """The layers; for a folded network, of whole squares, mirrored as the program does."""
        add, fold = self._graph.add, self._network.architecture.fold
        if fold == 1:
            self._graph.chain(value, goal)
            return
        axes = self._graph.constant("sides", np.array([2, 3], np.int64))
        first = self._graph.constant("sides.first", np.zeros(2, np.int64))
        shape = add("Shape", [value], "luma.shape")
        bounds = [self._index(number) for number in (2, 4, 0)]
        sides = add("Slice", [shape, *bounds], "luma.sides")
        more = self._graph.constant("sides.more", np.array(fold - 1, np.int64))
        unit = self._graph.constant("sides.unit", np.array(fold, np.int64))
        squares = add("Div", [add("Add", [sides, more], "sides.up"), unit], "squares")
        whole = add("Mul", [squares, unit], "whole.sides")
        for axis, name in ((2, "whole.rows"), (3, "whole.columns")):
            # From the last one backwards: as many as can be needed, and then what is needed.
            last = [
                add("Slice", [value, *self._slice(-1 - i, axis)], f"{name}.{i}")
                for i in range(fold - 1)
            ]
            value = add("Concat", [value, *last], name, axis=axis)
        value = add("Slice", [value, first, whole, axes], "whole")
        self._graph.chain(value, "restored.whole")
        add("Slice", ["restored.whole", first, sides, axes], goal)

    def _encoded(self, value: str) -> None:
        """float32 `[1, 3, H, W]` in 0..1 to uint8 `[1, H, W, 3]`, clipped, halves rounded up."""
        add, number = self._graph.add, self._number
        value = add("Transpose", [value], "joined.last", perm=(0, 2, 3, 1))
        value = add("Min", [add("Relu", [value], "lower"), number("one", 1.0)], "clipped")
        value = add("Mul", [value, "white"], "levels")
        value = add("Floor", [add("Add", [value, number("half", 0.5)], "raised")], "rounded")
        add("Cast", [value], "enlarged", to=ELEMENT_TYPES["uint8"])

    def _number(self, name: str, value: float) -> str:
        return self._graph.constant(name, np.array(value, np.float32))

    def _index(self, value: int) -> str:
        name = f"index.{value}"
        if name not in self._indices:
            self._indices.add(name)
            self._graph.constant(name, np.array([value], np.int64))
        return name


FORMAT = ExportFormat(
    name="onnx-image",
    suffix=".onnx",
    precisions=("fp32", "fp16", "int8"),
    takes=frozenset({"opset", "scale"}),
    check_needs=("onnxruntime",),
    plan=_plan,
)
