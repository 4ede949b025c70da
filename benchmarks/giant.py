"""A picture far larger than the memory: peak, time and disk, killed once and resumed.

    python benchmarks/giant.py --light                 # 30,000 x 30,000 px, 0.9 gigapixel
    python benchmarks/giant.py --side 2500 --unbroken  # 100 Mpixel, with the shipped network

A photograph is repeated into a tiled TIFF of `--side` px, and enlarged x4 by the real command.
When `--kill-at` of the strips are there the process is killed (SIGKILL), and the command is
given again. Printed are the largest resident memory of both processes (as the system has it,
`VmHWM`), what the folder took on the disk at most, the time of both together, and what part of
the rate of the bare network (tiles of 512 x 512 px, one after the other, before and after) that
comes to. `--unbroken` does it once more without a kill, and compares the bytes.

`--light` takes a network of 3 layers of 8 channels instead of the shipped one, which would need
half an hour and more for a gigapixel: for the memory, the disk and the files it makes no
difference.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np

from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.imaging.files.storage import Storage
from vdsr.inference.backends import open_backend
from vdsr.inference.selection import select
from vdsr.inputs import file_digest
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.file import DEFAULT_MODEL
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes

MIB = 1024**2
SCALE = 4
PROBE_SIDE, PROBES = 512, 7


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        work = Path(name)
        model = DEFAULT_MODEL
        if options.light:
            model = str(work / "light.onnx")
            Path(model).write_bytes(light_network())
        source, goal = work / "in.tif", work / f"out.{options.suffix}"
        make_source(source, options.side)
        command = [sys.executable, "-m", "vdsr", "upscale", str(source), str(goal), "-m", model]
        command += ["--scale", str(SCALE), *options.arguments]
        before = bare_rate(model)
        rounds = [watched(command, work, kill_at=options.kill_at), watched(command, work)]
        after = bare_rate(model)
        seconds = sum(one["seconds"] for one in rounds)
        pixels = (options.side * SCALE) ** 2
        bare = statistics.mean((before, after))
        figures: dict[str, Any] = {
            "input": f"{options.side}x{options.side} RGB, 8 bits, tiled TIFF",
            "output": f"{options.side * SCALE}x{options.side * SCALE} {goal.suffix[1:]}"
            f" {' '.join(options.arguments)}".strip(),
            "network": "3 layers of 8 channels" if options.light else model,
            "killed_at": rounds[0]["strips"],
            "strips": rounds[0]["strips_in_all"],
            "peak_resident_mib": [round(one["peak"] / MIB) for one in rounds],
            "peak_disk_mib": round(max(one["disk"] for one in rounds) / MIB),
            "output_mib": round(size_of(goal) / MIB),
            "seconds": [round(one["seconds"], 1) for one in rounds],
            "megapixels_per_second": round(pixels / seconds / 1e6, 3),
            "bare_network_megapixels_per_second": [round(before, 3), round(after, 3)],
            "share_of_bare_network": round(pixels / seconds / 1e6 / bare, 3),
        }
        if options.unbroken:
            resumed = file_digest(goal)
            goal.unlink()
            figures["seconds_unbroken"] = round(watched(command, work)["seconds"], 1)
            figures["bytes_equal_unbroken"] = file_digest(goal) == resumed
        print(json.dumps(figures, indent=2))
        light = "-light" if options.light else ""
        machine.record(f"giant-{options.side * SCALE}-{options.suffix}{light}", figures)


def light_network() -> bytes:
    """A model file of a network that is nearly no work, and changes little."""
    rng = np.random.default_rng(0)
    channels = (1, 8, 8, 1)
    layers = tuple(
        Layer(weight=rng.normal(0, 0.05, (b, a, 3, 3)).astype(np.float32), bias=None)
        for a, b in itertools.pairwise(channels)
    )
    return model_bytes(Architecture(layers=layers, residual=True), ModelMetadata(name="light"))


def make_source(path: Path, side: int) -> None:
    """The photograph, repeated, as a tiled TIFF; made row by row."""
    pixels = np.concatenate(list(PictureReader(machine.photograph()).strips()))
    times = -(-side // pixels.shape[1])
    layout = PixelLayout(width=side, height=side, bands=3, dtype="uint8")
    storage = Storage(compression="none", tiled=True)
    with PictureWriter(path, layout, FORMATS["tiff"], storage=storage) as writer:
        for top in range(0, side, len(pixels)):
            band = np.tile(pixels[: side - top], (1, times, 1))[:, :side]
            writer.write(np.ascontiguousarray(band))


def bare_rate(model: str) -> float:
    """Mpixel/s of the network alone, with all threads; the median of several tiles."""
    file, choice = select(model)
    network = open_backend(file, choice)
    y = np.random.default_rng(0).random((1, 1, PROBE_SIDE, PROBE_SIDE), np.float32)
    network.run(y)
    times = []
    for _ in range(PROBES):
        start = time.perf_counter()
        network.run(y)
        times.append(time.perf_counter() - start)
    network.close()
    return PROBE_SIDE**2 / statistics.median(times) / 1e6


def watched(command: list[str], work: Path, kill_at: float | None = None) -> dict[str, float]:
    """Run a command; kill it when this part of the strips is there."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    found = {"peak": 0.0, "disk": 0.0, "strips": 0.0, "strips_in_all": 0.0}
    while process.poll() is None:
        found["peak"] = max(found["peak"], resident(process.pid))
        found["disk"] = max(found["disk"], size_of(work))
        strips, in_all = strips_in(work)
        found |= {"strips": max(strips, found["strips"])}
        found |= {"strips_in_all": max(in_all, found["strips_in_all"])}
        if kill_at is not None and in_all and strips >= kill_at * in_all:
            process.kill()
            process.wait()
            break
        time.sleep(0.2)
    else:
        if process.returncode or kill_at is not None:
            sys.exit(f"it ended by itself, with {process.returncode}")
    return {**found, "seconds": time.perf_counter() - start}


def strips_in(work: Path) -> tuple[int, int]:
    """How many strips are finished, and of how many."""
    for manifest in work.glob(".vdsr-*.strips/manifest.jsonl"):
        try:
            head, *strips = manifest.read_text("utf-8").splitlines()
            return len(strips), json.loads(head)["strips"]
        except (OSError, ValueError):
            break
    return 0, 0


def resident(pid: int) -> int:
    """Largest resident size of a process so far, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0][1]) * 1024 if lines else 0


def size_of(path: Path) -> int:
    """Bytes on the disk of a file, of a folder and of what belongs to it."""
    total = 0
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        try:
            total += one.stat().st_blocks * 512
        except OSError:  # it has just gone
            continue
    if path.suffix == ".dzi":
        total += size_of(path.with_name(f"{path.stem}_files"))
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=7500)
    parser.add_argument("--suffix", default="tif", help="tif, dzi or szi")
    parser.add_argument("--kill-at", type=float, default=0.5)
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--unbroken", action="store_true")
    parser.add_argument("--folder", help="where to work; needs some 6 GiB for a gigapixel")
    parser.add_argument("arguments", nargs="*", help="for vdsr upscale, after --")
    main(parser.parse_args())
