"""Files of several pages: one of them, or all into a file of as many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from vdsr import Upscaler
from vdsr.errors import InputError, OutputExists, UsageError
from vdsr.imaging.files import PictureReader
from vdsr.imaging.files.tiff_pages import join

Pixels = NDArray[Any]
RAMP = np.add.outer(np.arange(20) * 5, np.arange(30) * 3).astype(np.uint8)
PAGES: list[Pixels] = [
    RAMP,
    np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)[:18],
    (RAMP[:, :25].astype(np.uint16) * 257),
    (RAMP[:, :28] / 255).astype(np.float32),
]


def write(path: Path, pages: list[Pixels], **options: Any) -> Path:
    with tifffile.TiffWriter(path, **options) as file:
        for i, page in enumerate(pages):
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            file.write(
                page,
                photometric=photometric,
                metadata=None,
                description=f"page {i + 1}",
                resolution=(300 + i, 300 + i),
                resolutionunit="INCH",
            )
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.tif", PAGES)


def test_one_page_is_chosen(source: Path, upscaler: Upscaler, tmp_path: Path) -> None:
    for number, page in enumerate(PAGES, 1):
        reader = PictureReader(source, number)
        pixels = np.concatenate(list(reader.strips()))
        np.testing.assert_array_equal(pixels.squeeze(), page)
        alone = upscaler.upscale(source, page=number, scale=2)
        np.testing.assert_array_equal(alone, upscaler.upscale(page, scale=2))
    goal = tmp_path / "out.png"
    result = upscaler.upscale(source, goal, page=3, scale=2)
    assert (result.width, result.height, result.pages) == (50, 40, 1)


def test_no_page_is_chosen_silently(source: Path, upscaler: Upscaler, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has 4 pages: choose one \(1 to 4\), or all"):
        upscaler.upscale(source, tmp_path / "out.tif", scale=2)
    with pytest.raises(InputError, match="there is no page 5: it has 4"):
        upscaler.upscale(source, tmp_path / "out.tif", page=5, scale=2)
    for page in (0, -1, 1.5):
        with pytest.raises(UsageError, match="pages are numbered from 1"):
            upscaler.upscale(source, page=page)
    with pytest.raises(UsageError, match="pages is 'all'"):
        upscaler.upscale(source, tmp_path / "out.tif", pages="1-3")
    with pytest.raises(InputError, match="only picture files have pages"):
        upscaler.upscale(RAMP, page=2)
    assert [p.name for p in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_all_pages(tmp_path: Path, upscaler: Upscaler, options: dict[str, Any]) -> None:
    source, goal = write(tmp_path / "in.tif", PAGES, **options), tmp_path / "out.tif"
    result = upscaler.upscale(source, goal, pages="all", scale=2)
    assert (result.pages, result.width, result.height) == (4, 60, 40)
    assert result.input == str(source)
    with tifffile.TiffFile(goal) as file:
        assert len(file.pages) == 4
        for i, (page, before) in enumerate(zip(file.pages, PAGES, strict=True)):
            got = page.asarray()
            expected = upscaler.upscale(before, scale=2)
            assert got.dtype == before.dtype
            np.testing.assert_array_equal(got, expected)
            assert page.tags["ImageDescription"].value.startswith(f"page {i + 1}")
            assert page.tags["PageNumber"].value == (i, 4)
            across, unit = page.tags["XResolution"].value, page.tags["ResolutionUnit"].value
            per_inch = across[0] / across[1] * (2.54 if unit == 3 else 1.0)
            assert per_inch == pytest.approx(300 + i, rel=1e-3)
    for number in range(1, 5):  # and what was written is read again
        assert PictureReader(goal, number).bands == np.atleast_3d(PAGES[number - 1]).shape[2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.tif", "out.tif"]


def test_all_pages_of_one(tmp_path: Path, upscaler: Upscaler) -> None:
    source = write(tmp_path / "in.tif", PAGES[:1])
    assert upscaler.upscale(source, tmp_path / "out.png", pages="all", scale=2).pages == 1


def test_pages_that_cannot_be_joined(source: Path, upscaler: Upscaler, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="png holds one page, not 4"):
        upscaler.upscale(source, tmp_path / "out.png", pages="all")
    with tifffile.TiffFile(source) as file:
        last = file.pages[3].dataoffsets[0]
    (tmp_path / "cut.tif").write_bytes(source.read_bytes()[: last + 100])
    with pytest.raises(InputError, match="damaged or cut short"):
        upscaler.upscale(tmp_path / "cut.tif", tmp_path / "out.tif", pages="all", scale=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.tif", "in.tif"]


def test_overviews_and_masks_are_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(np.kron(RAMP, np.ones((4, 4), np.uint8)), metadata=None)
        file.write(np.kron(RAMP, np.ones((2, 2), np.uint8)), metadata=None, subfiletype=1)
        file.write(RAMP, metadata=None, subfiletype=1)
    reader = PictureReader(path)
    assert (reader.width, reader.height) == (120, 80)
    assert "only the full-size picture is kept of 3" in reader.notices[0]


@pytest.mark.parametrize("side", [1, 2, 30])
def test_pages_of_one_size_are_no_overviews(tmp_path: Path, side: int) -> None:
    path = write(tmp_path / "in.tif", [RAMP[:side, :side]] * 3)
    with pytest.raises(InputError, match="it has 3 pages"):
        PictureReader(path)


def test_joined_files_keep_their_segments(tmp_path: Path) -> None:
    parts = [tmp_path / f"{i}.tif" for i in range(2)]
    for part, pixels in zip(parts, PAGES[:2], strict=True):
        tile = {"tile": (16, 16)} if part is parts[1] else {"rowsperstrip": 7}
        tifffile.imwrite(part, pixels, compression="zlib", metadata=None, **tile)
    with (tmp_path / "all.tif").open("wb") as file:
        join(parts, file)
    with tifffile.TiffFile(tmp_path / "all.tif") as joined:
        for page, pixels in zip(joined.pages, PAGES[:2], strict=True):
            np.testing.assert_array_equal(page.asarray(), pixels)


def test_pages_in_place(source: Path, upscaler: Upscaler) -> None:
    with pytest.raises(UsageError, match="would lose the others"):
        upscaler.upscale(source, source, page=2, in_place=True)
    with pytest.raises(OutputExists, match="it is the input itself"):
        upscaler.upscale(source, source, pages="all", overwrite=True, scale=2)
    upscaler.upscale(source, source, pages="all", in_place=True, scale=2)
    with tifffile.TiffFile(source) as file:
        assert [page.shape[:2] for page in file.pages] == [(40, 60), (36, 60), (40, 50), (40, 56)]
