"""Names of outputs: patterns, collisions, lengths, and what a folder stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vdsr.errors import InputError, UsageError
from vdsr.inference.target import Target
from vdsr.jobs.discovery import Selection, find
from vdsr.jobs.enrol import enrol
from vdsr.jobs.manifest import Manifest
from vdsr.jobs.naming import NamePattern

X4 = Target()


def name(source: str, pattern: str | None = None, *, target: Target = X4, format=None, level=0):
    return NamePattern(pattern, target, format).name(source, f"/in/{source}", level, 255)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(), "a_x4.jpg"),
        (Target(scale=2), "a_x2.jpg"),
        (Target(scale=1.5), "a_x1.5.jpg"),
        (Target(width=1920), "a_1920w.jpg"),
        (Target(height=1080), "a_1080h.jpg"),
        (Target(width=640, height=480), "a_640x480.jpg"),
        (Target(fit=(640, 480)), "a_fit640x480.jpg"),
        (Target(restore=True), "a_restored.jpg"),
    ],
)
def test_the_default_name_says_what_was_asked_for(target: Target, expected: str):
    assert name("a.jpg", target=target) == expected


@pytest.mark.parametrize(
    ("source", "pattern", "format", "expected"),
    [
        ("sub/a.JPG", None, None, "sub/a_x4.JPG"),
        ("sub/a.JPG", None, "png", "sub/a_x4.png"),
        ("a.jpeg", None, "jpeg", "a_x4.jpeg"),
        ("a.bmp", None, None, "a_x4.png"),
        ("a", None, None, "a_x4.png"),
        ("a.b.tif", "{stem}{suffix}", None, "a.b.tif"),
        ("a.tif", "big {stem} by {scale}", None, "big a by 4.tif"),
        ("a.tif", "{stem}.webp", None, "a.webp"),
        ("a.tif", "{stem}_{size}.png", "png", "a_x4.png"),
        ("{stem}.png", None, None, "{stem}_x4.png"),
    ],
)
def test_patterns(source: str, pattern: str | None, format: str | None, expected: str):
    assert name(source, pattern, format=format) == expected


def test_a_suffix_in_the_pattern_is_the_format():
    assert NamePattern("{stem}.webp", X4, None).format("a.tif") == "webp"
    assert NamePattern("{stem}.webp", X4, "png").format("a.tif") == "png"


@pytest.mark.parametrize(
    ("pattern", "target", "word"),
    [
        ("picture", X4, "{stem}"),
        ("{stem", X4, "malformed"),
        ("{stem}{date}", X4, "{date}"),
        ("{stem!r}", X4, "are known"),
        ("{stem}/{suffix}", X4, "not for folders"),
        ("{stem}_{scale}", Target(width=5), "{size}"),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, target: Target, word: str):
    with pytest.raises(UsageError, match=word.replace("{", r"\{")):
        NamePattern(pattern, target, None)


def test_names_are_as_long_as_the_system_allows_and_stay_apart():
    first = name("ä" * 125 + ".png")  # 254 bytes, and three more
    second = name("ä" * 124 + "b.png")
    assert len(os.fsencode(first)) <= 255
    assert first.endswith("_x4.png")
    assert first != second
    assert first == name("ä" * 125 + ".png")


def files(folder: Path, *names: str) -> Path:
    for one in names:
        path = folder / one
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def outputs(inputs: list[Path], out: Path, pattern: NamePattern, manifest: Manifest | None = None):
    manifest = manifest or Manifest(None)
    enrol(manifest, find(inputs, out, Selection(), lambda _: False), pattern, out)
    rows = manifest.db.execute("SELECT source, output FROM pictures WHERE output IS NOT NULL")
    return {Path(os.fsdecode(a)): os.fsdecode(b) for a, b in rows}


def test_what_would_get_one_name_is_told_apart(tmp_path: Path):
    folder = files(tmp_path / "in", "a.jpg", "a.png", "b.png", "s/a.png", "s/a.jpg.png")
    found = outputs([folder], tmp_path, NamePattern(None, X4, "png"))
    assert found == {
        folder / "a.jpg": "a.jpg_x4.png",
        folder / "a.png": "a.png_x4.png",
        folder / "b.png": "b_x4.png",
        folder / "s/a.png": "s/a_x4.png",
        folder / "s/a.jpg.png": "s/a.jpg_x4.png",
    }


def test_files_of_several_folders_are_told_apart(tmp_path: Path):
    folder = files(tmp_path, "p/1.png", "q/1.png", "r/p/1.png", "s/2.png")
    given = [folder / "p/1.png", folder / "q/1.png", folder / "r/p/1.png", folder / "s/2.png"]
    found = outputs(given, tmp_path / "out", NamePattern(None, X4, None))
    assert len(set(found.values())) == 4
    assert found[folder / "s/2.png"] == "2_x4.png"
    assert found[folder / "q/1.png"] == "q_1.png_x4.png"
    assert found[folder / "p/1.png"].startswith("p_1.png~")


def test_a_name_once_given_stays(tmp_path: Path):
    folder = files(tmp_path / "in", "a.jpg")
    manifest, pattern = Manifest(None), NamePattern(None, X4, "png")
    assert outputs([folder], tmp_path, pattern, manifest) == {folder / "a.jpg": "a_x4.png"}
    files(folder, "a.png")
    assert outputs([folder], tmp_path, pattern, manifest) == {
        folder / "a.jpg": "a_x4.png",
        folder / "a.png": "a.png_x4.png",
    }


def test_several_folders_keep_their_names(tmp_path: Path):
    files(tmp_path, "p/a.png", "q/p/a.png", "c.png")
    given = [tmp_path / "p", tmp_path / "q/p", tmp_path / "c.png"]
    found = outputs(given, tmp_path / "out", NamePattern(None, X4, None))
    assert sorted(found.values()) == ["c_x4.png", "p-2/a_x4.png", "p/a_x4.png"]


def relatives(*inputs: Path | str, out: Path, **selection) -> tuple[set[str], dict[str, str]]:
    found = list(find(inputs, out, Selection(**selection), lambda _: False))
    skipped = {one.relative: one.skipped for one in found if one.skipped is not None}
    return {one.relative for one in found if one.skipped is None}, skipped


def test_what_is_no_picture_is_passed_over(tmp_path: Path):
    folder = files(
        tmp_path / "in",
        "a.png",
        "Thumbs.db",
        ".DS_Store",
        "a.xmp",
        "._a.png",
        "IMG.THM",
        ".h/a.png",
    )
    (folder / "plain").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "BMW.txt").write_bytes(b"BMW 2002")
    (folder / "raw.cr2").write_bytes(b"")
    (folder / "link").symlink_to(folder, target_is_directory=True)
    taken, skipped = relatives(folder, out=tmp_path / "out")
    assert taken == {"a.png", "plain", "raw.cr2"}
    assert skipped == {
        "Thumbs.db": "no picture",
        ".DS_Store": "hidden",
        "a.xmp": "no picture",
        "._a.png": "hidden",
        "IMG.THM": "no picture",
        ".h": "hidden",
        "BMW.txt": "no picture",
        "link": "a link to a folder",
    }


def test_include_and_exclude(tmp_path: Path):
    folder = files(tmp_path / "in", "a.png", "b.TIF", "thumbs/a.png", "x/y/b.tif", "x/z/c.tif")
    out = tmp_path / "out"
    assert relatives(folder, out=out, include=("*.tif",))[0] == {"b.TIF", "x/y/b.tif", "x/z/c.tif"}
    assert relatives(folder, out=out, exclude=("thumbs", "x/y"))[0] == {
        "a.png",
        "b.TIF",
        "x/z/c.tif",
    }
    assert relatives(folder, out=out, include=("x/*",), exclude=("c.*",))[0] == {"x/y/b.tif"}


def test_patterns_are_mirrored_from_their_fixed_part(tmp_path: Path):
    folder = files(tmp_path / "in", "a/1.png", "b/c/2.png", "b/3.txt")
    out = tmp_path / "out"
    assert relatives(f"{folder}/**/*.png", out=out)[0] == {"a/1.png", "b/c/2.png"}
    assert relatives(f"{folder}/b*", out=out)[0] == {"b/c/2.png"}
    with pytest.raises(InputError, match="nothing matches"):
        relatives(f"{folder}/*.bmp", out=out)


def test_the_output_folder_is_not_looked_into(tmp_path: Path):
    folder = files(tmp_path / "in", "a.png", "out/a_x4.png")
    assert relatives(folder, out=folder / "out")[0] == {"a.png"}
    with pytest.raises(UsageError, match="output folder"):
        relatives(folder, out=folder)


def test_outputs_beside_the_inputs_are_not_taken_for_inputs(tmp_path: Path):
    folder = files(tmp_path, "in/a.png", "in/a_x4.png")
    found = find([folder / "in"], tmp_path, Selection(), lambda name: name == "in/a_x4.png")
    assert [one.relative for one in found] == ["a.png"]


def test_inputs_that_are_missing(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        relatives(tmp_path / "missing.png", out=tmp_path)
    with pytest.raises(UsageError, match="no inputs"):
        relatives(out=tmp_path)
