"""Packs and patches: what the network is shown is what degrading whole pictures gives."""

from __future__ import annotations

import itertools
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vdsr.data import leaks, packfile
from vdsr.data.pack import pack_folders
from vdsr.data.packfile import join_packs, make_pack, read_pack, write_pack
from vdsr.errors import InputError, OutputError
from vdsr.imaging.degrade import degrade
from vdsr.training.patches import Patches, degradation_matrix

rng = np.random.default_rng(5)
NOISE = rng.integers(0, 256, (84, 96), dtype=np.uint8)


def plain(pictures, **options):
    settings = {"scales": (2, 3, 4), "patch": 24, "batch": 9, "flips": False, "rotations": False}
    return Patches(pictures, **{**settings, **options})


def place_of(patch, picture):
    """Where a patch was cut out of a picture of noise."""
    side = patch.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(picture, (side, side))
    (place,) = np.argwhere((windows == patch).all((2, 3)))
    return place


def test_patches_are_cut_from_the_degraded_whole():
    patches = plain([NOISE])
    whole = {s: degrade(NOISE.astype(np.float64), s) for s in (2, 3, 4)}
    for step in range(4):
        batch = patches(step)
        assert batch.original.shape == batch.degraded.shape == (9, 1, 24, 24)
        assert batch.degraded.dtype == torch.float32
        for k in range(9):
            scale = (2, 3, 4)[(k + step) % 3]
            original = np.rint(batch.original[k, 0].numpy() * 255).astype(np.uint8)
            row, column = place_of(original, NOISE)
            assert row % scale == column % scale == 0
            expected = whole[scale][row : row + 24, column : column + 24]
            got = batch.degraded[k, 0].numpy() * 255
            np.testing.assert_allclose(got, expected, atol=2e-3)


def test_a_scale_named_twice_gets_twice_the_patches():
    batch = plain([NOISE], scales=(2, 2, 4), batch=9)(0)
    whole = {s: degrade(NOISE.astype(np.float64), s) for s in (2, 4)}
    numbers = dict.fromkeys(whole, 0)
    for degraded, original in zip(batch.degraded, batch.original, strict=True):
        row, column = place_of(np.rint(original[0].numpy() * 255).astype(np.uint8), NOISE)
        for scale, picture in whole.items():
            expected = picture[row : row + 24, column : column + 24]
            numbers[scale] += np.allclose(degraded[0].numpy() * 255, expected, atol=2e-3)
    assert numbers == {2: 6, 4: 3}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_patch_as_large_as_the_picture_has_the_pictures_borders(scale):
    picture = NOISE[:24, :24]
    batch = plain([picture], scales=(scale,), batch=2)(0)
    expected = degrade(picture.astype(np.float64), scale)
    np.testing.assert_allclose(batch.degraded[1, 0].numpy() * 255, expected, atol=2e-3)


def test_every_place_is_drawn_sooner_or_later_up_to_the_last_row():
    patches = plain([NOISE[:60, :36]], scales=(4,), batch=64)
    drawn = patches(0).original.numpy()
    rows = {tuple(place_of(np.rint(p[0] * 255).astype(np.uint8), NOISE[:60, :36])) for p in drawn}
    assert {row for row, _ in rows} == set(range(0, 37, 4))
    assert {column for _, column in rows} == {0, 4, 8, 12}


def test_a_step_is_always_the_same_and_no_other():
    first, again = plain([NOISE]), plain([NOISE])
    again(3)
    assert torch.equal(first(7).degraded, again(7).degraded)
    assert not torch.equal(first(7).original, first(8).original)
    assert not torch.equal(first(7).original, plain([NOISE], seed=1)(7).original)


def test_processes_share_a_batch_evenly():
    whole = plain([NOISE], batch=6)(3)
    parts = [whole.part(rank, 2, torch.float64) for rank in range(2)]
    assert [len(part.original) for part in parts] == [3, 3]
    assert torch.equal(parts[1].degraded.float(), whole.degraded[1::2])


