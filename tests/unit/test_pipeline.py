"""The way from samples to samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from networks import small_network, zero_network
from vdsr import Upscaler
from vdsr.errors import InputError, OutOfMemory
from vdsr.imaging.color import STUDIO
from vdsr.imaging.files import PixelLayout
from vdsr.imaging.resample import imresize
from vdsr.inference.memory import MIB
from vdsr.inference.pipeline import RowBuffer, ValueRange
from vdsr.inference.plan import plan_picture
from vdsr.inference.target import Target

DTYPES = ["uint8", "uint16", "float32"]


@pytest.fixture(scope="module")
def zero() -> Iterator[Upscaler]:
    with Upscaler(zero_network()) as upscaler:
        yield upscaler


@pytest.fixture(scope="module")
def small() -> Iterator[Upscaler]:
    with Upscaler(small_network()) as upscaler:
        yield upscaler


def picture(shape, dtype: str = "uint8", seed: int = 0):
    x = np.random.default_rng(seed).random(shape)
    return (x * (np.iinfo(dtype).max if dtype != "float32" else 1)).astype(dtype)


def bicubic(image, scale: float):
    """Clipped, and rounded for integers, as a file would hold it."""
    planes = image.astype(np.float64)
    planes = planes[None] if image.ndim == 2 else planes.transpose(2, 0, 1)
    large = imresize(planes, scale=scale).transpose(1, 2, 0)
    peak = 1.0 if image.dtype == np.float32 else np.iinfo(image.dtype).max
    large = np.clip(large, 0, peak)
    return large[..., 0] if image.ndim == 2 else large


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 1), (13, 17, 3), (1, 1), (1, 9, 3), (9, 1)])
@pytest.mark.parametrize("scale", [2, 2.5, 4])
def test_a_network_that_adds_nothing_gives_bicubic(zero: Upscaler, dtype, shape, scale):
    image = picture(shape, dtype)
    result = zero.upscale(image, scale=scale)
    expected = bicubic(image, scale)
    assert result.dtype == image.dtype
    assert result.shape == expected.shape
    # Half a step of rounding, and float32's own.
    tolerance = {"uint8": 0.501, "uint16": 0.53, "float32": 2e-6}[dtype]
    assert np.abs(result - expected).max() <= tolerance


def test_float64_is_taken_as_float32(small: Upscaler):
    image = picture((9, 9, 3), "float32")
    wide = small.upscale(image.astype(np.float64), scale=2)
    assert wide.dtype == np.float32
    assert np.array_equal(wide, small.upscale(image, scale=2))


def test_a_gray_picture_is_the_same_saved_as_rgb(small: Upscaler):
    gray = picture((20, 24))
    rgb = small.upscale(np.repeat(gray[..., None], 3, 2), scale=3)
    alone = small.upscale(gray, scale=3).astype(int)
    assert all(np.abs(rgb[..., i] - alone).max() <= 1 for i in range(3))


def test_only_the_luma_is_touched(small: Upscaler, zero: Upscaler):
    # Middle tones, so that nothing is clipped.
    image = picture((24, 20, 3), "float32") * np.float32(0.2) + np.float32(0.4)
    result, plain = small.upscale(image, scale=2), zero.upscale(image, scale=2)
    added = result - plain
    assert np.abs(added).max() > 0.01
    assert np.abs(added - added[..., :1]).max() < 1e-6
    a, b = (STUDIO.to_ycbcr(p.transpose(2, 0, 1).astype(np.float64) * 255) for p in (result, plain))
    assert np.abs(a[1:] - b[1:]).max() < 1e-3


def test_the_residual_is_the_networks(small: Upscaler):
    image = picture((16, 16, 3), "float32") * np.float32(0.2) + np.float32(0.4)
    planes = imresize(image.transpose(2, 0, 1), scale=2.0)
    luma = (STUDIO.luma(planes * np.float32(255)) / np.float32(255)).astype(np.float32)
    restored = small._engines.first.network.run(luma[None, None])[0, 0]
    result = small.upscale(image, scale=2).transpose(2, 0, 1).astype(np.float64) * 255
    assert np.abs(STUDIO.luma(result) - restored * 255).max() < 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [2, 4])
def test_opaque_alpha_changes_nothing(small: Upscaler, dtype: str, bands: int):
    image = picture((15, 15, bands), dtype)
    image[..., -1] = 1 if dtype == "float32" else np.iinfo(dtype).max
    result = small.upscale(image, scale=2)
    without = small.upscale(image[..., :-1], scale=2)
    step = 1e-5 if dtype == "float32" else 1
    assert np.abs(result[..., :-1].astype(float) - without.astype(float)).max() <= step
    assert (result[..., -1] == image[0, 0, -1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_hidden_colors_leave_no_fringe(zero: Upscaler, small: Upscaler, dtype: str):
    peak = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    rows, columns = np.mgrid[:24, :24]
    inside = (rows - 12) ** 2 + (columns - 11) ** 2 < 64
    color = np.array([0.8, 0.3, 0.5])
    image = np.zeros((24, 24, 4))
    image[..., :3] = np.where(inside[..., None], color, [0.0, 1.0, 0.0])
    image[..., 3] = inside
    image = (image * peak).round().astype(dtype) if dtype != "float32" else image.astype(dtype)
    expected = image[12, 11, :3].astype(float)
    result = zero.upscale(image, scale=4).astype(float)
    visible = result[..., 3] > 0.02 * peak
    assert visible.sum() > 1000
    assert np.abs(result[visible][:, :3] - expected).max() <= 0.004 * peak
    # The network sees a plain color: whatever it adds there is the same everywhere inside.
    plain = small.upscale(
        np.ascontiguousarray(np.broadcast_to(image[12, 11, :3], (24, 24, 3))), scale=4
    )
    sharpened = small.upscale(image, scale=4).astype(float)
    middle = sharpened[44:52, 40:48, :3]
    assert np.abs(middle - plain[48, 48]).max() <= 0.004 * peak
    assert np.abs(sharpened[visible][:, :3] - plain[48, 48]).max() <= 0.01 * peak


def test_a_fully_transparent_picture(small: Upscaler):
    image = picture((10, 10, 4))
    image[..., 3] = 0
    result = small.upscale(image, scale=2)
    assert result.shape == (20, 20, 4)
    assert (result[..., 3] == 0).all()


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("target", [Target(scale=3), Target(scale=2.3), Target(scale=6)])
def test_strips_bands_and_tiles_equal_the_whole(bands: int, target: Target):
    model = small_network()
    image = picture((61, 47, bands))
    if bands == 4:
        image[..., 3] = np.where(image[..., 3] > 150, image[..., 3], 0)
    layout = PixelLayout(width=47, height=61, bands=bands, dtype="uint8")
    values = ValueRange.of("uint8", [], bands == 4)
    with Upscaler(model) as upscaler:
        run = upscaler._engines.first.network.run
        whole, cut = (
            plan_picture(layout, values, target, model=model, run=run, budget=500 * MIB, tile=tile)
            for tile in (None, 19)
        )
        expected = np.concatenate(list(whole.run([image], None)))
        for heights in ([61], [1] * 61, [20, 1, 40]):
            edges = itertools.pairwise([0, *itertools.accumulate(heights)])
            result = np.concatenate(list(cut.run((image[a:b] for a, b in edges), None)))
            assert result.shape == expected.shape
            assert np.abs(result.astype(int) - expected).max() <= 1
            assert (result != expected).mean() < 1e-3


def test_a_picture_that_ends_early_is_an_error():
    model = small_network()
    layout = PixelLayout(width=8, height=8, bands=1, dtype="uint8")
    values = ValueRange.of("uint8", [], False)
    with Upscaler(model) as upscaler:
        run = upscaler._engines.first.network.run
        target = Target(scale=2)
        plan = plan_picture(
            layout, values, target, model=model, run=run, budget=500 * MIB, tile=None
        )
        with pytest.raises(InputError, match="ends after 5 of 8 rows"):
            list(plan.run([picture((5, 8, 1))], None))


def test_two_passes_are_one_after_the_other(small: Upscaler):
    image = picture((12, 12, 3), "float32")
    once = small.upscale(small.upscale(image, scale=2), scale=4)
    assert np.abs(small.upscale(image, scale=8) - once).max() < 1e-5


def test_restore_runs_the_network_on_the_picture_as_it_is(small: Upscaler, zero: Upscaler):
    image = picture((18, 21, 3))
    assert np.array_equal(zero.upscale(image, restore=True), image)
    result = small.upscale(image, restore=True)
    assert result.shape == image.shape
    assert np.abs(result.astype(int) - image).max() > 2


def test_floats_beyond_one_keep_their_range(zero: Upscaler, small: Upscaler):
    image = picture((14, 14), "float32") * np.float32(5000) - np.float32(1000)
    result = zero.upscale(image, scale=2)
    expected = np.clip(imresize(image.astype(np.float64), scale=2.0), image.min(), image.max())
    assert np.abs(result - expected).max() < 0.01
    # In its own range it is treated as the same picture within 0..1 is.
    low, high = image.min(), image.max()
    unit = (image - low) / (high - low)
    sharpened = (small.upscale(image, scale=2) - low) / (high - low)
    assert np.abs(sharpened - small.upscale(unit, scale=2)).max() < 1e-4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(small: Upscaler, bad: float):
    image = picture((6, 6, 3), "float32")
    image[2, 3, 1] = bad
    with pytest.raises(InputError, match="NaN or infinite"):
        small.upscale(image, scale=2)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), bool),
        np.zeros((4, 4), complex),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(small: Upscaler, image):
    with pytest.raises(InputError, match="an array of"):
        small.upscale(image, scale=2)


def test_work_that_fits_no_memory_is_refused_before_it_begins():
    model = small_network()
    layout = PixelLayout(width=3_000_000, height=10, bands=4, dtype="uint16")
    with pytest.raises(OutOfMemory, match="raise max_memory"):
        plan_picture(
            layout,
            ValueRange.of("uint16", [], True),
            Target(scale=16),
            model=model,
            run=lambda y: y,
            budget=64 * MIB,
            tile=None,
        )


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 3), (1, 1, 3)])
def test_the_callers_array_is_left_as_it_was(small: Upscaler, shape: tuple[int, ...]):
    image = picture(shape, "float32") * np.float32(9)
    kept = image.copy()
    small.upscale(image, scale=2)
    assert np.array_equal(image, kept)
    image.setflags(write=False)
    small.upscale(image, scale=2)


def test_rows_that_are_done_with_are_given_back():
    buffer = RowBuffer((np.full((16, 5, 1), i, np.uint8) for i in range(100)), 1600)
    for low in range(0, 1500, 30):
        rows = buffer.take(low, low + 70)
        assert np.array_equal(rows[:, 0, 0], np.arange(low, low + 70) // 16)
        assert sum(len(held) for held in buffer._held) < 70 + 16
        base = rows.base if rows.base is not None else rows
        assert base.nbytes < 5 * (70 + 30 + 2 * 16)


def test_floats_too_far_apart_for_floats_are_refused(small: Upscaler):
    image = np.array([[-3e38, 3e38]], np.float32)
    with pytest.raises(InputError, match="too far apart"):
        small.upscale(image, scale=2)


def test_the_network_sees_no_hidden_color(small: Upscaler):
    # At its own size it sees furthest: four px of the picture to every side.
    image = np.zeros((40, 40, 4), np.float32)
    image[..., 1] = 1.0
    image[12:28, 12:28] = (0.6, 0.3, 0.5, 1.0)
    result = small.upscale(image, restore=True)
    plain = small.upscale(np.full((40, 40, 3), image[20, 20, :3], np.float32), restore=True)
    assert np.abs(result[12:28, 12:28, :3] - plain[20, 20]).max() < 1e-5
    assert np.array_equal(result[..., 3], image[..., 3])
