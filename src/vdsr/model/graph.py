"""The graph of a model file: nodes and constants, as it is written and as it is read.

Operators as in https://onnx.ai/onnx/operators: Conv, Relu, Add, Cast, QuantizeLinear,
DequantizeLinear; for folded networks SpaceToDepth, DepthToSpace, Reshape. Neither onnx nor
a runtime is needed here: `onnx_writer` turns a graph into bytes, `onnx_reader` reads one
back, and `file` compares what it read with what `network_graph` makes of the same layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import ModelError
from vdsr.model.architecture import Architecture, FloatArray, Layer

Attribute = int | tuple[int, ...]
Shape = tuple[int | str, ...]

# TensorProto.DataType, onnx/onnx.proto: what the constants and ends of our graphs are made of.
ELEMENT_TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "float16": 10,
}


@dataclass(frozen=True, kw_only=True)
class QuantizedLayer:
    """How a convolution is computed in int8.

    Its input, which is not negative, becomes uint8 `round(x / input_scale)`, clipped to
    0..255; its weight is `weight * weight_scale[:, None, None, None]`.

    Attributes:
        input_scale: of its input; above 0.
        weight: int8 `[out, in, k, k]`.
        weight_scale: float32 `[out]`, all above 0.
    """

    input_scale: float
    weight: NDArray[np.int8]
    weight_scale: FloatArray

    def integer_bias(self, bias: FloatArray) -> NDArray[np.int32]:
        """A bias in units of the accumulator: input_scale x weight_scale."""
        units = np.rint(bias / (np.float64(self.input_scale) * self.weight_scale))
        integers: NDArray[np.int32] = np.clip(units, -(2**31), 2**31 - 1).astype(np.int32)
        return integers


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator with one output.

    Attributes:
        kind: the operator, `Conv` say.
        name: of the node.
        inputs: names of values and constants, in the operator's order.
        output: name of what it gives.
        attributes: whole numbers and lists of them, by name.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, kw_only=True)
class Port:
    """What goes into a graph, or comes out of it.

    Attributes:
        name: of the value.
        dtype: a key of `ELEMENT_TYPES`.
        shape: lengths of the axes; a free one has a name.
    """

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A whole graph.

    Attributes:
        inputs, outputs: its ends.
        nodes: in order of work.
        constants: arrays by name, in the order in which they are first used.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)


def network_graph(
    architecture: Architecture,
    precision: str,
    quantized: Mapping[int, QuantizedLayer],
    shape: tuple[int, ...] | None = None,
) -> Graph:
    """The whole graph of a model file: from `input` to `output`.

    Args:
        architecture, quantized: see `vdsr.model.onnx_writer.model_bytes`.
        precision: `fp32`, `fp16` or `int8`.
        shape: of input and output, `(N, planes, H, W)`; None leaves N, H and W free.

    Raises:
        ModelError: if the network does not take such a shape.
    """
    planes, fold = architecture.planes, architecture.fold
    if shape is not None and (shape[1] != planes or shape[2] % fold or shape[3] % fold):
        raise ModelError(
            f"an input shape of this network is N x {planes} x H x W, H and W multiples of"
            f" {fold}, not {'x'.join(map(str, shape))}"
        )
    builder = GraphBuilder(architecture, precision, quantized)
    if architecture.residual:
        last = f"layers.{architecture.depth - 1}"
        if precision == "fp16" or fold > 1:
            last = "residual.float"
        builder.chain("input", last)
        builder.add("Add", ["input", last], "output", "residual")
    else:
        builder.chain("input", "output")
    axes = shape or ("N", planes, "H", "W")
    source, goal = (Port(name=name, dtype="float32", shape=axes) for name in ("input", "output"))
    return builder.graph(source, goal)


class GraphBuilder:
    """Nodes and constants, as they come.

    Args:
        architecture, quantized: see `vdsr.model.onnx_writer.model_bytes`.
        precision: `fp32`, `fp16` or `int8`.
    """

    def __init__(
        self, architecture: Architecture, precision: str, quantized: Mapping[int, QuantizedLayer]
    ) -> None:
        self._architecture, self._quantized = architecture, quantized
        self._half = precision == "fp16"
        self._nodes: list[Node] = []
        self._constants: dict[str, NDArray[np.generic]] = {}

    def graph(self, source: Port, goal: Port) -> Graph:
        """What has been added, from `source` to `goal`."""
        return Graph(
            inputs=(source,), outputs=(goal,), nodes=self._nodes, constants=self._constants
        )

    def chain(self, value: str, goal: str) -> None:
        """The layers alone, without the residual addition: float32 `value` to float32 `goal`."""
        if self._architecture.fold == 1:
            self._layers(value, goal)
            return
        last = "folded.float" if self._half else f"layers.{self._architecture.depth - 1}"
        self._layers(self._folded(value), last)
        self._unfolded(last, goal)

    def _layers(self, value: str, goal: str) -> None:
        if self._half:
            value = self.add("Cast", [value], "input.half", to=ELEMENT_TYPES["float16"])
        last = self._architecture.depth - 1
        for i, layer in enumerate(self._architecture):
            if i:
                value = self.add("Relu", [value], f"layers.{i - 1}.relu")
            ends = i == last and not self._half
            value = self._convolution(i, layer, value, goal if ends else f"layers.{i}")
        if self._half:
            self.add("Cast", [value], goal, to=ELEMENT_TYPES["float32"])

    def _folded(self, value: str) -> str:
        """`[N, planes, H, W]` to `[N, planes x fold x fold, H / fold, W / fold]`.

        ONNX's operator puts planes behind squares, and torch squares behind planes. Of one
        plane both are the same: so the planes are pictures of their own for a moment.
        """
        planes, fold = self._architecture.planes, self._architecture.fold
        value = self._channels(value, "planes", 1) if planes > 1 else value
        value = self.add("SpaceToDepth", [value], "folded.planes", blocksize=fold)
        return self._channels(value, "folded", planes * fold**2) if planes > 1 else value

    def _unfolded(self, value: str, goal: str) -> None:
        """The inverse of `_folded`."""
        planes, fold = self._architecture.planes, self._architecture.fold
        if planes == 1:
            self.add("DepthToSpace", [value], goal, blocksize=fold)
            return
        value = self._channels(value, "unfolded.planes", fold**2)
        value = self.add("DepthToSpace", [value], "unfolded", blocksize=fold)
        self._channels(value, goal, planes)

    def _channels(self, value: str, goal: str, count: int) -> str:
        """The same numbers with so many channels to a picture: 0 is as it was, -1 the rest."""
        shape = self.constant(f"{goal}.shape", np.array([-1, count, 0, 0], np.int64))
        return self.add("Reshape", [value, shape], goal)

    def _convolution(self, i: int, layer: Layer, value: str, goal: str) -> str:
        name = f"layers.{i}"
        quantized = self._quantized.get(i)
        if quantized is None:
            inputs = [value, self.constant(f"{name}.weight", self._float(layer.weight))]
            if layer.bias is not None:
                inputs.append(self.constant(f"{name}.bias", self._float(layer.bias)))
        else:
            inputs = self._quantize(name, quantized, value)
            if layer.bias is not None:
                inputs.append(self._quantized_bias(name, quantized, layer.bias))
        return self.add(
            "Conv",
            inputs,
            goal,
            name=f"{name}.conv",
            kernel_shape=(layer.kernel,) * 2,
            pads=(layer.kernel // 2,) * 4,
            strides=(1, 1),
        )

    def _quantize(self, name: str, layer: QuantizedLayer, value: str) -> list[str]:
        scale = self.constant(f"{name}.input_scale", np.array(layer.input_scale, np.float32))
        zero = self.constant(f"{name}.input_zero", np.array(0, np.uint8))
        data = self.add("QuantizeLinear", [value, scale, zero], f"{name}.input_uint8")
        data = self.add("DequantizeLinear", [data, scale, zero], f"{name}.input_float")
        weight = self.constant(f"{name}.weight", layer.weight)
        scales = self.constant(f"{name}.weight_scale", layer.weight_scale)
        zeros = self.constant(f"{name}.weight_zero", np.zeros(len(layer.weight_scale), np.int8))
        return [
            data,
            self.add("DequantizeLinear", [weight, scales, zeros], f"{name}.weight_float", axis=0),
        ]

    def _quantized_bias(self, name: str, layer: QuantizedLayer, bias: FloatArray) -> str:
        """The bias as ONNX Runtime wants it: int32, in units of the accumulator."""
        data = self.constant(f"{name}.bias", layer.integer_bias(bias))
        unit = np.float32(layer.input_scale) * layer.weight_scale
        scale = self.constant(f"{name}.bias_scale", unit)
        zero = self.constant(f"{name}.bias_zero", np.zeros(len(unit), np.int32))
        return self.add("DequantizeLinear", [data, scale, zero], f"{name}.bias_float", axis=0)

    def _float(self, array: FloatArray) -> NDArray[np.float32] | NDArray[np.float16]:
        return array.astype(np.float16) if self._half else array

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Add a constant; gives its name."""
        self._constants[name] = array
        return name

    def add(
        self, kind: str, inputs: list[str], goal: str, name: str = "", **attributes: Attribute
    ) -> str:
        """Add a node with one output, `goal`; gives that name."""
        self._nodes.append(
            Node(
                kind=kind,
                name=name or goal,
                inputs=tuple(inputs),
                output=goal,
                attributes=attributes,
            )
        )
        return goal


def first_difference(found: Graph, written: Graph) -> str | None:
    """Where a graph that was read first differs from the one that is written; None if nowhere.

    The integers of a bias are not compared, since a float32 does not hold all of them; what
    they are for is.
    """
    if (found.inputs, found.outputs) != (written.inputs, written.outputs):
        return "its input or output is another"
    for node, other in zip(written.nodes, found.nodes, strict=False):
        if node != other:
            return f"it has another node in the place of {node.name}"
    if len(written.nodes) != len(found.nodes):
        return f"it has {len(found.nodes)} nodes, not {len(written.nodes)}"
    if list(written.constants) != list(found.constants):
        others = sorted(set(written.constants) ^ set(found.constants))
        return f"it has other constants: {', '.join(others)[:100]}"
    changed = [name for name in written.constants if not _same(name, found, written)]
    return f"{changed[0]} has another type, shape or value" if changed else None


def _same(name: str, found: Graph, written: Graph) -> bool:
    theirs, ours = found.constants[name], written.constants[name]
    if theirs.dtype != ours.dtype or theirs.shape != ours.shape:
        return False
    free = ours.dtype == np.int32 and name.endswith(".bias")
    return free or np.array_equal(theirs, ours)
