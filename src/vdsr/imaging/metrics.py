"""PSNR and SSIM of one plane against another.

Neither rounds or converts anything: range and border are the caller's to name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError

# Wang et al., "Image Quality Assessment: From Error Visibility to Structural
# Similarity", IEEE TIP 13(4), 2004: window and constants of the authors' ssim.m.
_WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03

Plane = NDArray[np.floating] | NDArray[np.integer]


def shave(plane: Plane, border: int) -> NDArray[np.float64]:
    """Cut `border` px off every side.

    Args:
        plane: `[..., H, W]`, any real dtype.
        border: px, 0 or more.

    Returns:
        float64 `[..., H - 2 border, W - 2 border]`.

    Raises:
        UsageError: if nothing would be left.
    """
    height, width = plane.shape[-2:]
    if border < 0 or 2 * border >= min(height, width):
        raise UsageError(f"a border of {border} px leaves nothing of {height}x{width} px")
    return np.asarray(plane[..., border : height - border, border : width - border], np.float64)


def psnr(image: Plane, reference: Plane, *, data_range: float, border: int) -> float:
    """Peak signal-to-noise ratio: 10 log10(range^2 / mean squared error).

    Args:
        image: `[..., H, W]`, any real dtype.
        reference: the same shape.
        data_range: largest possible difference: 255 for luma in 0..255.
        border: px shaved off every side before.

    Returns:
        dB; infinity for equal images.

    Raises:
        UsageError: for different shapes, or a border that leaves nothing.
    """
    _same_shape(image, reference)
    error = float(np.mean((shave(image, border) - shave(reference, border)) ** 2))
    return float("inf") if error == 0.0 else float(10.0 * np.log10(data_range**2 / error))


def ssim(image: Plane, reference: Plane, *, data_range: float, border: int) -> float:
    """Mean structural similarity, as the authors' MATLAB code `ssim.m`.

    11x11 Gaussian window with sigma 1.5, K1 = 0.01, K2 = 0.03, weighted (not
    sample) variances, averaged over the valid region: windows inside the image.

    Args:
        image: `[H, W]`, any real dtype.
        reference: the same shape.
        data_range: largest possible difference: 255 for luma in 0..255.
        border: px shaved off every side before.

    Returns:
        1 for equal images, less for others.

    Raises:
        UsageError: for different shapes, more than one plane, or less than 11x11 px
            after shaving.
    """
    _same_shape(image, reference)
    if image.ndim != 2:
        raise UsageError(f"SSIM is of one plane [H, W], not {list(image.shape)}")
    return float(
        np.mean(ssim_map(shave(image, border), shave(reference, border), data_range=data_range))
    )


def ssim_map(x: Plane, y: Plane, *, data_range: float) -> NDArray[np.float64]:
    """Structural similarity of every window; see `ssim`.

    Args:
        x, y: `[H, W]` each, any real dtype.
        data_range: largest possible difference.

    Returns:
        `[H - 10, W - 10]`.

    Raises:
        UsageError: for less than 11x11 px.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if min(x.shape) < _WINDOW:
        raise UsageError(f"SSIM needs {_WINDOW}x{_WINDOW} px, got {x.shape[0]}x{x.shape[1]}")
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mx, my = _blur(x), _blur(y)
    vx, vy, cov = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    numerator = (2.0 * mx * my + c1) * (2.0 * cov + c2)
    similarity: NDArray[np.float64] = numerator / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return similarity


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian window over the valid region, separably."""
    t = np.arange(_WINDOW) - _WINDOW // 2
    g = np.exp(-(t**2) / (2.0 * _SIGMA**2))
    g /= g.sum()
    return _weighted(_weighted(plane, g).T, g).T


def _weighted(plane: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sums of neighboring rows."""
    rows = plane.shape[0] - len(weights) + 1
    total = np.zeros((rows, plane.shape[1]))
    for i, weight in enumerate(weights):
        total += weight * plane[i : i + rows]
    return total


def _same_shape(image: Plane, reference: Plane) -> None:
    if image.shape != reference.shape:
        raise UsageError(f"images differ in shape: {image.shape} and {reference.shape}")
