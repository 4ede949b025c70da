"""Whether a picture agrees with a JPEG that is said to be its origin.

A JPEG does not say what a coefficient was, but in which interval it lay: within half a
quantization step of the value that is stored. A result that is faithful to the file, made as
small as it again, has its coefficients in these intervals: it may remove what compression
put in, and adds nothing that the file contradicts (the constraint of A. Zakhor, "Iterative
Procedures for Reduction of Blocking Effects in Transform Image Coding", IEEE TCSVT 2(1),
1992).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.jpeg_grid import BLOCK, dct_matrix

Plane = NDArray[np.float32] | NDArray[np.float64]

# Samples of a decoded JPEG are rounded to 8 bits, and coefficients with them: by 0.29, in
# levels, on average. Four times that is hardly ever exceeded by rounding alone.
_ROUNDING = 1.2
_MIDDLE = 128.0


def share_outside(result: Plane, decoded: Plane, steps: NDArray[np.integer]) -> float:
    """The share of coefficients that lie outside the interval that a JPEG allows.

    Args:
        result: full-range luma in 0..255 of what was made of the JPEG, in its size, `[H, W]`.
        decoded: that of the JPEG itself. Blocks begin at its left upper corner; those that
            the right and lower end cut are left out.
        steps: quantization steps of luma, `[8, 8]`, rows by vertical frequency.

    Returns:
        0..1; 0 for the JPEG itself. Intervals are taken wider by what rounding samples to
        whole levels does to coefficients.

    Raises:
        UsageError: for different shapes, or pictures of less than a block.
    """
    if result.shape != decoded.shape or min(result.shape, default=0) < BLOCK:
        raise UsageError(
            f"two planes of the same shape, a block of 8x8 px at least, not"
            f" {list(result.shape)} and {list(decoded.shape)}"
        )
    given, stored = _coefficients(result), _coefficients(decoded)
    middle = np.rint(stored / steps) * steps
    return float((np.abs(given - middle) > steps / 2 + _ROUNDING).mean())


def _coefficients(plane: Plane) -> NDArray[np.float64]:
    """The DCT of whole blocks, `[N, 8, 8]`."""
    rows, columns = (side // BLOCK for side in plane.shape)
    blocks = plane[: rows * BLOCK, : columns * BLOCK].astype(np.float64) - _MIDDLE
    blocks = blocks.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    basis = dct_matrix().astype(np.float64)
    found: NDArray[np.float64] = basis @ blocks.reshape(-1, BLOCK, BLOCK) @ basis.T
    return found
