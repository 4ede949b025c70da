"""What the fuzzing reads: valid files of every kind, how they are spoiled, and who reads them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vdsr.model.architecture import Architecture, Layer
from vdsr.model.file import ModelFile, append_digest
from vdsr.model.graph import QuantizedLayer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes

# A picture that says it is larger than this is opened and begun, but not enlarged.
_MOST_PIXELS = 1 << 20
_DIGEST_BYTES = 81
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TOKENS = (
    b"[" * 300, b"{" * 300, b"9" * 400, b"9" * 5000, b"-1", b"1e400", b"NaN", b"null", b"true",
    b"[]", b"{}", b'""', b"../", b"/etc/passwd", b"\\u001b[2J", b"\x00", b"\xff\xfe", b"\\",
    b'"', b"\n", b"=", b"a." * 500, b"0.0", b"1979-05-27", b"'''",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        suffix: of its files.
        seeds: valid ones.
        read: reads one; what is wrong with it is a `VdsrError`.
        text: whether it is made of words.
        mend: makes checksums fit again, so that what lies behind them is reached.
    """

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], None]
    text: bool = False
    mend: Callable[[bytes], bytes] | None = None


def spoiled(name: str, number: int) -> bytes:
    """Of the kind `name`, a valid file with something wrong: the same one for each number."""
    if name == FAULTS:
        return str(number).encode()
    kind, rng = KINDS[name], random.Random(f"{name} {number}")
    seeds = kind.seeds()
    data = rng.choice(seeds)
    if data[:2] == b"PK" and rng.random() < 0.7:
        return _spoiled_member(data, rng)
    data = _changed(data, rng.choice(seeds), rng, text=kind.text)
    return kind.mend(data) if kind.mend is not None and rng.random() < 0.8 else data


def _spoiled_member(data: bytes, rng: random.Random) -> bytes:
    """A zip archive with one member changed, or its name, or compressed; its checksums fit."""
    stream, changed = io.BytesIO(), rng.random()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            content, packing, goal = old.read(name), zipfile.ZIP_STORED, name
            if name == chosen and changed < 0.8:
                content = _changed(content, content, rng, text=name.endswith(".json"))
            elif name == chosen and changed < 0.9:
                goal += rng.choice(("x", "/../x", "\x1b"))
            elif name == chosen:
                packing = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            new.writestr(zipfile.ZipInfo(goal), content, packing)
    return stream.getvalue()


def _changed(data: bytes, other: bytes, rng: random.Random, *, text: bool) -> bytes:
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        start = rng.randrange(len(result) + 1)
        length = rng.choice((0, 1, 1, 2, 4, 8, rng.randrange(200)))
        action = rng.randrange(9)
        if action == 0:
            del result[start:]
        elif action == 1:
            del result[start : start + length]
        elif action == 2:
            result[start:start] = result[start : start + length] * rng.choice((1, 2, 50))
        elif action == 3:
            place = rng.randrange(len(other) + 1)
            result[start : start + length] = other[place : place + length]
        elif action == 4 or text:
            result[start : start + length] = rng.choice(_TOKENS)
        elif action in (5, 6):
            code = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = rng.choice(_NUMBERS) & (256 ** struct.calcsize(code) - 1)
            result[start : start + struct.calcsize(code)] = struct.pack(code, number)
        else:
            for place in range(start, min(start + max(1, length), len(result))):
                result[place] = rng.randrange(256)
    return bytes(result)


