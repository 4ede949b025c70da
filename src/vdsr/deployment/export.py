"""From a chain of convolutions to a model file: ONNX, written node by node.

Operators as in https://onnx.ai/onnx/operators: Conv, Relu, Add. Nothing is traced,
so the same layers and metadata give the same bytes at every run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import vdsr
from vdsr.errors import MissingExtra, OutputError, UsageError
from vdsr.inference.architecture import Architecture
from vdsr.inference.model_file import ModelMetadata, append_digest, verify_digest

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 10


def write_model(
    architecture: Architecture, metadata: ModelMetadata, path: Path, *, opset: int = 13
) -> str:
    """Write a model file; a file that is there is replaced at the end, whole, or not at all.

    Args:
        architecture: the layers, float32.
        metadata: what the file says of itself; its precision is `fp32`.
        path: the file to write.
        opset: version of the ONNX operators, 10 or later.

    Returns:
        SHA-256 of the model, 64 hexadecimal digits, as `load_model` gives it.

    Raises:
        UsageError: as `model_bytes`.
        OutputError: if the file cannot be written.
    """
    data = model_bytes(architecture, metadata, opset=opset)
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: the model file cannot be written: {error.strerror}") from error
    return verify_digest(data)


def model_bytes(architecture: Architecture, metadata: ModelMetadata, *, opset: int = 13) -> bytes:
    """The bytes of a model file: see `vdsr.inference.model_file` for the format.

    Args: as `write_model`.

    Returns:
        A serialised ONNX model, `[N, 1, H, W]` float32 to the same, with its checksum.

    Raises:
        UsageError: if the opset is unknown to the installed onnx or older than 10, or
            the metadata do not fit the layers.
        MissingExtra: if onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "models") from error
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise UsageError(f"opset {opset} cannot be written: {OLDEST_OPSET} to {newest}")
    if metadata.residual != architecture.residual:
        raise UsageError(
            f"the metadata say residual={metadata.residual}, the layers {architecture.residual}"
        )
    if metadata.precision != "fp32":
        raise UsageError(f"layers in float32 cannot be labelled {metadata.precision}")
    operators = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        _graph(architecture),
        opset_imports=operators,
        # The oldest format that these operators fit in: the widest support.
        ir_version=onnx.helper.find_min_ir_version_for(operators),
        producer_name="vdsr",
        producer_version=vdsr.__version__,
    )
    onnx.helper.set_model_props(model, dict(sorted(metadata.to_properties().items())))
    return append_digest(model.SerializeToString(deterministic=True))


def _graph(architecture: Architecture) -> onnx.GraphProto:
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], []
    value, last = "input", architecture.depth - 1
    for i, layer in enumerate(architecture):
        inputs = [value, f"layers.{i}.weight"]
        weights.append(numpy_helper.from_array(layer.weight, inputs[1]))
        if layer.bias is not None:
            inputs.append(f"layers.{i}.bias")
            weights.append(numpy_helper.from_array(layer.bias, inputs[2]))
        value = "output" if i == last and not architecture.residual else f"layers.{i}"
        nodes.append(
            helper.make_node(
                "Conv",
                inputs,
                [value],
                name=f"layers.{i}.conv",
                kernel_shape=[layer.kernel] * 2,
                pads=[layer.kernel // 2] * 4,
                strides=[1, 1],
            )
        )
        if i < last:
            nodes.append(helper.make_node("Relu", [value], [f"{value}.relu"], name=f"{value}.relu"))
            value += ".relu"
    if architecture.residual:
        nodes.append(helper.make_node("Add", ["input", value], ["output"], name="residual"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, "H", "W"])
        for name in ("input", "output")
    ]
    return helper.make_graph(nodes, "vdsr", ends[:1], ends[1:], weights)
