"""Where the tools of the VACC accelerator put what they compile from a model file.

Beside `NAME.onnx`, the model file that was compiled, lie `vdsp_params.json`, the parameters
of the pre-processing, and `deploy_weights/NAME_PRECISION/mod*`, the result of `vamc
compile`. `vdsr export --format vacc` makes such a folder.
"""

from __future__ import annotations

from pathlib import Path

WORKSPACE = "deploy_weights"
PARAMETERS = "vdsp_params.json"
SIDE = 256


def build_name(model: Path, precision: str) -> str:
    """Name of the build of a model file in a precision."""
    return f"{model.stem}_{precision}"


def compiled_prefix(model: Path, precision: str) -> Path:
    """What the names of the compiled files of a model file begin with."""
    return model.parent / WORKSPACE / build_name(model, precision) / "mod"
