"""Damage made for training: JPEG as libjpeg makes it, noise, kernels, and patches of them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vdsr.errors import InputError, UsageError
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import shrink
from vdsr.imaging.resample import imresize
from vdsr.training.damage import MARGIN, Damage, Draw, Geometry, saved_at
from vdsr.training.jpeg import TABLES, UNIT, compressed, quantization_tables
from vdsr.training.kernels import KERNELS, enlarging, mirrored, shrinking
from vdsr.training.patches import Patches
from vdsr.training.recipe import DamageSettings
from vdsr.training.validation import Validation

CPU = torch.device("cpu")


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Slopes, edges, stripes and grain in color: uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 32.0
    planes = [
        120 + 60 * np.sin(x * (1 + c) + y) + 40 * (np.sin(3 * x * y + c) > 0) for c in range(3)
    ]
    planes = np.stack(planes, -1) + rng.normal(0, 6, (height, width, 3))
    return np.clip(np.rint(planes), 0, 255).astype(np.uint8)


def by_pillow(picture: np.ndarray, quality: int, kind: str, halved: bool) -> np.ndarray:
    file = io.BytesIO()
    options = {"quality": quality}
    if kind == "mozjpeg":
        tables = quantization_tables(quality, kind).astype(int)
        options = {"qtables": [table.ravel().tolist() for table in tables]}
    subsampling = {"subsampling": 2 if halved else 0} if picture.ndim == 3 else {}
    Image.fromarray(picture).save(file, "JPEG", **options, **subsampling)
    return np.asarray(Image.open(file))


def to_tensor(picture: np.ndarray) -> torch.Tensor:
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(planes.astype(np.float32))[None]


@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("kind", TABLES)
def test_jpeg_is_that_of_libjpeg(kind: str, halved: bool):
    """Within 1 level on 99.9 % of the samples; in fact nearly all are equal."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    samples = far = unlike = 0
    for quality in (20, 37, 50, 75, 90, 98):
        for picture in (scene(96, 112), scene(48, 160, 1), noise):
            expected = by_pillow(picture, quality, kind, halved).astype(int)
            tables = torch.from_numpy(quantization_tables(quality, kind))[None]
            (found,) = compressed(to_tensor(picture), tables, np.array([halved])).numpy()
            difference = np.abs(found.transpose(1, 2, 0) - expected)
            samples += difference.size
            far += np.count_nonzero(difference > 1)
            unlike += np.count_nonzero(difference)
    assert far <= 1e-4 * samples
    assert unlike <= 1e-3 * samples


@pytest.mark.parametrize("quality", [20, 75, 98])
def test_gray_jpeg_is_that_of_libjpeg(quality: int):
    picture = scene(64, 80)[..., 0]
    tables = torch.from_numpy(quantization_tables(quality))[None]
    (found,) = compressed(to_tensor(picture), tables, np.array([True])).numpy()
    assert np.array_equal(found[0], by_pillow(picture, quality, "libjpeg", halved=False))


def test_tables_are_those_of_libjpeg():
    for quality in (1, 20, 49, 50, 75, 98, 100):
        file = io.BytesIO()
        Image.fromarray(scene(16, 16)).save(file, "JPEG", quality=quality)
        found = Image.open(file).quantization
        expected = quantization_tables(quality).reshape(2, 64)
        assert [list(found[i]) for i in range(2)] == expected.tolist()
    # mozjpeg has one table for luma and chroma, of which large steps end at 255.
    luma, chroma = quantization_tables(50, "mozjpeg")
    assert np.array_equal(luma, chroma)
    assert (luma[0, 0], luma[0, 7], luma[7, 7]) == (16, 85, 255)


def test_pictures_of_one_batch_have_each_their_own_jpeg():
    pictures = torch.cat([to_tensor(scene(32, 48, seed)) for seed in range(3)])
    tables = torch.from_numpy(np.stack([quantization_tables(q) for q in (30, 90, 60)]))
    halved = np.array([True, False, True])
    together = compressed(pictures, tables, halved)
    for i in range(3):
        alone = compressed(pictures[i : i + 1], tables[i : i + 1], halved[i : i + 1])
        assert torch.equal(together[i], alone[0])
    with pytest.raises(ValueError, match="multiples of 16"):
        compressed(pictures[..., :40], tables, halved)


