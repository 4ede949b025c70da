"""A selection of the TIFF matrix; `python tests/tiff_matrix.py` runs all of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tiff_matrix import Tally, all_cases

EVERY = 97


def test_each_tiff_is_right_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("tifffile"), "disabled", True)
    tally = Tally()
    for case in all_cases(EVERY):
        tally.add(case, tmp_path / "case.tif")
    print(tally)
    assert tally.wrong == []
    assert tally.counts["right"] > 250
    assert tally.counts["refused"] > 250
