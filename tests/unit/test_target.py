"""From what is asked for to passes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsr.errors import UsageError
from vdsr.inference.target import Target, plan_passes


def shapes(target: Target, height: int = 100, width: int = 150) -> list[tuple[int, int]]:
    return [p.shape_out for p in plan_passes(height, width, target)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(), (400, 600)),
        (Target(scale=2), (200, 300)),
        (Target(scale=1.005), (101, 151)),
        (Target(scale=2.345), (235, 352)),
        (Target(width=300), (200, 300)),
        (Target(width=301), (201, 301)),
        (Target(height=250), (250, 375)),
        (Target(width=150, height=400), (400, 150)),
        (Target(fit=(1000, 300)), (300, 450)),
        (Target(fit=(200, 1000)), (134, 200)),
        (Target(restore=True), (100, 150)),
        (Target(scale=1, restore=True), (100, 150)),
    ],
)
def test_sizes(target: Target, expected: tuple[int, int]):
    assert shapes(target)[-1] == expected


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (4, [(400, 600)]),
        (5, [(200, 300), (500, 750)]),
        (8, [(200, 300), (800, 1200)]),
        (12, [(300, 450), (1200, 1800)]),
        (16, [(400, 600), (1600, 2400)]),
    ],
)
def test_beyond_four_the_smaller_factor_comes_first(scale: float, expected):
    assert shapes(Target(scale=scale)) == expected


@given(scale=st.floats(1.0001, 16), height=st.integers(1, 400), width=st.integers(1, 400))
def test_passes_join_and_none_is_over_four(scale: float, height: int, width: int):
    target = Target(scale=scale)
    passes = plan_passes(height, width, target)
    assert passes[0].shape_in == (height, width)
    for one, other in pairwise(passes):
        assert one.shape_out == other.shape_in
    rows, columns = target.axes(height, width)
    assert passes[-1].shape_out == (rows.length_out, columns.length_out)
    assert rows.length_out == pytest.approx(math.ceil(scale * height), abs=1)
    assert all(p.rows.scale <= 4 and p.columns.scale <= 4 for p in passes)
    assert math.prod(p.rows.scale for p in passes) == pytest.approx(scale)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 1.0},
        {"scale": 0.9},
        {"scale": 16.1},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": 2.0, "width": 10},
        {"width": 10, "fit": (3, 3)},
        {"restore": True, "scale": 2.0},
        {"restore": True, "width": 10},
        {"width": 0},
        {"fit": (10, 0)},
    ],
)
def test_contradictions_and_nonsense_are_refused(options):
    with pytest.raises(UsageError):
        Target(**options)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(width=100), "would shrink to 100x67"),
        (Target(fit=(150, 100)), "would stay as it is"),
        (Target(height=1601), "would grow by 16"),
        (Target(width=300, height=50), "would shrink to 300x50"),
    ],
)
def test_sizes_that_do_not_enlarge_are_refused(target: Target, message: str):
    with pytest.raises(UsageError, match=message):
        plan_passes(100, 150, target)