def test_a_second_file_may_begin_elsewhere():
    picture = to_tensor(scene(48, 64))
    tables = torch.from_numpy(quantization_tables(20))[None]
    found = saved_at(picture, (3, 5), tables, np.array([False]))
    assert torch.equal(found[..., :3, :], picture[..., :3, :])
    assert torch.equal(found[..., :5], picture[..., :5])
    # Blocks begin at row 3 and column 5: the same as of the picture that is cut there.
    cut = picture[..., 3:35, 5:53]
    expected = compressed(cut, tables, np.array([False]))
    assert torch.equal(found[..., 3:35, 5:53], expected)


@pytest.mark.parametrize("scale", [1.5, 2, 3, 4])
@pytest.mark.parametrize("kind", KERNELS)
def test_shrinking_keeps_what_is_even_and_where_things_are(kind: str, scale: float):
    matrix = shrinking(kind, 48, scale)
    assert matrix.shape == (round(48 / scale), 48)
    np.testing.assert_allclose(matrix.sum(1), 1.0)
    # A slope stays a slope, centers on centers.
    slope = matrix @ np.arange(48.0)
    expected = (np.arange(len(slope)) + 0.5) * scale - 0.5
    np.testing.assert_allclose(slope[4:-4], expected[4:-4], atol=0.1)
    # And left is as right.
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_the_kernels_are_those_of_other_programs():
    row = scene(1, 48)[0, :, 0].astype(np.float64)
    shrunk = shrink(np.tile(row, (48, 1)), 2)[0]
    np.testing.assert_allclose(shrinking("bicubic", 48, 2) @ row, shrunk, atol=1e-9)
    np.testing.assert_allclose(shrinking("area", 48, 2) @ row, row.reshape(24, 2).mean(1))
    image = Image.fromarray(np.tile(row.astype(np.float32), (48, 1)), "F")
    resized = np.asarray(image.resize((24, 48), Image.Resampling.LANCZOS))[0]
    # Pillow leaves out what lies beyond the border, and does not mirror.
    np.testing.assert_allclose((shrinking("lanczos", 48, 2) @ row)[4:-4], resized[4:-4], atol=1e-4)
    blurred = shrinking("blur", 48, 2) @ row
    assert 0.5 < np.diff(blurred).std() / np.diff(shrunk).std() < 0.98
    enlarged = imresize(np.tile(shrunk, (24, 1)), scale=1.5)[0]
    np.testing.assert_allclose(enlarging(24, 1.5) @ shrunk, enlarged, atol=1e-9)
    assert mirrored(np.arange(-3, 6), 3).tolist() == [2, 1, 0, 0, 1, 2, 2, 1, 0]
    with pytest.raises(ValueError, match="unknown kernel 'box'"):
        shrinking("box", 48, 2)


SCALES = (1, 1.5, 2, 3, 4)


@pytest.mark.parametrize("scale", SCALES)
def test_patches_lie_at_every_place_of_a_block(scale: float):
    sizes = Geometry.of(48, scale)
    assert sizes.side % UNIT == 0
    places = sizes.offsets(np.random.default_rng(0), 2000)
    step = 2 if scale == 1.5 else 1
    assert set(np.unique(places % 8)) == set(range(0, 8, step))
    assert places.min() >= MARGIN
    assert places.max() + sizes.small + MARGIN <= sizes.side
    with pytest.raises(ValueError, match=r"cannot be shrunk by 1\.5"):
        Geometry.of(32, 1.5)


def settings(**values) -> DamageSettings:
    nothing = {"kernels": 0.0, "noise": 0.0, "jpeg": 0.0, "again": 0.0, "photons": 0.0}
    return DamageSettings(**{"share": 1.0, **nothing, **values})