def _png_mended(data: bytes) -> bytes:
    """A PNG whose chunks' checksums fit; another file as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    result, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 4 : place + 8 + size]
        result += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + size
    return bytes(result + data[place:])


def _layers(*kernels: int, width: int, end: int = 1) -> tuple[Layer, ...]:
    rng = np.random.default_rng(0)
    channels = [end, *[width] * (len(kernels) - 1), end]
    return tuple(
        Layer(
            weight=rng.normal(0, 0.1, (b, a, k, k)).astype(np.float32),
            bias=rng.normal(0, 0.1, b).astype(np.float32),
        )
        for k, a, b in zip(kernels, channels[:-1], channels[1:], strict=True)
    )


@cache
def _models() -> list[bytes]:
    layers = _layers(3, 3, 3, width=4)
    plain = Architecture(layers=layers, residual=True)
    folded = Architecture(layers=_layers(3, 3, width=4, end=12), residual=True, fold=2, planes=3)
    card = ModelMetadata(name="fuzz", psnr={"Set5 x2 paper": 30.0}, calibration={"method": "kl"})
    weight = layers[1].weight
    scale = np.abs(weight).max((1, 2, 3)) / np.float32(127)
    integers = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
    quantized = {1: QuantizedLayer(input_scale=0.02, weight=integers, weight_scale=scale)}
    return [
        model_bytes(plain, card),
        model_bytes(plain, replace(card, precision="fp16")),
        model_bytes(plain, card, shape=(1, 1, 16, 16), opset=10),
        model_bytes(plain, replace(card, precision="int8"), quantized=quantized),
        model_bytes(folded, replace(card, fold=2, planes=3)),
    ]


def _sealed(data: bytes) -> bytes:
    """A model file whose last entry is the checksum of all the others."""
    return append_digest(data[:-_DIGEST_BYTES])


def _read_model(path: Path) -> None:
    """What is taken for a model file is run, too: a runtime that it crashes is a fault."""
    from vdsr.inference import backends
    from vdsr.model.file import load_model

    model = load_model(path)
    shape = model.fixed_shape or (1, model.architecture.planes, 16, 16)
    choice = backends.choose(model, "openvino", "auto")
    backend = backends.open_backend(model, choice, threads=1)
    backend.run(np.full(shape, 0.5, np.float32))
    backend.close()


@cache
def _pictures() -> list[bytes]:
    import pyvips

    rng = np.random.default_rng(0)
    samples = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
    image = pyvips.Image.new_from_array(samples).copy(xres=11.8, yres=11.8)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta><rdf:RDF/></x:xmpmeta>")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "me (me, ASCII, 3 components, 3 b)")
    alpha = image.bandjoin(128)
    deep = (image.cast("ushort") * 257).copy(interpretation="rgb16")
    found: list[bytes] = [
        image.pngsave_buffer(),
        alpha.pngsave_buffer(interlace=True),
        image[0].pngsave_buffer(bitdepth=1),
        deep.pngsave_buffer(),
        image.jpegsave_buffer(),
        image.jpegsave_buffer(interlace=True, subsample_mode="on"),
        image.tiffsave_buffer(),
        image.tiffsave_buffer(compression="lzw", predictor="horizontal", tile=True),
        alpha.tiffsave_buffer(compression="deflate", bigtiff=True),
        image.tiffsave_buffer(compression="jpeg", pyramid=True, tile=True),
        image.cast("float").tiffsave_buffer(),
        image.webpsave_buffer(),
        alpha.webpsave_buffer(lossless=True),
        image.gifsave_buffer(),
        image.heifsave_buffer(compression="av1", effort=0),
    ]
    raw = samples.tobytes()
    bmp = struct.pack("<IiiHHIIiiII", 40, 30, 40, 1, 24, 0, 0, 0, 0, 0, 0)
    rows = b"".join(raw[i * 90 : (i + 1) * 90] + b"\0\0" for i in range(40))
    found.append(b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + bmp + rows)
    found.append(b"P6\n30 40\n255\n" + raw)
    found.append(b"Pf\n30 40\n-1.0\n" + samples[..., 0].astype("<f4").tobytes())
    return found


@cache
def _upscaler() -> Any:  # noqa: ANN401 - vdsr.Upscaler
    from vdsr import Upscaler

    layers = _layers(3, 3, width=2)
    zero = (layers[0], Layer(weight=np.zeros_like(layers[1].weight)))
    data = model_bytes(Architecture(layers=zero, residual=True), ModelMetadata(name="zero"))
    return Upscaler(ModelFile(data, "zero"), backend="openvino", threads=1, max_memory=64 << 20)


def _read_picture(path: Path) -> None:
    from vdsr.imaging.files import PictureReader

    reader = PictureReader(path)
    if reader.width * reader.height <= _MOST_PIXELS:
        goal = path.with_suffix(".enlarged.tif" if path.stat().st_size % 2 else ".enlarged.png")
        _upscaler().upscale(path, goal, scale=1.5, overwrite=True)
    else:
        next(iter(reader.strips()), None)


@cache
def _checkpoints() -> list[bytes]:
    import torch
    from safetensors.numpy import save

    weights = {f"{i}.weight": la.weight for i, la in enumerate(_layers(3, 3, 3, width=2))}
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 1, 3))
    found = [save(weights)]
    for root in (state, {"epoch": 3, "model": module}):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(root, stream, _use_new_zipfile_serialization=zipped)
            found.append(stream.getvalue())
    return found


def _read_checkpoint(path: Path) -> None:
    from vdsr.checkpoints.reader import read_checkpoint

    read_checkpoint(path)


@cache
def _packs() -> list[bytes]:
    from vdsr.data.packfile import make_pack, write_pack
    from vdsr.outputs import work_folder

    noise = np.random.default_rng(0).integers(16, 235, (12, 20), dtype=np.uint8)
    with work_folder(Path.cwd()) as folder:
        write_pack(make_pack([noise] * 3, "abc", data="d", license="CC0"), folder / "a.pack")
        return [(folder / "a.pack").read_bytes()]


def _read_pack(path: Path) -> None:
    from vdsr.data.packfile import read_pack

    read_pack(path)


@cache
def _recipes() -> list[bytes]:
    import vdsr.training

    folder = Path(next(iter(vdsr.training.__path__))) / "recipes"
    return [path.read_bytes() for path in sorted(folder.glob("*.toml"))]


def _read_recipe(path: Path) -> None:
    from vdsr.training.recipe_file import load_recipe

    _ = load_recipe(str(path)).digest


@cache
def _manifests() -> list[bytes]:
    from vdsr.vacc.layout import Build, Input, Manifest

    manifest = Manifest(
        name="net",
        model={"name": "net", "version": "1", "sha256": "0" * 64},
        builds={k: Build(network="net.onnx", precision=k) for k in ("fp16", "int8")},
        inputs=tuple(Input(name=n, width=3, height=2, luma_sha256="1" * 64) for n in "ab"),
        calibration={"b": "2" * 64},
        files={"net.onnx": "3" * 64, "inputs/a.npz": "4" * 64},
    )
    return [manifest.as_json().encode()]


def _read_manifest(path: Path) -> None:
    """As a manifest, and as the note beside outputs."""
    from vdsr.errors import VdsrError
    from vdsr.inference.compiled_paths import MANIFEST
    from vdsr.vacc.layout import read_manifest
    from vdsr.vacc.outputs import RUN, origin_of

    (path.parent / RUN).write_bytes(path.read_bytes())
    with contextlib.suppress(VdsrError):
        origin_of(path.parent, None)
    (path.parent / MANIFEST).write_bytes(path.read_bytes())
    for entry in read_manifest(path.parent).inputs:
        if not (path.parent / entry.file).resolve().is_relative_to(path.parent.resolve()):
            raise AssertionError(f"{entry.file!r} leaves its folder")


@cache
def _arrays() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        for kind in (np.float16, np.float32):
            stream = io.BytesIO()
            save(stream, output_0=np.zeros((1, 1, 256, 256), kind))
            found.append(stream.getvalue())
    return found


def _read_arrays(path: Path) -> None:
    from vdsr.vacc.npz import OUTPUT_KEY, read_npz

    read_npz(path, OUTPUT_KEY, (1, 1, 256, 256), "f")


_LINES = (
    "upscale in.png out.png --scale 2 -m model.onnx --overwrite",
    "upscale in.png out.png --width 60 --height 50 --tile 16 --threads 1 -m model.onnx --json",
    "upscale in.png out.jpg --fit 60x50 --max-memory 64MiB --quality 90 -m model.onnx",
    "upscale in.png out.png --restore --backend openvino --precision fp32 -m model.onnx",
    "info model.onnx --size 256x256 --json",
    "import net.pth -o made.onnx --scales 2,3 --luma studio --psnr 'Set5 x2 paper=35.6'",
    "train nothing.toml --data a.pack -o made.onnx --minutes 1e-9",
    "evaluate --data pictures --scales 2 --protocol paper -m model.onnx --backend openvino",
    "quantize model.onnx --calibration pictures -o made.onnx --method kl --max-drop 0.02",
    "export model.onnx --format onnx -o made.onnx --shape 1x1x16x16 --opset 13",
    "vacc pictures --precision fp16 --backend stand-in",
    "benchmark -m nothing.onnx --size 16x16 --rounds 1",
    "data fetch nothing",
    "data pack pictures -o made.pack --license CC0",
)
_WORDS = (
    "9" * 30, "9" * 5000, "-1", "0", "1e400", "nan", "-inf", "0x10", "1e-400", "x" * 300, "",
    "--json", "--json=", "-m", "-", "--", "/dev/null", "/dev/full", "a\nb", "\x1b[2J", "é",
    "99999999x99999999", "0x0", "1x", "x1", "16GiB", "9e99GiB", "-5MiB", "2,,3", ",", "\udcff",
    "--scale=9", "--tile=9", "--threads=4096", "--quality=101", "--format=bmp", "--help",
)  # fmt: skip


def _read_options(path: Path) -> None:
    """The bytes choose a command and what is wrong with its options; it is run in this process."""
    from typer.testing import CliRunner

    from vdsr.cli.console import json_argument
    from vdsr.cli.main import app
    from vdsr.errors import InputError

    rng = random.Random(path.read_bytes())
    words = re.findall(r"'[^']*'|\S+", rng.choice(_LINES))
    (path.parent / "pictures").mkdir(exist_ok=True)
    for name, data in (
        ("in.png", _pictures()[0]),
        ("pictures/a.png", _pictures()[0]),
        ("model.onnx", _models()[0]),
        ("net.pth", _checkpoints()[0]),
        ("a.pack", _packs()[0]),
    ):
        (path.parent / name).write_bytes(data)
    arguments = [word.strip("'") for word in words]
    values = [i for i, word in enumerate(arguments) if i > 1 and arguments[i - 1][:1] == "-"]
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = (
            rng.choice(values)
            if values and rng.random() < 0.7
            else rng.randrange(1, len(arguments) + 1)
        )
        taken = 1 if place in values else rng.randrange(2)
        arguments[place : place + taken] = [rng.choice(_WORDS)]
    result = CliRunner().invoke(app, json_argument(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise RuntimeError(json.dumps(arguments)[:2000]) from result.exception
    if result.exit_code not in (0, 1, 2):
        raise RuntimeError(f"exit code {result.exit_code}: {json.dumps(arguments)[:2000]}")
    if result.exit_code:
        raise InputError(f"exit code {result.exit_code}")


def _read_fault(path: Path) -> None:
    """Does what no reader may do, by the number in the file."""
    match int(path.read_text()) % 4:
        case 0:
            _ = 1 // 0
        case 1:
            os.abort()
        case 2:
            time.sleep(600)


# Not a kind of file, but the proof that faults are caught.
FAULTS = "faults"

KINDS = {
    "pictures": Kind("picture", _pictures, _read_picture, mend=_png_mended),
    "models": Kind("onnx", _models, _read_model, mend=_sealed),
    "checkpoints": Kind("pth", _checkpoints, _read_checkpoint),
    "packs": Kind("pack", _packs, _read_pack),
    "recipes": Kind("toml", _recipes, _read_recipe, text=True),
    "manifests": Kind("json", _manifests, _read_manifest, text=True),
    "arrays": Kind("npz", _arrays, _read_arrays),
    FAULTS: Kind("txt", list, _read_fault),
    "options": Kind("txt", lambda: [b"0123456789" * 4], _read_options),
}
