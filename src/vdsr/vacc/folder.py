"""The format `vacc`: everything that the machine with the card needs, in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vdsr.errors import UsageError
from vdsr.evaluation.opencv_protocol import MAX_PIXELS, SIZE, Size
from vdsr.export.check import Check, Run, luma_check
from vdsr.export.format import ExportFormat, ExportOptions, ExportPlan
from vdsr.export.onnx import check_model_file, shape_text
from vdsr.export.source import Network
from vdsr.export.torchscript import run_file, save
from vdsr.inference.compiled_paths import EVALUATED, MANIFEST, PARAMETERS
from vdsr.quantization.prequantize import equalized
from vdsr.vacc.configuration import (
    OPSET,
    build_configuration,
    preprocessing_parameters,
)
from vdsr.vacc.guide import guide
from vdsr.vacc.layout import (
    LIST,
    README,
    Build,
    Input,
    Manifest,
    file_name,
    sha256,
)
from vdsr.vacc.pictures import (
    Picture,
    bmp,
    card_input,
    evaluated_among,
    network_input,
    read_folder,
    refuse_evaluated,
)

_FOLDERS = ("build", "calibration", "inputs", "pictures")


def _plan(network: Network, name: str, options: ExportOptions) -> ExportPlan:
    net = network.architecture
    if (net.fold, net.planes) != (1, 1):
        raise UsageError(
            f"{network.model.source}: the format vacc is for luma networks that are not folded;"
            f" this one has {net.planes} planes and a fold of {net.fold}"
        )
    size = _size(options.shape)
    if options.pictures is None:
        raise UsageError(
            "the format vacc needs a folder of pictures: the enlarged ones that the card restores"
        )
    inputs = list(read_folder(options.pictures))
    calibration = [] if options.calibration is None else list(read_folder(options.calibration))
    evaluated = evaluated_among(calibration, inputs)
    if not options.allow_evaluated:
        refuse_evaluated(evaluated)
    content = _Content(network, inputs, calibration, evaluated, size)

    def write(folder: Path) -> None:
        content.write(folder / name)

    def torchscript(folder: Path) -> Run:
        return run_file(folder / name / content.torchscript)

    return ExportPlan(
        names=(name,),
        write=write,
        checks=(
            check_model_file(f"{name}/{content.onnx}", network.precision, content.shape),
            luma_check("PyTorch", torchscript, network.precision, shape=content.shape),
            *content.further_checks(f"{name}/"),
        ),
        contents=(
            *_FOLDERS,
            content.onnx,
            content.equalized,
            content.torchscript,
            LIST,
            MANIFEST,
            PARAMETERS,
            README,
        ),
        facts={
            "shape": shape_text(content.shape),
            "builds": ", ".join(content.builds),
            "inputs": len(inputs),
            **({"int8 calibrated on": EVALUATED} if evaluated else {}),
        },
    )


def _size(shape: tuple[int, int, int, int] | None) -> Size:
    """Height and width of the card's inputs.

    Raises:
        UsageError: for a batch, or for more than the files can hold.
    """
    if shape is None:
        return SIZE
    count, _, height, width = shape
    if count != 1:
        raise UsageError(
            f"the format vacc is for one picture per input: 1x1x{height}x{width}; how many the"
            " card runs at once is settled when it runs them"
        )
    if height * width > MAX_PIXELS:
        raise UsageError(f"the format vacc takes {MAX_PIXELS:,} px at most, not {height}x{width}")
    return height, width


class _Content:
    """What goes into a folder.

    Args:
        network: in fp32.
        inputs: the enlarged pictures, in order.
        calibration: pictures for int8; with none of them there is no int8.
        evaluated: those of them that show an evaluation picture, and which.
        size: of the card's inputs.
    """

    def __init__(
        self,
        network: Network,
        inputs: list[Picture],
        calibration: list[Picture],
        evaluated: Mapping[str, str],
        size: Size,
    ) -> None:
        self._network = network
        self._pictures = inputs
        self._calibration = calibration
        self._evaluated = evaluated
        self._size = size
        self.shape = (1, 1, *size)
        self._name = file_name(network.metadata.name)
        self.onnx = f"{self._name}.onnx"
        self.torchscript = f"{self._name}.torchscript.pt"
        self.equalized = f"{self._name}-equalized.onnx"
        self.builds = {"fp16": Build(network=self.onnx, precision="fp16")}
        if calibration:
            self.builds["int8"] = Build(network=self.onnx, precision="int8")
            self.builds["int8-equalized"] = Build(network=self.equalized, precision="int8")
        self._inputs = tuple(
            Input(
                name=picture.name,
                width=picture.samples.shape[1],
                height=picture.samples.shape[0],
                luma_sha256=sha256(picture.luma(size).tobytes()),
            )
            for picture in inputs
        )

    def further_checks(self, folder: str) -> tuple[Check, ...]:
        """Of the network for int8, which is as close to the other one as int8 may be."""
        if not self._calibration:
            return ()
        check = check_model_file(f"{folder}{self.equalized}", "int8", self.shape)
        return (replace(check, runtime=f"{check.runtime}, equalized"),)

    def write(self, folder: Path) -> None:
        """Make the folder."""
        digests = {}
        for path, data in self._files():
            goal = folder / path
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_bytes(data)
            digests[path] = sha256(data)
        # What writes TorchScript gives other bytes at every run: it has no digest.
        save(self._network.architecture, folder / self.torchscript, half=False)
        manifest = self._manifest(digests)
        (folder / MANIFEST).write_text(manifest.as_json(), "utf-8")
        (folder / README).write_text(guide(manifest), "utf-8")

    def _files(self) -> Iterator[tuple[str, bytes]]:
        yield self.onnx, self._network.onnx(opset=OPSET, shape=self.shape)
        if self._calibration:
            lumas = [network_input(picture.luma(self._size)) for picture in self._calibration]
            layers = equalized(self._network.architecture, np.concatenate(lumas))
            changed = replace(self._network, architecture=layers)
            yield self.equalized, changed.onnx(opset=OPSET, shape=self.shape)
        yield PARAMETERS, preprocessing_parameters(self._size).encode()
        for build in self.builds.values():
            text = build_configuration(build, self._size, "calibration", len(self._calibration))
            yield build.configuration, text.encode()
        for picture in self._calibration:
            yield f"calibration/{picture.name}.bmp", bmp(picture.samples)
        for picture, entry in zip(self._pictures, self._inputs, strict=True):
            yield f"pictures/{picture.name}.bmp", bmp(picture.samples)
            yield entry.file, card_input(picture.luma(self._size))
        yield LIST, "".join(f"{entry.file}\n" for entry in self._inputs).encode()

    def _manifest(self, digests: dict[str, str]) -> Manifest:
        metadata = self._network.metadata
        return Manifest(
            name=self._name,
            model={
                "name": metadata.name,
                "version": metadata.version,
                "sha256": metadata.source,
            },
            builds=self.builds,
            inputs=self._inputs,
            calibration={p.name: sha256(p.samples.tobytes()) for p in self._calibration},
            files=digests,
            evaluated=self._evaluated,
            size=self._size,
        )


FORMAT = ExportFormat(
    name="vacc",
    suffix="",
    precisions=("fp32",),
    takes=frozenset({"shape", "calibration"}),
    needs=("onnx", "torch", "cv2"),
    check_needs=("onnxruntime",),
    plan=_plan,
)
