"""Where things lie in an accelerator folder, and its manifest.

README.md            the steps, with the vendor's commands
manifest.json        names, order, sizes and digests
NAME.onnx            the network in float, 1x1x256x256 or another size, opset 10
NAME-equalized.onnx  close in float, loses less in int8
NAME.torchscript.pt  the network once more
build/*.yaml         build configurations
vdsp_params.json     pre-processing parameters
calibration/*.bmp    what int8 is calibrated on
pictures/*.bmp       the enlarged pictures, for the vendor's streaming program
inputs/*.npz         the same as the card's inputs
inputs.txt           their order, relative to the folder
outputs/             where `vdsr vacc` writes
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vdsr.errors import InputError, ModelError
from vdsr.evaluation.opencv_protocol import MAX_PIXELS, SIZE, Size
from vdsr.inference.compiled_paths import EVALUATED, MANIFEST, build_name
from vdsr.inputs import exists, read_file
from vdsr.model.metadata import check_text

LIST = "inputs.txt"
DATALIST = "npz_datalist.txt"
README = "README.md"
FORMAT = 1

_MAX_BYTES = 16 << 20
_MAX_SIDE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of the card.

    Attributes:
        name: of the picture, without a suffix.
        width, height: of the picture, px, before it is resized.
        luma_sha256: of the uint8 `[height, width]` of the folder's size that the network sees.
    """

    name: str
    width: int
    height: int
    luma_sha256: str

    @property
    def file(self) -> str:
        """Its path in the folder."""
        return f"inputs/{self.name}.npz"


@dataclass(frozen=True, kw_only=True)
class Build:
    """What the card's tools compile.

    Attributes:
        network: file of the network.
        precision: `fp16` or `int8`.
    """

    network: str
    precision: str

    @property
    def name(self) -> str:
        """Of its configuration, and of what is compiled."""
        return build_name(Path(self.network), self.precision)

    @property
    def configuration(self) -> str:
        """Path of its configuration in the folder."""
        return f"build/{self.name}.yaml"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder says of itself.

    Attributes:
        name: of the network, and so of its files.
        model: name, version and digest of the model file that it was made of.
        builds: what the card can compile, by name: `fp16`, `int8`, `int8-equalized`.
        inputs: in order.
        calibration: names and digests of the calibration pictures.
        evaluated: those of them that show an evaluation picture, and which: figures of
            int8 flatter a network that was calibrated on them.
        size: of the inputs, (height, width) in px.
        files: SHA-256 of every other file, by its path in the folder.
    """

    name: str
    model: Mapping[str, str]
    builds: Mapping[str, Build]
    inputs: tuple[Input, ...]
    calibration: Mapping[str, str]
    files: Mapping[str, str]
    evaluated: Mapping[str, str] = field(default_factory=dict)
    size: Size = SIZE

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input and the output: `(1, 1, height, width)`."""
        return (1, 1, *self.size)

    def calibrated_on(self, build: str) -> str:
        """What is to be said of the calibration of a build wherever its figures stand.

        Args:
            build: its name in `builds`, or another precision.

        Returns:
            Words; empty where there is nothing to be said.
        """
        entry = self.builds.get(build)
        quantized = entry is not None and entry.precision == "int8"
        return EVALUATED if quantized and self.evaluated else ""

    def as_json(self) -> str:
        """As text; the same manifest gives the same text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an accelerator folder.

    Raises:
        InputError: if there is none, or one that is not understood.
    """
    path = folder / MANIFEST
    if not exists(path):
        raise InputError(
            f"{folder}: it is not an accelerator folder: 'vdsr export --format vacc' makes one"
        )
    try:
        content: Any = json.loads(read_file(path, _MAX_BYTES))
    except (InputError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    try:
        if content["format"] != FORMAT:
            raise InputError(f"{path}: format {content['format']!r:.40} is unknown: upgrade vdsr")
        return Manifest(
            name=_name(content["name"]),
            model={key: _text(value) for key, value in content["model"].items()},
            builds={_name(key): _build(entry) for key, entry in content["builds"].items()},
            inputs=tuple(_input(entry) for entry in content["inputs"]),
            calibration=_digests(content["calibration"], _name),
            files=_digests(content["files"], _path),
            evaluated=_digests(content.get("evaluated", {}), _name),
            size=_size(content.get("size", SIZE)),
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, ModelError) as error:
        raise InputError(
            f"{path}: it is not a manifest of an accelerator folder: {error!s:.100}"
        ) from error


def within(folder: Path, name: str) -> Path:
    """A file that a manifest names, where it lies in its folder and nowhere else.

    Raises:
        InputError: if it, or what it is a link to, lies outside of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: it leads out of the accelerator folder")
    return path


def _build(entry: Any) -> Build:  # noqa: ANN401
    if entry["precision"] not in ("fp16", "int8"):
        raise ValueError("a build is neither fp16 nor int8")
    return Build(network=_name(entry["network"]), precision=entry["precision"])


def _input(entry: Any) -> Input:  # noqa: ANN401
    width, height = entry["width"], entry["height"]
    if not all(type(side) is int and 0 < side <= _MAX_SIDE for side in (width, height)):
        raise ValueError("an input has no size")
    name, digest = _name(entry["name"]), _text(entry["luma_sha256"])
    return Input(name=name, width=width, height=height, luma_sha256=digest)


def _size(entry: Any) -> Size:  # noqa: ANN401
    height, width = entry
    if not all(type(side) is int and side > 0 for side in (height, width)):
        raise ValueError("the size is not that of a picture")
    if height * width > MAX_PIXELS:
        raise ValueError(f"the size is more than {MAX_PIXELS} px")
    return height, width


def _digests(entries: Any, check: Callable[[object], str]) -> dict[str, str]:  # noqa: ANN401
    return {check(name): _text(digest) for name, digest in entries.items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    check_text(value)
    return value


def _name(value: object) -> str:
    """A name of a file in a folder: not a path."""
    text = _text(value)
    if text in ("", ".", "..") or "/" in text or "\\" in text:
        raise ValueError(f"{text[:60]!r} is not the name of a file")
    return text


def _path(value: object) -> str:
    """A path below the folder."""
    text = _text(value)
    for part in text.split("/"):
        _name(part)
    return text


def sha256(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_name(name: str) -> str:
    """A model's name as part of file names: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "network"
