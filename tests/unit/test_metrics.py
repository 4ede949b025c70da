"""PSNR and SSIM."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vdsr.imaging.metrics import psnr, shave, ssim


def images(shape: tuple[int, int] = (24, 31)):
    rng = np.random.default_rng(0)
    reference = rng.uniform(0, 255, shape)
    return reference + rng.normal(0, 10, shape), reference


def slow_ssim(x, y, data_range: float) -> float:
    """The formula of Wang et al., window by window."""
    g = [
        math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2))
        for i in range(11)
        for j in range(11)
    ]
    w = np.array(g).reshape(11, 11) / sum(g)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (w * a).sum(), (w * b).sum()
            va, vb = (w * (a - ma) ** 2).sum(), (w * (b - mb) ** 2).sum()
            cov = (w * (a - ma) * (b - mb)).sum()
            values.append(
                (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
            )
    return float(np.mean(values))


def test_psnr_is_its_formula():
    image, reference = np.full((5, 5), 10.0), np.full((5, 5), 13.0)
    assert psnr(image, reference, data_range=255, border=0) == pytest.approx(
        20 * math.log10(255 / 3)
    )
    assert psnr(image, image, data_range=255, border=0) == math.inf


def test_psnr_of_bytes_does_not_wrap():
    image, reference = np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8)
    assert psnr(image, reference, data_range=255, border=0) == pytest.approx(0.0)


def test_the_border_is_shaved():
    image, reference = images()
    image[0, 0] = 1e6
    assert psnr(image, reference, data_range=255, border=0) < 0
    assert psnr(image, reference, data_range=255, border=1) > 20
    assert shave(image, 3).shape == (18, 25)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_its_formula(data_range: float):
    image, reference = images()
    factor = data_range / 255
    expected = slow_ssim(image * factor, reference * factor, data_range)
    assert ssim(image * factor, reference * factor, data_range=data_range, border=0) == (
        pytest.approx(expected, abs=1e-10)
    )
    assert 0.5 < expected < 0.999


def test_ssim_of_equals_is_one():
    image, _ = images()
    assert ssim(image, image, data_range=255, border=2) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_what_cannot_be_compared_is_refused(metric):
    with pytest.raises(ValueError, match="differ in shape"):
        metric(np.ones((12, 12)), np.ones((12, 13)), data_range=255, border=0)
    with pytest.raises(ValueError, match="leaves nothing"):
        metric(np.ones((12, 12)), np.ones((12, 12)), data_range=255, border=6)


def test_ssim_needs_its_window():
    with pytest.raises(ValueError, match="11x11"):
        ssim(np.ones((12, 12)), np.ones((12, 12)), data_range=255, border=1)


def test_ssim_is_of_one_plane():
    with pytest.raises(ValueError, match="one plane"):
        ssim(np.ones((3, 20, 20)), np.ones((3, 20, 20)), data_range=255, border=0)


def test_pinned_ssim():
    # Computed with OpenCV: g = getGaussianKernel(11, 1.5), every mean by
    # filter2D(x, -1, g @ g.T)[5:-5, 5:-5], then the formula of the paper.
    rows, columns = np.mgrid[:32, :40].astype(np.float64)
    a = 128 + 60 * np.sin(rows / 3) + 50 * np.cos(columns / 4)
    b = a + 12 * np.sin(rows * columns)
    assert ssim(a, b, data_range=255, border=0) == pytest.approx(0.934790688473, abs=1e-11)
