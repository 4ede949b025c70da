"""Low-resolution versions."""

from __future__ import annotations

import numpy as np
import pytest

from vdsr.imaging.degrade import crop_to_multiple, degrade, enlarge, shrink
from vdsr.imaging.resample import imresize


def test_crop_cuts_right_and_bottom():
    x = np.arange(2 * 7 * 11).reshape(2, 7, 11)
    cropped = crop_to_multiple(x, 4)
    assert cropped.shape == (2, 4, 8)
    assert np.array_equal(cropped, x[:, :4, :8])
    assert crop_to_multiple(x, 1).shape == x.shape
    with pytest.raises(ValueError, match="cannot be shrunk by 8"):
        crop_to_multiple(x, 8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_degrade_is_down_and_up_without_rounding(scale: int):
    x = np.random.default_rng(0).random((3, 24, 36))
    small = shrink(x, scale)
    assert small.shape == (3, 24 // scale, 36 // scale)
    assert np.array_equal(small, imresize(x, scale=1 / scale))
    assert np.array_equal(degrade(x, scale), enlarge(small, scale))
    assert degrade(x, scale).shape == x.shape
