"""From a chain of convolutions to a model file: ONNX, written node by node.

Nothing is traced, so the same layers and metadata give the same bytes at every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import MissingExtra, UsageError
from vdsr.model.architecture import Architecture
from vdsr.model.file import append_digest, verify_digest
from vdsr.model.graph import (
    ELEMENT_TYPES,
    Graph,
    QuantizedLayer,
    network_graph,
)
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_reader import GRAPH_NAME, OLDEST_INT8_OPSET, OLDEST_OPSET, PRODUCER
from vdsr.outputs import write_whole
from vdsr.version import __version__

if TYPE_CHECKING:
    import onnx

DEFAULT_OPSET = 13


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
        A serialized ONNX model, `[N, planes, H, W]` float32 to the same, with its checksum.

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
    if (metadata.precision == "int8") != bool(quantized):
        kind = "int8" if quantized else "float"
        raise UsageError(f"{kind} layers cannot be labeled {metadata.precision}")
    graph = network_graph(architecture, metadata.precision, quantized, shape)
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


def serialized(graph: Graph, properties: Mapping[str, str], opset: int) -> bytes:
    """An ONNX file of this graph, with these `metadata_props`; the same bytes every time."""
    import onnx

    operators = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        _graph_proto(graph),
        opset_imports=operators,
        # The oldest format that these operators fit in: the widest support.
        ir_version=onnx.helper.find_min_ir_version_for(operators),
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    onnx.helper.set_model_props(model, dict(sorted(properties.items())))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _graph_proto(graph: Graph) -> onnx.GraphProto:
    from onnx import helper, numpy_helper

    nodes = []
    for node in graph.nodes:
        attributes: dict[str, Any] = dict(node.attributes)
        nodes.append(
            helper.make_node(node.kind, node.inputs, [node.output], name=node.name, **attributes)
        )
    inputs, outputs = (
        [
            helper.make_tensor_value_info(port.name, ELEMENT_TYPES[port.dtype], port.shape)
            for port in ports
        ]
        for ports in (graph.inputs, graph.outputs)
    )
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    return helper.make_graph(nodes, GRAPH_NAME, inputs, outputs, constants)