def test_focus_looks_where_something_is_lost():
    half_flat = NOISE.copy()
    half_flat[:, :48] = 90
    shares = []
    for focus in (0.0, 1.0):
        patches = plain([half_flat], batch=300, focus=focus)
        flat = patches(0).original.flatten(1).std(1) < 1e-6
        shares.append(float(flat.float().mean()))
    assert shares[0] > 0.2
    assert shares[1] < 0.05


def test_all_eight_symmetries_are_drawn_and_degraded_alike():
    picture = NOISE[:24, :24]
    whole = degrade(picture.astype(np.float64), 2)
    both = Patches([picture], scales=(2,), patch=24, batch=64)(0)
    seen = set()
    for degraded, original in zip(both.degraded, both.original, strict=True):
        matches = []
        for turns, mirror in itertools.product(range(4), (False, True)):
            turned = np.rot90(picture[:, ::-1] if mirror else picture, turns)
            if np.array_equal(np.rint(original[0].numpy() * 255), turned):
                matches.append((turns, mirror))
                also = np.rot90(whole[:, ::-1] if mirror else whole, turns)
                np.testing.assert_allclose(degraded[0].numpy() * 255, also, atol=2e-3)
        (match,) = matches
        seen.add(match)
    assert len(seen) == 8


def test_pictures_smaller_than_a_patch_are_left_out_and_none_is_an_error():
    patches = plain([NOISE, NOISE[:20], NOISE[:, :23], NOISE[:5, :5]])
    assert patches.left_out == 3
    with pytest.raises(InputError, match="as large as a patch: 24 px"):
        plain([NOISE[:20]])


def test_rescaled_copies_are_drawn_too():
    smooth = np.tile(np.linspace(0, 255, 96), (84, 1)).astype(np.uint8)
    slopes = plain([smooth], batch=60, rescales=(1.0, 0.5))(0).original.diff(dim=-1).mean((1, 2, 3))
    assert float(slopes.max() / slopes.min()) > 1.8


def test_the_matrix_keeps_constants_and_needs_its_margin():
    matrix = degradation_matrix(41, 3, 24)
    assert matrix.shape == (41, 89)
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-12)
    for margin in (25, 12):
        with pytest.raises(ValueError, match="margin"):
            degradation_matrix(41, 3, margin)


def test_a_pack_comes_back_as_it_was(tmp_path):
    pack = make_pack([NOISE, NOISE[:40]], ["a/1.png", "a/ü.png"], data="a", license="CC0")
    write_pack(pack, tmp_path / "a.pack")
    back = read_pack(tmp_path / "a.pack")
    assert (back.names, back.data, back.license) == (pack.names, "a", "CC0")
    assert back.digest == pack.digest
    assert all(np.array_equal(x, y) for x, y in zip(back.pictures, pack.pictures, strict=True))
    write_pack(pack, tmp_path / "b.pack")
    assert (tmp_path / "a.pack").read_bytes() == (tmp_path / "b.pack").read_bytes()
    joined = join_packs([back, make_pack([NOISE], ["b/1"], data="b", license="MIT")])
    assert (joined.data, joined.license) == ("a + b", "a: CC0; b: MIT")
    assert joined.pixels == 84 * 96 * 2 + 40 * 96


