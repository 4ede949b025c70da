"""Broken and hostile files, wrong usage, full disks: one clear line, and nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from picture_files import png_chunk, png_file, tiff_block
from vdsr.cli.main import main
from vdsr.inference import backends

try:
    import resource
except ImportError:  # Windows
    resource = None

needs_posix = pytest.mark.skipif(
    resource is None, reason="needs named pipes, rights, limits and signals of the POSIX kind"
)
NOBODY = 65534
AV1 = {"compression": "av1", "Q": 90}


@dataclass(frozen=True)
class Done:
    """What a command has left: exit code and what it printed."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The only error line, which is the last one."""
        assert "Traceback" not in self.err
        assert self.err.count("vdsr: error: ") == 1, self.err
        *before, last = self.err.splitlines()
        assert last.startswith("vdsr: error: ")
        assert not any("VIPS" in line or "warning" in line.lower() for line in before)
        return last


Command = Callable[..., Done]


@pytest.fixture
def vdsr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], zero_model: Path
) -> Iterator[Command]:
    """`vdsr upscale`, in this process and with a small network."""

    def run(*arguments: str | Path, model: str | Path = zero_model) -> Done:
        words = ["vdsr", "upscale", *map(str, arguments), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ending:
            main()
        code = ending.value.code
        return Done(int(code or 0), *capsys.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


def noise(height: int = 60, width: int = 80, bands: int = 3) -> pyvips.Image:
    rng = np.random.default_rng(3)
    return pyvips.Image.new_from_array(rng.integers(0, 256, (height, width, bands), np.uint8))


def encoded(suffix: str, image: pyvips.Image | None = None, **options: Any) -> bytes:
    data: bytes = (noise() if image is None else image).write_to_buffer(suffix, **options)
    return data


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def tiff(changes: dict[int, Any], *, pixels: bytes = bytes(300), **more: Any) -> bytes:
    """A gray 20x15 picture with some tags otherwise."""
    tree = {
        256: (4, (20,)),
        257: (4, (15,)),
        258: (3, (8,)),
        259: (3, (1,)),
        262: (3, (1,)),
        273: (4, (8,)),
        277: (3, (1,)),
        278: (4, (15,)),
        279: (4, (300,)),
    }
    return tiff_block({**tree, **changes}, pixels=pixels, **more)


def looping_tiff() -> bytes:
    """One whose directory says that it is followed by itself."""
    data = bytearray(tiff({}))
    (at,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<I", data, at + 2 + 12 * 9, at)
    return bytes(data)


def samples_tiff(values: np.ndarray[Any, Any], sample_format: int) -> bytes:
    """Gray samples of any type."""
    height, width = values.shape
    data = values.tobytes()
    bits = 8 * values.dtype.itemsize
    changes = {256: (4, (width,)), 257: (4, (height,)), 278: (4, (height,))}
    changes |= {258: (3, (bits,)), 279: (4, (len(data),)), 339: (3, (sample_format,))}
    return tiff(changes, pixels=data)


def with_value(value: float) -> bytes:
    values = np.full((12, 14), 0.5, np.float32)
    values[7, 3] = value
    return samples_tiff(values, 3)


def bad_crc(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 40
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def huge_png(side: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header


def lying_text() -> bytes:
    data = png_file(4, 4, bytes(48))
    return data[:33] + b"\x7f\xff\xff\xfftEXtAuthor\0somebody" + data[33:]


def many_chunks() -> bytes:
    return png_file(4, 4, bytes(48), chunks=[(b"tEXt", b"A\0b")] * 150_000)


def animated_png() -> bytes:
    control = (b"acTL", struct.pack(">II", 2, 0))
    first = (b"fcTL", struct.pack(">IIIIIHHBB", 0, 4, 4, 0, 0, 1, 10, 0, 0))
    return png_file(4, 4, bytes(48), chunks=[control, first])


MOVING = "2 frames: animations cannot be enlarged as pictures, but by vdsr video"


def animation(suffix: str) -> bytes:
    frames = noise(120, 80)
    frames = frames.copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 60)
    return encoded(suffix, frames)


def pages() -> bytes:
    image = noise(120, 80).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", 60)
    return encoded(".tif", image)


def bands(count: int) -> bytes:
    return encoded(".tif", pyvips.Image.bandjoin(noise(bands=1), [noise(bands=1)] * (count - 1)))


def brands(*names: bytes) -> bytes:
    body = b"ftyp" + names[0] + bytes(4) + b"".join(names)
    return struct.pack(">I", len(body) + 4) + body + b"\0\0\0\x10mdatrestrest"


DAMAGED = "damaged"
UNKNOWN = "not a picture in a known format"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'

INPUTS: dict[str, tuple[bytes, str]] = {
    "cut.png": (cut(encoded(".png"), 0.6), DAMAGED),
    "cut.jpg": (cut(encoded(".jpg"), 0.6), DAMAGED),
    "cut.webp": (cut(encoded(".webp", lossless=True), 0.6), DAMAGED),
    "cut-lossy.webp": (cut(encoded(".webp"), 0.6), DAMAGED),
    "cut.tif": (cut(encoded(".tif"), 0.6), DAMAGED),
    "cut.avif": (cut(encoded(".avif", **AV1), 0.6), DAMAGED),
    "cut.gif": (cut(encoded(".gif"), 0.6), DAMAGED),
    "cut-after-the-header.jpg": (encoded(".jpg")[:620], DAMAGED),
    "signature-only.png": (b"\x89PNG\r\n\x1a\n", DAMAGED),
    "signature-only.jpg": (b"\xff\xd8\xff", DAMAGED),
    "signature-only.gif": (b"GIF89a", DAMAGED),
    "signature-only.tif": (b"II*\0", DAMAGED),
    "signature-only.webp": (b"RIFF\x20\0\0\0WEBPVP8 ", DAMAGED),
    "empty.png": (b"", "empty"),
    "text.png": (b"this is not a picture\n" * 40, UNKNOWN),
    "table.csv": (b"1,2,3\n4,5,6\n", UNKNOWN),
    "numbers.mat": (b"3 2\n1 2 3\n4 5 6\n", UNKNOWN),
    "drawing.svg": (SVG, UNKNOWN),
    "page.html": (b"<!DOCTYPE html><html><body>404</body></html>", UNKNOWN),
    "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "this is a PDF document"),
    "archive.tif": (b"PK\x03\x04" + bytes(60), UNKNOWN),
    "bitmap.bmp": (b"BM" + bytes(60), DAMAGED),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(60), "this is a DICOM file"),
    "film.avif": (brands(b"isom", b"iso2", b"mp41"), "this is an MP4"),
    "photo.heic": (brands(b"heic", b"mif1", b"heic"), DAMAGED),
    "empty.avif": (brands(b"avif", b"mif1", b"miaf"), DAMAGED),
    "60000x60000.png": (huge_png(60000), DAMAGED),
    "too-large-to-be-true.png": (huge_png(2**31 - 1), DAMAGED),
    "lying-text.png": (lying_text(), DAMAGED),
    "wrong-sum.png": (bad_crc(encoded(".png")), DAMAGED),
    "no-width.png": (png_file(1, 1, bytes(3)).replace(struct.pack(">I", 1), bytes(4), 1), DAMAGED),
    "no-width.tif": (tiff({256: (4, (0,))}), DAMAGED),
    "offset-beyond.tif": (tiff({273: (4, (1 << 30,))}), DAMAGED),
    "count-too-high.tif": (tiff({279: (4, (1 << 30,)), 259: (3, (8,))}), DAMAGED),
    "strips-missing.tif": (tiff({257: (4, (15000,))}), DAMAGED),
    "terabytes.tif": (tiff({256: (4, (2**31,)), 257: (4, (2**31,))}), DAMAGED),
    "unknown-compression.tif": (
        tiff({259: (3, (54321,))}),
        "its compression (number 54321) is not supported",
    ),
    "seven-bands.tif": (bands(7), "7 bands"),
    "signed-16.tif": (samples_tiff(np.ones((9, 9), np.int16), 2), "type short"),
    "signed-32.tif": (samples_tiff(np.ones((9, 9), np.int32), 2), "type int"),
    "unsigned-32.tif": (samples_tiff(np.ones((9, 9), np.uint32), 1), "type uint"),
    "complex.tif": (samples_tiff(np.ones((9, 9), np.complex64), 6), "complex numbers"),
    "nan.tif": (with_value(float("nan")), "NaN or infinite"),
    "infinite.tif": (with_value(float("-inf")), "NaN or infinite"),
    "animation.gif": (animation(".gif"), MOVING),
    "animation.webp": (animation(".webp"), MOVING),
    "animation.png": (animated_png(), MOVING),
    "preview.tif": (tiff({254: (4, (1,))}), "a mere preview of its picture"),
    "pages.tif": (pages(), "2 pages: choose one (1 to 2), or all"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_bad_inputs(vdsr: Command, tmp_path: Path, name: str) -> None:
    data, reason = INPUTS[name]
    source = tmp_path / name
    source.write_bytes(data)
    done = vdsr(source, tmp_path / "out.png")
    assert done.code == 1
    assert str(source) in done.error()
    assert reason in done.error()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_missing_input(vdsr: Command, tmp_path: Path) -> None:
    done = vdsr(tmp_path / "none.png", tmp_path / "out.png")
    assert (done.code, "there is no such file" in done.error()) == (1, True)
    assert list(tmp_path.iterdir()) == []


@needs_posix
def test_an_input_that_is_no_file(vdsr: Command, tmp_path: Path) -> None:
    done = vdsr(tmp_path, tmp_path / "out.png")
    assert (done.code, "it is a folder" in done.error()) == (1, True)
    os.mkfifo(tmp_path / "pipe.png")
    done = vdsr(tmp_path / "pipe.png", tmp_path / "out.png")
    assert (done.code, "not an ordinary file" in done.error()) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["pipe.png"]


def good(folder: Path, suffix: str = ".png", **options: Any) -> Path:
    path = folder / f"in{suffix}"
    path.write_bytes(encoded(suffix, **options))
    return path


HARMLESS = {
    "see-through.png": (png_file(9, 7, bytes(9 * 7 * 4), color=6), 0),
    "many-chunks.png": (many_chunks(), 0),
    "loop.tif": (looping_tiff(), 0),
    "exif-loop.tif": (tiff({34665: (4, (308,))}), 1),
    "exif-beyond.tif": (tiff({34665: (4, (1 << 30,))}), 1),
    "long-exif.tif": (tiff({315: (2, b"x"), 34665: (13, (1 << 31,))}), 1),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_but_good_inputs(vdsr: Command, tmp_path: Path, name: str) -> None:
    data, notes = HARMLESS[name]
    (tmp_path / name).write_bytes(data)
    done = vdsr(tmp_path / name, tmp_path / "out.png")
    assert done.code == 0
    assert len(done.err.splitlines()) == notes
    assert all("note: its EXIF cannot be read" in line for line in done.err.splitlines())
    assert (tmp_path / "out.png").exists()


USAGE: dict[str, tuple[str, ...]] = {
    **{f"scale {s}": ("out.png", "--scale", s) for s in ("0", "1", "-1", "17", "nan", "inf")},
    "two sizes": ("out.png", "--scale", "2", "--width", "200"),
    "no height": ("out.png", "--height", "0"),
    "smaller": ("out.png", "--width", "5"),
    "no box": ("out.png", "--fit", "wide"),
    "unknown suffix": ("out.xyz",),
    "no suffix": ("out",),
    "heic": ("out.heic",),
    "unknown format": ("out.png", "--format", "bmp"),
    "memory of no size": ("out.png", "--max-memory", "much"),
    "little memory": ("out.png", "--max-memory", "1MiB"),
    "no tile": ("out.png", "--tile", "0"),
    "int8": ("out.png", "--precision", "int8"),
    "unknown precision": ("out.png", "--precision", "fp8"),
    "unknown backend": ("out.png", "--backend", "abacus"),
    "quality of png": ("out.png", "--quality", "90"),
    "quality of tiff": ("out.tif", "--quality", "90"),
    "no quality": ("out.jpg", "--quality", "0"),
    "too much quality": ("out.webp", "--quality", "101"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage(vdsr: Command, tmp_path: Path, name: str) -> None:
    source = good(tmp_path)
    goal, *options = USAGE[name]
    done = vdsr(source, tmp_path / goal, *options)
    assert done.code == 2
    done.error()
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_halves_where_the_processor_has_them_and_nowhere_else(
    vdsr: Command, tmp_path: Path
) -> None:
    done = vdsr(good(tmp_path), tmp_path / "out.png", "--precision", "fp16")
    if "fp16" in backends.precisions(backends.settle("auto")):
        assert done.code == 0
    else:
        assert (done.code, "has no fp16 on this machine" in done.error()) == (2, True)


def test_options_that_do_not_exist(vdsr: Command, tmp_path: Path) -> None:
    assert vdsr(good(tmp_path), tmp_path / "out.png", "--sharpen").code == 2
    assert vdsr(good(tmp_path), tmp_path / "out.png", "--scale", "two").code == 2
    assert vdsr(good(tmp_path), tmp_path / "out.png", "--threads", "0").code == 2
    assert vdsr(good(tmp_path)).code == 2


@pytest.mark.parametrize("model", ["sharper", "none.onnx", "cut.onnx", "text.onnx", "."])
def test_models_that_are_none(vdsr: Command, tmp_path: Path, zero_model: Path, model: str) -> None:
    (tmp_path / "cut.onnx").write_bytes(cut(zero_model.read_bytes(), 0.9))
    (tmp_path / "text.onnx").write_text("not a model", "utf-8")
    source = good(tmp_path)
    named = model if model == "sharper" else tmp_path / model
    done = vdsr(source, tmp_path / "out.png", model=named)
    assert done.code == 2
    assert str(named) in done.error()
    assert not (tmp_path / "out.png").exists()


def test_an_extra_that_is_missing(
    vdsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda name: name == "openvino")
    done = vdsr(good(tmp_path), tmp_path / "out.png", "--backend", "onnxruntime")
    assert done.code == 2
    assert "pip install 'vdsr[onnxruntime]'" in done.error()


def test_memory_that_does_not_suffice(vdsr: Command, tmp_path: Path) -> None:
    source = tmp_path / "wide.png"
    pyvips.Image.black(20_000, 8, bands=3).pngsave(str(source))
    done = vdsr(source, tmp_path / "out.png", "-s", "16", "--max-memory", "64MiB")
    assert done.code == 1
    assert "of memory" in done.error()
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("suffix", "side"), [(".jpg", 20_000), (".webp", 5_000), (".avif", 20_000), (".gif", 20_000)]
)
def test_pictures_that_are_too_long_for_the_format(
    vdsr: Command, tmp_path: Path, suffix: str, side: int
) -> None:
    source = tmp_path / "long.png"
    pyvips.Image.black(1, side).pngsave(str(source))
    done = vdsr(source, tmp_path / f"out{suffix}")
    assert done.code == 1
    assert "px a side" in done.error()
    assert [p.name for p in tmp_path.iterdir()] == ["long.png"]


@needs_posix
def test_outputs_that_are_in_the_way(vdsr: Command, tmp_path: Path) -> None:
    source = good(tmp_path)
    before = source.read_bytes()
    (tmp_path / "there.png").write_bytes(b"precious")
    os.mkfifo(tmp_path / "pipe.png")
    for goal, options, said in [
        ("there.png", (), "exists already"),
        ("in.png", (), "exists already"),
        ("pipe.png", ("--overwrite",), "a device or the like"),
        ("none/out.png", (), "does not exist"),
        ("in.png/out.png", (), "does not exist"),
        ("x" * 300 + ".png", (), "cannot be written: File name too long"),
    ]:
        done = vdsr(source, tmp_path / goal, *options)
        assert (done.code, said in done.error()) == (1, True)
    assert (tmp_path / "there.png").read_bytes() == b"precious"
    assert source.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_bad_input_spares_the_old_output(vdsr: Command, tmp_path: Path) -> None:
    goal = tmp_path / "out.png"
    goal.write_bytes(b"precious")
    source = tmp_path / "in.png"
    source.write_bytes(cut(encoded(".png"), 0.6))
    assert vdsr(source, goal, "--overwrite").code == 1
    assert goal.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 2


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Give up the rights of root, for whom nothing is forbidden."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can get to, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_posix
def test_files_that_must_not_be_touched(vdsr: Command, open_folder: Path, zero_model: Path) -> None:
    model = Path(shutil.copy(zero_model, open_folder / "zero.onnx"))
    model.chmod(0o644)
    source = good(open_folder)
    writable, closed = open_folder / "writable", open_folder / "closed"
    writable.mkdir()
    writable.chmod(0o777)
    closed.mkdir(0o700)
    source.chmod(0o644)
    assert vdsr(source, writable / "first.png", model=model).code == 0  # imports all it needs
    (open_folder / "secret.png").write_bytes(source.read_bytes())
    (open_folder / "secret.png").chmod(0o000)
    (open_folder / "closed" / "in.png").write_bytes(source.read_bytes())
    if os.geteuid() != 0:
        closed.chmod(0o000)
        open_folder.chmod(0o555)
    with nobody():
        ends = [
            vdsr(open_folder / "secret.png", writable / "out.png", model=model),
            vdsr(closed / "in.png", writable / "out.png", model=model),
            vdsr(source, open_folder / "out.png", model=model),
            vdsr(source, closed / "out.png", model=model),
        ]
    open_folder.chmod(0o755)
    closed.chmod(0o700)
    for done, verb in zip(ends, ("read", "read", "written", "written"), strict=True):
        assert done.code == 1
        assert f"cannot be {verb}: Permission denied" in done.error()
    assert [p.name for p in writable.iterdir()] == ["first.png"]
    assert not (open_folder / "out.png").exists()


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: what a full disk is like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@needs_posix
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif", ".gif"])
def test_a_full_disk(vdsr: Command, tmp_path: Path, suffix: str) -> None:
    source = good(tmp_path)
    with largest_file(10_000):
        done = vdsr(source, tmp_path / f"out{suffix}")
    assert done.code == 1
    assert f"out{suffix}: it cannot be written: " in done.error()
    assert ".part" not in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_a_disk_that_is_full_at_the_end(
    vdsr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for suffix in (".png", ".tif"):
        done = vdsr(good(tmp_path), tmp_path / f"out{suffix}")
        assert (done.code, "cannot be written: No space left" in done.error()) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


# From here on in processes of their own.


def start(folder: Path, *arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vdsr", "upscale", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def finished(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def test_the_real_command(tmp_path: Path, zero_model: Path) -> None:
    """Several at once, since most of their time is that of starting Python."""
    names = ("cut.jpg", "nan.tif", "drawing.svg")
    for name in names:
        (tmp_path / name).write_bytes(INPUTS[name][0])
    running = [
        start(tmp_path, name, f"{name}.png", "--model", zero_model, "--threads", "1")
        for name in names
    ]
    for name, process in zip(names, running, strict=True):
        done = finished(process)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"vdsr: error: {name}: ")
        assert len(done.err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


@needs_posix
def test_a_full_disk_for_the_real_command(tmp_path: Path, zero_model: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    good(tmp_path)
    options = ("in.png", "out.tif", "--model", zero_model)
    done = finished(start(tmp_path, *options, preexec_fn=limit))
    assert done.code == 1
    assert done.err.startswith("vdsr: error: out.tif: it cannot be written: ")
    assert len(done.err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


@needs_posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_interruptions(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "in.png").write_bytes(encoded(".png", noise(700, 700)))
    process = start(tmp_path, "in.png", "out.jpg", "--tile", "64")
    deadline = time.monotonic() + 50.0
    while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.Signals[name])
    done = finished(process)
    assert done.code == code
    assert "Traceback" not in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]
