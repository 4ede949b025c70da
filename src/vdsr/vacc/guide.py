"""The README of an accelerator folder: the steps, with the vendor's commands."""

from __future__ import annotations

from vdsr.evaluation.opencv_protocol import SIZE, fixed_protocol
from vdsr.inference.compiled_paths import PARAMETERS, WORKSPACE
from vdsr.vacc.layout import DATALIST, LIST, Manifest

# VastModelZOO, cv/super_resolution/vdsr: pytorch-vdsr's tensors on Set5 x4, in dB, by the
# protocol `fixed256`: fp32 on a GPU, fp16 and int8 (kl_divergence) on the card.
PUBLISHED = {"fp32": 30.958, "fp16": 30.956, "int8": 30.219}

_TITLES = {
    "fp16": "fp16",
    "int8": "int8: `kl_divergence`, per channel, calibrated on `calibration/`",
    "int8-equalized": "int8 of the equalized network, which loses less",
}


def _equalized(manifest: Manifest) -> str:
    """The row of the second network, where there is one."""
    build = manifest.builds.get("int8-equalized")
    if build is None:
        return ""
    return (
        f"| `{build.network}` | for int8: channels nearer to one range, weights and biases fitted"
        " to what int8 leaves of their inputs; in float within 4 levels of 255 of the other |\n"
    )


def _measured(manifest: Manifest) -> str:
    """Whether figures flatter the calibrated network."""
    if not manifest.evaluated:
        return "none of them is measured on"
    shown = ", ".join(manifest.evaluated.values())
    return f"**measured on, too: {shown}**: figures of int8 flatter it, and are marked"


def _streaming(manifest: Manifest, build: str) -> str:
    """The vendor's own program, which resizes to 256x256 whatever was compiled."""
    if manifest.size != SIZE:
        return ""
    return f"""
The vendor's own streaming program runs here, too (VastModelZOO, cv/super_resolution/vdsr). It \
takes pictures whose names end in `scale_4.bmp`, and originals of the same name without \
`_scale_4`:

    python vsx_inference.py --lr_image_dir pictures --hr_image_dir ORIGINALS \\
        --model_prefix_path {WORKSPACE}/{build}/mod \\
        --vdsp_params_info {PARAMETERS} --save_dir results
"""


def _published(manifest: Manifest) -> str:
    """Figures to compare with, where there are any."""
    if manifest.size != SIZE:
        return (
            f"This is the protocol `{fixed_protocol(manifest.size)}`: its figures are not"
            " comparable with those of another size."
        )
    figures = ", ".join(f"{key} {value}" for key, value in PUBLISHED.items())
    return (
        f"For comparison, published by the vendor for pytorch-vdsr's tensors on Set5 x4: {figures}"
        " dB (fp32 on a GPU, the others on the card; its int8 was calibrated on the pictures that"
        " it is measured on)."
    )


def guide(manifest: Manifest) -> str:
    """Markdown for the person at the machine with the card."""
    name = manifest.name
    builds = "\n".join(
        f"    vamc compile {build.configuration:<40}# {_TITLES[key]}"
        for key, build in manifest.builds.items()
    )
    last = list(manifest.builds.values())[-1]
    build, height, width = last.name, *manifest.size
    vamp = (
        f"vamp -m {WORKSPACE}/{build}/mod --vdsp_params {PARAMETERS} -i 1 p 1 -b 1"
        f" -s [3,{height},{width}]"
    )
    return f"""# {manifest.model["name"]} {manifest.model["version"]} for the VACC accelerator

One network of 1x1x{height}x{width}: luma / 255 in, restored luma / 255 out. Made by `vdsr export \
--format vacc` from the model file with SHA-256 `{manifest.model["sha256"]}`.

| | |
|---|---|
| `{name}.onnx` | the network in float, opset 10, input `input`, output `output` |
{_equalized(manifest)}\
| `{name}.torchscript.pt` | the same as TorchScript: in `build/*.yaml` write `type: pytorch` and \
its name |
| `build/` | build configurations: what to compile, and how |
| `{PARAMETERS}` | what the card does to a picture before the network |
| `calibration/` | {len(manifest.calibration)} pictures for int8; {_measured(manifest)} |
| `pictures/` | {len(manifest.inputs)} enlarged pictures, for programs that take pictures |
| `inputs/`, `{LIST}` | the same as `.npz`: `input_0`, uint8 [3, {height}, {width}], the luma \
three times; and their order |
| `manifest.json` | names, order, sizes and digests |

The originals are not here: they stay where the results are measured.

## On the machine with the card, in this folder

Compile. The results are `{WORKSPACE}/NAME/mod*`.

{builds}

Where the card finds its inputs: one absolute path per line.

    sed "s|^|$PWD/|" {LIST} > {DATALIST}

Speed:

    {vamp}

Precision: one `.npz` per input, in the order of the list. Once for every build:

    {vamp} \\
        --datalist {DATALIST} --path_output outputs/{build}

Or, where Python has the module `vaststreamx`, without `vamp` and without a list:

    vdsr vacc . --backend vaststreamx

Pictures of any size, in windows of {width}x{height} px:

    vdsr upscale IN OUT --backend vaststreamx --model {last.network} --precision {last.precision}
{_streaming(manifest, build)}
## Where the originals are

Bring back this folder, or `outputs/` and `manifest.json`.

    vdsr evaluate --data ORIGINALS --outputs outputs/{build} --save-pictures results

{_published(manifest)}

Without a card, `vdsr vacc .` runs the same inputs on this machine's CPU and writes outputs of \
the same kind, for fp32, fp16 and int8: a stand-in, whose figures say nothing about the card's \
arithmetic.
"""
