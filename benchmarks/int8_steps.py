"""What each step of quantization brings, on pictures kept apart from calibration.

    python benchmarks/int8_steps.py PHOTOGRAPHS [--model vdsr] [--method percentile]

First the channels that are 0 on all calibration pictures are counted, behind every layer but
the last. Then every row has the steps of the row above and one more. Difference: root mean
square of int8 less float, all scales, in levels of 0..255. Loss: PSNR of the float model
less that of the int8 model.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from machine import record

from vdsr.inference import backends
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile, load_model
from vdsr.quantization.picture_choice import choose_pictures
from vdsr.quantization.pictures import PATCHES, Pictures, prepare, smallest_side, useful
from vdsr.quantization.quantizer import maxima
from vdsr.quantization.search import trials
from vdsr.quantization.settings import QuantizationSettings

STEPS: dict[str, dict[str, Any]] = {
    "ranges and rounding alone": {"equalize": 0.0, "compensate": False, "split": False},
    "channels equalized": {"compensate": False, "split": False},
    "idle channels put to work": {"compensate": False},
    "weights fitted, errors cancel, biases corrected": {},
}


def difference(floats: ModelFile, integers: ModelFile, pictures: Pictures) -> float:
    """Root mean square of what the integers give less what the floats give, in levels."""
    squares = []
    with (
        closing(backends.open_backend(floats, backends.choose(floats, "auto", "fp32"))) as exact,
        closing(backends.open_backend(integers, backends.choose(integers, "auto"))) as rough,
    ):

        def run(x: FloatArray) -> FloatArray:
            y = rough.run(x)
            squares.append(float(np.square(y - exact.run(x), dtype=np.float64).mean()))
            return y

        pictures.validation.measure(run)
    return 255.0 * float(np.sqrt(np.mean(squares)))


def main(folder: Path, name: str, method: str) -> None:
    model = load_model(name)
    found = choose_pictures(
        [folder],
        useful(PATCHES, apart=False),
        smallest=smallest_side(model.metadata),
        color=model.metadata.planes == 3,
    )
    pictures = prepare(found.pictures, found.names, model.metadata)
    idle = [int((highest <= 0).sum()) for highest in maxima(model.architecture, pictures.patches)]
    print(f"idle channels behind the layers: {idle}", flush=True)
    rows = []
    for step, changed in STEPS.items():
        settings = QuantizationSettings(method=method, **changed)
        (trial,) = trials(model, pictures, [settings])
        levels = difference(model, trial.model, pictures)
        rows.append(
            {"step": step, "settings": asdict(settings), "levels": levels, "loss": trial.drop}
        )
        losses = " | ".join(f"{loss:.4f}" for loss in trial.drop.values())
        print(f"| {step} | {levels:.3f} | {losses} |", flush=True)
    record("int8-steps", {"model": name, "sha256": model.digest, "idle": idle, "rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", default="vdsr")
    parser.add_argument("--method", default="percentile", help="of calibrating activations")
    given = parser.parse_args()
    main(given.photographs, given.model, given.method)
