"""ONNX: a model file of this program, which any ONNX runtime reads."""

from __future__ import annotations

from pathlib import Path

from vdsr.export.check import Check, Run, luma_check
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, shape_facts
from vdsr.export.source import Network
from vdsr.inference import backends
from vdsr.model.file import load_model
from vdsr.model.onnx_writer import DEFAULT_OPSET


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    net = network.architecture
    # Made at once, so that an opset that is not supported is refused before anything else.
    data = network.onnx(opset=options.opset, shape=options.shape)

    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return ExportPlan(
        names=(name,),
        write=write,
        checks=(check_model_file(name, network.precision, options.shape),),
        facts={
            **shape_facts(net, shape_text(options.shape, net.planes)),
            "opset": DEFAULT_OPSET if options.opset is None else options.opset,
        },
    )


def check_model_file(name: str, precision: str, shape: tuple[int, int, int, int] | None) -> Check:
    """A check of a model file, by ONNX Runtime.

    Args:
        name: of the file, in the folder of the export.
        precision: of the export.
        shape: the only shape that it takes.
    """

    def open_file(folder: Path) -> Run:
        model = load_model(folder / name)
        return backends.open_backend(model, backends.choose(model, "onnxruntime")).run

    return luma_check("ONNX Runtime", open_file, precision, shape=shape)


def shape_text(shape: tuple[int, int, int, int] | None, planes: int = 1) -> str:
    """An input shape for people: `1x1x256x256`, or `Nx1xHxW`."""
    return f"Nx{planes}xHxW" if shape is None else "x".join(map(str, shape))


FORMAT = ExportFormat(
    name="onnx",
    suffix=".onnx",
    precisions=("fp32", "fp16", "int8"),
    takes=frozenset({"shape", "opset"}),
    check_needs=("onnxruntime",),
    plan=_plan,
)
