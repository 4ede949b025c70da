"""What pictures are known to give without a network: a check on pictures and program."""

from __future__ import annotations

from vdsr.evaluation.candidates import BICUBIC
from vdsr.evaluation.evaluate import UNTOUCHED, Row

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
    # JPEGs as they are, as printed by Zhang et al. 2017, table III.
    ("classic5", "restore-jpeg:10", 1): 27.82,
    ("classic5", "restore-jpeg:20", 1): 30.12,
    ("classic5", "restore-jpeg:30", 1): 31.48,
    ("classic5", "restore-jpeg:40", 1): 32.43,
}
_TOLERANCE = 0.005


def doubt(row: Row) -> str | None:
    """A warning, if this is a row of bicubic, or of pictures as they are, off its known value.

    Returns:
        One line, or None for a right value, another row, or a value that is not known.
    """
    known = _PSNR.get((row.dataset.lower(), row.protocol, row.scale))
    if row.model not in (BICUBIC, UNTOUCHED) or row.crop != "single" or known is None:
        return None
    if abs(row.psnr - known) <= _TOLERANCE:
        return None
    return (
        f"{row.model} on {row.dataset} x{row.scale} gives {row.psnr:.3f} dB by {row.protocol}, but"
        f" {known:.3f} dB is known: these are other pictures, and no figure of this table can be"
        " compared with published ones"
    )
