"""`vdsr upscale IN... OUT_FOLDER` and `vdsr status`, as they are typed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips
import typer

from mixed_folder import identities, start, tree
from networks import small_network
from ray_cluster import KILLER
from vdsr import read_image
from vdsr.cli.main import app
from vdsr.jobs.manifest import MANIFEST
from vdsr.jobs.settings import JobSettings

PATIENCE = 120  # seconds, for what takes one or two


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(small_network().data)
    return path


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        assert "Traceback" not in self.err
        return [line for line in self.err.splitlines() if line.startswith("vdsr: error: ")]


Command = Callable[..., Done]


@pytest.fixture
def vdsr(model: Path) -> Command:
    """`vdsr upscale` by 2 with a small network, in a process of its own."""

    def run(
        *arguments: str | Path, scale: bool = True, cwd: Path | None = None, **environment: str
    ) -> Done:
        size = ("-s", "2") if scale else ()
        process = start(
            *("upscale", "-m", model, *size, *arguments),
            env={**os.environ, **environment},
            cwd=cwd,
        )
        out, err = process.communicate(timeout=PATIENCE)
        return Done(process.returncode, out, err)

    return run


def picture(path: Path, *, width: int = 9, height: int = 7, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    pyvips.Image.new_from_array(pixels).write_to_file(str(path))
    return path


def album(folder: Path) -> Path:
    for i, name in enumerate(("a.png", "b.jpg", "sub/c.webp", "sub/deeper/d.tif")):
        picture(folder / name, seed=i)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_tree_is_mirrored_and_done_once(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    done = vdsr(folder, out)
    assert (done.code, done.errors) == (0, [])
    assert "5 inputs: 4 done, 1 skipped (1 no picture); 4 made now" in done.out
    assert set(tree(out)) == {
        "a_x2.png",
        "b_x2.jpg",
        "sub/c_x2.webp",
        "sub/deeper/d_x2.tif",
    }
    before = identities(out)
    done = vdsr(folder, out)
    assert (done.code, "made now" in done.out) == (0, False)
    assert identities(out) == before


def test_what_is_missing_or_changed_is_done_again(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    vdsr(folder, out)
    before = identities(out)
    (out / "a_x2.png").unlink()
    picture(folder / "sub/c.webp", width=30)
    os.utime(folder / "b.jpg")  # touched, and the same
    picture(folder / "new.png")
    done = vdsr(folder, out)
    assert (done.code, "3 made now" in done.out) == (0, True), done.out
    after = identities(out)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"a_x2.png", "sub/c_x2.webp", "new_x2.png"}


def test_files_folders_and_patterns_at_once(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    single = picture(tmp_path / "single.png")
    done = vdsr(single, folder / "sub", f"{folder}/*.jpg", out, "--format", "png")
    assert done.code == 0, done.err
    assert set(tree(out)) == {
        "single_x2.png",
        "sub/c_x2.png",
        "sub/deeper/d_x2.png",
        "b_x2.png",
    }


def test_one_file_goes_into_a_folder_that_is_there_or_ends_with_a_slash(
    vdsr: Command, tmp_path: Path
):
    file = picture(tmp_path / "a.png")
    assert vdsr(file, f"{tmp_path}/new/").code == 0
    (tmp_path / "old").mkdir()
    assert vdsr(file, tmp_path / "old").code == 0
    assert tree(tmp_path / "new") == tree(tmp_path / "old")
    assert set(tree(tmp_path / "new")) == {"a_x2.png"}


def test_settings_that_changed_are_named_and_need_redo(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    vdsr(folder, out)
    done = vdsr(folder, out, "-s", "3", "--format", "png", scale=False)
    assert done.code == 2
    assert "scale was 2, and is 3; format was not given, and is png" in done.errors[0]
    assert "--redo" in done.errors[0]
    done = vdsr(folder, out, "-s", "3", "--format", "png", "--redo", scale=False)
    assert (done.code, "4 made now" in done.out) == (0, True)
    assert {"a_x3.png", "b_x3.png"} < set(tree(out))


def test_broken_pictures_are_named_and_the_others_done(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "empty.jpg").touch()
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    done = vdsr(folder, out, "--json", tmp_path / "report.json")
    assert done.code == 1
    for name, word in (("cut.png", "cut short"), ("empty.jpg", "empty"), ("gone.png", "no such")):
        (line,) = [line for line in done.errors if f"{folder / name}: " in line]
        assert word in line
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["inputs"], report["done"], report["skipped"], report["failed"]) == (8, 4, 1, 3)
    assert {Path(one["input"]).name for one in report["failures"]} == {
        "cut.png",
        "empty.jpg",
        "gone.png",
    }
    assert sum(one["state"] == "done" for one in report["pictures"]) == 4
    # Mended, it is done by the same command.
    shutil.copy(folder / "a.png", folder / "empty.jpg")
    (folder / "cut.png").unlink()
    (folder / "gone.png").unlink()
    assert vdsr(folder, out).code == 0


def test_what_is_there_already_stays(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "a_x2.png").write_bytes(b"mine")
    done = vdsr(folder, out)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "exists already: --overwrite replaces it" in done.errors[0]
    assert (out / "a_x2.png").read_bytes() == b"mine"
    done = vdsr(folder, out, "--overwrite")
    assert (done.code, "1 made now" in done.out) == (0, True)
    assert (out / "a_x2.png").read_bytes() != b"mine"


def test_an_output_that_was_altered_is_an_error_and_stays(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    vdsr(folder, out)
    (out / "a_x2.png").write_bytes(b"retouched")
    done = vdsr(folder, out)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "altered since it was made" in done.errors[0]
    assert (out / "a_x2.png").read_bytes() == b"retouched"
    picture(folder / "a.png", width=20)  # not even for a picture that has changed
    done = vdsr(folder, out)
    assert (done.code, len(done.errors)) == (1, 1)
    assert (out / "a_x2.png").read_bytes() == b"retouched"
    assert vdsr(folder, out, "--overwrite").code == 0


def test_status(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    (folder / "empty.jpg").touch()
    vdsr(folder, out)
    process = start("status", out)
    printed, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "6 inputs: 4 done, 1 skipped (1 no picture), 1 failed" in printed
    assert f"{folder / 'empty.jpg'}: the file is empty" in err
    process = start("status", out, "--json")
    content = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert content["settings"]["scale"] == 2.0
    assert content["model"].startswith("test")
    assert (content["done"], content["failed"], content["workers"]) == (4, 1, [])
    process = start("status", tmp_path / "in")
    assert "no job has run there" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1


def test_a_dry_run_says_what_where_how_long_and_writes_nothing(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    done = vdsr(folder, out, "--dry-run")
    assert (done.code, out.exists()) == (0, False)
    assert f"{folder}/sub/c.webp -> {out}/sub/c_x2.webp" in done.out
    assert "4 to do: " in done.out
    assert "is free" in done.out
    vdsr(folder, out)
    picture(folder / "new.png")
    before = identities(out)
    done = vdsr(folder, out, "--dry-run", "--json")
    content = json.loads(done.out)
    assert [Path(one["output"]).name for one in content["pictures"]] == ["new_x2.png"]
    assert content["estimate"]["pictures"] == 1
    assert content["estimate"]["seconds"] > 0
    assert content["estimate"]["disk"] > 0
    assert content["estimate"]["meanwhile"] == 0
    assert identities(out) == before


def test_a_dry_run_counts_what_is_on_the_disk_meanwhile(vdsr: Command, tmp_path: Path):
    """Finished strips, and the steps of back-projection, of as many as are in progress."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(5):
        picture(folder / f"{i}.png")
    small = read_image(folder / "0.png").size

    def meanwhile(*options: str) -> int:
        done = vdsr(folder, out, "-s", "2", "--threads", "1", "--dry-run", "--json", *options)
        found: int = json.loads(done.out)["estimate"]["meanwhile"]
        return found

    assert meanwhile() == 0
    assert meanwhile("--resume") == 4 * 4 * small
    assert meanwhile("--consistent") == 4 * 4 * (3 * 4 + 1) * small
    assert meanwhile("--consistent", "--resume") == 4 * 4 * (4 * 4 + 1) * small
    text = vdsr(folder, out, "-s", "2", "--threads", "1", "--dry-run", "--resume").out
    assert " more meanwhile; " in text