def test_damaged_packs_and_other_files_are_refused(tmp_path):
    path = tmp_path / "a.pack"
    write_pack(make_pack([NOISE], ["x"], data="a", license="CC0"), path)
    whole = path.read_bytes()
    for broken in (whole[:-30], whole[:4000], b"", b"no zip"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="not an intact pack"):
            read_pack(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pack.json", '{"format": 1, "pictures": [], "digest": "", "data": ""}')
    with pytest.raises(InputError, match=r"a\.pack|at least one picture"):
        read_pack(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_pack(tmp_path / "none.pack")


def test_a_pack_whose_samples_were_exchanged_is_refused(tmp_path):
    one, other = tmp_path / "1.pack", tmp_path / "2.pack"
    write_pack(make_pack([NOISE], ["x"], data="a", license="CC0"), one)
    write_pack(make_pack([NOISE[::-1]], ["x"], data="a", license="CC0"), other)
    with zipfile.ZipFile(one) as a, zipfile.ZipFile(other) as b:
        index, picture = a.read("pack.json"), b.read("000000.png")
    with zipfile.ZipFile(one, "w") as archive:
        archive.writestr("pack.json", index)
        archive.writestr("000000.png", picture)
    with pytest.raises(InputError, match="digest does not fit"):
        read_pack(one)


def test_a_full_disk_leaves_the_old_pack(tmp_path, monkeypatch):
    path = tmp_path / "a.pack"
    write_pack(make_pack([NOISE], ["x"], data="a", license="CC0"), path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packfile.zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match="No space left"):
        write_pack(make_pack([NOISE], ["y"], data="b", license="CC0"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def shapes(seed, height=120, width=150):
    """A picture with something to recognize it by."""
    own = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width), 100.0)
    for _ in range(12):
        cy, cx, r = own.uniform(0, height), own.uniform(0, width), own.uniform(10, 50)
        picture[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = own.uniform(0, 255)
    return picture.astype(np.uint8)


def test_a_fingerprint_survives_size_position_and_range_but_tells_strangers_apart():
    known = {f"set/{i}": leaks.fingerprint(shapes(i)) for i in range(5)}
    copy = np.asarray(Image.fromarray(shapes(3)).resize((400, 320), Image.Resampling.BILINEAR))
    assert leaks.find(copy, known) == "set/3"
    assert leaks.find(np.ascontiguousarray(np.rot90(shapes(2))[::-1]), known) == "set/2"
    assert leaks.find((16 + shapes(1) * 0.85).astype(np.uint8), known) == "set/1"
    assert leaks.find(shapes(9), known) is None
    assert leaks.find(shapes(9), {}) is None
    assert np.array_equal(leaks.unpack(leaks.pack(known["set/0"])), known["set/0"])


def test_published_evaluation_pictures_are_known(shared):
    butterfly = np.asarray(Image.open(shared / "data/eval/Set5/butterfly_GT.png").convert("L"))
    assert leaks.find(butterfly, leaks.published()) == "Set5/butterfly"
    assert leaks.find(shapes(1), leaks.published()) is None
    assert len(leaks.published()) == 19


def test_folders_become_a_pack_and_what_is_left_out_is_said(tmp_path):
    photos, held = tmp_path / "photos", tmp_path / "held"
    (photos / "deep").mkdir(parents=True)
    held.mkdir()
    color = np.stack([shapes(1), shapes(2), shapes(3)], -1)
    Image.fromarray(color).save(photos / "b.png")
    Image.fromarray(shapes(4)).save(photos / "a.png")
    Image.fromarray(shapes(4)).save(photos / "deep" / "again.png")
    Image.fromarray(shapes(5)[:20, :20]).save(photos / "small.png")
    Image.fromarray(shapes(6)).save(photos / "secret.jpg", quality=95)
    Image.fromarray(shapes(6)).save(held / "six.png")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no jpeg")
    (photos / "notes.txt").write_text("no picture")
    packed = pack_folders([photos], license="CC0", evaluation=[held])
    assert packed.pack.names == ("photos/a.png", "photos/b.png")
    assert np.array_equal(packed.pack.pictures[0], shapes(4))
    expected = 16 + (color * [65.481, 128.553, 24.966]).sum(-1) / 255
    assert np.abs(packed.pack.pictures[1] - expected).max() <= 0.5001
    reasons = " ".join(packed.left_out)
    assert len(packed.left_out) == 4
    for reason in ("20x20 px", "same picture as photos/a.png", "held/six", "broken.jpg"):
        assert reason in reasons


def test_folders_without_pictures(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        pack_folders([tmp_path / "none"])
    with pytest.raises(InputError, match="no pictures to train on"):
        pack_folders([tmp_path])
