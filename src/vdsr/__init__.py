"""Faithful super-resolution with VDSR.

    import vdsr

    vdsr.upscale("in.jpg", "out.png", scale=4)

    with vdsr.Upscaler() as upscaler:          # open once, use many times
        enlarged = upscaler.upscale(array, scale=2)
        for one in upscaler.map(paths, scale=2):   # several at once, in order
            ...

Importing this package loads nothing heavy; numpy, libvips and the inference
backend are loaded when the first name below is used.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING

from vdsr import errors as errors
from vdsr.errors import BackendError as BackendError
from vdsr.errors import CheckpointError as CheckpointError
from vdsr.errors import ClusterError as ClusterError
from vdsr.errors import FileError as FileError
from vdsr.errors import InputError as InputError
from vdsr.errors import MissingExtra as MissingExtra
from vdsr.errors import ModelError as ModelError
from vdsr.errors import OutOfMemory as OutOfMemory
from vdsr.errors import OutputError as OutputError
from vdsr.errors import OutputExists as OutputExists
from vdsr.errors import UnsupportedType as UnsupportedType
from vdsr.errors import UsageError as UsageError
from vdsr.errors import VdsrError as VdsrError
from vdsr.version import __version__ as __version__

if TYPE_CHECKING:
    from vdsr.imaging.degrade import degrade as degrade
    from vdsr.imaging.files.images import read_image as read_image
    from vdsr.imaging.files.images import write_image as write_image
    from vdsr.imaging.metrics import psnr as psnr
    from vdsr.imaging.metrics import ssim as ssim
    from vdsr.imaging.resample import imresize as imresize
    from vdsr.inference.backends import Backend as Backend
    from vdsr.inference.compare import compare as compare
    from vdsr.inference.comparison import Measures as Measures
    from vdsr.inference.engine import Result as Result
    from vdsr.inference.mapping import Mapped as Mapped
    from vdsr.inference.once import upscale as upscale
    from vdsr.inference.plan import Progress as Progress
    from vdsr.inference.target import Target as Target
    from vdsr.inference.upscaler import Upscaler as Upscaler
    from vdsr.inference.verify import Verdict as Verdict
    from vdsr.inference.verify import verify as verify
    from vdsr.model.file import ModelFile as ModelFile
    from vdsr.model.file import load_model as load_model

__all__ = [
    "Backend",
    "BackendError",
    "CheckpointError",
    "ClusterError",
    "FileError",
    "InputError",
    "Mapped",
    "Measures",
    "MissingExtra",
    "ModelError",
    "ModelFile",
    "OutOfMemory",
    "OutputError",
    "OutputExists",
    "Progress",
    "Result",
    "Target",
    "UnsupportedType",
    "Upscaler",
    "UsageError",
    "VdsrError",
    "Verdict",
    "__version__",
    "compare",
    "degrade",
    "errors",
    "imresize",
    "load_model",
    "psnr",
    "read_image",
    "ssim",
    "upscale",
    "verify",
    "write_image",
]

# Where the names are that are loaded when they are first used.
_MODULES = {
    "Backend": "inference.backends",
    "Mapped": "inference.mapping",
    "Measures": "inference.comparison",
    "ModelFile": "model.file",
    "Progress": "inference.plan",
    "Result": "inference.engine",
    "Target": "inference.target",
    "Upscaler": "inference.upscaler",
    "compare": "inference.compare",
    "degrade": "imaging.degrade",
    "imresize": "imaging.resample",
    "load_model": "model.file",
    "psnr": "imaging.metrics",
    "read_image": "imaging.files.images",
    "ssim": "imaging.metrics",
    "upscale": "inference.once",
    "Verdict": "inference.verify",
    "verify": "inference.verify",
    "write_image": "imaging.files.images",
}

# OpenVINO tells its vendor of every import, over the network and from a fork of the process,
# which now and then hangs at the end of it. None here makes the import of its reporter fail, as
# the language defines it (reference, 5.3.1), and OpenVINO then takes a stub of its own that is
# silent. What a program has loaded before stays as it is. See docs/python.md, "Privacy".
if "openvino" not in sys.modules:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# Says nothing unless the program that uses this package asks: `logging.basicConfig()`.
logging.getLogger("vdsr").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'vdsr' has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"vdsr.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