def test_a_job_that_cannot_begin_leaves_no_trace(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    done = vdsr(folder, out, "-m", "nothing")
    assert (done.code, out.exists()) == (2, False)
    done = vdsr(folder, tmp_path / "missing.png", out)
    assert (done.code, "no such file" in done.errors[0], out.exists()) == (1, True, False)
    assert vdsr(folder, out).code == 0


def test_nothing_found_is_an_error(vdsr: Command, tmp_path: Path):
    (tmp_path / "in").mkdir()
    done = vdsr(tmp_path / "in", tmp_path / "out")
    assert (done.code, "no pictures were found" in done.errors[0]) == (1, True)
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    done = vdsr(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "a.png")
    assert (done.code, "OUT_FOLDER" in done.errors[0]) == (2, True)


# Lets no file be finished while there is a file of this name.
FULL = """
import errno, os
fsync = os.fsync
def full(file):
    if os.path.exists(os.environ["FULL"]):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return fsync(file)
os.fsync = full
"""


def customised(folder: Path, code: str) -> dict[str, str]:
    """An environment in which Python runs this code first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    known = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), known)))}


def test_a_picture_that_kills_its_process_is_quarantined(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    picture(folder / "killer.png")
    environment = customised(tmp_path / "site", KILLER)
    done = vdsr(folder, out, **environment)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "killer.png: in quarantine" in done.errors[0]
    assert "SIGKILL twice" in done.errors[0]
    assert "--retry-failed" in done.errors[0]
    assert "4 done" in done.out
    start_of_second = identities(out)
    done = vdsr(folder, out)
    assert (done.code, identities(out)) == (1, start_of_second)
    assert vdsr(folder, out, "--retry-failed").code == 0
    assert "killer_x2.png" in tree(out)


def test_a_full_disk_stops_cleanly_and_goes_on_later(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    environment = customised(tmp_path / "site", FULL)
    vdsr(picture(folder / "b.jpg"), out / "one", FULL=str(tmp_path / "no"), **environment)
    (tmp_path / "full").touch()
    done = vdsr(folder, out, FULL=str(tmp_path / "full"), **environment)
    assert done.code == 1
    (line,) = done.errors
    assert "the disk is full: 4 pictures are left" in line
    assert "is free" in line
    assert "4 left" in done.out
    (tmp_path / "full").unlink()
    done = vdsr(folder, out, FULL=str(tmp_path / "full"), **environment)
    assert (done.code, done.errors, "4 made now" in done.out) == (0, [], True)
    assert not [path for path in out.rglob(".vdsr*") if path.name != MANIFEST]


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="this system cannot pause a process")
def test_pausing_costs_nothing(tmp_path: Path, model: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for i in range(60):
        picture(folder / f"{i}.png", width=120, height=90, seed=i)
    process = start("upscale", folder, out, "-s", "2", "-m", model)
    wait(lambda: len(list(out.glob("*.png"))) >= 3)
    process.send_signal(signal.SIGTSTP)
    wait(lambda: stopped(process.pid))
    time.sleep(0.3)  # what was finished is put in its place
    before = identities(out)
    time.sleep(0.5)
    assert identities(out) == before
    process.send_signal(signal.SIGCONT)
    printed, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "60 done" in printed) == (0, True), err
    assert {name: identities(out)[name] for name in before} == before


def stopped(pid: int) -> bool:
    if sys.platform != "linux":
        time.sleep(1)
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_interrupting_says_what_strips_are_kept(tmp_path: Path, model: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    picture(folder / "a.png", width=1500, height=1200)
    command = ("upscale", folder, out, "-s", "2", "-m", model, "--resume", "--tile", "64")
    process = start(*command, "--threads", "1", "--max-memory", "64MiB")
    wait(lambda: len(list(out.glob(".vdsr-*.strips/*.raw"))) >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "0 done, 1 left, finished strips of 1 are kept beside their outputs (" in err
    assert "the same command goes on" in err


def test_interrupting_leaves_nothing_half_done_and_no_suspicion(tmp_path: Path, model: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for i in range(60):
        picture(folder / f"{i}.png", width=120, height=90, seed=i)
    process = start("upscale", folder, out, "-s", "2", "-m", model)
    wait(lambda: len(list(out.glob("*.png"))) >= 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    said = re.search(r"vdsr: interrupted: (\d+) done, (\d+) left: the same command goes on", err)
    assert said is not None
    # Those that are in their place, and not written down yet, are left, too.
    assert 0 < int(said[1]) <= len(list(out.glob("*.png")))
    assert int(said[1]) + int(said[2]) == 60
    assert not [path for path in out.rglob(".vdsr*") if path.name != MANIFEST]
    with sqlite3.connect(out / MANIFEST) as db:
        count = "SELECT count(*) FROM pictures WHERE crashes > 0 OR state = 'working'"
        assert db.execute(count).fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM workers").fetchone() == (0,)
    db.close()


def test_watching_takes_what_comes(tmp_path: Path, model: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    process = start("upscale", folder, out, "-s", "2", "-m", model, "--watch", "--quiet")
    wait((out / MANIFEST).exists)
    picture(folder / "late.png")
    wait((out / "late_x2.png").exists)
    picture(folder / "later.png")
    wait((out / "later_x2.png").exists)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[0] == ""
    assert process.returncode == 130


def test_a_large_picture_among_others_gets_all_the_memory(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    picture(folder / "large.png", width=3000, height=40)
    done = vdsr(folder, out, "--max-memory", "64MiB", "--threads", "2")
    assert (done.code, done.errors) == (0, [])
    assert "5 done" in done.out


def test_residuals_and_comparisons_are_made_beside(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    options = ("--residual", tmp_path / "added", "--compare", tmp_path / "pages")
    done = vdsr(folder, out, *options)
    assert (done.code, done.errors) == (0, [])
    assert set(tree(tmp_path / "added")) == {f"{name}.residual.png" for name in tree(out)}
    pages = {f"{name}.html" for name in tree(out)}
    assert set(tree(tmp_path / "pages")) == {*pages, "index.html"}
    index = (tmp_path / "pages/index.html").read_text("utf-8")
    assert set(re.findall(r'<figure><a href="([^"]+)"><img src="data:image/jpeg', index)) == pages
    assert index.count("shrunk again") == len(pages)
    single = ("--residual", tmp_path / "one.png", "--compare", tmp_path / "one.html")
    assert vdsr(folder / "a.png", tmp_path / "a_x2.png", *single).code == 0
    added = tree(tmp_path / "added")["a_x2.png.residual.png"]
    assert tree(tmp_path)["one.png"] == added
    assert tree(tmp_path)["one.html"] == tree(tmp_path / "pages")["a_x2.png.html"]


def test_pages(vdsr: Command, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    pages = [
        pyvips.Image.new_from_file(str(picture(tmp_path / f"{i}.png", seed=i))) for i in (1, 2)
    ]
    joined = pages[0].join(pages[1], "vertical").copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", pages[0].height)
    joined.tiffsave(str(folder / "two.tif"))
    for options in (("--page", "2"), ("--pages", "all")):
        done = vdsr(folder, tmp_path / options[1], *options)
        assert (done.code, done.errors) == (0, [])
        assert vdsr(folder / "two.tif", tmp_path / "one.tif", *options, "--overwrite").code == 0
        made = tmp_path / options[1] / "two_x2.tif"
        assert made.read_bytes() == (tmp_path / "one.tif").read_bytes()


def test_previews_are_no_obstacle_to_the_pictures(vdsr: Command, tmp_path: Path):
    folder, out = album(tmp_path / "in"), tmp_path / "out"
    done = vdsr(folder, out, "--preview")
    assert (done.code, done.errors) == (0, [])
    assert set(tree(out)) == {
        "a_x2.preview.png",
        "b_x2.preview.jpg",
        "sub/c_x2.preview.webp",
        "sub/deeper/d_x2.preview.tif",
    }
    assert vdsr(folder / "a.png", tmp_path / "a.png", "--preview").code == 0
    assert (tmp_path / "a.preview.png").read_bytes() == (out / "a_x2.preview.png").read_bytes()
    again = vdsr(folder, out)
    assert (again.code, again.errors) == (0, [])
    assert {"a_x2.png", "a_x2.preview.png"} < set(tree(out))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--scale", "1.5"), "a_x1.5.png"),
        (("--width", "18"), "a_18w.png"),
        (("--height", "21"), "a_21h.png"),
        (("--width", "20", "--height", "21"), "a_20x21.png"),
        (("--fit", "30x30"), "a_fit30x30.png"),
        (("--restore",), "a_restored.png"),
        (("--scale", "2", "--consistent"), "a_x2.png"),
        (("--scale", "2", "--ensemble"), "a_x2.png"),
        (("--format", "avif"), "a_x4.avif"),
        (("--format", "jpeg", "--quality", "70"), "a_x4.jpg"),
        (("--tile", "16", "--threads", "1"), "a_x4.png"),
        (("--format", "tiff", "--compression", "lzw", "--tiled"), "a_x4.tif"),
        (("--format", "tiff", "--compression", "jpeg", "--quality", "80"), "a_x4.tif"),
        (("--format", "tiff", "--pyramid"), "a_x4.tif"),
        (("--format", "dz", "--quality", "80"), "a_x4.szi"),
        (("--backend", "openvino", "--precision", "fp32"), "a_x4.png"),
        (("--max-memory", "1GiB", "--quiet"), "a_x4.png"),
        (("--name", "{stem}-{scale}"), "a-4.png"),
    ],
)
def test_every_option_of_a_picture_does_the_same_in_a_folder(
    vdsr: Command, tmp_path: Path, options: tuple[str, ...], expected: str
):
    file = picture(tmp_path / "in/a.png")
    done = vdsr(file.parent, tmp_path / "out", *options, scale=False)
    assert (done.code, done.errors) == (0, [])
    assert set(tree(tmp_path / "out")) == {expected}
    if "--name" in options:
        return
    single = tmp_path / f"single{Path(expected).suffix}"
    assert vdsr(file, single, *options, scale=False).code == 0
    assert single.read_bytes() == (tmp_path / "out" / expected).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("a.png", "out/", "--in-place"), "--in-place is for one"),
        (("-", "out/"), "from or to a pipe"),
        (("a.png", "b.png", "--cluster", "local"), "--cluster is for many"),
        (("a.png", "out/", "--actor-cpus", "2"), "name it: --cluster"),
        (("a.png", "out/", "--cluster", "nowhere"), "not the address of a cluster"),
        (("a.png", "out/", "--cluster", "local", "--actor-cpus", "0"), "at least 1 CPU"),
        (("a.png", "out/", "--cluster", "local", "--actor-gpus", "1.5"), "a part of a GPU"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(
    vdsr: Command, tmp_path: Path, arguments: tuple[str, ...], word: str
):
    done = vdsr(*arguments, cwd=tmp_path)
    assert (done.code, word in done.errors[0]) == (2, True)
    assert not (tmp_path / "out").exists()


# By the tests above: `options`, and those that have a test of their own.
TRIED = {"scale", "width", "height", "fit", "restore", "format", "quality", "tile", "threads"}
TRIED |= {"backend", "precision", "max_memory", "quiet", "name", "model", "residual", "compare"}
TRIED |= {
    "consistent",
    "ensemble",
    "compression",
    "tiled",
    "pyramid",
    "preview",
    "page",
    "pages",
    "overwrite",
    "json",
    "in_place",
    "redo",
    "retry_failed",
    "dry_run",
    "watch",
}
# By unit tests, and by what the command does anyway.
TRIED |= {"include", "exclude", "resume", "inputs", "output"}
# By the tests of clusters.
TRIED |= {"cluster", "actor_cpus", "actor_gpus"}


def test_every_option_of_the_command_is_tried():
    """A new option of a picture must work in a folder, too, and come into a test above."""
    command = typer.main.get_command(app).commands["upscale"]  # type: ignore[attr-defined]
    assert {one.name for one in command.params} - {"help"} == TRIED
    assert set(JobSettings.__dataclass_fields__) <= TRIED
