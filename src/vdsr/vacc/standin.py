"""In place of the card: ONNX Runtime on this machine's CPU, on the card's inputs.

It shows that files, formats, order and evaluation fit each other. Its fp16 and int8 are
ONNX Runtime's: halves are those of the weights, int8 is calibrated by ONNX Runtime's
entropy method per channel, on the folder's calibration pictures, with every operator in
int8. The card's arithmetic is its own.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np

from vdsr.errors import BackendError, MissingExtra, UsageError
from vdsr.evaluation.opencv_protocol import resized_luma
from vdsr.inference import backends
from vdsr.model.architecture import Architecture, FloatArray
from vdsr.model.file import ModelFile, load_model
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_reader import OLDEST_INT8_OPSET
from vdsr.model.onnx_writer import model_bytes
from vdsr.vacc.configuration import OPSET
from vdsr.vacc.layout import Manifest, within
from vdsr.vacc.pictures import network_input, read_bmp

Run = Callable[[FloatArray], FloatArray]

# The key by which ONNX Runtime sees that a graph needs no preparation.
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")


def runs(manifest: Manifest) -> tuple[str, ...]:
    """What can be stood in for: fp32, and what the card would compile."""
    return ("fp32", *manifest.builds)


def open_standin(folder: Path, manifest: Manifest, name: str) -> Run:
    """A network of a folder on ONNX Runtime.

    Args:
        folder: an accelerator folder.
        manifest: what it says of itself.
        name: one of `runs(manifest)`.

    Returns:
        From float32 `[1, 1, height, width]`, as the manifest says, to the same.

    Raises:
        UsageError: for another name.
        ModelError: if the network is damaged.
        MissingExtra: if ONNX Runtime, or onnx, is not installed.
    """
    if name not in runs(manifest):
        raise UsageError(f"there is no {name!r} in {folder}: {', '.join(runs(manifest))}")
    if name == "fp32":
        return _open(load_model(within(folder, f"{manifest.name}.onnx")))
    build = manifest.builds[name]
    model = load_model(within(folder, build.network))
    if build.precision == "fp16":
        metadata = replace(model.metadata, precision="fp16")
        data = model_bytes(model.architecture, metadata, opset=OPSET, shape=manifest.shape)
        return _open(ModelFile(data, build.network))
    pictures = [within(folder, f"calibration/{name}.bmp") for name in manifest.calibration]
    inputs = [network_input(resized_luma(read_bmp(path), manifest.size)) for path in pictures]
    return run_bytes(entropy_calibrated(model.architecture, inputs))


def entropy_calibrated(architecture: Architecture, inputs: Sequence[FloatArray]) -> bytes:
    """A network in int8, as ONNX Runtime's own tools make it of floats.

    Weights per channel, activations by `CalibrationMethod.Entropy` with its defaults, QDQ,
    all operators.

    Args:
        architecture: the layers.
        inputs: float32 `[1, 1, H, W]`, calibration pictures of one size, at least one.

    Returns:
        An ONNX file.

    Raises:
        MissingExtra: if ONNX Runtime, or onnx, is not installed.
    """
    tools, onnx = _tools()
    metadata = ModelMetadata(name="calibrated", residual=architecture.residual)
    one, planes, height, width = inputs[0].shape
    shape = (one, planes, height, width)
    data = model_bytes(architecture, metadata, opset=OLDEST_INT8_OPSET, shape=shape)
    graph = onnx.load_from_string(data)
    onnx.helper.set_model_props(graph, dict([_PREPARED]))

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._rest = iter(inputs)

        def get_next(self) -> dict[str, FloatArray] | None:
            following = next(self._rest, None)
            return None if following is None else {"input": following}

    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        source, goal = Path(name) / "float.onnx", Path(name) / "int8.onnx"
        onnx.save(graph, source)
        # It prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            tools.quantize_static(
                source,
                goal,
                Reader(),
                quant_format=tools.QuantFormat.QDQ,
                per_channel=True,
                calibrate_method=tools.CalibrationMethod.Entropy,
            )
        return goal.read_bytes()


def run_bytes(data: bytes) -> Run:
    """An ONNX file on ONNX Runtime's CPU provider."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(y: FloatArray) -> FloatArray:
        (result,) = session.run(None, {"input": y})
        return np.asarray(result, np.float32)

    return run


def runtime() -> str:
    """What runs, for people: name and version."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def _open(model: ModelFile) -> Run:
    return backends.open_backend(model, backends.choose(model, "onnxruntime")).run


def _tools() -> tuple[ModuleType, ModuleType]:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "models") from error
    try:
        from onnxruntime import quantization
    except ImportError as error:
        if backends.is_installed("onnxruntime"):
            raise BackendError(f"ONNX Runtime's quantization cannot be loaded: {error}") from error
        raise MissingExtra("onnxruntime", "onnxruntime") from error
    return quantization, onnx
