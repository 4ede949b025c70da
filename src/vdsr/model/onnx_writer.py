"""From a chain of convolutions to a model file: ONNX, written node by node.

Operators as in https://onnx.ai/onnx/operators: Conv, Relu, Add, Cast, QuantizeLinear,
DequantizeLinear; for folded networks SpaceToDepth, DepthToSpace, Reshape. Nothing is
traced, so the same layers and metadata give the same bytes at every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import MissingExtra, UsageError
from vdsr.model.architecture import Architecture, FloatArray, Layer
from vdsr.model.file import ModelMetadata, append_digest, verify_digest
from vdsr.outputs import write_whole
from vdsr.version import __version__

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 10
# DequantizeLinear has had an axis, which per-channel weights need, since 13.
OLDEST_INT8_OPSET = 13
DEFAULT_OPSET = 13


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


def write_model(
    architecture: Architecture,
    metadata: ModelMetadata,
    path: Path,
    *,
    opset: int = DEFAULT_OPSET,
    shape: tuple[int, int, int, int] | None = None,
    quantized: Mapping[int, QuantizedLayer] | None = None,
) -> str:
    """Write a model file; a file that is there is replaced at the end, whole, or not at all.

    Args:
        architecture, metadata, opset, shape, quantized: see `model_bytes`.
        path: the file to write.

    Returns:
        SHA-256 of the model, 64 hexadecimal digits, as `load_model` gives it.

    Raises:
        UsageError: as `model_bytes`.
        OutputError: if the file cannot be written.
    """
    data = model_bytes(architecture, metadata, opset=opset, shape=shape, quantized=quantized)
    write_whole(path, data)
    return verify_digest(data)


def model_bytes(
    architecture: Architecture,
    metadata: ModelMetadata,
    *,
    opset: int = DEFAULT_OPSET,
    shape: tuple[int, int, int, int] | None = None,
    quantized: Mapping[int, QuantizedLayer] | None = None,
) -> bytes:
    """The bytes of a model file: see `vdsr.model.file` for the format.

    Args:
        architecture: the layers, float32; of those in `quantized`, only biases are used.
        metadata: what the file says of itself. Its precision decides how the layers are
            written: `fp32`; `fp16`, with float32 input, output and residual addition;
            `int8`, for those in `quantized`.
        opset: version of the ONNX operators: from 10 on, for int8 from 13 on.
        shape: the only input shape, `[N, planes, H, W]`; None leaves N, H and W free.
        quantized: layers in int8, by their index; with precision `int8` alone.

    Returns:
        A serialised ONNX model, `[N, planes, H, W]` float32 to the same, with its checksum.

    Raises:
        UsageError: if the opset is unknown to the installed onnx or older than these
            layers need, or the metadata do not fit the layers.
        MissingExtra: if onnx is not installed.
    """
    quantized = quantized or {}
    check_opset(opset, int8=bool(quantized))
    for name in ("residual", "fold", "planes"):
        said, held = getattr(metadata, name), getattr(architecture, name)
        if said != held:
            raise UsageError(f"the metadata say {name}={said}, the layers {held}")
    planes, fold = architecture.planes, architecture.fold
    if shape is not None and (shape[1] != planes or shape[2] % fold or shape[3] % fold):
        raise UsageError(
            f"an input shape of this network is N x {planes} x H x W, H and W multiples of"
            f" {fold}, not {'x'.join(map(str, shape))}"
        )
    if (metadata.precision == "int8") != bool(quantized):
        kind = "int8" if quantized else "float"
        raise UsageError(f"{kind} layers cannot be labelled {metadata.precision}")
    graph = Graph(architecture, metadata.precision, quantized).network(
        shape or ("N", planes, "H", "W")
    )
    return append_digest(serialized(graph, metadata.to_properties(), opset))


def check_opset(opset: int, *, int8: bool) -> None:
    """Refuse an opset that these layers, or the installed onnx, do not have.

    Raises:
        UsageError: if it is out of range.
        MissingExtra: if onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "models") from error
    oldest = OLDEST_INT8_OPSET if int8 else OLDEST_OPSET
    newest = onnx.defs.onnx_opset_version()
    if not oldest <= opset <= newest:
        kind = "int8 weights per channel" if int8 else "these layers"
        raise UsageError(f"opset {opset}: {kind} can be written in {oldest} to {newest}")


def serialized(graph: onnx.GraphProto, properties: Mapping[str, str], opset: int) -> bytes:
    """An ONNX file of this graph, with these `metadata_props`; the same bytes every time."""
    import onnx

    operators = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph,
        opset_imports=operators,
        # The oldest format that these operators fit in: the widest support.
        ir_version=onnx.helper.find_min_ir_version_for(operators),
        producer_name="vdsr",
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, dict(sorted(properties.items())))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class Graph:
    """Nodes and weights, as they come.

    Args:
        architecture, quantized: see `model_bytes`.
        precision: `fp32`, `fp16` or `int8`.

    Attributes:
        nodes: in order of work.
        weights: constants of the nodes.
    """

    def __init__(
        self, architecture: Architecture, precision: str, quantized: Mapping[int, QuantizedLayer]
    ) -> None:
        self._architecture, self._quantized = architecture, quantized
        self._half = precision == "fp16"
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def network(self, shape: tuple[int | str, ...]) -> onnx.GraphProto:
        """The whole graph of a model file: from `input` to `output`."""
        from onnx import TensorProto, helper

        if self._architecture.residual:
            last = f"layers.{self._architecture.depth - 1}"
            if self._half or self._architecture.fold > 1:
                last = "residual.float"
            self.chain("input", last)
            self.add("Add", ["input", last], "output", "residual")
        else:
            self.chain("input", "output")
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name in ("input", "output")
        ]
        return helper.make_graph(self.nodes, "vdsr", ends[:1], ends[1:], self.weights)

    def chain(self, value: str, goal: str) -> None:
        """The layers alone, without the residual addition: float32 `value` to float32 `goal`."""
        if self._architecture.fold == 1:
            self._layers(value, goal)
            return
        last = "folded.float" if self._half else f"layers.{self._architecture.depth - 1}"
        self._layers(self._folded(value), last)
        self._unfolded(last, goal)

    def _layers(self, value: str, goal: str) -> None:
        from onnx import TensorProto

        if self._half:
            value = self.add("Cast", [value], "input.half", to=TensorProto.FLOAT16)
        last = self._architecture.depth - 1
        for i, layer in enumerate(self._architecture):
            if i:
                value = self.add("Relu", [value], f"layers.{i - 1}.relu")
            ends = i == last and not self._half
            value = self._convolution(i, layer, value, goal if ends else f"layers.{i}")
        if self._half:
            self.add("Cast", [value], goal, to=TensorProto.FLOAT)

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
            kernel_shape=[layer.kernel] * 2,
            pads=[layer.kernel // 2] * 4,
            strides=[1, 1],
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
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(
        self,
        kind: str,
        inputs: list[str],
        goal: str,
        name: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> str:
        """Add a node with one output, `goal`; gives that name."""
        from onnx import helper

        node = helper.make_node(kind, inputs, [goal], name=name or goal, **attributes)
        self.nodes.append(node)
        return goal
