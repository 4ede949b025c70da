"""Recipes, packs, manifests and arrays that strangers wrote: each an error in words, or right."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from vdsr.data.packfile import make_pack, read_pack, write_pack
from vdsr.errors import InputError, UsageError
from vdsr.training.recipe_file import load_recipe
from vdsr.vacc.layout import Build, Input, Manifest, read_manifest, within
from vdsr.vacc.npz import OUTPUT_KEY, npz, read_npz
from vdsr.vacc.outputs import Origin, origin_of

STAGE = "[[stages]]\nsteps = 1\nrate = 0.1\n"


@pytest.mark.parametrize(
    "text",
    [
        "name = " + "[" * 20_000,
        "name = " + "{a=" * 5_000,
        "name = " + "[" * 20_000 + "]" * 20_000,
        'name = "x"\nseed = ' + "9" * 5000 + "\n" + STAGE,
        'name = "x"\nseed = ' + "9" * 4000 + "\n" + STAGE,
        'name = "x"\nema = ' + "9" * 400 + "\n" + STAGE,
        'name = "x"\nema = nan\n' + STAGE,
        'name = "x"\nema = -inf\n' + STAGE,
        'name = "x"\nseed = true\n' + STAGE,
        'name = "x"\nseed = 1979-05-27\n' + STAGE,
        'name = "a\\u001bb"\n' + STAGE,
        'name = "x"\nstages = 3\n',
        'name = "x"\nstages = [3]\n',
        'name = "x"\nstages = []\n',
        'name = "x"\n[stages]\nsteps = 1\n',
        'name = "x"\n' + STAGE + "steps = 2\n",
        'name = "x"\n[[stages]]\nsteps = ' + "9" * 30 + "\nrate = 0.1\n",
        'name = "x"\n[[stages]]\nsteps = 1\nrate = 1e400\n',
        'name = "x"\nnetwork = []\n' + STAGE,
        'name = "x"\ndata = {scales = [2, [3]]}\n' + STAGE,
        'name = "x"\ndata = {sources = ["a"]}\n' + STAGE,
        ".".join(["name"] * 8000) + " = 1\n",
        '"' + "k" * 20_000 + '" = 1\n',
        "name = '''" + "x" * 70_000 + "'''",
        "\x00",
        "",
    ],
)
def test_recipes(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert str(caught.value).splitlines()[0].startswith(f"recipe {path}: ") or "read" in str(
        caught.value
    )
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize("name", ["folder.toml", "pipe.toml", "latin.toml", "no\0name.toml"])
def test_recipes_that_are_no_files(tmp_path, name):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin.toml").write_bytes('name = "Köln"'.encode("latin-1"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(UsageError, match="the recipe cannot be read"):
        load_recipe(str(tmp_path / name))


NOISE = np.random.default_rng(0).integers(16, 235, (24, 40), dtype=np.uint8)


def png(width, height, data=b"", *, kind=0):
    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pack_of(path, change=None, *, members=None, compression=zipfile.ZIP_STORED):
    """A pack whose index, or members, are other than they should be."""
    write_pack(make_pack([NOISE], ["x"], data="a", license="CC0"), path)
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(found["pack.json"])
    if change is not None:
        change(index)
    found["pack.json"] = json.dumps(index).encode()
    found |= members or {}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    return path


def picture(**values):
    return lambda index: index["pictures"][0].update(values)


BOMB = png(30_000, 30_000, zlib.compress(bytes(30_001) * 300, 9))

PACKS = {
    "format": ({"change": lambda i: i.update(format="1")}, "not an intact pack"),
    "a later one": ({"change": lambda i: i.update(format=2)}, "upgrade vdsr"),
    "a huge one": ({"change": lambda i: i.update(format=10**400)}, "upgrade vdsr"),
    "a list": ({"members": {"pack.json": b"[]"}}, "not an intact pack"),
    "deep": ({"members": {"pack.json": b"[" * 200_000}}, "not an intact pack"),
    "not text": ({"members": {"pack.json": b"\xff\xfe\x00"}}, "not an intact pack"),
    "pictures": ({"change": lambda i: i.update(pictures={"a": 1})}, "not an intact pack"),
    "numbers": ({"change": lambda i: i.update(pictures=[1, 2])}, "not an intact pack"),
    "no pictures": ({"change": lambda i: i.update(pictures=[])}, "at least one picture"),
    "a name": ({"change": picture(name=["x"])}, "not an intact pack"),
    "controls": ({"change": picture(name="a\x1b[2J")}, "control character"),
    "license": ({"change": lambda i: i.update(license=None)}, "not an intact pack"),
    "terms": ({"change": lambda i: i.update(license="CC0\nevil")}, "control character"),
    "another file": ({"change": picture(file="../../etc/passwd")}, "not an intact pack"),
    "file": ({"change": picture(file=7)}, "not an intact pack"),
    "size": ({"change": picture(width=41)}, "not an intact pack"),
    "a size of text": ({"change": picture(width="40")}, "not an intact pack"),
    "a negative size": ({"change": picture(width=-40, height=-24)}, "not an intact pack"),
    "huge": ({"change": picture(width=10**9)}, "unpack to"),
    "a bomb": (
        {"change": picture(width=30_000, height=30_000), "members": {"000000.png": BOMB}},
        "unpack to",
    ),
    "another picture": ({"members": {"000000.png": png(40, 24)}}, "not an intact pack"),
    "colors": ({"members": {"000000.png": png(40, 24, kind=2)}}, "not an intact pack"),
    "no PNG": ({"members": {"000000.png": b"GIF89a" + bytes(99)}}, "not an intact pack"),
    "compressed": ({"compression": zipfile.ZIP_DEFLATED}, "not an intact pack"),
    "digest": ({"change": lambda i: i.update(digest=5)}, "digest does not fit"),
}


@pytest.mark.parametrize("case", PACKS)
def test_packs(tmp_path, case):
    values, message = PACKS[case]
    path = pack_of(tmp_path / "a.pack", **values)
    with pytest.raises(InputError, match=message) as caught:
        read_pack(path)
    assert str(path) in str(caught.value) or "at least one" in str(caught.value)


def test_a_pack_that_is_a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pack", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack.json", b" " * (40 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"pack\.json has 41943040 bytes"):
        read_pack(tmp_path / "a.pack")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_a_pack_with_a_directory_without_end(tmp_path):
    """As many entries as fit, of no picture: `zipfile` would make an object of each."""
    path = pack_of(tmp_path / "a.pack")
    # Signature, versions and the like, length of the name (1), what is left out.
    entry = struct.pack("<4s24xH16x", b"PK\1\2", 1) + b"n"
    count = (17 << 20) // len(entry)
    path.write_bytes(
        entry * count
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(entry) * count, 0, 0)
    )
    tracemalloc.start()
    with pytest.raises(InputError, match=r"its directory has \d+ bytes, more than packs have"):
        read_pack(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


def test_packs_that_are_no_files(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no such file"):
            read_pack(path)


SHAPE = (1, 1, 256, 256)


def zipped(name, data, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def npy(header, data=b"", version=b"\x01\0"):
    size = struct.pack("<H" if version == b"\x01\0" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


GOOD = np.zeros(SHAPE, np.float32)
HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 256, 256), }\n"
ARRAYS = {
    "nothing": (b"", "not a readable"),
    "text": (b"text", "not a readable"),
    "no arrays": (zipped("a.txt", b"x"), "no output_0 in it, but a.txt"),
    "another name": (npz("input_0", GOOD), "no output_0 in it, but input_0"),
    "a name of controls": (npz("in\x1b[2J\nput", GOOD), "no output_0"),
    "objects": (zipped("output_0.npy", npy(HEADER.replace(b"<f4", b"|O"))), "is object"),
    "a pickle": (zipped("output_0.npy", b"\x80\x04N."), "not a readable"),
    "integers": (npz(OUTPUT_KEY, GOOD.astype(np.int32)), "is int32"),
    "complex": (npz(OUTPUT_KEY, GOOD.astype(np.complex64)), "is complex64"),
    "another shape": (npz(OUTPUT_KEY, GOOD[0]), r"\[1, 256, 256\], not float \[1, 1, 256, 256\]"),
    "short": (zipped("output_0.npy", npy(HEADER, bytes(9))), "cut short"),
    "long": (zipped("output_0.npy", npy(HEADER, bytes(300_000))), "longer than its shape"),
    "deep": (zipped("output_0.npy", npy(b"[" * 9000)), "not a readable"),
    "a long header": (zipped("output_0.npy", npy(b" " * 60_000)), "not a readable"),
    "a call": (zipped("output_0.npy", npy(b"__import__('os').system('true')")), "not a readable"),
    "a structure": (
        zipped("output_0.npy", npy(HEADER.replace(b"'<f4'", b"[('a', '<f4')]"))),
        "not float",
    ),
    "another version": (zipped("output_0.npy", npy(HEADER, version=b"\x09\0")), "form of numpy"),
    "names": (
        zipped("output_0.npy", npy(HEADER.replace(b"'shape'", b"'form'"))),
        "not a readable",
    ),
    "a shape of text": (
        zipped("output_0.npy", npy(HEADER.replace(b"(1, 1, 256, 256)", b"('a',)"))),
        "not a readable",
    ),
    "a shape below 0": (
        zipped("output_0.npy", npy(HEADER.replace(b"256, 256", b"-256, -256"))),
        "not float",
    ),
    "another checksum": (
        zipped("output_0.npy", npy(HEADER, GOOD.tobytes())).replace(bytes(8), b"\1" * 8, 1),
        "not a readable",
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(tmp_path, case):
    data, message = ARRAYS[case]
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        read_npz(tmp_path / "a.npz", OUTPUT_KEY, SHAPE, "f")
    assert str(caught.value).startswith(f"{tmp_path / 'a.npz'}: ")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_arrays_that_unpack_to_anything(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 16384, 4096), }"
    data = npy(header + b"\n", bytes(64 << 20))
    (tmp_path / "a.npz").write_bytes(zipped("output_0.npy", data, zipfile.ZIP_DEFLATED))
    del data
    tracemalloc.start()
    with pytest.raises(InputError, match=r"\[1, 1, 16384, 4096\], not float"):
        read_npz(tmp_path / "a.npz", OUTPUT_KEY, SHAPE, "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, kind, order, save):
    values = np.random.default_rng(0).random(SHAPE).astype(kind)
    save(tmp_path / "a.npz", output_0=np.asarray(values, order=order), more=np.zeros(3))
    back = read_npz(tmp_path / "a.npz", OUTPUT_KEY, SHAPE, "f")
    assert back.dtype == kind
    np.testing.assert_array_equal(back, values)


MANIFEST = Manifest(
    name="net",
    model={"name": "net", "version": "1", "sha256": "0" * 64},
    builds={"int8": Build(network="net.onnx", precision="int8")},
    inputs=(Input(name="a b.c", width=3, height=2, luma_sha256="1" * 64),),
    calibration={"b": "2" * 64},
    files={"net.onnx": "3" * 64, "inputs/a b.c.npz": "4" * 64},
)
LEAVING = ["../a", "/etc/passwd", "a/../../b", "..", ".", "", "a\\..\\b", "a\0", "a\nb", "x\x1b[2J"]


def placed(change):
    content = json.loads(MANIFEST.as_json())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize("name", LEAVING, ids=ascii)
@pytest.mark.parametrize("place", ["name", "network", "build", "input", "calibration", "files"])
def test_no_name_in_a_manifest_leaves_its_folder(tmp_path, place, name):
    def change(content):
        match place:
            case "name":
                content["name"] = name
            case "network":
                content["builds"]["int8"]["network"] = name
            case "build":
                content["builds"] = {name: content["builds"]["int8"]}
            case "input":
                content["inputs"][0]["name"] = name
            case _:
                content[place] = {name: "5" * 64}

    (tmp_path / "manifest.json").write_text(placed(change), "utf-8")
    with pytest.raises(InputError, match="not a manifest"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "null",
        "[" * 200_000,
        '{"format": ' + "9" * 5000 + "}",
        placed(lambda c: c.update(format=[1])),
        placed(lambda c: c.update(inputs={})).replace("{}", '{"a": 1}'),
        placed(lambda c: c.update(inputs=7)),
        placed(lambda c: c.update(inputs=["a"])),
        placed(lambda c: c.update(builds=[])),
        placed(lambda c: c.update(builds={"int8": "x"})),
        placed(lambda c: c.update(model=7)),
        placed(lambda c: c.update(model={"name": [1]})),
        placed(lambda c: c.update(calibration=["a"])),
        placed(lambda c: c.update(calibration={"a": 5})),
        placed(lambda c: c.update(files=None)),
        placed(lambda c: c["inputs"][0].update(width=10**30)),
        placed(lambda c: c["inputs"][0].update(width="3")),
        placed(lambda c: c["inputs"][0].update(height=0)),
        placed(lambda c: c["builds"]["int8"].update(precision="../x")),
    ],
)
def test_manifests(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError) as caught:
        read_manifest(tmp_path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_manifest_of_any_bytes(tmp_path):
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe{\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path)


def test_links_do_not_lead_out_of_a_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.onnx").write_bytes(b"x")
    (folder / "net.onnx").symlink_to(tmp_path / "secret.onnx")
    with pytest.raises(InputError, match="leads out of"):
        within(folder, "net.onnx")
    assert within(folder, "inputs/a.npz") == folder / "inputs" / "a.npz"


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "7", '{"by": 7}', '{"more": "x"}', '{"by": "a\\u001b"}', "[" * 200_000, "{}"],
)
def test_notes_of_what_made_outputs(tmp_path, text):
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"run\.json: it cannot be read"):
        origin_of(tmp_path, None)
    (tmp_path / "run.json").write_text('{"by": "card"}', "utf-8")
    assert origin_of(tmp_path, None) == Origin(by="card")
