"""ncnn: a `.param` file, and its weights in a `.bin` file beside it, made by pnnx.

pnnx is a program of its own (https://github.com/Tencent/ncnn/tree/master/tools/pnnx). It
reads ONNX, and fuses ReLU into the convolutions. ncnn takes pictures of every size, one at
a time: `[1, H, W]` as `in0`, and gives `out0`.
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
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan
from vdsr.export.source import Network

EXTRA = "export"
# pnnx wants a shape to count operations for; what it writes does not depend on it.
_SHAPE = "[1,1,64,64]f32"


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
                f"inputshape={_SHAPE}",
                f"fp16={int(network.precision == 'fp16')}",
                "ncnnparam=model.param",
                "ncnnbin=model.bin",
            ]
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            made = [Path(work) / "model.param", Path(work) / "model.bin"]
            if done.returncode or not all(path.is_file() for path in made):
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise OutputError(f"{name}: pnnx failed ({done.returncode}): {' '.join(last)}")
            for path, goal in zip(made, (name, weights), strict=True):
                (folder / goal).write_bytes(path.read_bytes())

    def open_files(folder: Path) -> Run:
        return run_files(folder / name, folder / weights, half=network.precision == "fp16")

    return ExportPlan(
        names=(name, weights),
        write=write,
        checks=(luma_check("ncnn", open_files, network.precision),),
        facts={"shape": "1xHxW"},
    )


def _pnnx() -> Path:
    """The program in the package pnnx, which is not imported: it would load torch."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise MissingExtra("pnnx", EXTRA)
    return Path(spec.origin).with_name("pnnx.exe" if sys.platform == "win32" else "pnnx")


def run_files(param: Path, weights: Path, *, half: bool) -> Run:
    """A function of one array, `[1, 1, H, W]`, that runs an ncnn model on the CPU.

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
