"""Model files: one ONNX file that carries its own description and checksum.

The file is an ordinary ONNX model, `[N, planes, H, W]` float32 in (luma; or Y, Cb, Cr),
the same out, every axis but the channel free (or none is: `fixed_shape`), weights named
`layers.I.weight` and `layers.I.bias`; integers have their scale beside them,
`layers.I.weight_scale`. A folded network takes H and W that are multiples of its fold.
Its `metadata_props` hold the fields of `ModelMetadata` under keys that begin
with `vdsr.`. The last entry, `vdsr.sha256`, is the checksum of all bytes before
it; protobuf allows such an entry to be appended, so no other tool is
disturbed. Reading a model file runs no code in it.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, ModelError, among
from vdsr.inputs import read_file
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.graph import (
    Graph,
    QuantizedLayer,
    first_difference,
    network_graph,
)
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_reader import OLDEST_INT8_OPSET, OnnxFile, read_onnx

if TYPE_CHECKING:
    import openvino

DEFAULT_MODEL = "vdsr"
# Far above any network of this kind: that of the paper has 2.7 MB.
MAX_BYTES = 256 << 20

_NOTHING = np.zeros((0,), np.float32)
_DIGEST_KEY = b"vdsr.sha256"


def append_digest(data: bytes) -> bytes:
    """Append the checksum entry to a serialized ONNX model without one."""
    return data + _digest_entry(data)


def _digest_entry(data: bytes) -> bytes:
    value = hashlib.sha256(data).hexdigest().encode()
    # ModelProto.metadata_props is field 14; StringStringEntryProto is {1: key, 2: value}.
    entry = (
        b"\x0a" + bytes([len(_DIGEST_KEY)]) + _DIGEST_KEY + b"\x12" + bytes([len(value)]) + value
    )
    return b"\x72" + bytes([len(entry)]) + entry


def verify_digest(data: bytes) -> str:
    """Check the checksum of a model file and return it.

    Args:
        data: the whole file.

    Returns:
        64 hexadecimal digits.

    Raises:
        ModelError: if there is no checksum, or the bytes are not those it was made of.
    """
    size = len(_digest_entry(b""))
    body, entry = data[:-size], data[-size:]
    if _DIGEST_KEY not in entry:
        if _DIGEST_KEY in data:
            raise ModelError("its checksum is not at the end: the file was cut or edited")
        raise ModelError("it is not a model file of this program (vdsr import makes one)")
    expected = _digest_entry(body)
    if entry != expected:
        raise ModelError("its checksum does not fit: the file is damaged or was edited")
    return hashlib.sha256(body).hexdigest()


class ModelFile:
    """A verified model file in memory.

    Its whole graph is compared with the one that this program writes for the same layers,
    before any runtime sees it.

    Attributes:
        source: the name or path that it was loaded from.
        data: the bytes of the ONNX file.
        digest: SHA-256 of the model, 64 hexadecimal digits.
        metadata: what it says of itself.
        architecture: the layers with their weights, float32; those in int8 or fp16 as
            they count.
        quantized: its layers in int8, by index; empty for floats.
        fixed_shape: the only input shape that the file takes, `(N, planes, H, W)`; None if they
            are free.

    Raises:
        ModelError: if the bytes are not an intact model file.
    """

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        self.data = data
        try:
            self.digest = verify_digest(data)
            file = read_onnx(data)
            self.metadata = ModelMetadata.from_properties(file.properties)
            self.quantized = quantized_layers(file.graph)
            self.architecture = Architecture(
                layers=_layers(file.graph),
                residual=self.metadata.residual,
                fold=self.metadata.fold,
                planes=self.metadata.planes,
            )
            self.fixed_shape = _fixed_shape(file.graph)
            self._check(file)
        except ModelError as error:
            raise ModelError(f"{source}: {error}") from error

    def __repr__(self) -> str:
        return f"ModelFile({self.metadata.name} {self.metadata.version}, {self.digest[:12]})"

    @cached_property
    def graph(self) -> openvino.Model:
        """The file as OpenVINO reads it."""
        import openvino

        try:
            return openvino.Core().read_model(self.data)
        except RuntimeError as error:
            raise ModelError(f"{self.source}: OpenVINO cannot read it") from error

    @property
    def largest_integer(self) -> int:
        """The largest absolute value of its int8 weights; 0 for floats."""
        largest = (np.abs(layer.weight.astype(np.int16)).max() for layer in self.quantized.values())
        return max((int(one) for one in largest), default=0)

    @property
    def weight_bits(self) -> int | None:
        """Bits that its int8 weights use, sign included; None for floats."""
        return self.largest_integer.bit_length() + 1 if self.quantized else None

    def _check(self, file: OnnxFile) -> None:
        """Compare the file with what would be written for its layers and metadata.

        Raises:
            ModelError: naming the first difference.
        """
        precision = self.metadata.precision
        if (precision == "int8") != bool(self.quantized):
            raise ModelError(f"it says that it holds {precision} weights, but does not")
        if self.quantized and file.opset < OLDEST_INT8_OPSET:
            raise ModelError(f"operators {file.opset} are too old for int8")
        written = network_graph(self.architecture, precision, self.quantized, self.fixed_shape)
        difference = first_difference(file.graph, written)
        if difference is not None:
            raise ModelError(f"its graph is not that of a network of this program: {difference}")


def _fixed_shape(graph: Graph) -> tuple[int, ...] | None:
    """The input shape, where all of it is fixed; what else it may be is checked later."""
    shape = graph.inputs[0].shape if graph.inputs else ()
    lengths = tuple(axis for axis in shape if isinstance(axis, int) and axis > 0)
    return lengths if len(lengths) == 4 else None


def _layers(graph: Graph) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    while (weight := _values(graph, f"layers.{len(layers)}.weight")) is not None:
        layers.append(Layer(weight=weight, bias=_values(graph, f"layers.{len(layers)}.bias")))
    return tuple(layers)


def _values(graph: Graph, name: str) -> NDArray[np.float32] | None:
    """A constant as it counts: integers times their scale."""
    if name not in graph.constants:
        return None
    array = np.array(graph.constants[name], np.float32)
    scale = graph.constants.get(f"{name}_scale")
    if scale is not None:
        if array.ndim == 0 or scale.shape != array.shape[:1]:
            raise ModelError(f"the scales of {name} do not fit it")
        array *= np.array(scale, np.float32).reshape(-1, *[1] * (array.ndim - 1))
    if not np.isfinite(array).all():
        raise ModelError(f"{name} holds numbers that are infinite or not a number")
    return array


def quantized_layers(graph: Graph) -> dict[int, QuantizedLayer]:
    """The integers of an int8 model file and their scales, by layer; empty for floats."""
    found = {}
    for name, weight in graph.constants.items():
        number = re.fullmatch(r"layers\.([0-9]{1,6})\.weight", name)
        if number is None or weight.dtype != np.int8:
            continue
        scales = graph.constants.get(f"{name}_scale", _NOTHING)
        unit = graph.constants.get(name.removesuffix("weight") + "input_scale", _NOTHING)
        if scales.shape != weight.shape[:1] or unit.shape != ():
            raise ModelError(f"the scales of {name} do not fit it")
        layer = QuantizedLayer(
            input_scale=float(np.float32(unit)),
            weight=np.array(weight, np.int8),
            weight_scale=np.array(scales, np.float32),
        )
        for scale in (np.float32(layer.input_scale), layer.weight_scale):
            if not (np.isfinite(scale) & (scale > 0)).all():
                raise ModelError(f"the scales of {name} are not all finite and above 0")
        found[int(number[1])] = layer
    return found


def shipped_models() -> tuple[str, ...]:
    """Names of the models that the package ships."""
    folder = resources.files("vdsr") / "weights"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".onnx")))


def load_model(model: str | Path = DEFAULT_MODEL) -> ModelFile:
    """Load a shipped model by name, or a model file by path.

    Args:
        model: a name of `shipped_models()`, or the path of an `.onnx` file. A
            string with a folder or a suffix in it is a path.

    Raises:
        ModelError: if there is no such model, or the file is not intact.
    """
    path = Path(model)
    if isinstance(model, str) and path.name == model and not path.suffix:
        if model not in shipped_models():
            known = among(model, shipped_models())
            raise ModelError(f"no model named {model!r}: {known}, or the path of an .onnx file")
        data = (resources.files("vdsr") / "weights" / f"{model}.onnx").read_bytes()
        return ModelFile(data, model)
    try:
        data = read_file(path, MAX_BYTES)
    except InputError as error:
        raise ModelError(f"{path}: the model file cannot be read: {error}") from error
    return ModelFile(data, str(path))
