"""OpenVINO's intermediate representation: an XML file, and its weights beside it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import openvino
from openvino.passes import ConstantFolding, Manager

from vdsr.export.check import Array, Run, luma_check
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, shape_facts
from vdsr.export.onnx import shape_text
from vdsr.export.source import Network
from vdsr.model.metadata import PREFIX

_METADATA = "framework"


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    net = network.architecture

    def write(folder: Path) -> None:
        half = network.precision == "fp16"
        # Halves are OpenVINO's own: weights in fp16, and every runtime computes as it can.
        data = network.onnx(shape=options.shape, precision="fp32" if half else None)
        graph = openvino.Core().read_model(data)
        graph.set_rt_info(network.precision, [_METADATA, f"{PREFIX}precision"])
        # The checksum of the ONNX file is not that of this one.
        graph.set_rt_info("", [_METADATA, f"{PREFIX}sha256"])
        if network.precision != "int8":
            _fold(graph)
        _number(graph)
        openvino.save_model(graph, folder / name, compress_to_fp16=half)

    return ExportPlan(
        names=(name, str(Path(name).with_suffix(".bin"))),
        write=write,
        checks=(
            luma_check(
                "OpenVINO",
                lambda folder: run_file(folder / name),
                network.precision,
                shape=options.shape,
            ),
        ),
        facts=shape_facts(net, shape_text(options.shape, net.planes)),
    )


def _fold(graph: openvino.Model) -> None:
    """Compute what is constant: shapes of biases, which nobody wants to see in the file."""
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(graph)


def _number(graph: openvino.Model) -> None:
    """Number by their place what OpenVINO has numbered by a count that runs on and on."""
    for i, op in enumerate(graph.get_ordered_ops()):
        if re.search(r"_\d+$", op.get_friendly_name()):
            op.set_friendly_name(f"{op.get_type_name()}.{i}")


def run_file(path: Path) -> Run:
    """A function of one array that runs a file which OpenVINO reads, in fp32 or int8."""
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", config)

    def run(array: Array) -> Array:
        return np.array(compiled([array])[0])

    return run


FORMAT = ExportFormat(
    name="openvino",
    suffix=".xml",
    precisions=("fp32", "fp16", "int8"),
    takes=frozenset({"shape"}),
    plan=_plan,
)
