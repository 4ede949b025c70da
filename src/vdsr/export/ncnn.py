"""ncnn: a `.param` file, and its weights in a `.bin` file beside it, made by pnnx.

pnnx is a program of its own (https://github.com/Tencent/ncnn/tree/master/tools/pnnx). It
reads ONNX, and fuses ReLU into the convolutions. ncnn takes pictures of every size, one at
a time: `[1, H, W]` as `in0`, and gives `out0`. pnnx knows ONNX's SpaceToDepth, but not its
inverse, and takes the reshapes around both for fixed sizes; in a folded network they give way
to ncnn's own Reorg and PixelShuffle, whose channels are in torch's order.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vdsr.errors import MissingExtra, OutputError
from vdsr.export.check import Array, Run, luma_check
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, shape_facts
from vdsr.export.source import Network

EXTRA = "export"
# pnnx wants a shape to count operations for; what it writes does not depend on it.
_SIDE = 48


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    program = _pnnx()
    # `NAME.bin` would be that of an OpenVINO export of the same name.
    weights = f"{name.removesuffix('.param').removesuffix('.ncnn')}.ncnn.bin"

    def write(folder: Path) -> None:
        # pnnx halves the weights itself: an ONNX file in halves keeps it from fusing.
        data = network.onnx(precision="fp32")
        with tempfile.TemporaryDirectory(prefix="vdsr-") as work:
            (Path(work) / "model.onnx").write_bytes(data)
            command = [
                str(program),
                "model.onnx",
                f"inputshape=[1,{network.architecture.planes},{_SIDE},{_SIDE}]f32",
                f"fp16={int(network.precision == 'fp16')}",
                "ncnnparam=model.param",
                "ncnnbin=model.bin",
            ]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            made = [Path(work) / "model.param", Path(work) / "model.bin"]
            if done.returncode or not all(path.is_file() for path in made):
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise OutputError(f"{name}: pnnx failed ({done.returncode}): {' '.join(last)}")
            if network.architecture.fold > 1:
                text = made[0].read_text("utf-8")
                made[0].write_text(folded(text, network.architecture.fold), "utf-8", newline="\n")
            for path, goal in zip(made, (name, weights), strict=True):
                (folder / goal).write_bytes(path.read_bytes())

    def open_files(folder: Path) -> Run:
        return run_files(folder / name, folder / weights, half=network.precision == "fp16")

    return ExportPlan(
        names=(name, weights),
        write=write,
        checks=(luma_check("ncnn", open_files, network.precision),),
        facts=shape_facts(network.architecture, f"{network.architecture.planes}xHxW"),
    )


def folded(param: str, fold: int) -> str:
    """Make pnnx's graph of a folded network one that ncnn runs at every size.

    Args:
        param: the text of a `.param` file: a magic number, two counts, and a line for each
            layer: type, name, numbers of inputs and outputs, their names, parameters.
        fold: of the network.

    Returns:
        The same without reshapes, and with PixelShuffle in the place of DepthToSpace.
    """
    magic, _, *lines = param.splitlines()
    other: dict[str, str] = {}
    layers, values = [], set()
    for line in lines:
        kind, name, given, made, *rest = line.split()
        count, more = int(given), int(made)
        inputs = [other.get(value, value) for value in rest[:count]]
        outputs, settings = rest[count : count + more], rest[count + more :]
        if kind == "Reshape":
            other[outputs[0]] = inputs[0]
            continue
        if kind == "DepthToSpace":
            kind, settings = "PixelShuffle", [f"0={fold}"]
        values.update(outputs)
        layers.append(" ".join([kind, name, given, made, *inputs, *outputs, *settings]))
    return "\n".join([magic, f"{len(layers)} {len(values)}", *layers, ""])


def _pnnx() -> Path:
    """The program in the package pnnx, which is not imported: it would load torch."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise MissingExtra("pnnx", EXTRA)
    return Path(spec.origin).with_name("pnnx.exe" if sys.platform == "win32" else "pnnx")


def run_files(param: Path, weights: Path, *, half: bool) -> Run:
    """A function of one array, `[1, planes, H, W]`, that runs an ncnn model on the CPU.

    Args:
        param: the `.param` file.
        weights: the `.bin` file.
        half: whether ncnn may compute in halves, as it does where the CPU has them.

    Raises:
        MissingExtra: if ncnn is not installed.
        OutputError: if ncnn refuses the files.
    """
    try:
        import ncnn
    except ImportError as error:
        raise MissingExtra("ncnn", EXTRA) from error
    net = ncnn.Net()
    net.opt.use_bf16_storage = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise OutputError(f"{param.name}: ncnn cannot load it")

    def run(array: Array) -> Array:
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(np.ascontiguousarray(array[0])))
            failed, result = extractor.extract("out0")
            if failed:
                raise OutputError(f"{param.name}: ncnn cannot run it")
            return np.array(result)[None]

    return run


FORMAT = ExportFormat(
    name="ncnn",
    suffix=".param",
    precisions=("fp32", "fp16"),
    takes=frozenset(),
    needs=("onnx", "pnnx"),
    check_needs=("ncnn",),
    plan=_plan,
)
