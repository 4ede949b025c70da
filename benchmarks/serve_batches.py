"""Whether small tiles are faster in batches: the network on N tiles at once, and one by one.

python benchmarks/serve_batches.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from vdsr.inference.engines import Engines

SIDES, BATCH, ROUNDS = (64, 128, 256), 8, 7


def main() -> None:
    """Print the ratio for each size."""
    engines = Engines("vdsr", "auto", "auto", threads=None, max_memory=None, tile=None)
    network = engines.first.network
    for side in SIDES:
        tiles = np.random.default_rng(0).random((BATCH, 1, side, side), np.float32)
        together, apart = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            network.run(tiles)
            middle = time.perf_counter()
            for i in range(BATCH):
                network.run(tiles[i : i + 1])
            together.append(middle - start)
            apart.append(time.perf_counter() - middle)
        ratio = statistics.median(apart) / statistics.median(together)
        print(f"{BATCH} tiles of {side}x{side} px: a batch is {ratio:.2f} times as fast")
    engines.close()


if __name__ == "__main__":
    main()
