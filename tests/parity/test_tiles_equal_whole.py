"""No seam: the full network on tiles gives what it gives on the whole image."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from networks import model as model_of
from networks import random_layers, small_network, vdsr_20
from vdsr import Upscaler
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.inference import backends
from vdsr.inference.tiling import TileLimits, plan_tiles, run_tiled
from vdsr.model.architecture import FOLDS, PLANES, Layer
from vdsr.model.file import load_model

CASES = 200
TOLERANCE = 1e-5


def test_200_random_cases(capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(2016)
    worst, tiles, untiled = 0.0, 0, 0
    for model, cases in ((load_model(), CASES // 2), (vdsr_20(), CASES // 2)):
        network = backends.open_backend(model, backends.choose(model))
        halo = model.architecture.halo
        for _ in range(cases):
            height, width = (int(n) for n in rng.integers(1, rng.choice([4, 30, 97]), 2))
            y = rng.random((height, width), dtype=np.float32)
            longer = max(y.shape)
            limits = TileLimits(max_side=int(rng.integers(-(-longer // 4), longer + 1)))
            count = sum(len(b.columns) for b in plan_tiles(height, width, halo, limits))
            tiles += count
            untiled += count == 1
            whole = network.run(y[None, None])[0, 0]
            difference = np.abs(run_tiled(network.run, y, halo, limits) - whole)
            worst = max(worst, float((difference / np.maximum(1.0, np.abs(whole))).max()))
        network.close()
    with capsys.disabled():
        print(f"\n{CASES} cases, {tiles} tiles: largest difference from the whole {worst:.1e}")
    assert untiled < CASES // 2
    assert worst <= TOLERANCE


def test_200_random_cases_of_folded_networks(capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(2018)
    shapes = list(itertools.product(FOLDS, PLANES))
    worst, tiles, odd, exact = 0.0, 0, 0, 0
    for fold, planes in shapes:
        model = small_network(fold=fold, planes=planes)
        network = backends.open_backend(model, backends.choose(model))
        halo = model.architecture.halo
        for _ in range(CASES // len(shapes)):
            height, width = (int(n) for n in rng.integers(1, rng.choice([6, 30, 97]), 2))
            y = rng.random((planes, height, width), dtype=np.float32)
            y = y if planes > 1 else y[0]
            limits = TileLimits(max_side=int(rng.integers(4, 60)))
            plan = plan_tiles(height, width, halo, limits, fold)
            tiles += sum(len(b.columns) for b in plan)
            odd += bool(height % fold or width % fold)
            spans = [s for b in plan for s in (b.rows, *b.columns)]
            assert not any(n % fold for s in spans for n in (s.start, s.outer[0]))
            whole = network.run(y.reshape(1, planes, height, width)).reshape(y.shape)
            difference = np.abs(run_tiled(network.run, y, halo, limits, fold=fold) - whole)
            worst = max(worst, float(difference.max()))
            exact += not difference.any()
        network.close()
    with capsys.disabled():
        print(
            f"\n{CASES} cases of folded networks, {odd} of them with odd sizes, {tiles} tiles:"
            f" {exact} equal bit for bit, largest difference {worst:.1e}"
        )
    assert odd > CASES // 3
    assert worst <= TOLERANCE


@pytest.mark.parametrize("fold", FOLDS)
def test_exact_arithmetic_gives_the_whole_bit_for_bit(fold: int):
    """Whole numbers, which no order of sums rounds: nothing is left but where tiles lie."""
    rng = np.random.default_rng(fold)
    layers = random_layers(3, 3, 3, width=3, fold=fold, planes=3)
    whole_numbers = tuple(
        Layer(weight=np.rint(la.weight * 3), bias=np.rint(la.bias * 30)) for la in layers
    )
    file = model_of(whole_numbers)
    network = backends.open_backend(file, backends.choose(file, "onnxruntime"))
    for _ in range(15):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        y = rng.integers(0, 8, (3, height, width)).astype(np.float32)
        limits = TileLimits(max_side=int(rng.integers(4, 40)))
        found = run_tiled(network.run, y, file.architecture.halo, limits, fold=fold)
        assert np.array_equal(found, network.run(y[None])[0])


def test_tiles_off_the_squares_would_be_seen():
    file = small_network(fold=2)
    network = backends.open_backend(file, backends.choose(file))
    y = np.random.default_rng(0).random((60, 61), dtype=np.float32)
    limits = TileLimits(max_side=31)
    assert any(b.rows.outer[0] % 2 for b in plan_tiles(60, 61, 9, limits))
    whole = network.run(y[None, None])[0, 0]
    assert np.abs(run_tiled(network.run, y, 9, limits) - whole).max() > TOLERANCE


def test_too_small_a_halo_would_be_seen():
    model = vdsr_20()
    network = backends.open_backend(model, backends.choose(model))
    y = np.random.default_rng(0).random((60, 60), dtype=np.float32)
    whole = network.run(y[None, None])[0, 0]
    seamed = run_tiled(network.run, y, model.architecture.halo - 8, TileLimits(max_side=30))
    assert np.abs(seamed - whole).max() > TOLERANCE


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (40, 41), (45, 97)])
def test_around_the_size_of_the_halo(shape: tuple[int, int]):
    model = load_model()
    network = backends.open_backend(model, backends.choose(model))
    y = np.random.default_rng(0).random(shape, dtype=np.float32)
    whole = network.run(y[None, None])[0, 0]
    for side in (19, 20, 21, 41):
        result = run_tiled(network.run, y, model.architecture.halo, TileLimits(max_side=side))
        assert np.abs(result - whole).max() <= TOLERANCE * max(1.0, np.abs(whole).max())


@pytest.mark.parametrize("tile", [7, 32, 100])
def test_the_program_gives_one_picture_whatever_the_tiles(tile: int):
    image = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    model = small_network()
    with Upscaler(model) as whole, Upscaler(model, tile=tile) as tiled:
        assert np.abs(tiled.upscale(image, scale=3) - whole.upscale(image, scale=3)).max() < 1e-5


@pytest.mark.parametrize(("bands", "scale"), [(3, 2), (1, 6), (4, 6)])
def test_a_file_in_strips_equals_the_array(bands: int, scale: int, tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 65536, (301, 40, bands)).astype(np.uint16)
    source, goal = tmp_path / "in.png", tmp_path / "out.tif"
    layout = PixelLayout(width=40, height=301, bands=bands, dtype="uint16")
    with PictureWriter(source, layout, FORMATS["png"]) as writer:
        writer.write(image)
    model = small_network()
    with Upscaler(model, tile=64) as tiled, Upscaler(model) as whole:
        tiled.upscale(source, goal, scale=scale)
        expected = whole.upscale(image, scale=scale)
    result = np.concatenate(list(PictureReader(goal).strips()))
    assert result.dtype == np.uint16
    assert np.abs(result.astype(int) - expected).max() <= 1
