"""Peak memory of a picture that does not fit: 2500x2500 RGB x4, 100 Mpixel out.

    python benchmarks/memory.py [--side 2500] [--max-memory 512MiB] [--backend openvino]

The photograph is repeated to the size, and enlarged by the real command in a process of
its own. The figure is the largest resident size of that whole process, which `--json`
reports. This takes minutes: about 8 s per Mpixel of output on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
import numpy as np

from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout


def main(side: int, max_memory: str, backend: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name) / "large.png", Path(name) / "larger.png"
        pixels = np.concatenate(list(PictureReader(machine.photograph()).strips()))
        times = -(-side // min(pixels.shape[:2]))
        layout = PixelLayout(width=side, height=side, bands=3, dtype="uint8")
        with PictureWriter(source, layout, FORMATS["png"]) as writer:
            writer.write(np.ascontiguousarray(np.tile(pixels, (times, times, 1))[:side, :side]))
        command = [sys.executable, "-m", "vdsr", "upscale", str(source), str(output)]
        command += ["--scale", "4", "--max-memory", max_memory, "--backend", backend, "--json=-"]
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = json.loads(text)
    figures = {
        "input": f"{side}x{side} RGB, 8 bits",
        "output": f"{result['width']}x{result['height']}",
        "max_memory": max_memory,
        "backend": backend,
        "peak_resident_mib": round(result["peak_memory_bytes"] / 1024**2),
        "seconds": round(result["seconds"]),
    }
    print(json.dumps(figures, indent=2))
    machine.record(f"memory-{backend}", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=2500)
    parser.add_argument("--max-memory", default="512MiB")
    parser.add_argument("--backend", default="openvino")
    options = parser.parse_args()
    main(options.side, options.max_memory, options.backend)
