"""Measure a model on Set5 by `paper`, and write it with these figures in its metadata.

    python benchmarks/ship_weights.py better.onnx --set5 FOLDER -o src/vdsr/weights/vdsr.onnx

Its name is that of the file. Nothing else changes; float and int8 models alike.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vdsr.data.datasets import open_dataset
from vdsr.evaluation.candidates import Candidate
from vdsr.evaluation.evaluate import EvaluationSettings, evaluate
from vdsr.model.file import ModelFile, load_model
from vdsr.model.onnx_writer import model_bytes
from vdsr.outputs import write_whole

PROTOCOL = "paper"


def main(path: Path, set5: Path, goal: Path, version: str | None, license: str | None) -> None:
    model = load_model(path)
    scales = tuple(scale for scale in model.metadata.scales if scale > 1)
    settings = EvaluationSettings(protocol=PROTOCOL, scales=scales)
    with closing(Candidate(model, backend="openvino")) as candidate:
        rows = list(evaluate(open_dataset(str(set5)), settings, [candidate]))[1::2]
    psnr = {f"{row.dataset} x{row.scale} {row.protocol}": round(row.psnr, 3) for row in rows}
    metadata = replace(
        model.metadata,
        psnr={**model.metadata.psnr, **psnr},
        name=goal.stem,
        version=version or model.metadata.version,
        license=license or model.metadata.license,
    )
    data = model_bytes(model.architecture, metadata, quantized=model.quantized)
    write_whole(goal, data)
    print(f"{goal}: {psnr}, sha256 {ModelFile(data, str(goal)).digest}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--set5", type=Path, required=True)
    parser.add_argument("--version", help="of the weights; else as it is")
    parser.add_argument("--license", help="of the weights; else as it is")
    parser.add_argument("--output", "-o", type=Path, required=True)
    given = parser.parse_args()
    main(given.model, given.set5, given.output, given.version, given.license)
