"""Speed of the bicubic interpolation, float32, one thread.

    python benchmarks/resample.py

Median of several runs per case, in megapixels (samples of one plane) of output per
second. OpenBLAS is held to one thread.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import statistics  # noqa: E402
import time  # noqa: E402

import machine  # noqa: E402
import numpy as np  # noqa: E402

from vdsr.imaging.resample import imresize  # noqa: E402

CASES = [
    ((3, 500, 750), 4.0),
    ((3, 1000, 1000), 2.0),
    ((1, 1000, 1000), 3.0),
    ((1, 1000, 1000), 2.5),
    ((1, 4000, 4000), 0.5),
    ((1, 4000, 4000), 0.25),
]
REPEATS = 7


def main() -> None:
    rng = np.random.default_rng(0)
    figures = {}
    for shape, scale in CASES:
        planes = rng.random(shape, dtype=np.float32)
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            result = imresize(planes, scale=scale)
            seconds.append(time.perf_counter() - start)
        name = f"{shape[0]} x {shape[1]}x{shape[2]} by {scale:g}"
        figures[name] = round(result.size / statistics.median(seconds) / 1e6, 1)
        print(f"{name:<24} {figures[name]:8.1f} Mpixel/s of output")
    machine.record("resample", {"mpixel_per_second": figures, "threads": 1})


if __name__ == "__main__":
    main()
