"""Where the tools of the VACC accelerator put what they compile from a model file.

Beside `NAME.onnx`, the model file that was compiled, lie `vdsp_params.json`, the parameters
of the pre-processing, and `deploy_weights/NAME_PRECISION/mod*`, the result of `vamc
compile`. `vdsr export --format vacc` makes such a folder.
"""

from __future__ import annotations

import json
from pathlib import Path

from vdsr.errors import InputError
from vdsr.inputs import is_file, read_file

MANIFEST = "manifest.json"
WORKSPACE = "deploy_weights"
PARAMETERS = "vdsp_params.json"
EVALUATED = "evaluation pictures"

_MAX_BYTES = 16 << 20


def build_name(model: Path, precision: str) -> str:
    """Name of the build of a model file in a precision."""
    return f"{model.stem}_{precision}"


def compiled_prefix(model: Path, precision: str) -> Path:
    """What the names of the compiled files of a model file begin with."""
    return model.parent / WORKSPACE / build_name(model, precision) / "mod"


def calibrated_on(model: Path, precision: str) -> str:
    """What is to be said of the calibration of a compiled network wherever its figures stand.

    Returns:
        `evaluation pictures` if the manifest of its folder says that int8 was calibrated on
        pictures that networks are measured on; else empty.
    """
    path = model.parent / MANIFEST
    if precision != "int8" or not is_file(path):
        return ""
    try:
        content = json.loads(read_file(path, _MAX_BYTES))
    except (InputError, ValueError, RecursionError):
        return ""
    return EVALUATED if isinstance(content, dict) and content.get("evaluated") else ""
