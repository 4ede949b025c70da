"""Covers of an image with tiles, and what happens when a tile does not fit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdsr.errors import OutOfMemory
from vdsr.inference.tiling import (
    LEAD_PIXELS,
    Span,
    TileLimits,
    plan_tiles,
    run_tiled,
    run_window,
)

HALO = 3


def blur(y):
    """A network of limited sight: three box filters, zeros outside, and a non-linearity."""
    for _ in range(HALO):
        p = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
        h, w = y.shape[2:]
        y = sum(p[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)) / 9
        y = np.abs(y - np.float32(0.3))
    return y.astype(np.float32)


limits = st.builds(
    TileLimits,
    max_pixels=st.integers(20, 20_000),
    max_side=st.none() | st.integers(1, 100),
    max_band_rows=st.none() | st.integers(1, 100),
)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 200), width=st.integers(1, 200), halo=st.integers(0, 20), limits=limits
)
def test_every_pixel_is_covered_once_and_limits_hold(height, width, halo, limits):
    seen = np.zeros((height, width), int)
    for band in plan_tiles(height, width, halo, limits):
        for columns in band.columns:
            tile = band.rows, columns
            seen[band.rows.start : band.rows.stop, columns.start : columns.stop] += 1
            for span, length in zip(tile, (height, width), strict=True):
                assert span.before == min(halo, span.start)
                assert span.after == min(halo, length - span.stop)
                assert limits.max_side is None or span.stop - span.start <= limits.max_side
            pixels = band.rows.outer_length * columns.outer_length
            smallest = (2 * halo + 1) ** 2
            assert pixels <= max(limits.max_pixels, smallest)
        rows = band.rows.stop - band.rows.start
        assert limits.max_band_rows is None or rows <= limits.max_band_rows
    assert (seen == 1).all()


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 60), width=st.integers(1, 60), limits=limits)
def test_tiles_equal_the_whole(height, width, limits):
    y = np.random.default_rng(0).random((height, width), dtype=np.float32)
    whole = blur(y[None, None])[0, 0]
    assert np.abs(run_tiled(blur, y, HALO, limits) - whole).max() < 1e-6


def test_a_picture_that_fits_is_one_tile():
    (band,) = plan_tiles(500, 600, 20, TileLimits(max_pixels=300_000))
    assert len(band.columns) == 1


def test_the_first_tile_of_a_large_picture_is_small():
    bands = plan_tiles(1080, 1920, 20, TileLimits())
    first = bands[0].rows.outer_length * bands[0].columns[0].outer_length
    assert first <= LEAD_PIXELS
    read = sum(b.rows.outer_length * c.outer_length for b in bands for c in b.columns)
    assert read < 1.06 * 1080 * 1920


@pytest.mark.parametrize("shape", [(1080, 1920), (5000, 7001), (2160, 3840)])
def test_tiles_read_as_much_as_each_other(shape: tuple[int, int]):
    (lead, *after), *bands = [band.columns for band in plan_tiles(*shape, 20, TileLimits())]
    assert lead.outer_length < after[0].outer_length
    for columns in (after, *bands):
        reads = [span.outer_length for span in columns]
        assert max(reads) == reads[0]
        assert min(reads) >= reads[0] - 1
    rows = [band.rows.outer_length for band in plan_tiles(*shape, 20, TileLimits())]
    assert max(rows) == rows[0]
    assert min(rows) >= rows[0] - 1


def test_tiles_of_limited_sides_give_as_much_as_each_other():
    bands = plan_tiles(300, 500, 20, TileLimits(max_side=100))
    assert [band.rows.stop for band in bands] == [100, 200, 300]
    assert {c.stop - c.start for band in bands for c in band.columns} == {100}


def test_planning_a_huge_picture_is_quick():
    start = time.process_time()
    plan_tiles(240_000, 240_000, 20, TileLimits(max_pixels=100_000, max_band_rows=50))
    plan_tiles(240_000, 240_000, 20, TileLimits(max_pixels=10))
    assert time.process_time() - start < 10


class Limited:
    """A network that runs out of memory above some size, and counts what it was given."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.failures = 0

    def __call__(self, y):
        if y.size > self.most:
            self.failures += 1
            raise OutOfMemory("too large")
        return blur(y)


@pytest.mark.parametrize("most", [5000, 1200, 600])
@pytest.mark.parametrize("shape", [(70, 50), (20, 190), (190, 20)])
def test_a_tile_that_does_not_fit_is_run_in_halves(most: int, shape: tuple[int, int]):
    y = np.random.default_rng(0).random(shape, dtype=np.float32)
    network = Limited(most)
    result = run_tiled(network, y, HALO)
    assert result.shape == shape
    assert np.abs(result - blur(y[None, None])[0, 0]).max() < 1e-6
    assert (network.failures > 0) == (y.size > most)


def test_halves_know_the_edges_of_the_image():
    y = np.random.default_rng(0).random((40, 60), dtype=np.float32)
    whole = blur(y[None, None])[0, 0]
    rows, columns = Span.with_halo(10, 33, 40, HALO), Span.with_halo(0, 57, 60, HALO)
    window = y[slice(*rows.outer), slice(*columns.outer)]
    result = run_window(Limited(400), window, rows, columns, HALO)
    assert np.abs(result - whole[10:33, 0:57]).max() < 1e-6


def test_when_nothing_fits_it_is_said():
    y = np.zeros((50, 50), np.float32)
    with pytest.raises(OutOfMemory, match="fits in memory"):
        run_tiled(Limited(20), y, HALO)


def test_other_errors_are_not_swallowed():
    def broken(y):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run_tiled(broken, np.zeros((5, 5), np.float32), HALO)


def test_tiles_narrower_than_the_picture_may_read_all_of_it():
    # No room for a halo on both sides, but the picture has only 30 px to read.
    bands = plan_tiles(1000, 30, 20, TileLimits(max_pixels=45 * 30, max_side=16))
    assert all(len(band.columns) == 2 for band in bands)


@pytest.mark.parametrize("most", [30_000, 100_000, 1_000_000])
@pytest.mark.parametrize("shape", [(3000, 4000), (500, 9000), (9000, 500), (2160, 3840)])
def test_the_cost_is_near_the_least_possible(shape: tuple[int, int], most: int):
    height, width = shape
    bands = plan_tiles(height, width, 20, TileLimits(max_pixels=most))
    read = sum(b.rows.outer_length * c.outer_length for b in bands for c in b.columns)
    # Square tiles of the largest size that is allowed, edges neglected.
    inner = most**0.5 - 40
    least = height * width * most / inner**2
    assert read < 1.05 * least
