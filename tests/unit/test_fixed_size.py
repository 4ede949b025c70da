"""Pictures of any size through a network of one input size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.inference.fixed_size import run_fixed, windows

Plane = NDArray[np.float32]
HALO = 3
KERNEL = np.random.default_rng(1).normal(size=(2 * HALO + 1, 2 * HALO + 1)).astype(np.float32)


def filtered(y: Plane) -> Plane:
    """A layer that sees `HALO` px and pads with zeros."""
    padded = np.pad(y, HALO)
    view = np.lib.stride_tricks.sliding_window_view(padded, KERNEL.shape)
    return np.einsum("abij,ij->ab", view, KERNEL).astype(np.float32)


@pytest.mark.parametrize("length", [16, 17, 26, 27, 100])
def test_windows_give_every_px_once_and_lie_within_the_picture(length: int):
    spans = windows(length, 16, HALO)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(length))
    for span in spans:
        first, last = span.outer
        assert (last - first, first >= 0, last <= length) == (16, True, True)
        assert span.before >= HALO or first == 0
        assert span.after >= HALO or last == length


@pytest.mark.parametrize("shape", [(16, 12), (16, 40), (41, 12), (33, 57), (100, 13)])
def test_the_result_is_that_of_the_whole_picture(shape: tuple[int, int]):
    y = np.random.default_rng(0).random(shape, np.float32)
    seen = []

    def run(planes: Iterable[Plane]) -> Iterator[Plane]:
        for plane in planes:
            seen.append(plane.shape)
            yield filtered(plane)

    result = run_fixed(run, y, (16, 12), HALO)
    assert set(seen) == {(16, 12)}
    np.testing.assert_allclose(result, filtered(y), atol=1e-5)


def test_a_side_that_is_too_short_is_filled_and_cut_off():
    y = np.random.default_rng(0).random((7, 30), np.float32)
    result = run_fixed(lambda planes: (filtered(plane) for plane in planes), y, (16, 12), HALO)
    assert result.shape == y.shape
    np.testing.assert_allclose(result[: 7 - HALO], filtered(y)[: 7 - HALO], atol=1e-5)


def test_a_window_that_is_all_halo_is_refused():
    with pytest.raises(UsageError, match="compile it for more than 40 px"):
        windows(41, 40, 20)
    assert len(windows(40, 40, 20)) == 1
