"""`imresize` against MATLAB: its own arrays, and its algorithm written out once more."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vdsr.imaging.resample import imresize

# imresize(1:6, 2), from the formula by hand: weights of Keys' kernel at +-1/4 and +-3/4 are
# (-0.0703125, 0.8671875, 0.2265625, -0.0234375), borders mirrored.
RAMP_TWICE = [
    0.90625,
    1.1796875,
    1.72656250,
    2.25000000,
    2.75000000,
    3.25000000,
    3.75000000,
    4.25000000,
    4.75000000,
    5.27343750,
    5.8203125,
    6.09375,
]


def matlab_axis(x: NDArray[np.float64], length: int, scale: float) -> NDArray[np.float64]:
    """imresize's `contributions` and their sum along the last axis, sample by sample."""
    n = x.shape[-1]
    width = 4.0 if scale >= 1 else 4.0 / scale
    taps = math.ceil(width) + 2
    result = np.zeros((*x.shape[:-1], length))
    for j in range(1, length + 1):
        u = j / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        indices = [left + k for k in range(taps)]
        weights = [kernel(u - i, scale) for i in indices]
        total = sum(weights)
        mirrored = [*range(1, n + 1), *range(n, 0, -1)]
        for i, w in zip(indices, weights, strict=True):
            result[..., j - 1] += w / total * x[..., mirrored[(i - 1) % (2 * n)] - 1]
    return result


def kernel(x: float, scale: float) -> float:
    if scale < 1:
        return scale * kernel(scale * x, 1.0)
    a = abs(x)
    if a <= 1:
        return 1.5 * a**3 - 2.5 * a**2 + 1
    return -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2 if a <= 2 else 0.0


def matlab(x: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    rows = matlab_axis(x.T, math.ceil(scale * x.shape[0] - 1e-9), scale).T
    return matlab_axis(rows, math.ceil(scale * x.shape[1] - 1e-9), scale)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-4)])
def test_matlabs_own_arrays(shared: Path, scale: int, dtype: type, tolerance: float):
    with np.load(shared / "reference/matlab-butterfly.npz") as arrays:
        original = arrays[f"x{scale}_im_gt_y"]
        small = arrays[f"x{scale}_im_l_y"]
        large = arrays[f"x{scale}_im_b_y"]
    shrunk = imresize(original.astype(dtype), scale=1.0 / scale)
    enlarged = imresize(small.astype(dtype), scale=float(scale))
    assert shrunk.dtype == enlarged.dtype == dtype
    assert np.abs(shrunk - small).max() < tolerance
    assert np.abs(enlarged - large).max() < tolerance


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0, 0.5, 1 / 3, 0.25, 1.5, 2.5, 0.7, 1.01])
@pytest.mark.parametrize("shape", [(17, 23), (5, 40), (2, 3)])
def test_the_algorithm_written_out(scale: float, shape: tuple[int, int]):
    x = np.random.default_rng(0).uniform(0, 255, shape)
    expected = matlab(x, scale)
    result = imresize(x, scale=scale)
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() < 1e-10


def test_a_ramp_twice_as_long():
    ramp = np.arange(1.0, 7.0)[None].repeat(3, 0)
    result = imresize(ramp, size=(3, 12))
    assert np.allclose(result[1], RAMP_TWICE, rtol=0, atol=1e-12)


def test_an_impulse_shows_the_kernel():
    impulse = np.zeros((1, 9))
    impulse[0, 4] = 1.0
    expected = [-0.0234375, -0.0703125, 0.2265625, 0.8671875]
    assert np.allclose(imresize(impulse, size=(1, 18))[0, 5:9], expected, rtol=0, atol=1e-15)


def test_shrinking_averages():
    # Antialiasing: the kernel is stretched by 2; weights of imresize(x, 0.5) inside.
    weights = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    x = np.random.default_rng(1).uniform(0, 1, (1, 20))
    assert imresize(x, size=(1, 10))[0, 5] == pytest.approx(x[0, 7:15] @ weights, abs=1e-14)
