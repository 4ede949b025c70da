"""What bicubic interpolation is known to give: a check on pictures and program."""

from __future__ import annotations

from vdsr.evaluation.candidates import BICUBIC
from vdsr.evaluation.evaluate import Row

# Mean PSNR in dB. `paper`: Kim et al. 2016, table 3, print 33.66, 30.39, 28.42 for Set5
# and 30.24, 27.55, 26.00 for Set14 (there from copies with slightly other borders);
# pytorch-vdsr's README prints `float`'s 33.69 for Set5 x2. Third decimals: an
# independent computation from the same pictures.
_PSNR = {
    ("set5", "paper", 2): 33.661,
    ("set5", "paper", 3): 30.392,
    ("set5", "paper", 4): 28.421,
    ("set5", "float", 2): 33.690,
    ("set5", "float", 3): 30.408,
    ("set5", "float", 4): 28.432,
    ("set14", "paper", 2): 30.232,
    ("set14", "paper", 3): 27.541,
    ("set14", "paper", 4): 26.000,
    ("set14", "float", 2): 30.242,
    ("set14", "float", 3): 27.546,
    ("set14", "float", 4): 26.004,
}
_TOLERANCE = 0.005


def doubt(row: Row) -> str | None:
    """A warning, if this is a row of bicubic that is off its known value.

    Returns:
        One line, or None for a right value, another row, or a value that is not known.
    """
    known = _PSNR.get((row.dataset.lower(), row.protocol, row.scale))
    if row.model != BICUBIC or row.crop != "single" or known is None:
        return None
    if abs(row.psnr - known) <= _TOLERANCE:
        return None
    return (
        f"bicubic on {row.dataset} x{row.scale} gives {row.psnr:.3f} dB by {row.protocol}, but"
        f" {known:.3f} dB is known: these are other pictures, and no figure of this table can be"
        " compared with published ones"
    )
