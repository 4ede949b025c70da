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
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import ModelError
from vdsr.model.architecture import Architecture, Layer, check_shape

if TYPE_CHECKING:
    import openvino

FORMAT = 1
PREFIX = "vdsr."
DEFAULT_MODEL = "vdsr"
PRECISIONS = ("fp32", "fp16", "int8")
LUMA_RANGES = ("studio", "full")

_DIGEST_KEY = b"vdsr.sha256"


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What a model file says of itself.

    Attributes:
        name: short name, as in `--model NAME`.
        version: version of these weights.
        scales: scales that the network was trained for.
        precision: `fp32`, `fp16` or `int8`: of the weights in the file.
        luma: `studio` (16..235) or `full` (0..255): the range of the luma, divided by
            255, that the network takes and gives.
        residual: whether the network adds its output to its input.
        fold, planes: see `vdsr.model.architecture.Architecture`.
        training_data: what it was trained on, what it was started from included.
        licence: terms of use of the weights.
        recipe: digest or description of the training recipe.
        psnr: measured figures, `{"Set5 x2 paper": 35.68, ...}`, in dB.
        source: digest of the model file that this one was made from, by quantising say;
            empty if there is none.
        calibration: how it was quantised: method, digest of the table and the like.
    """

    name: str
    version: str = "0"
    scales: tuple[int, ...] = (2, 3, 4)
    precision: str = "fp32"
    luma: str = "studio"
    residual: bool = True
    fold: int = 1
    planes: int = 1
    training_data: str = "unknown"
    licence: str = "unknown"
    recipe: str = "unknown"
    psnr: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    calibration: Mapping[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ModelError("a model needs a name")
        if self.precision not in PRECISIONS:
            raise ModelError(f"unknown precision {self.precision!r}: {', '.join(PRECISIONS)}")
        if not isinstance(self.residual, bool):
            raise ModelError(f"residual is true or false, not {self.residual!r}")
        check_shape(self.fold, self.planes)
        if self.luma not in LUMA_RANGES:
            raise ModelError(f"unknown luma range {self.luma!r}: {', '.join(LUMA_RANGES)}")

    def to_properties(self) -> dict[str, str]:
        """The metadata as ONNX `metadata_props`: texts as they are, the rest as JSON."""
        values = {"format": FORMAT, **asdict(self)}
        plain = {"source": "", "calibration": {}, "fold": 1, "planes": 1}
        values = {key: value for key, value in values.items() if value != plain.get(key, ...)}
        return {
            PREFIX + key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in values.items()
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> ModelMetadata:
        """Read back what `to_properties` wrote; unknown keys are left alone.

        Raises:
            ModelError: if the name is missing, a value is malformed, or the file was
                written by a later version of the program.
        """
        try:
            version = int(properties.get(PREFIX + "format", FORMAT))
            if version > FORMAT:
                raise ModelError(f"model format {version} is newer than this program: upgrade vdsr")
            values: dict[str, Any] = {}
            for entry in fields(cls):
                text = properties.get(PREFIX + entry.name)
                if text is not None:
                    values[entry.name] = text if entry.type == "str" else json.loads(text)
            if "scales" in values:
                values["scales"] = tuple(int(scale) for scale in values["scales"])
            if "psnr" in values:
                values["psnr"] = {key: float(psnr) for key, psnr in dict(values["psnr"]).items()}
            return cls(**values)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(f"its metadata cannot be read: {error}") from error


def append_digest(data: bytes) -> bytes:
    """Append the checksum entry to a serialised ONNX model without one."""
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
        raise ModelError("it is no model file of this program (vdsr import makes one)")
    expected = _digest_entry(body)
    if entry != expected:
        raise ModelError("its checksum does not fit: the file is damaged or was edited")
    return hashlib.sha256(body).hexdigest()


class ModelFile:
    """A verified model file in memory.

    Attributes:
        source: the name or path that it was loaded from.
        data: the bytes of the ONNX file.
        digest: SHA-256 of the model, 64 hexadecimal digits.
        metadata: what it says of itself.

    Raises:
        ModelError: if the bytes are no intact model file.
    """

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        self.data = data
        try:
            self.digest = verify_digest(data)
            self.metadata = ModelMetadata.from_properties(_properties(self.graph))
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
            raise ModelError("it is no readable ONNX file") from error

    @cached_property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """The only input shape that the file takes, `(N, planes, H, W)`; None if they are free."""
        shape = self.graph.inputs[0].get_partial_shape()
        return tuple(shape.to_shape()) if shape.is_static else None

    @cached_property
    def architecture(self) -> Architecture:
        """The layers with their weights, float32; those in int8 or fp16 as they count.

        Raises:
            ModelError: if the file's layers are not a plain chain.
        """
        constants = {
            op.get_friendly_name(): op
            for op in self.graph.get_ordered_ops()
            if op.get_type_name() == "Constant"
        }

        def values(name: str) -> NDArray[np.float32] | None:
            if name not in constants:
                return None
            array = np.array(constants[name].data, np.float32)
            unit = constants.get(f"{name}_scale")
            if unit is not None:
                array *= np.array(unit.data, np.float32).reshape(-1, *[1] * (array.ndim - 1))
            return array

        layers: list[Layer] = []
        while (weight := values(f"layers.{len(layers)}.weight")) is not None:
            bias = values(f"layers.{len(layers)}.bias")
            layers.append(Layer(weight=weight, bias=None if bias is None else bias.reshape(-1)))
        try:
            card = self.metadata
            return Architecture(
                layers=tuple(layers),
                residual=card.residual,
                fold=card.fold,
                planes=card.planes,
            )
        except ModelError as error:
            raise ModelError(f"{self.source}: {error}") from error


def _properties(graph: openvino.Model) -> dict[str, str]:
    if not graph.has_rt_info("framework"):
        return {}
    return {str(k): str(v.value) for k, v in graph.get_rt_info()["framework"].items()}


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
            known = ", ".join(shipped_models())
            raise ModelError(f"no model named {model!r}: {known}, or the path of an .onnx file")
        data = (resources.files("vdsr") / "weights" / f"{model}.onnx").read_bytes()
        return ModelFile(data, model)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        text = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path}: the model file cannot be read: {text}") from error
    return ModelFile(data, str(path))
