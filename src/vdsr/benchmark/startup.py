"""Start-up time and peak memory: a model and one picture, in a process of its own.

python -m vdsr.benchmark.startup MODEL BACKEND PRECISION THREADS WIDTHxHEIGHT
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass

from vdsr.errors import BackendError

REFERENCE = "eager"


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a fresh process took.

    Attributes:
        seconds: from the start of the process to its first result.
        peak_bytes: its largest resident size.
    """

    seconds: float
    peak_bytes: int


def start(
    model: str, backend: str, precision: str, *, threads: int, size: tuple[int, int]
) -> Start:
    """Run a picture of `size` (width, height) in a fresh process.

    Args:
        model: name or path of a model.
        backend: as elsewhere, or `eager`, the reference.
        precision: of the model.
        threads: CPU threads.
        size: px.

    Raises:
        BackendError: if the process fails.
    """
    arguments = [model, backend, precision, str(threads), f"{size[0]}x{size[1]}"]
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BackendError(f"{backend} {precision} fails in a process of its own: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Start(seconds=found["ready"] - begun, peak_bytes=found["peak_bytes"])


def _main(model: str, backend: str, precision: str, threads: int, size: str) -> None:
    import numpy as np

    from vdsr.inference import backends, memory
    from vdsr.model.file import load_model

    width, height = (int(part) for part in size.split("x"))
    file = load_model(model)
    y = np.full((1, file.metadata.planes, height, width), 0.5, np.float32)
    if backend == REFERENCE:
        from vdsr.benchmark.eager import EagerNetwork, tensors_of

        net = file.architecture
        EagerNetwork(tensors_of(net), residual=net.residual, threads=threads, fold=net.fold).run(y)
    else:
        choice = backends.choose(file, backend, precision)
        backends.open_backend(file, choice, threads=threads).run(y)
    found = {"ready": time.time(), "peak_bytes": memory.peak_resident()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
