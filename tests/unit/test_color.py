"""BT.601 in both ranges."""

from __future__ import annotations

import numpy as np
import pytest

from vdsr.imaging.color import FULL, RANGES, STUDIO, ColorRange

# MATLAB: rgb2ycbcr([r g b]) * 255, in double.
MATLAB = {
    (0, 0, 0): (16.0, 128.0, 128.0),
    (255, 255, 255): (235.0, 128.0, 128.0),
    (255, 0, 0): (81.481, 90.203, 240.0),
    (0, 255, 0): (144.553, 53.797, 34.214),
    (0, 0, 255): (40.966, 240.0, 109.786),
}
# JFIF 1.02.
JFIF = {
    (255, 255, 255): (255.0, 128.0, 128.0),
    (255, 0, 0): (76.245, 84.97232, 255.5),
    (0, 0, 255): (29.07, 255.5, 107.26545),
}


@pytest.mark.parametrize(
    ("color", "figures", "tolerance"), [(STUDIO, MATLAB, 1e-9), (FULL, JFIF, 1e-3)]
)
def test_published_colors(color: ColorRange, figures, tolerance: float):
    for rgb, expected in figures.items():
        pixel = np.array(rgb, np.float64).reshape(3, 1, 1)
        assert color.to_ycbcr(pixel).ravel() == pytest.approx(expected, abs=tolerance)
        assert color.luma(pixel).item() == pytest.approx(expected[0], abs=tolerance)


@pytest.mark.parametrize("color", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_exact_inverse(color: ColorRange, dtype: type, tolerance: float):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 200, 200)).astype(dtype)
    back = color.to_rgb(color.to_ycbcr(rgb))
    assert back.dtype == dtype
    assert np.abs(back - rgb).max() < tolerance
    assert np.array_equal(np.rint(back), rgb)


@pytest.mark.parametrize("color", RANGES.values(), ids=RANGES)
def test_grays_have_no_chroma_and_span_the_luma(color: ColorRange):
    gray = np.arange(256.0).reshape(1, 1, -1).repeat(3, 0)
    y, cb, cr = color.to_ycbcr(gray)
    assert np.allclose(cb, 128, atol=1e-9)
    assert np.allclose(cr, 128, atol=1e-9)
    assert np.allclose(y, color.luma_offset + np.arange(256) * color.luma_span / 255, atol=1e-9)


def test_the_ranges_differ():
    pixel = np.full((3, 1, 1), 100.0)
    assert abs(STUDIO.luma(pixel).item() - FULL.luma(pixel).item()) > 1
