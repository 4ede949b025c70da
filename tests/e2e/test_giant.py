"""Giant pictures: strips that are kept and taken up, layouts of TIFF, Deep Zoom."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import BinaryIO, cast

import numpy as np
import pytest
import pyvips
from PIL import Image

from mixed_folder import start, tree
from networks import small_network
from vdsr import Upscaler, psnr, read_image
from vdsr.errors import OutOfMemory, OutputError, OutputExists, UsageError
from vdsr.imaging.files import PixelLayout
from vdsr.imaging.files.storage import Storage
from vdsr.inference import strips
from vdsr.inference.memory import MIB
from vdsr.jobs.enlarger import Enlarger
from vdsr.jobs.picture import Outcome, Task
from vdsr.unfinished import claim

PATIENCE = 120  # seconds, for what takes one or two
TILE = 24  # a few strips of a small picture


class _Interrupted(Exception):
    pass


class _After:
    """Progress that ends the work after so many tiles."""

    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def __call__(self, _: object) -> None:
        self.tiles -= 1
        if self.tiles < 0:
            raise _Interrupted


@pytest.fixture(scope="module")
def upscaler() -> Iterator[Upscaler]:
    with Upscaler(small_network(), tile=TILE, max_memory=256 * MIB, threads=1) as one:
        yield one


@pytest.fixture(scope="module")
def plain() -> Iterator[Upscaler]:
    """As above, without the many tiles."""
    with Upscaler(small_network(), threads=1) as one:
        yield one


def picture(path: Path, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> Path:
    values = np.random.default_rng(seed).random((61, 47, bands))
    peak = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    pixels = (values * peak).astype(dtype)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    kind = {("uint8", 3): "srgb", ("uint16", 4): "rgb16", ("float32", 1): "b-w"}[dtype, bands]
    image.copy(interpretation=kind).tiffsave(str(path), tile=True, tile_width=16, tile_height=16)
    return path


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob(".vdsr-*.strips"))


def interrupt(upscaler: Upscaler, source: Path, goal: Path, tiles: int, **options) -> None:
    with suppress(_Interrupted):
        upscaler.upscale(source, goal, resume=True, progress=_After(tiles), **options)
        pytest.fail("it was not interrupted")


@pytest.mark.parametrize(
    ("bands", "dtype", "suffix", "options"),
    [
        (3, "uint8", "tif", {"pyramid": True, "compression": "lzw"}),
        (3, "uint8", "jpg", {}),
        (3, "uint8", "szi", {}),
        (4, "uint16", "png", {}),
        (1, "float32", "tif", {"compression": "none", "tiled": True}),
        (3, "uint8", "png", {"scale": 5}),
    ],
)
def test_the_bytes_are_those_of_an_unbroken_run(
    upscaler: Upscaler, tmp_path: Path, bands: int, dtype: str, suffix: str, options
):
    source = picture(tmp_path / "in.tif", bands, dtype)
    options = {"scale": 3, **options}
    whole = tmp_path / f"whole.{suffix}"
    totals: list[int] = []
    upscaler.upscale(source, whole, progress=lambda p: totals.append(p.total), **options)
    goal = tmp_path / f"goal.{suffix}"
    for _ in range(3):
        tiles = 60 if options["scale"] > 4 else 12  # two passes begin with the first
        interrupt(upscaler, source, goal, tiles, **options)
        assert not goal.exists()
        assert len(kept(tmp_path)) == 1
    counts: list[tuple[int, int]] = []
    upscaler.upscale(
        source,
        goal,
        resume=True,
        progress=lambda p: counts.append((p.done, p.total)),
        **options,
    )
    assert goal.read_bytes() == whole.read_bytes()
    # Only what was missing was done, and was known to be all.
    assert counts[-1][0] == counts[-1][1] < totals[-1]
    assert kept(tmp_path) == []


def test_a_picture_whose_strips_are_all_there_needs_no_network(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.png"
    with monkeypatch.context() as patch:
        patch.setattr("vdsr.outputs.Part.commit", _fail)
        with pytest.raises(_Interrupted):
            upscaler.upscale(source, goal, scale=3, resume=True)
    assert not goal.exists()
    upscaler.upscale(source, goal, scale=3, resume=True, progress=_After(0))
    upscaler.upscale(source, tmp_path / "whole.png", scale=3)
    assert goal.read_bytes() == (tmp_path / "whole.png").read_bytes()


def _fail(*_: object) -> None:
    raise _Interrupted


def test_what_is_made_beside_sees_the_whole(upscaler: Upscaler, tmp_path: Path):
    source = picture(tmp_path / "in.tif")
    options = {"scale": 3, "residual": tmp_path / "added.png"}
    interrupt(upscaler, source, tmp_path / "a.png", 20, **options)
    upscaler.upscale(source, tmp_path / "a.png", resume=True, **options)
    first = (tmp_path / "added.png").read_bytes()
    upscaler.upscale(source, tmp_path / "b.png", overwrite=True, **options)
    assert (tmp_path / "added.png").read_bytes() == first
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_strips_of_another_picture_are_not_taken(upscaler: Upscaler, tmp_path: Path):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.png"
    interrupt(upscaler, source, goal, 20, scale=3)
    picture(source, seed=1)
    upscaler.upscale(source, goal, scale=3, resume=True)
    upscaler.upscale(source, tmp_path / "whole.png", scale=3)
    assert goal.read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.parametrize("damage", ["changed", "short", "gone", "manifest"])
def test_what_is_damaged_is_made_again(upscaler: Upscaler, tmp_path: Path, damage: str):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.png"
    interrupt(upscaler, source, goal, 20, scale=3)
    (folder,) = kept(tmp_path)
    strip, manifest = folder / "000001.raw", folder / "manifest.jsonl"
    match damage:
        case "changed":
            strip.write_bytes(bytes(strip.stat().st_size))
        case "short":
            strip.write_bytes(strip.read_bytes()[:-1])
        case "gone":
            strip.unlink()
        case "manifest":
            manifest.write_bytes(manifest.read_bytes()[:-30])
    upscaler.upscale(source, goal, scale=3, resume=True)
    upscaler.upscale(source, tmp_path / "whole.png", scale=3)
    assert goal.read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_less_memory_is_refused_and_loses_nothing(upscaler: Upscaler, tmp_path: Path):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.png"
    interrupt(upscaler, source, goal, 20, scale=3)
    before = tree(tmp_path)
    with (
        Upscaler(small_network(), tile=TILE, max_memory=128 * MIB, threads=1) as small,
        pytest.raises(OutOfMemory, match="begun within 256 MiB of memory, and 128 MiB may be used"),
    ):
        small.upscale(source, goal, scale=3, resume=True)
    assert tree(tmp_path) == before


def test_two_at_once_do_not_meet(upscaler: Upscaler, tmp_path: Path):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.png"
    interrupt(upscaler, source, goal, 20, scale=3)
    (folder,) = kept(tmp_path)
    other = claim(folder / "owner")
    assert other is not None
    with pytest.raises(OutputError, match="another process is at work on it"):
        upscaler.upscale(source, goal, scale=3, resume=True)
    other.close()
    upscaler.upscale(source, goal, scale=3, resume=True)


@dataclass
class Pair:
    """A picture in the hands of one, and another who may help with it."""

    owner: Enlarger
    helper: Enlarger
    task: Task
    tiles: int = 0  # that the owner has made

    def do(self, helped: Callable[[int], None], *, tiles: int = 1) -> Outcome:
        """Have the helper help when the owner has made so many tiles; told how many strips."""

        def progress(_: object) -> None:
            self.tiles += 1
            if self.tiles == tiles:
                helped(self.helper.help(self.task))

        self.tiles = 0
        return self.owner.do(self.task, progress)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    order = {"model": small_network(), "tile": TILE, "max_memory": 256 * MIB, "threads": 1}
    owner, helper = Enlarger(order), Enlarger(order)
    task = Task(
        id=1,
        source=str(picture(tmp_path / "in.tif")),
        made=str(tmp_path / "made.png"),
        goal=str(tmp_path / "goal.png"),
        options={"scale": 3, "resume": True},
        beside={},
        preview=False,
        memory=None,
        known=None,
    )
    return Pair(owner, helper, task)


@pytest.mark.parametrize("scale", [3, 6])
def test_others_help_with_a_picture(pair: Pair, upscaler: Upscaler, tmp_path: Path, scale: int):
    pair.task.options["scale"] = scale
    upscaler.upscale(tmp_path / "in.tif", tmp_path / "whole.png", scale=scale)
    whole = (tmp_path / "whole.png").read_bytes()
    counts: list[int] = []
    assert pair.helper.help(pair.task) == 0  # nobody is at work on it
    assert pair.do(lambda _: None, tiles=0).state == "done"
    alone = pair.tiles
    (tmp_path / "made.png").unlink()
    assert pair.do(counts.append).state == "done"
    assert (tmp_path / "made.png").read_bytes() == whole
    # All strips but the one in the owner's hands; of those the owner only says that they are.
    assert counts[0] > 1
    assert pair.tiles <= alone / 2 + counts[0]
    assert kept(tmp_path) == []
    assert pair.helper.help(pair.task) == 0


def test_help_outlives_who_was_helped(pair: Pair, upscaler: Upscaler, tmp_path: Path):
    upscaler.upscale(tmp_path / "in.tif", tmp_path / "whole.png", scale=3)

    def died(strips: int) -> None:
        assert strips
        raise _Interrupted

    assert pair.do(died, tiles=2).state == "failed"
    (folder,) = kept(tmp_path)
    made = sorted(folder.glob("*.made"))
    assert made
    made[1].write_bytes(bytes(made[1].stat().st_size))  # damaged meanwhile
    pair.do(lambda _: None, tiles=0)
    assert (tmp_path / "made.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    columns = -(-47 * 3 // TILE)
    # The strip that was begun and the damaged one; of the others it only says that they are.
    assert pair.tiles <= 2 * columns + len(made) - 1


def test_help_for_another_plan_is_not_taken(pair: Pair, upscaler: Upscaler, tmp_path: Path):
    """The picture changes, and is begun again, while somebody helps with the old one."""
    picture(tmp_path / "new.tif", seed=1)
    upscaler.upscale(tmp_path / "new.tif", tmp_path / "whole.png", scale=3)

    def changed(strips: int) -> None:
        assert strips
        (tmp_path / "new.tif").replace(tmp_path / "in.tif")
        raise _Interrupted

    assert pair.do(changed).state == "failed"
    assert pair.helper.help(pair.task) == 0  # what is there is of the old one
    assert pair.do(lambda _: None).state == "done"
    assert (tmp_path / "made.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_strip_is_made_again_if_its_maker_dies(pair: Pair, upscaler: Upscaler, tmp_path: Path):
    upscaler.upscale(tmp_path / "in.tif", tmp_path / "whole.png", scale=3)
    locks: list[BinaryIO] = []

    def taken(_: int) -> None:
        (folder,) = kept(tmp_path)
        (mine,) = folder.glob("*.lock")
        number, mark, _ = mine.name.split(".")
        lock = claim(folder / f"{int(number) + 1:06}.{mark}.lock")
        assert lock is not None
        locks.append(lock)
        Timer(0.5, lock.close).start()

    pair.helper = cast("Enlarger", SimpleNamespace(help=lambda _: 1))
    assert pair.do(taken).state == "done"
    assert locks
    assert (tmp_path / "made.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_too_little_disk_is_said_before_the_work(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.tif"
    usage = SimpleNamespace(free=50_000)
    monkeypatch.setattr(strips.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"it needs about .* of disk.* are free: free some space"):
        upscaler.upscale(source, goal, scale=3, resume=True, progress=_After(0))
    assert tree(tmp_path).keys() == {"in.tif"}
    # Both the strips and the file: 183 x 141 px of 3 bytes, twice.
    usage.free = 2 * 183 * 141 * 3
    upscaler.upscale(source, goal, scale=3, resume=True, compression="none")


def test_only_files_can_be_resumed(upscaler: Upscaler, tmp_path: Path):
    source = picture(tmp_path / "in.tif")
    with pytest.raises(UsageError, match="resume is for picture files"):
        upscaler.upscale(source, io.BytesIO(), format="png", scale=2, resume=True)
    with pytest.raises(UsageError, match="resume is for picture files"):
        upscaler.upscale(np.zeros((4, 4), np.uint8), tmp_path / "a.png", scale=2, resume=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(small_network().data)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_large_picture_killed_and_resumed_stays_within_its_memory(model: Path, tmp_path: Path):
    source = tmp_path / "in.tif"
    tile = pyvips.Image.perlin(1500, 1500, cell_size=32).linear(100, 128).cast("uchar")
    image = tile.bandjoin([tile.rot90(), tile.invert()]).copy(interpretation="srgb")
    image.tiffsave(str(source), tile=True)
    goal = tmp_path / "out.tif"
    arguments = ("upscale", source, goal, "-s", "3", "-m", model, "--resume", "--json=-")
    arguments += ("--max-memory", "128MiB", "--compression", "none", "--pyramid", "--tile", "256")
    process = start(*arguments)
    try:
        _wait(lambda: len(list(tmp_path.glob(".vdsr-*.strips/*.raw"))) >= 5)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
    process = start(*arguments)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "strips are there already" in err
    # 61 MB of samples; the idle process takes some 100 MiB.
    assert json.loads(out)["peak_memory_bytes"] < 300 * MIB
    resumed = goal.read_bytes()
    goal.unlink()
    process = start(*arguments, "--no-resume")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert goal.read_bytes() == resumed
    assert kept(tmp_path) == []


def _wait(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_large_picture_in_a_folder_goes_on_too(model: Path, tmp_path: Path):
    source, out = tmp_path / "in/sub/a.tif", tmp_path / "out"
    source.parent.mkdir(parents=True)
    image = pyvips.Image.gaussnoise(400, 400).cast("uchar").copy(interpretation="b-w")
    image.tiffsave(str(source), tile=True)
    arguments = ("upscale", source.parents[1], out, "-s", "4", "-m", model)
    arguments += ("--tile", "64", "--resume", "--max-memory", "1GiB")
    process = start(*arguments)
    try:
        _wait(lambda: len(list(out.glob("sub/.vdsr-*.strips/*.raw"))) >= 5)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
    (folder,) = _settled(out / "sub")
    before = len((folder / "manifest.jsonl").read_text().splitlines())
    first = (folder / "000000.raw").stat()
    assert before >= 5
    process = start(*arguments)
    _wait(lambda: not kept(out / "sub") or _more(folder, before))
    if kept(out / "sub"):
        assert (folder / "000000.raw").stat().st_ino == first.st_ino
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert tree(out).keys() == {"sub/a_x4.tif"}
    single = tmp_path / "single.tif"
    process = start("upscale", source, single, "-s", "4", "-m", model, "--tile", "64")
    process.communicate(timeout=PATIENCE)
    assert (out / "sub/a_x4.tif").read_bytes() == single.read_bytes()


def _settled(folder: Path) -> list[Path]:
    """The kept strips, when the process that made them has ended, too."""
    (one,) = kept(folder)
    while (lock := claim(one / "owner")) is None:
        time.sleep(0.01)
    lock.close()
    return [one]


def _more(folder: Path, than: int) -> bool:
    with suppress(OSError):
        return len((folder / "manifest.jsonl").read_text().splitlines()) > than
    return False


# Layouts of TIFF.


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", None])
@pytest.mark.parametrize("options", [{}, {"tiled": True}, {"pyramid": True}])
def test_a_tiff_holds_the_same_however_it_is_laid_out(
    plain: Upscaler, tmp_path: Path, compression: str | None, options
):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.tif"
    expected = plain.upscale(read_image(source), scale=16)
    plain.upscale(source, goal, scale=16, compression=compression, **options)
    assert np.array_equal(read_image(goal), expected)
    sizes, tiled, names = _pages(goal)
    tall, wide = expected.shape[:2]
    assert tiled == bool(options)
    assert names == {{"none": 1, "lzw": 5, "deflate": 8, None: 8}[compression]}
    levels = [(wide, tall)]
    while "pyramid" in options and max(levels[-1]) > 256:
        levels.append((levels[-1][0] // 2, levels[-1][1] // 2))
    assert sizes == levels


def _pages(path: Path) -> tuple[list[tuple[int, int]], bool, set[int]]:
    """Sizes, whether the first page has tiles, compressions: as Pillow finds them."""
    with Image.open(path) as image:
        tiled, sizes, found = 322 in image.tag_v2, [], set()
        for i in range(image.n_frames):
            image.seek(i)
            sizes.append(image.size)
            found.add(image.tag_v2[259])
    return sizes, tiled, found


def test_jpeg_in_tiff_is_near_and_follows_the_quality(plain: Upscaler, tmp_path: Path):
    source = tmp_path / "in.tif"
    tone = pyvips.Image.perlin(64, 48, cell_size=16).linear(100, 128).cast("uchar")
    tone.bandjoin([tone, tone]).copy(interpretation="srgb").tiffsave(str(source))
    expected = plain.upscale(read_image(source), scale=4)
    sizes = []
    for quality in (None, 50):
        goal = tmp_path / f"{quality}.tif"
        plain.upscale(source, goal, scale=4, compression="jpeg", quality=quality)
        sizes.append(goal.stat().st_size)
        if quality is None:
            assert psnr(read_image(goal), expected, data_range=255, border=0) > 40
        assert _pages(goal)[2] == {7}
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ((3, "uint8"), {"format": "png", "tiled": True}, "are for tiff, not png"),
        ((3, "uint8"), {"compression": "zip"}, "unknown compression 'zip'"),
        ((3, "uint8"), {"compression": "lzw", "quality": 80}, "lossless"),
        ((4, "uint16"), {"compression": "jpeg"}, "8 bits without alpha"),
    ],
)
def test_what_cannot_be_stored_so_is_refused(
    plain: Upscaler, tmp_path: Path, kind, options, words: str
):
    source = picture(tmp_path / "in.tif", *kind)
    with pytest.raises(UsageError, match=words):
        plain.upscale(source, tmp_path / "out.tif", scale=2, **options)
    assert tree(tmp_path).keys() == {"in.tif"}


def test_giants_are_tiled_and_big():
    def options(side: int, **storage) -> dict:
        layout = PixelLayout(width=side, height=side, bands=3, dtype="uint8")
        return Storage(**storage).options(layout, None)

    giant = options(30_000)
    assert (giant["tile"], giant["compression"], giant["bigtiff"]) == (True, "lzw", False)
    assert options(32_000)["bigtiff"]  # LZW can make noise longer
    assert not options(30_000, compression="none")["bigtiff"]
    assert options(35_000, compression="none", pyramid=True)["bigtiff"]
    assert "tile" not in options(9_999)
    assert options(30_000, compression="jpeg") == {
        "compression": "jpeg",
        "Q": 95,
        "tile": True,
        "tile_width": 256,
        "tile_height": 256,
        "bigtiff": False,
    }


# Deep Zoom.


def _assembled(read, levels: list[str], width: int, height: int) -> np.ndarray:
    """The largest level, put together from its tiles of 254 px with 1 px around."""
    whole = np.zeros((height, width, 3), np.uint8)
    for left in range(0, width, 254):
        for top in range(0, height, 254):
            tile = np.asarray(Image.open(read(f"{levels[-1]}/{left // 254}_{top // 254}.jpg")))
            tile = tile[bool(top) :, bool(left) :]
            part = whole[top : top + 254, left : left + 254]
            part[:] = tile[: part.shape[0], : part.shape[1]]
    return whole


@pytest.mark.parametrize("suffix", [".dzi", ".szi"])
def test_deep_zoom_shows_the_picture_in_tiles(plain: Upscaler, tmp_path: Path, suffix: str):
    source, goal = tmp_path / "in.tif", tmp_path / f"out{suffix}"
    tone = pyvips.Image.perlin(90, 80, cell_size=16).linear(100, 128).cast("uchar")
    tone.bandjoin([tone.invert(), tone]).copy(interpretation="srgb").tiffsave(str(source))
    expected = plain.upscale(read_image(source), scale=8)
    result = plain.upscale(source, goal, scale=8, quality=95)
    assert (result.output, result.width, result.height) == (str(goal), 720, 640)
    if suffix == ".dzi":
        tiles, head = tmp_path / "out_files", goal.read_text()
        levels = sorted((one.name for one in tiles.iterdir()), key=int)

        def read(name: str) -> io.BytesIO:
            return io.BytesIO((tiles / name).read_bytes())
    else:
        archive = zipfile.ZipFile(io.BytesIO(goal.read_bytes()))
        head = archive.read("picture/picture.dzi").decode()
        prefix = "picture/picture_files/"
        names = [n.removeprefix(prefix) for n in archive.namelist() if n.startswith(prefix)]
        levels = sorted({name.split("/")[0] for name in names}, key=int)

        def read(name: str) -> io.BytesIO:
            return io.BytesIO(archive.read(prefix + name))

    assert 'Width="720"' in head
    assert 'TileSize="254"' in head
    assert levels == [str(i) for i in range(11)]  # 2^10 px are the first that hold 720
    assert psnr(_assembled(read, levels, 720, 640), expected, data_range=255, border=0) > 38


def test_deep_zoom_does_not_write_over_what_is_there(plain: Upscaler, tmp_path: Path):
    source, goal = picture(tmp_path / "in.tif"), tmp_path / "out.dzi"
    (tmp_path / "out_files").mkdir()
    (tmp_path / "out_files" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        plain.upscale(source, goal, scale=2)
    assert tree(tmp_path).keys() == {"in.tif", "out_files/mine.txt"}
    plain.upscale(source, goal, scale=2, overwrite=True)
    assert not (tmp_path / "out_files" / "mine.txt").exists()
    assert (tmp_path / "out_files/0/0_0.jpg").exists()


def test_deep_zoom_without_a_suffix_has_one(plain: Upscaler, tmp_path: Path):
    source = picture(tmp_path / "in.tif")
    result = plain.upscale(source, tmp_path / "out", scale=2, format="dz")
    assert result.output == str(tmp_path / "out.dzi")
    stream = io.BytesIO()
    plain.upscale(source, stream, scale=2, format="dz")
    assert "picture/picture.dzi" in zipfile.ZipFile(stream).namelist()


def test_deep_zoom_keeps_alpha(plain: Upscaler, tmp_path: Path):
    source = picture(tmp_path / "in.tif", 4, "uint16")
    plain.upscale(source, tmp_path / "out.dzi", scale=2)
    with Image.open(tmp_path / "out_files/0/0_0.png") as tile:
        assert tile.mode == "RGBA"


def test_a_folder_becomes_one_file_of_deep_zoom_each(model: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in/a.tif")
    shutil.copy(tmp_path / "in/a.tif", tmp_path / "in/b.tif")
    arguments = ("upscale", tmp_path / "in", tmp_path / "out", "-s", "2", "-m", model)
    process = start(*arguments, "--format", "dz")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert tree(tmp_path / "out").keys() == {"a_x2.szi", "b_x2.szi"}
    assert zipfile.is_zipfile(tmp_path / "out/a_x2.szi")
