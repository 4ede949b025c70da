"""Luma tiles as gray RGB pictures, which color packs take.

    python benchmarks/gray_tiles.py LUMA_TILES GRAY_TILES
    vdsr data pack --color --license CC0-1.0 GRAY_TILES -o gray.pack

Studio range in, 16 to 235; full range out, 0 to 255, rounded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyvips


def main(tiles: Path, goal: Path) -> None:
    goal.mkdir(parents=True, exist_ok=True)
    for path in sorted(tiles.iterdir()):
        luma = pyvips.Image.new_from_file(str(path)).numpy().astype(np.float64).squeeze()
        gray = np.clip(np.rint((luma - 16.0) * 255.0 / 219.0), 0, 255).astype(np.uint8)
        image = pyvips.Image.new_from_array(np.repeat(gray[..., None], 3, 2))
        image.pngsave(str(goal / f"{path.stem}.png"), compression=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tiles", type=Path)
    parser.add_argument("goal", type=Path)
    options = parser.parse_args()
    main(options.tiles, options.goal)
