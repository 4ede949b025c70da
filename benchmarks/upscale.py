"""The whole program against the bare runtime, on a 480x270 photograph x4.

    python benchmarks/upscale.py [--repeats 3]

Interleaved in one run: the network alone in OpenVINO, on the 1920x1080 luma at once and
in halves without halo (the faster one counts); the program, from file to file, after
start-up; the same network in eager PyTorch. Then, in fresh processes, the time from the
start of the process to the first tile begun and done. Medians, and ratios of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import openvino
import torch

from vdsr import Upscaler
from vdsr.imaging.color import STUDIO
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.imaging.resample import imresize
from vdsr.model.file import ModelFile, load_model
from vdsr.training.network import VDSR

WIDTH, HEIGHT, SCALE = 480, 270, 4
STARTS = 7

FIRST_TILE = """
import sys, time
from vdsr.inference import upscaler, backends
began = []
openers = backends.open_backend
def opened(*args, **kwargs):
    network = openers(*args, **kwargs)
    run = network.run
    def timed(y):
        began.append(time.time())
        return run(y)
    network.run = timed
    return network
backends.open_backend = opened
class Done(Exception): pass
def first(progress):
    print(began[0] - float(sys.argv[3]), time.time() - float(sys.argv[3]))
    raise Done
try:
    with upscaler.Upscaler() as one:
        one.upscale(sys.argv[1], sys.argv[2], scale=4, progress=first)
except Done:
    pass
"""


def main(repeats: int) -> None:
    model = load_model()
    with tempfile.TemporaryDirectory() as name, Upscaler(model) as upscaler:
        folder = Path(name)
        small, y = pictures(folder)
        runs: dict[str, Callable[[], object]] = {
            "openvino, at once": bare(model, [y]),
            "openvino, in halves": bare(model, [y[:, :, : HEIGHT * 2], y[:, :, HEIGHT * 2 :]]),
            "vdsr, file to file": lambda: upscaler.upscale(
                small, folder / "out.png", scale=SCALE, overwrite=True
            ),
            "eager PyTorch": eager(model, y),
        }
        seconds: dict[str, list[float]] = {key: [] for key in runs}
        for _ in range(repeats):
            for key, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[key].append(time.perf_counter() - start)
        starts = [first_tile(small, folder / f"start{i}.png") for i in range(STARTS)]
    report(seconds, starts)


def pictures(folder: Path) -> tuple[Path, np.ndarray]:
    """The photograph as a file of 480x270, and its enlarged luma `[1, 1, 1080, 1920]`."""
    pixels = np.concatenate(list(PictureReader(machine.photograph()).strips()))
    pixels = np.ascontiguousarray(pixels[:HEIGHT, :WIDTH])
    path = folder / "photograph.png"
    layout = PixelLayout(width=WIDTH, height=HEIGHT, bands=3, dtype="uint8")
    with PictureWriter(path, layout, FORMATS["png"]) as writer:
        writer.write(pixels)
    luma = STUDIO.luma(pixels.transpose(2, 0, 1).astype(np.float32))
    return path, imresize(luma, scale=float(SCALE))[None, None] / np.float32(255)


def bare(model: ModelFile, parts: list[np.ndarray]) -> Callable[[], object]:
    """The network alone, in OpenVINO, one part after the other."""
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model.graph, "CPU", config).create_infer_request()

    def run() -> None:
        for part in parts:
            request.infer([np.ascontiguousarray(part)], share_inputs=True)

    return run


def eager(model: ModelFile, y: np.ndarray) -> Callable[[], object]:
    """The network in PyTorch as its public implementations run it."""
    network = VDSR()
    network.load_architecture(model.architecture)
    tensor = torch.from_numpy(y)

    def run() -> None:
        with torch.inference_mode():
            network(tensor)

    return run


def first_tile(small: Path, output: Path) -> tuple[float, float]:
    """Seconds from the start of a fresh process to the first tile begun, and done."""
    command = [sys.executable, "-c", FIRST_TILE, str(small), str(output), str(time.time())]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    begun, done = text.split()
    return float(begun), float(done)


def report(seconds: dict[str, list[float]], starts: list[tuple[float, float]]) -> None:
    """Print medians and ratios, and keep them."""
    pixels = WIDTH * HEIGHT * SCALE**2
    median = {key: statistics.median(values) for key, values in seconds.items()}
    for key, value in median.items():
        print(f"{key:<20} {value:7.2f} s  {pixels / value / 1e6:.4f} Mpixel/s")
    best = min(median["openvino, at once"], median["openvino, in halves"])
    figures = {
        "seconds": {key: [round(v, 3) for v in values] for key, values in seconds.items()},
        "share_of_bare_openvino": round(best / median["vdsr, file to file"], 3),
        "times_eager_pytorch": round(median["eager PyTorch"] / median["vdsr, file to file"], 2),
        "seconds_to_first_tile_begun": round(statistics.median(s[0] for s in starts), 3),
        "seconds_to_first_tile_done": round(statistics.median(s[1] for s in starts), 3),
    }
    print(json.dumps({k: v for k, v in figures.items() if k != "seconds"}, indent=2))
    machine.record("upscale", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args().repeats)
