"""Films: share of the bare network's rate, what still regions bring, and memory over 2,000 frames.

    python benchmarks/film.py

The network alone, and `Upscaler.video` of a noisy film of 640x360 px to H.264, x2, take
turns; then slides of the same size. Memory is that of a tiny film, after 200 and all frames.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from vdsr import Upscaler

films: Any = importlib.import_module("films")
networks: Any = importlib.import_module("networks")
ROUNDS = 3
FRAMES = 8


def noise(width: int, height: int, i: int) -> Any:  # noqa: ANN401
    """A noisy camera."""
    return films.pattern(width, height, i) + np.random.default_rng(i).normal(
        0, 0.02, (height, width)
    )


def slides(width: int, height: int, i: int) -> Any:  # noqa: ANN401
    """A slide that stays, with a cursor that blinks on it; another one after half of the film."""
    values = films.pattern(width, height, 30 * (i // (2 * FRAMES)))
    values[100:120, 100:110] = i % 2
    return values


def main() -> None:
    """Measure, and say."""
    recipe = films.Recipe(codec="ffv1", width=640, height=360)
    with tempfile.TemporaryDirectory() as name, Upscaler("vdsr") as upscaler:
        folder = Path(name)
        film = films.make_film(folder / "noise.mkv", films.shorter(recipe, FRAMES), noise)
        still = films.make_film(folder / "slides.mkv", films.shorter(recipe, 4 * FRAMES), slides)
        y = np.random.default_rng(0).uniform(0.1, 0.9, (1, 1, 720, 1280)).astype(np.float32)
        run: Any = upscaler._engines.first.network.run
        run(y)
        bare, whole = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(2):
                run(y)
            bare.append(2 / (time.perf_counter() - start))
            result = upscaler.video(film, folder / "out.mkv", scale=2, overwrite=True)
            assert result.kept == 0
            whole.append(result.frames_per_second)
        rate, alone = statistics.median(whole), statistics.median(bare)
        print(f"noise: {rate:.2f} frames/s, the network alone {alone:.2f}: {rate / alone:.0%}")
        result = upscaler.video(still, folder / "still.mkv", scale=2)
        print(
            f"slides: {result.frames_per_second:.2f} frames/s, {result.kept:.0%} of the px kept,"
            f" {result.frames_per_second / rate:.1f} times the noisy film's rate"
        )
        _memory(folder)


def _memory(folder: Path) -> None:
    film = films.make_film(folder / "long.mkv", films.shorter(films.Recipe(), 2000))
    seen: dict[int, float] = {}

    def look(progress: Any) -> None:  # noqa: ANN401
        if progress.done in (200, 2000):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen[progress.done] = pages * 4096 / 1024**2

    with Upscaler(networks.zero_network()) as upscaler:
        upscaler.video(film, folder / "long.out.mkv", scale=2, progress=look)
    print(f"memory: {seen[200]:.0f} MiB after 200 frames, {seen[2000]:.0f} MiB after 2000")


if __name__ == "__main__":
    main()
