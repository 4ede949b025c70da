"""Windows, sizes and errors of the bicubic interpolation."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdsr.imaging.resample import Axis, Bicubic, imresize, output_length

SCALES = [0.2, 1 / 3, 0.5, 0.9, 1.0, 1.3, 2.0, 2.5, 3.0, 4.0, 16.0]


@pytest.mark.parametrize(
    ("length", "scale", "expected"),
    [
        (10, 2.0, 20),
        (10, 1.01, 11),
        (7, 0.5, 4),
        (49, 1 / 49, 1),
        (3, 0.1, 1),
        (10, 0.1, 1),
        (3, 1.1, 4),
        (30, 1.1, 33),
        (1, 16.0, 16),
        (5, 0.01, 1),
        (100000, 1.00001, 100001),
    ],
)
def test_output_length_is_the_ceiling(length: int, scale: float, expected: int):
    assert output_length(length, scale) == expected


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_window_equals_that_part_of_the_whole(data: st.DataObject):
    height, width = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    bicubic = Bicubic.by_scale(height, width, data.draw(st.sampled_from(SCALES)))
    x = np.random.default_rng(0).random((2, height, width))
    whole = bicubic.window(x)
    assert whole.shape == (2, *bicubic.shape_out)
    r0 = data.draw(st.integers(0, bicubic.rows.length_out - 1))
    r1 = data.draw(st.integers(r0 + 1, bicubic.rows.length_out))
    c0 = data.draw(st.integers(0, bicubic.columns.length_out - 1))
    c1 = data.draw(st.integers(c0 + 1, bicubic.columns.length_out))
    low, high = bicubic.rows.needed(r0, r1)
    part = bicubic.window(x[:, low:high], rows=(r0, r1), columns=(c0, c1), first_row=low)
    assert np.abs(part - whole[:, r0:r1, c0:c1]).max() < 1e-12


@pytest.mark.parametrize("scale", SCALES)
def test_a_constant_stays_constant(scale: float):
    assert np.allclose(imresize(np.full((9, 13), 0.7), scale=scale), 0.7, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype: type):
    assert imresize(np.ones((3, 4, 5), dtype), scale=2.0).dtype == dtype


def test_one_pixel_becomes_its_own_color():
    assert np.array_equal(imresize(np.full((1, 1), 3.0), scale=16.0), np.full((16, 16), 3.0))


def test_scale_and_size_differ_where_the_size_is_rounded_up():
    x = np.random.default_rng(0).random((5, 5))
    by_scale, by_size = imresize(x, scale=1.5), imresize(x, size=(8, 8))
    assert by_scale.shape == by_size.shape == (8, 8)
    assert np.abs(by_scale - by_size).max() > 1e-3


def test_only_rows_near_the_window_are_needed():
    axis = Axis.by_scale(1000, 4.0)
    low, high = axis.needed(2000, 2040)
    assert (low, high) == (498, 512)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 2.0, "size": (4, 4)},
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": math.inf},
        {"scale": math.nan},
    ],
)
def test_senseless_sizes_are_refused(arguments):
    with pytest.raises(ValueError, match=r"scale or a size|above 0"):
        imresize(np.ones((4, 4)), **arguments)


def test_bytes_are_refused():
    with pytest.raises(TypeError, match="float32 or float64"):
        imresize(np.ones((4, 4), np.uint8), scale=2.0)


def test_windows_outside_and_missing_rows_are_refused():
    bicubic = Bicubic.by_scale(10, 10, 2.0)
    with pytest.raises(ValueError, match="no window"):
        bicubic.window(np.ones((10, 10)), rows=(5, 21))
    with pytest.raises(ValueError, match="no window"):
        bicubic.window(np.ones((10, 10)), columns=(3, 3))
    with pytest.raises(ValueError, match="need input rows"):
        bicubic.window(np.ones((4, 10)), rows=(0, 20))
    with pytest.raises(ValueError, match="columns given"):
        bicubic.window(np.ones((10, 9)))


def test_bits_do_not_depend_on_the_number_of_threads():
    program = """
import hashlib, numpy
from vdsr.imaging.resample import imresize
planes = numpy.random.default_rng(0).random((3, 400, 600), numpy.float32)
made = [imresize(planes, scale=scale) for scale in (2, 3, 0.3)]
print(hashlib.sha256(b"".join(one.tobytes() for one in made)).hexdigest())
"""
    found = set()
    for threads in ("1", "2", "4"):
        limited = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), threads)
        command = [sys.executable, "-c", program]
        environment = {**os.environ, **limited}
        found.add(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1
