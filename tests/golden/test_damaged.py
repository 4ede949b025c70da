"""Published figures of damaged pictures, where the evaluation images are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vdsr.evaluation.candidates import read_picture
from vdsr.evaluation.protocols import prepare

FOLDER = Path(os.environ.get("VDSR_SHARED", Path(__file__).parents[3] / "shared"), "data", "eval")


@pytest.mark.parametrize(("quality", "psnr"), [(10, 27.82), (20, 30.12), (30, 31.48), (40, 32.43)])
def test_jpeg_on_classic5_is_what_papers_print(quality: int, psnr: float):
    pictures = sorted((FOLDER / "classic5").glob("*.png"))
    if not pictures:
        pytest.skip(f"no evaluation images in {FOLDER}")
    cases = [prepare(read_picture(path), 1, f"restore-jpeg:{quality}") for path in pictures]
    found = np.mean([case.reading.score(case.bicubic).psnr for case in cases])
    assert found == pytest.approx(psnr, abs=0.005)
