"""Results that, shrunk again, are the picture; and the network in eight positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vdsr
from networks import model, random_layers
from vdsr.errors import UsageError
from vdsr.imaging.degrade import shrink
from vdsr.inference.backends import Backend
from vdsr.inference.ensemble import ensembled
from vdsr.inference.tiling import TileLimits, run_tiled


def picture(dtype: str, bands: int, height: int = 37, width: int = 45) -> np.ndarray:
    """Smooth, with edges, and not touching black and white."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    one = 0.5 + 0.2 * np.sin(x / 3) + 0.1 * ((x + y) % 11 > 5) + rng.normal(0, 0.02, x.shape)
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    planes = [one * (1 - 0.1 * i) for i in range(bands)]
    return (np.stack(planes, -1).clip(0.05, 0.95) * top).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("scale", [1.5, 2, 3, 8])
def test_shrunk_again_and_rounded_it_is_the_picture(dtype: str, scale: float):
    small = picture(dtype, 3)
    top = 65535 if dtype == "float32" else 1
    with vdsr.Upscaler(model(random_layers(3, 3, width=4))) as upscaler:
        large = upscaler.upscale(small, scale=scale, consistent=True)
        plain = upscaler.upscale(small, scale=scale)
    planes = large.transpose(2, 0, 1).astype(np.float64)
    again = vdsr.imresize(planes, size=small.shape[:2]).transpose(1, 2, 0)
    assert large.dtype == small.dtype
    assert np.abs(again - small).max() * top <= 0.51
    if dtype != "float32":
        assert np.array_equal(np.rint(again), small)
    before = vdsr.imresize(plain.transpose(2, 0, 1).astype(np.float64), size=small.shape[:2])
    assert np.abs(before.transpose(1, 2, 0) - small).max() * top > 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_black_letters_on_white_leave_room_enough(seed: int):
    """Where samples stand at black and white, plain steps end far off: by 1.1 to 2.4 levels."""
    rng = np.random.default_rng(seed)
    page = np.full((1, 126, 159), 255.0, np.float32)
    for row, column in rng.integers((0, 0), (120, 150), (60, 2)):
        height, width = (2, 9) if rng.random() < 0.5 else (8, 2)
        page[0, row : row + height, column : column + width] = 0.0
    small = np.rint(shrink(page, 3)[0]).clip(0, 255).astype(np.uint8)
    with vdsr.Upscaler(model(random_layers(3, 3, width=4))) as upscaler:
        large = upscaler.upscale(small, scale=3, consistent=True).astype(np.float64)
    assert np.abs(vdsr.imresize(large, size=small.shape) - small).max() <= 0.51


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_gray_and_alpha(bands: int):
    small = picture("uint8", bands)
    if bands > 1:
        small[..., -1] = 255
        small[:12, :12, -1] = 0
        small[12:20, :12, -1] = 90
    with vdsr.Upscaler(model(random_layers(3, 3, width=4))) as upscaler:
        large = upscaler.upscale(small, scale=2, consistent=True).astype(np.float64)
    if bands > 1:
        large[..., :-1] *= large[..., -1:] / 255
    again = vdsr.imresize(large.transpose(2, 0, 1), size=small.shape[:2]).transpose(1, 2, 0)
    expected = small.astype(np.float64)
    if bands > 1:
        # By the opacity that there is then: what the program leaves to bicubic interpolation.
        again, expected = again[..., :-1], expected[..., :-1] * again[..., -1:] / 255
    # Where it is nearly transparent, levels of color are finer than what they change.
    assert np.abs(again - expected).max() <= (0.51 if bands == 1 else 1.0)


def test_blocks_give_the_whole(monkeypatch: pytest.MonkeyPatch):
    small = picture("uint8", 3, height=60)
    with vdsr.Upscaler(model(random_layers(3, 3, width=4))) as upscaler:
        whole = upscaler.upscale(small, scale=3, consistent=True)
        monkeypatch.setattr("vdsr.inference.consistency._MOST_ROWS", 16)
        blocks = upscaler.upscale(small, scale=3, consistent=True)
    assert np.abs(whole.astype(int) - blocks).max() <= 1


def test_what_cannot_be_is_said(tmp_path: Path):
    """A white line one px wide cannot come of samples that are at most white."""
    small = np.zeros((24, 24), np.uint8)
    small[8:12, ::2] = 255
    vdsr.write_image(tmp_path / "in.png", small)
    options = {"model": model(random_layers(3, 3, width=4)), "scale": 2, "consistent": True}
    result = vdsr.upscale(tmp_path / "in.png", tmp_path / "out.png", **options)
    (said,) = [line for line in result.notices if "shrunk again" in line]
    large = vdsr.read_image(tmp_path / "out.png").astype(np.float64)
    worst = np.abs(vdsr.imresize(large, size=(24, 24)) - small).max()
    assert f"within {worst:.2f} levels" in said
    assert ("not within" in said) == (worst > 0.5)
    assert [
        path.name for path in tmp_path.iterdir() if path.name not in ("in.png", "out.png")
    ] == []


def test_not_with_restore():
    with pytest.raises(UsageError, match="consistent is for enlarging"):
        vdsr.upscale(np.zeros((8, 8), np.uint8), restore=True, consistent=True)


class _Turning(Backend):
    """What a network would be that sees the top left neighbor only."""

    def run(self, y: np.ndarray) -> np.ndarray:
        return np.pad(y, ((0, 0), (0, 0), (1, 0), (1, 0)))[..., :-1, :-1]

    def close(self) -> None:
        """Nothing is held."""


def test_an_ensemble_is_the_mean_over_eight_positions():
    y = np.random.default_rng(0).random((1, 1, 6, 9), np.float32)
    around = np.pad(y[0, 0], 1)
    corners = (around[:-2, :-2] + around[:-2, 2:] + around[2:, :-2] + around[2:, 2:]) / 4
    assert np.allclose(ensembled(_Turning().run, 1)(y)[0, 0], corners, atol=1e-6)


@pytest.mark.parametrize(("fold", "planes"), [(1, 1), (2, 1), (2, 3)])
def test_tiles_of_an_ensemble_equal_the_whole(fold: int, planes: int):
    layers = random_layers(3, 3, width=8, fold=fold, planes=planes)
    y = np.random.default_rng(0).random((planes, 61, 47), np.float32)
    file = model(layers)
    with vdsr.Upscaler(file, precision="fp32") as upscaler:
        run = ensembled(upscaler._engines.first.network.run, fold)
        halo = file.architecture.halo
        whole = run(y[None])[0]
        given = y if planes > 1 else y[0]
        tiled = run_tiled(run, given, halo, TileLimits(max_side=16), fold=fold)
        turned = run(np.ascontiguousarray(y[None, :, :, ::-1]))[0, :, :, ::-1]
    assert np.abs(whole - tiled).max() < 1e-5
    if fold == 1:
        assert np.abs(whole - turned).max() < 1e-5
