"""Where things lie in an accelerator folder, and its manifest.

README.md            the steps, with the vendor's commands
manifest.json        names, order, sizes and digests
NAME.onnx            the network in float, 1x1x256x256, opset 10
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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vdsr.errors import InputError
from vdsr.inference.compiled_paths import build_name

MANIFEST = "manifest.json"
LIST = "inputs.txt"
DATALIST = "npz_datalist.txt"
README = "README.md"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of the card.

    Attributes:
        name: of the picture, without a suffix.
        width, height: of the picture, px, before it is resized.
        luma_sha256: of the uint8 `[256, 256]` that the network sees.
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
        files: SHA-256 of every other file, by its path in the folder.
    """

    name: str
    model: Mapping[str, str]
    builds: Mapping[str, Build]
    inputs: tuple[Input, ...]
    calibration: Mapping[str, str]
    files: Mapping[str, str]

    def as_json(self) -> str:
        """As text; the same manifest gives the same text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an accelerator folder.

    Raises:
        InputError: if there is none, or one that is not understood.
    """
    path = folder / MANIFEST
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: it is no accelerator folder: 'vdsr export --format vacc' makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    try:
        if content["format"] != FORMAT:
            raise InputError(f"{path}: format {content['format']} is unknown: upgrade vdsr")
        return Manifest(
            name=content["name"],
            model=content["model"],
            builds={key: Build(**entry) for key, entry in content["builds"].items()},
            inputs=tuple(Input(**entry) for entry in content["inputs"]),
            calibration=content["calibration"],
            files=content["files"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: it is no manifest of an accelerator folder: {error}") from error


def sha256(data: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_name(name: str) -> str:
    """A model's name as part of file names: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "network"