def patches(pictures, damage, **options) -> Patches:
    plain = {"scales": (2,), "patch": 48, "batch": 16, "planes": 3}
    return Patches(pictures, damage=damage, **{**plain, **options})


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_clean_is_shrunk_rounded_and_enlarged(scale: float):
    """Turned or not, at the border or not: what the whole picture gives at that place."""
    picture = scene(60, 72)
    batch = patches([picture], settings(share=1e-9), scales=(scale,), batch=10)(0)
    rgb = picture.transpose(2, 0, 1).astype(np.float64)
    small = np.clip(np.floor(imresize(rgb, scale=1 / scale) + 0.5), 0, 255)
    whole = STUDIO.to_ycbcr(imresize(small, scale=scale)) / 255.0
    original = STUDIO.to_ycbcr(rgb) / 255.0
    for got, wanted in zip(batch.degraded.numpy(), batch.original.numpy(), strict=True):
        found = False
        for turn in range(8):
            views = []
            for planes in (whole, original):
                turned = planes[..., ::-1] if turn >= 4 else planes
                views.append(np.rot90(turned, turn % 4, (-2, -1)))
            windows = np.lib.stride_tricks.sliding_window_view(views[1][0], (48, 48))
            first = np.abs(windows[..., 0, :] - wanted[0, 0]).max(-1) < 1e-5
            places = [p for p in np.argwhere(first) if np.abs(windows[*p] - wanted[0]).max() < 1e-5]
            for row, column in places:
                view = views[0][:, row : row + 48, column : column + 48]
                # The window ends a few px behind the patch: the small px there may round
                # another way.
                found |= np.abs(view - got).max() < 1.01 / 255 and np.abs(view - got).mean() < 1e-5
        assert found


def test_a_third_is_clean_and_the_rest_is_damaged_as_asked():
    damage = Damage(DamageSettings(share=2 / 3), scales=(2,), patch=48, device=CPU)
    draw = damage.draw(np.random.default_rng(0), 20000, 2)
    noisy = draw.deviation + draw.photons > 0
    clean = ~noisy & ~draw.jpeg
    assert clean.mean() == pytest.approx(1 / 3, abs=0.02)
    assert not draw.kernel[clean].any()
    assert noisy.mean() == pytest.approx(1 / 3, abs=0.02)
    assert (noisy & ~draw.jpeg).mean() == pytest.approx(2 / 3 * 0.5 * 0.4, abs=0.02)
    assert draw.again.sum() == pytest.approx(0.2 * draw.jpeg.sum(), rel=0.1)
    assert not draw.again[~draw.jpeg].any()
    assert draw.photons.max() == pytest.approx(15, abs=0.1)
    assert set(draw.kernel) == {0, 1, 2, 3}
    # At scale 1 nothing is shrunk.
    assert not damage.draw(np.random.default_rng(0), 99, 1).kernel.any()


def test_noise_has_the_deviation_that_was_drawn():
    damage = Damage(settings(), scales=(1,), patch=48, device=CPU)
    windows = torch.full((3, 3, 64, 64), 64.0)
    draw = damage.draw(np.random.default_rng(0), 3, 1)
    nothing = np.zeros(3, bool)
    draw = replace(
        draw,
        deviation=np.array([0, 10, 0], np.float32),
        photons=np.array([0, 0, 12], np.float32),
        jpeg=nothing,
        again=nothing,
    )
    places = np.full((3, 2), MARGIN)
    found = damage(windows, places, draw, 1, torch.Generator().manual_seed(0))
    assert found.shape == (3, 3, 48, 48)
    # Of white the noise of photons is 12 levels; of a quarter of it, half as much.
    expected = [0.0, 10.0, 12.0 * (64 / 255) ** 0.5]
    for one, deviation in zip(found, expected, strict=True):
        assert float(one.std()) == pytest.approx(deviation, rel=0.03)
    # Channels are noisy each for themselves.
    assert abs(np.corrcoef(found[1].flatten(1).numpy())[0, 1]) < 0.05


