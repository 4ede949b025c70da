"""What is told of a picture's damage, from made pictures: blocks, noise, tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from damaged_pictures import jpeg, noisy, scene, through_jpeg
from vdsr.errors import InputError
from vdsr.imaging.files.jpeg_tables import quantization_tables
from vdsr.imaging.jpeg_grid import dct_matrix
from vdsr.inference.damage import Damage, judge
from vdsr.inference.pictures import of_array, opened


def judged(picture: object) -> Damage:
    with opened(picture) as one:
        return judge(one)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_picture_is_clean(seed: int):
    found = judged(scene(seed))
    assert found.found == ()
    assert found.words == "neither blocks of JPEG nor noise were found"


@pytest.mark.parametrize("quality", [10, 20, 40, 60, 75, 85, 90, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_blocks_are_found_in_pixels_alone(quality: int, subsampling: int):
    found = judged(through_jpeg(scene(), quality, subsampling=subsampling))
    assert found.steps is None
    assert "blocks of JPEG" in found.words


@pytest.mark.parametrize("top", [0, 1, 5])
@pytest.mark.parametrize("left", [0, 3, 7])
def test_blocks_are_found_at_any_offset(top: int, left: int):
    assert judged(through_jpeg(scene(), 75)[top:, left:]).blocks > 2


def test_a_high_quality_does_not_hide_an_earlier_low_one():
    once = through_jpeg(scene(), 40)
    honest = jpeg(scene(), 95)
    again = jpeg(np.ascontiguousarray(once[3:, 5:]), 95)
    assert judged(again).steps == judged(honest).steps
    assert judged(again).blocks > 1.5
    assert judged(jpeg(once, 95)).blocks > judged(honest).blocks


def test_stronger_noise_gives_a_higher_level():
    levels = [judged(noisy(scene(), level)).noise for level in (0, 2, 5, 10, 15)]
    assert levels == sorted(levels)
    # Of R, G and B alike, in luma: the root of the sum of squared weights, 0.668.
    assert levels[2:] == pytest.approx([0.668 * level for level in (5, 10, 15)], rel=0.2)


@pytest.mark.parametrize("level", [5, 10, 15])
def test_noise_is_found_and_is_no_block(level: float):
    found = judged(noisy(scene(), level))
    assert "noise of about" in found.words
    assert "JPEG" not in found.words


@pytest.mark.parametrize("level", [3, 5, 10])
def test_noise_is_found_where_most_of_a_picture_is_texture(level: float):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(20, 235, (96, 96)), np.ones((3, 3))).astype(np.uint8)
    for top in range(0, 288, 96):
        for left in range(0, 288, 96):
            picture[top : top + 48, left : left + 48] = 128  # a quarter of all is plain
    picture = np.repeat(picture[..., None], 3, 2)
    assert judged(picture).noise == 0
    assert judged(noisy(picture, level)).noise == pytest.approx(0.668 * level, rel=0.2)


def test_gray_16_bit_and_float_are_judged_as_8_bit():
    gray = through_jpeg(noisy(scene(), 8), 60)[..., 1]
    expected = judged(gray)
    for same in (gray.astype(np.uint16) * 257, gray.astype(np.float32) / 255):
        found = judged(same)
        assert found.blocks == pytest.approx(expected.blocks, rel=0.05)
        assert found.noise == pytest.approx(expected.noise, abs=0.05)


def test_what_stands_under_transparency_is_not_looked_at():
    clean = scene(side=256)
    spoiled = through_jpeg(clean, 20)
    alpha = np.full((256, 256, 1), 255, np.uint8)
    alpha[:, 128:] = 0
    mixed = np.concatenate([np.where(alpha > 0, clean, spoiled), alpha], axis=2)
    assert judged(mixed).found == ()


@pytest.mark.parametrize("shape", [(1, 1), (7, 300, 3), (15, 15, 3), (40, 20)])
def test_too_little_tells_nothing(shape: tuple[int, ...]):
    assert judged(np.full(shape, 90, np.uint8)).found == ()


def test_noise_is_told_from_four_squares_on():
    assert judged(noisy(scene(side=32), 10)).noise > 3
    for rows, columns in ((31, 64), (16, 63)):
        assert judged(noisy(scene(side=64), 10)[:rows, : columns - 16]).noise == 0


def test_large_pixels_are_no_blocks():
    art = np.random.default_rng(0).integers(20, 235, (24, 24, 3)).astype(np.uint8)
    assert judged(np.kron(art, np.ones((8, 8, 1), np.uint8))).blocks <= 1


def test_the_steps_of_a_jpeg_are_a_hint():
    plain = np.full((64, 64, 3), 128, np.uint8)
    assert "steps" in judged(jpeg(plain, 75)).words
    assert judged(jpeg(plain, 100)).found == ()


def test_of_a_large_file_only_the_first_rows_are_decoded(tmp_path: Path):
    path = tmp_path / "cut.png"
    pyvips.Image.black(8000, 9000, bands=3).pngsave(str(path))
    data = path.read_bytes()
    path.write_bytes(data[: 3 * len(data) // 4])
    with opened(path) as picture:
        assert judge(picture).found == ()  # its first 4000 rows are whole
        with pytest.raises(InputError, match="cut short"):
            for _ in picture.strips():
                pass


@pytest.mark.parametrize("quality", [5, 50, 75, 95, 100])
def test_tables_are_those_that_pillow_reads(quality: int, tmp_path: Path):
    data = jpeg(scene(side=32), quality)
    expected = Image.open(io.BytesIO(data)).quantization
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    for found in (quantization_tables(data), quantization_tables(path)):
        assert {n: t.ravel().tolist() for n, t in found.items()} == expected


def test_tables_of_16_bits_and_two_in_a_segment():
    wide = b"\x10" + b"".join(i.to_bytes(2, "big") for i in range(300, 364))
    both = wide + b"\x01" + bytes(range(1, 65))
    data = b"\xff\xd8\xff\xdb" + (len(both) + 2).to_bytes(2, "big") + both + b"\xff\xd9"
    found = quantization_tables(data)
    assert found[0][0, :3].tolist() == [300, 301, 305]  # zigzag: right, then down and left
    assert found[0][7, 7] == 363
    assert found[1][1, 0] == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"no JPEG",
        b"\xff\xd8\xff\xdb\x00\x05\x00\x01\x02",
        b"\xff\xd8\xff\xdb\x00\x43" + bytes(65),
    ],
)
def test_malformed_tables_are_left_out(data: bytes):
    assert quantization_tables(data) == {}


def test_the_dct_is_orthonormal():
    basis = dct_matrix().astype(np.float64)
    assert np.abs(basis @ basis.T - np.eye(8)).max() < 1e-6


def test_arrays_and_their_files_are_judged_alike():
    picture = through_jpeg(noisy(scene(), 4), 80)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    assert judged(file.getvalue()) == judge(of_array(picture))
