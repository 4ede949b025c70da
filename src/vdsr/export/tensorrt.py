"""TensorRT: a folder that is taken to the machine with the GPU.

It holds the ONNX file, a script that builds the engine there with `trtexec`, and a README.
Where TensorRT is installed, the engine is built at once: an engine fits only the GPU and
the version that it was built with.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from string import Template

from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan, shape_facts
from vdsr.export.onnx import check_model_file, shape_text
from vdsr.export.source import Network
from vdsr.export.tensorrt_engine import build_engine
from vdsr.model.metadata import ModelMetadata

Shape = tuple[int, int, int, int]

MODEL, SCRIPT, README, ENGINE = "model.onnx", "build.sh", "README.md", "model.engine"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The input shapes that an engine takes.

    Attributes:
        least, best, most: `(N, planes, H, W)`; it is fastest for `best`.
    """

    least: Shape
    best: Shape
    most: Shape


def free_profile(planes: int = 1, fold: int = 1) -> Profile:
    """From a small tile to a whole picture of 1920x1080, in multiples of the fold."""

    def shape(height: int, width: int) -> Shape:
        return 1, planes, -(-height // fold) * fold, -(-width // fold) * fold

    return Profile(least=shape(64, 64), best=shape(512, 512), most=shape(1088, 1920))


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    net = network.architecture
    data = network.onnx(opset=options.opset, shape=options.shape)
    half = network.precision == "fp16"
    profile = free_profile(net.planes, net.fold) if options.shape is None else None
    has_tensorrt = importlib.util.find_spec("tensorrt") is not None

    def write(folder: Path) -> None:
        made = folder / name
        made.mkdir()
        (made / MODEL).write_bytes(data)
        script = made / SCRIPT
        script.write_text(_script(half, profile), encoding="utf-8", newline="\n")
        script.chmod(0o755)
        readme = _readme(network.metadata, shape_text(options.shape, net.planes), profile)
        (made / README).write_text(readme, encoding="utf-8", newline="\n")
        if has_tensorrt:
            shapes = None if profile is None else (profile.least, profile.best, profile.most)
            (made / ENGINE).write_bytes(build_engine(data, half=half, shapes=shapes))

    return ExportPlan(
        names=(name,),
        write=write,
        checks=(check_model_file(f"{name}/{MODEL}", network.precision, options.shape),),
        contents=(MODEL, SCRIPT, README, ENGINE),
        facts={
            **shape_facts(net, shape_text(options.shape, net.planes)),
            "engine": "built" if has_tensorrt else "to be built by build.sh",
        },
    )


_SCRIPT = Template("""\
#!/usr/bin/env bash
# Build the engine on the machine that will run it, with the TensorRT that will run it.
# The variables may be set from outside: MAX_SHAPE=1x1x2160x3840 ./$script
set -euo pipefail
cd "$$(dirname "$$0")"
TRTEXEC=$${TRTEXEC:-trtexec}
command -v "$$TRTEXEC" >/dev/null || { echo "trtexec is not on the PATH: set TRTEXEC" >&2; exit 1; }
help=$$("$$TRTEXEC" --help 2>&1 || true)
options=(--onnx=$model --saveEngine=$engine)
$shapes# The types are those of the ONNX file where this version can hold to them.
case $$help in
  *--stronglyTyped*) options+=(--stronglyTyped) ;;
$weakly
esac
# Without it, fp32 would be TF32, with 10 bits of mantissa.
options+=(--noTF32)
"$$TRTEXEC" "$${options[@]}" "$$@"
""")

_SHAPES = Template("""\
MIN_SHAPE=$${MIN_SHAPE:-$least}
OPT_SHAPE=$${OPT_SHAPE:-$best}
MAX_SHAPE=$${MAX_SHAPE:-$most}
options+=("--minShapes=input:$$MIN_SHAPE" "--optShapes=input:$$OPT_SHAPE")
options+=("--maxShapes=input:$$MAX_SHAPE")
""")

_README = Template("""\
# $name $version for TensorRT

- `$model`: the network, $precision, input `input` and output `output`, float32 `[$shape]`.
- `$script`: builds `$engine` with `trtexec`; options that it is given are passed on.
- `$engine`: only where it was built already. An engine fits the GPU and the version of
  TensorRT that it was built with, and no other: rebuild it elsewhere.

## Build
    ./$script
$profile
## Input and output
The input is $what of a picture that is already enlarged by bicubic interpolation (MATLAB's
`imresize`, a = -0.5): $range, divided by 255,
not rounded$sides. The output is the same, restored. $added
$half
## Try it
    trtexec --loadEngine=$engine --shapes=input:$test

`$model` was compared with the model that it was made from, by ONNX Runtime, when it was
exported. The engine was not run: compare its output with that of `$model` on one input.

- made from: sha256 $source
- license of the weights: $license
""")


def _script(half: bool, profile: Profile | None) -> str:
    shapes = ""
    if profile is not None:
        sides = {key: shape_text(value) for key, value in vars(profile).items()}
        shapes = _SHAPES.substitute(sides)
    weakly = "  *) options+=(--fp16) ;;" if half else "  *) ;;"
    return _SCRIPT.substitute(
        script=SCRIPT, model=MODEL, engine=ENGINE, shapes=shapes, weakly=weakly
    )


def _readme(metadata: ModelMetadata, shape: str, profile: Profile | None) -> str:
    studio = metadata.luma == "studio"
    free = half = ""
    if profile is not None:
        least, best, most = map(shape_text, (profile.least, profile.best, profile.most))
        free = (
            f"\nSizes from {least} to {most} are taken, {best} is fastest;"
            "\nMIN_SHAPE, OPT_SHAPE and MAX_SHAPE change that.\n"
        )
    if metadata.precision == "fp16":
        half = "\nThe convolutions compute in fp16; the residual is added in float32.\n"
    return _README.substitute(
        name=metadata.name,
        version=metadata.version,
        model=MODEL,
        script=SCRIPT,
        engine=ENGINE,
        precision=metadata.precision,
        shape=shape.replace("x", ", "),
        profile=free,
        what="luma" if metadata.planes == 1 else "Y, Cb and Cr",
        sides="" if metadata.fold == 1 else f"; both sides are multiples of {metadata.fold} px",
        added=(
            f"Chroma is bicubic:\n`R, G, B += (output - input) x {'255 / 219' if studio else '1'}`."
            if metadata.planes == 1
            else "What was added,\n`output - input`, goes to R, G and B by the inverse of BT.601's"
            " matrix."
        ),
        range="16..235 (BT.601 studio range)" if studio else "0..255 (BT.601 full range)",
        half=half,
        test=shape if profile is None else shape_text(profile.best),
        source=metadata.source,
        license=metadata.license,
    )


FORMAT = ExportFormat(
    name="tensorrt",
    suffix="",
    # TensorRT's int8 is signed; the activations of an int8 model file are not.
    precisions=("fp32", "fp16"),
    takes=frozenset({"shape", "opset"}),
    check_needs=("onnxruntime",),
    plan=_plan,
)
