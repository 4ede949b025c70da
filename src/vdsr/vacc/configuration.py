"""What the vendor's tools are told: build configurations and pre-processing parameters.

Keys and values are those of VastModelZOO's `official_vdsr.yaml` and
`official-vdsr-vdsp_params.json`. The YAML is written line by line: the same settings give
the same bytes.
"""

from __future__ import annotations

import json
import re

from vdsr.evaluation.opencv_protocol import Size
from vdsr.inference.compiled_paths import WORKSPACE
from vdsr.vacc.layout import Build

OPSET = 10

# Written by the card's tools for every model, and not applied under DIV255.
_MEAN = [0.485107421875, 0.4560546875, 0.406005859375]
_STD = [0.22900390625, 0.2239990234375, 0.2249755859375]


def build_configuration(build: Build, size: Size, calibration: str = "", pictures: int = 0) -> str:
    """What `vamc compile` reads, run in the folder.

    Args:
        build: what is compiled; its result is `deploy_weights/NAME/mod*`.
        size: of the input.
        calibration: folder of calibration pictures (bmp), for int8.
        pictures: how many there are.

    Returns:
        YAML.
    """
    height, width = size
    lines = [
        f"name: {_text(build.name)}",
        "",
        "frontend:",
        "  shape:",
        f"    input: [1, 1, {height}, {width}]",
        "  type: onnx",
        f"  checkpoint: {_text(build.network)}",
        "  dtype: fp32",
        "",
        "backend:",
        "  type: tvm_vacc",
        f"  dtype: {build.precision}",
        "  compile:",
        "    data_transport_mode: 1",
    ]
    if build.precision == "int8":
        lines += [
            "  quantize:",
            "    calibrate_mode: kl_divergence",
            "    quantize_per_channel: true",
            "",
            "dataset:",
            "  type: tvm",
            f"  path: {_text(calibration)}",
            "  sampler:",
            "    suffix: bmp",
            f"    get_data_num: {pictures}",
            "  process_ops:",
            "    - type: DecodeImage",
            "    - type: CvtColor",
            "      code: COLOR_RGB2YCrCb",
            "    - type: Resize",
            f"      size: [{height}, {width}]",
            "    - type: ChannelSplit",
            "      index: 0",
            "    - type: Normalize",
            "      norm_type: None",
            "    - type: ToTensor",
        ]
    lines += ["", "workspace:", f"  path: ./{WORKSPACE}/", ""]
    return "\n".join(lines)


def preprocessing_parameters(size: Size) -> str:
    """What the card does to a picture before the network (`--vdsp_params`), as JSON.

    One fused operator: planes of 8 bits, resized to the size of the input, divided by 255;
    the network takes the first plane.
    """
    height, width = size
    parameters = {
        "OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR",
        "OpConfig": {
            "IimageFormat": "RGB_PLANAR",
            "IimageWidth": width,
            "IimageHeight": height,
            "OimageWidth": width,
            "OimageHeight": height,
            "IimageWidthPitch": width,
            "IimageHeightPitch": height,
            "Mean": _MEAN,
            "Std": _STD,
            "NormaType": "DIV255",
            "ColorCvtCode": "NO_CHANGE",
            "ResizeType": "BILINEAR_CV",
        },
    }
    return json.dumps(parameters, indent=4) + "\n"


def _text(value: str) -> str:
    """A YAML scalar: as it is where that is safe, else in double quotes, which JSON's are."""
    return value if re.fullmatch(r"[A-Za-z./][\w./-]*", value) else json.dumps(value)
