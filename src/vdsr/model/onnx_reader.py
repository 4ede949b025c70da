"""A model file's bytes, read strictly: only what `onnx_writer` writes, and nothing twice.

Protocol buffers let a file repeat what should be there once, hide fields that one reader
skips and another follows, and point to other files. All of that is refused here, before
any runtime sees the file. Message and field numbers: onnx/onnx.proto,
https://github.com/onnx/onnx; encoding: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import ModelError
from vdsr.model.graph import ELEMENT_TYPES, Attribute, Graph, Node, Port

GRAPH_NAME = "vdsr"
PRODUCER = "vdsr"
OLDEST_OPSET = 10
# DequantizeLinear has had an axis, which per-channel weights need, since 13.
OLDEST_INT8_OPSET = 13

_NEWEST_OPSET = 99
_NEWEST_IR_VERSION = 99
_MAX_AXES = 8
_DTYPES = {number: name for name, number in ELEMENT_TYPES.items()}
_VARINT, _BYTES = 0, 2
_MAX_VARINT_BYTES = 10
# AttributeProto.AttributeType.
_INT, _INTS = 2, 7


@dataclass(frozen=True)
class _Field:
    """A field that we write: its name, how it is encoded, whether it may come again."""

    name: str
    wire: int = _BYTES
    repeated: bool = False


_MODEL = {
    1: _Field("ir_version", _VARINT),
    2: _Field("producer_name"),
    3: _Field("producer_version"),
    7: _Field("graph"),
    8: _Field("opset_import", repeated=True),
    14: _Field("metadata_props", repeated=True),
}
_OPSET = {1: _Field("domain"), 2: _Field("version", _VARINT)}
_ENTRY = {1: _Field("key"), 2: _Field("value")}
_GRAPH = {
    1: _Field("node", repeated=True),
    2: _Field("name"),
    5: _Field("initializer", repeated=True),
    11: _Field("input", repeated=True),
    12: _Field("output", repeated=True),
}
_NODE = {
    1: _Field("input", repeated=True),
    2: _Field("output", repeated=True),
    3: _Field("name"),
    4: _Field("op_type"),
    5: _Field("attribute", repeated=True),
}
_ATTRIBUTE = {
    1: _Field("name"),
    3: _Field("i", _VARINT),
    8: _Field("ints", _VARINT, repeated=True),
    20: _Field("type", _VARINT),
}
_TENSOR = {
    1: _Field("dims", _VARINT, repeated=True),
    2: _Field("data_type", _VARINT),
    8: _Field("name"),
    9: _Field("raw_data"),
}
_VALUE = {1: _Field("name"), 2: _Field("type")}
_TYPE = {1: _Field("tensor_type")}
_TENSOR_TYPE = {1: _Field("elem_type", _VARINT), 2: _Field("shape")}
_SHAPE = {1: _Field("dim", repeated=True)}
_DIMENSION = {1: _Field("dim_value", _VARINT), 2: _Field("dim_param")}

# Fields that are named where they are refused: the others only by their number.
_REFUSED = {
    ("tensor", 13): "it keeps weights in another file, which is never read",
    ("tensor", 14): "it keeps weights in another file, which is never read",
    ("model", 25): "it defines operators of its own",
    ("node", 7): "it uses operators that are not ONNX's own",
}


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """What a model file holds.

    Attributes:
        graph: nodes, constants (views of the file's bytes) and ends.
        properties: `metadata_props`.
        opset: version of the operators.
    """

    graph: Graph
    properties: Mapping[str, str]
    opset: int


def read_onnx(data: bytes) -> OnnxFile:
    """Read an ONNX file of the form that this program writes.

    Args:
        data: the whole file.

    Raises:
        ModelError: if it is not readable, holds anything that is never written, refers to
            another file, or is of an unknown version.
    """
    model = _message(memoryview(data), _MODEL, "model")
    ir_version = model.get("ir_version", 0)
    operators = [_message(entry, _OPSET, "opset") for entry in model["opset_import"]]
    if len(operators) != 1 or _text(operators[0], "domain"):
        raise ModelError("it uses operators that are not ONNX's own")
    opset = operators[0].get("version", 0)
    if not 0 < ir_version <= _NEWEST_IR_VERSION or not OLDEST_OPSET <= opset <= _NEWEST_OPSET:
        raise ModelError(f"its ONNX version is unknown: IR {ir_version}, operators {opset}")
    if "graph" not in model or _text(model, "producer_name") != PRODUCER:
        raise ModelError("it is not a readable ONNX file of this program")
    properties: dict[str, str] = {}
    for entry in model["metadata_props"]:
        fields = _message(entry, _ENTRY, "metadata")
        key = _text(fields, "key")
        if key in properties:
            raise ModelError(f"its metadata hold {key[:40]!r} twice")
        properties[key] = _text(fields, "value")
    return OnnxFile(graph=_graph(model["graph"]), properties=properties, opset=opset)


def _graph(data: memoryview) -> Graph:
    fields = _message(data, _GRAPH, "graph")
    constants: dict[str, NDArray[np.generic]] = {}
    for entry in fields["initializer"]:
        name, array = _tensor(entry)
        if name in constants:
            raise ModelError(f"it holds the constant {name[:40]!r} twice")
        constants[name] = array
    if _text(fields, "name") != GRAPH_NAME:
        raise ModelError("its graph has another name than this program gives")
    return Graph(
        inputs=tuple(_port(entry) for entry in fields["input"]),
        outputs=tuple(_port(entry) for entry in fields["output"]),
        nodes=[_node(entry) for entry in fields["node"]],
        constants=constants,
    )


def _node(data: memoryview) -> Node:
    fields = _message(data, _NODE, "node")
    if len(fields["output"]) != 1:
        raise ModelError("it holds a node that does not have one output")
    attributes = {}
    for entry in fields["attribute"]:
        name, value = _attribute(entry)
        if name in attributes:
            raise ModelError(f"it holds a node with {name[:40]!r} twice")
        attributes[name] = value
    return Node(
        kind=_text(fields, "op_type"),
        name=_text(fields, "name"),
        inputs=tuple(_decoded(value) for value in fields["input"]),
        output=_decoded(fields["output"][0]),
        attributes=attributes,
    )


def _attribute(data: memoryview) -> tuple[str, Attribute]:
    fields = _message(data, _ATTRIBUTE, "attribute")
    name, kind, integers = _text(fields, "name"), fields.get("type"), fields["ints"]
    if kind == _INT and not integers:
        value: int = fields.get("i", 0)
        return name, value
    if kind == _INTS and "i" not in fields:
        return name, tuple(integers)
    raise ModelError(f"it holds a node whose {name[:40]!r} is not of a kind that is ever written")


def _tensor(data: memoryview) -> tuple[str, NDArray[np.generic]]:
    fields = _message(data, _TENSOR, "tensor")
    name, shape, raw = _text(fields, "name"), fields["dims"], fields.get("raw_data", b"")
    kind = _DTYPES.get(fields.get("data_type", 0))
    if kind is None or len(shape) > _MAX_AXES or min(shape, default=1) < 1:
        raise ModelError(f"its constant {name[:40]!r} has a type or shape that is never written")
    dtype = np.dtype(kind).newbyteorder("<")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ModelError(f"its constant {name[:40]!r} is cut short or too long")
    return name, np.frombuffer(raw, dtype).reshape(shape)


def _port(data: memoryview) -> Port:
    fields = _message(data, _VALUE, "value")
    tensor = _message(_inner(fields, "type", _TYPE), _TENSOR_TYPE, "tensor type")
    axes = _message(tensor.get("shape", memoryview(b"")), _SHAPE, "shape")["dim"]
    shape = []
    for axis in axes:
        length = _message(axis, _DIMENSION, "axis")
        if len(length) != 1:
            raise ModelError("its input or output has an axis without a length or a name")
        shape.append(length["dim_value"] if "dim_value" in length else _text(length, "dim_param"))
    dtype = _DTYPES.get(tensor.get("elem_type", 0), "unknown")
    return Port(name=_text(fields, "name"), dtype=dtype, shape=tuple(shape))


def _inner(fields: Mapping[str, Any], name: str, schema: Mapping[int, _Field]) -> memoryview:
    empty = memoryview(b"")
    found = _message(fields.get(name, empty), schema, name)
    inner: memoryview = found.get("tensor_type", empty)
    return inner


def _text(fields: Mapping[str, Any], name: str) -> str:
    return _decoded(fields.get(name, b""))


def _decoded(value: memoryview | bytes) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise ModelError("it is not a readable ONNX file: a text is not UTF-8") from error


def _message(data: memoryview, schema: Mapping[int, _Field], what: str) -> dict[str, Any]:
    """The fields of a message by name; repeated ones as lists, which may be empty."""
    found: dict[str, Any] = {entry.name: [] for entry in schema.values() if entry.repeated}
    for number, wire, value in _fields(data):
        entry = schema.get(number)
        if entry is None or entry.wire != wire:
            refused = _REFUSED.get((what, number))
            raise ModelError(
                refused
                or f"it is not a readable ONNX file of this program: its {what} has a field"
                f" {number} that is never written"
            )
        if entry.repeated:
            found[entry.name].append(value)
        elif entry.name in found:
            raise ModelError(f"its {what} has the field {entry.name} twice")
        else:
            found[entry.name] = value
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        value, position = _varint(data, position)
        if wire == _BYTES:
            end = position + value
            if not position <= end <= len(data):
                raise ModelError("it is not a readable ONNX file: it is cut short")
            yield number, wire, data[position:end]
            position = end
        elif wire == _VARINT:
            yield number, wire, value
        else:
            raise ModelError("it is not a readable ONNX file of this program")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number in -2^63..2^63-1 and the position behind it."""
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        if position + i >= len(data):
            break
        byte = data[position + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            value &= (1 << 64) - 1
            return (value - (1 << 64) if value >> 63 else value), position + i + 1
    raise ModelError("it is not a readable ONNX file: it is cut short")