def test_what_is_saved_is_what_libjpeg_saves():
    picture = scene(96, 96)
    damage = Damage(settings(jpeg=1.0, qualities=(40, 40)), scales=(1,), patch=48, device=CPU)
    drawn = damage.draw(np.random.default_rng(0), 1, 1)
    draw = Draw(**{**vars(drawn), "halved": np.array([[True], [True]]), "again": np.zeros(1, bool)})
    draw = replace(draw, tables=np.stack([[quantization_tables(40)]] * 2))
    window = to_tensor(picture[:64, :64])
    found = damage(window, np.array([[5, 9]]), draw, 1, torch.Generator())
    expected = by_pillow(picture[:64, :64], 40, "libjpeg", halved=True)[5:53, 9:57]
    difference = np.abs(found[0].numpy().transpose(1, 2, 0) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) < 5


def test_damage_costs_quality_as_it_does_of_files():
    pictures = [scene(96, 144, seed) for seed in range(2)]
    losses = {}
    for name, values in {
        "clean": {"share": 1e-9},
        "jpeg 90": {"jpeg": 1.0, "qualities": (90, 90)},
        "jpeg 30": {"jpeg": 1.0, "qualities": (30, 30)},
        "twice": {"jpeg": 1.0, "qualities": (30, 30), "again": 1.0},
        "noise": {"noise": 1.0, "levels": 15.0},
    }.items():
        batch = patches(pictures, settings(**values), batch=32)(0)
        losses[name] = float((batch.degraded - batch.original).square().mean())
    assert losses["clean"] < losses["jpeg 90"] < losses["jpeg 30"] < losses["twice"]
    assert losses["clean"] < losses["noise"]


def test_a_step_with_damage_is_always_the_same_and_no_other():
    pictures = [scene(96, 144)]
    damage = DamageSettings(share=0.7)
    first, again = (patches(pictures, damage, scales=SCALES) for _ in range(2))
    again(3)
    assert torch.equal(first(7).degraded, again(7).degraded)
    assert not torch.equal(first(7).degraded, first(8).degraded)
    assert first(0).degraded.shape == first(0).original.shape == (16, 3, 48, 48)
    # Fewer patches than scales.
    assert patches(pictures, damage, scales=SCALES, batch=2)(4).degraded.isfinite().all()


def test_color_patches_without_damage_are_those_of_luma():
    picture = scene(96, 144)
    y = STUDIO.luma(picture.transpose(2, 0, 1).astype(np.float64))
    color = patches([picture], None, scales=(2, 3), batch=6)(0)
    luma = patches([picture], None, scales=(2, 3), batch=6, planes=1)(0)
    assert torch.equal(color.degraded[:, :1], luma.degraded)
    assert torch.equal(color.original[:, :1], luma.original)
    rounded = patches([np.rint(y).astype(np.uint8)], None, scales=(2, 3), batch=6, planes=1)(0)
    assert float((rounded.original - luma.original).abs().max()) <= 0.51 / 255
    with pytest.raises(InputError, match="pack them in color for three planes"):
        patches([picture[..., 0]], None)


def test_luma_can_be_damaged_too():
    batch = patches([scene(96, 144)[..., 1]], settings(jpeg=1.0), planes=1)(0)
    assert batch.degraded.shape == (16, 1, 48, 48)
    assert float((batch.degraded - batch.original).abs().mean()) > 0.01


def test_shares_of_groups():
    dark, bright = np.full((60, 60), 20, np.uint8), np.full((60, 60), 200, np.uint8)
    options = {"scales": (2,), "patch": 24, "batch": 2000}
    for shares, expected in (((0.0, 0.1), 0.1), ((0.9, 0.0), 0.1), ((), 0.25)):
        made = Patches([dark] * 3 + [bright], groups=[0, 0, 0, 1], shares=shares, **options)
        mean = float((made(0).original.mean((1, 2, 3)) > 0.4).float().mean())
        assert mean == pytest.approx(expected, abs=0.03)
    with pytest.raises(UsageError, match="more than all, or leave nothing"):
        Patches([dark, bright], groups=[0, 1], shares=(0.7, 0.6), **options)


def test_validation_of_color_and_damage():
    pictures = [scene(120, 144, seed) for seed in range(2)]
    found = Validation(
        pictures, (1, 2, 4), "cpu", fold=2, planes=3, damage=DamageSettings(share=0.6), patch=48
    ).bicubic()
    assert set(found) == {"damaged", "x2", "x4"}
    assert found["damaged"] < found["x2"]
    assert found["x4"] < found["x2"]
