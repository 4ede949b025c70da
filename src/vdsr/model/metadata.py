"""What a model file says of itself, as texts that are safe to show."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vdsr.errors import ModelError
from vdsr.model.architecture import check_shape

FORMAT = 1
PREFIX = "vdsr."
PRECISIONS = ("fp32", "fp16", "int8")
LUMA_RANGES = ("studio", "full")

_MAX_TEXT = 20_000
_MAX_SCALE = 16
# Controls, halves of characters, line breaks, and what turns the direction of writing.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# How earlier files spell the key.
_LICENSE_BEFORE = "licence"


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
        license: terms of use of the weights.
        recipe: digest or description of the training recipe.
        psnr: measured figures, `{"Set5 x2 paper": 35.68, ...}`, in dB.
        source: digest of the model file that this one was made from, by quantizing say;
            empty if there is none.
        calibration: how it was quantized: method, digest of the table and the like.
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
    license: str = "unknown"
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
        if not all(1 <= scale <= _MAX_SCALE for scale in self.scales):
            raise ModelError(f"scales lie in 1..{_MAX_SCALE}")
        if not all(math.isfinite(figure) for figure in self.psnr.values()):
            raise ModelError("a measured figure is not a finite number")
        for text in _texts(asdict(self)):
            check_text(text)

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
                if text is None and entry.name == "license":
                    text = properties.get(PREFIX + _LICENSE_BEFORE)
                if text is not None:
                    values[entry.name] = text if entry.type == "str" else json.loads(text)
            if "scales" in values:
                values["scales"] = tuple(int(scale) for scale in values["scales"])
            if "psnr" in values:
                values["psnr"] = {key: float(psnr) for key, psnr in dict(values["psnr"]).items()}
            if "calibration" in values:
                values["calibration"] = _facts(values["calibration"])
            return cls(**values)
        except ModelError:
            raise
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise ModelError(f"its metadata cannot be read: {error}") from error


def _facts(values: object) -> dict[str, str | int | float]:
    """A mapping of texts and finite numbers, as `calibration` is."""
    if not isinstance(values, dict):
        raise TypeError("calibration is not a mapping")
    for value in values.values():
        if not isinstance(value, str | int | float) or not math.isfinite(
            len(value) if isinstance(value, str) else value
        ):
            raise TypeError("calibration holds something other than texts and numbers")
    return values


def _texts(value: object) -> Iterator[str]:
    """All texts in nested values, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)


def check_text(text: str) -> None:
    """Refuse a text that a terminal would obey rather than show, or that is a book.

    Raises:
        ModelError: if it is too long, or holds a control character, a line break or a
            change of the direction of writing.
    """
    if len(text) > _MAX_TEXT:
        raise ModelError(f"its metadata hold a text of {len(text)} characters")
    for character in text:
        if unicodedata.category(character) in _UNPRINTABLE or character in _DIRECTIONS:
            raise ModelError(
                f"its metadata hold the control character U+{ord(character):04X}, in {text[:40]!a}"
            )
