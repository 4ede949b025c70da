"""Checkpoints that want more than to be read: refused by name, with nothing run."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import random
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_safetensors

import python2_pickle as py2
from vdsr.checkpoints.reader import read_checkpoint
from vdsr.errors import CheckpointError
from vdsr.model.architecture import Architecture

WEIGHT = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
CASES = 300


@pytest.fixture
def marker(tmp_path):
    """A file that must never appear, whatever a checkpoint asks for."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def refused(path, data, message):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    return text


def zip_of(data_pkl, **storages):
    members = {f"archive/data/{key}": data for key, data in storages.items()}
    return archive_of({"archive/data.pkl": data_pkl} | members)


def archive_of(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def legacy_of(code, **storages):
    """A legacy file whose object is `code`."""
    return py2.legacy_bytes(py2.Raw(code), storages)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def stack_global(module, name):
    return text(module) + text(name) + b"\x93"


def tensor_code(shape=(1, 1, 3, 3), offset=0, strides=(9, 9, 3, 1), size=9, view=None):
    outside = py2.storage("0", size, view=view)
    return {"w": py2.tensor(outside, shape, offset=offset, strides=strides)}


class Evil:
    """What `pickle` itself makes of an object that wants to run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_command_is_not_run(tmp_path, marker, form, protocol):
    evil = Evil(f"touch {marker}")
    code = pickle.dumps({"w": torch.zeros(3).numpy().tolist(), "x": evil}, protocol)
    data = {"zip": zip_of(code), "legacy": legacy_of(code[:-1]), "bare": code}[form]
    refused(tmp_path / "a.pth", data, r"it asks for (posix|nt)\.system")
    assert pickle.loads(pickle.dumps(Evil("true"))) == 0  # it would have been run


GLOBALS = [
    ("posix", "system"),
    ("os", "system"),
    ("builtins", "eval"),
    ("__builtin__", "eval"),
    ("builtins", "getattr"),
    ("builtins", "object.__subclasses__"),
    ("builtins", "set.__init__"),
    ("torch.hub", "load"),
    ("torch", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.jit", "_load_for_module"),
    ("torch", "_utils._rebuild_tensor"),
    ("torch._utils", "os.system"),
    ("torch._utils", "_rebuild_tensor.__globals__"),
    ("torch.nn.modules", "conv.os.system"),
    ("torch.nn.modules.conv", "__builtins__"),
    ("torch.nn.modules.conv", "Conv2d.__init__"),
    ("torch.nn.modules.conv", "torch"),
    ("torch.nn.modules.conv.os", "System"),
    ("torch.nn.modules.conv\n", "Conv2d"),
    ("torch.nn.modules.../conv", "Conv2d"),
    ("collections.OrderedDict", "fromkeys"),
    ("collections", "OrderedDict.fromkeys"),
    ("vdsr", "upscale"),
    ("vdsr.inference.upscaler", "Net"),
    ("__main__", "Evil"),
    ("numpy", "load"),
    ("copyreg", "_reconstructor.__globals__"),
    ("", "torch.FloatStorage"),
    ("torch", "Float\nStorage"),
    ("x" * 5000, "y"),
]


@pytest.mark.parametrize(("module", "name"), GLOBALS, ids=[f"{m}:{n}"[:60] for m, n in GLOBALS])
def test_names_that_are_refused(tmp_path, module, name):
    code = b"\x80\x04" + stack_global(module, name) + text("x") + b"\x85R"
    message = refused(tmp_path / "a.pth", legacy_of(code), "it asks for ")
    assert ascii(f"{module}.{name}")[1:-1][:90] in message
    assert len(message) < 400 + len(str(tmp_path))
    refused(tmp_path / "b.pth", zip_of(code + b"."), "it asks for ")


@pytest.mark.parametrize(
    "code",
    [
        b"cposix\nsystem\nU\x04true\x85R",
        b"(iposix\nsystem\n",
        b"(cposix\nsystem\nU\x04trueo",
        b"cposix\nsystem\n)\x81",
        b"]cposix\nsystem\na0",
    ],
    ids=["REDUCE", "INST", "OBJ", "NEWOBJ", "never called"],
)
def test_every_way_to_name_a_function(tmp_path, code):
    refused(tmp_path / "a.pth", legacy_of(code), r"it asks for posix\.system")


ORDERED = b"ccollections\nOrderedDict\n"
CONV = b"ctorch.nn.modules.conv\nConv2d\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (CONV + b"}b", r"changes a torch\.nn\.modules\.conv\.Conv2d"),
        (b"}}b", "changes a dict"),
        (b"]}b", "changes a list"),
        (CONV + b")R)R", r"calls a torch\.nn\.modules\.conv\.Conv2d object"),
        (ORDERED + b")R)\x81", r"calls a collections\.OrderedDict object"),
        (b"U\x06system)R", "calls a str"),
        (CONV + b"]R", r"calls a torch\.nn\.modules\.conv\.Conv2d"),
        (CONV + b")RU\x01aU\x01bs", r"sets items of a torch\.nn\.modules\.conv\.Conv2d object"),
        (b"c__builtin__\nset\n)RU\x01aU\x01bs", r"sets items of a __builtin__\.set object"),
        (b"]U\x01aU\x01bs", "sets items of a list"),
        (ORDERED + b")RU\x01aa", r"appends to a collections\.OrderedDict object"),
        (b"ccopy_reg\n_reconstructor\nU\x06system\x85R", "calls a str"),
        (b"ccopy_reg\n_reconstructor\n)R", "its pickle is damaged"),
        (b"U\x01aU\x01b\x93", "asks for a.b"),
        (b"K\x01K\x02\x93", "its pickle is damaged"),
        (b"\x82\x01", "instruction at byte .* 0x82"),
        (b"\x83\x01\x00", "0x83"),
        (b"\x84\x01\x00\x00\x00", "0x84"),
        (CONV + b")}\x92", "0x92"),
        (b"Pposix\n", "0x50"),
        (b"U\x05thingQ", "not a storage"),
        (b"(U\x06modulecposix\nsystem\nNNtQ", r"asks for posix\.system"),
        (b"(U\x06modulectorch\ndevice\nNNtQ", "not a storage"),
        (b"(U\x07storage" + CONV + b"U\x010U\x03cpuK\x09tQ", "not a storage"),
        (b"j\xff\xff\xff\xff", "its pickle is damaged"),
        (b"0", "its pickle is damaged"),
        (b"\x80\x09", "unknown protocol 9"),
        (b"\x8b\x00\x01\x00\x00", "an integer of 256 bytes"),
        (b"I" + b"9" * 5000 + b"\n", "its pickle is damaged"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", "cut short or damaged"),
        (b"T\xff\xff\xff\xff", "cut short or damaged"),
    ],
)
def test_what_the_instructions_cannot_be_used_for(tmp_path, code, message):
    refused(tmp_path / "a.pth", legacy_of(code), message)


def test_registered_extension_codes_are_not_looked_up(tmp_path):
    copyreg.add_extension("posix", "system", 0xE1)
    try:
        refused(tmp_path / "a.pth", legacy_of(b"\x82\xe1U\x04true\x85R"), "0x82")
    finally:
        copyreg.remove_extension("posix", "system", 0xE1)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (tensor_code(size=1 << 40), "not of the size announced"),
        (tensor_code(size=-1), "negative sizes"),
        (tensor_code(offset=1), "outside of its storage of 9 numbers"),
        (tensor_code(offset=-1), "outside of its storage"),
        (tensor_code(strides=(9, 9, 4, 1)), "outside of its storage"),
        (tensor_code(strides=(9, 9, -3, 1)), "outside of its storage"),
        (tensor_code(shape=(1, 1, 99, 99), strides=(0, 0, 0, 0)), "outside of its storage"),
        (tensor_code(shape=(10**6, 10**6, 3, 3), strides=(0, 0, 0, 0)), "larger than any network"),
        (tensor_code(shape=(1, 1, -3, -3)), "outside of its storage"),
        (tensor_code(shape=(1, 1, 2**70, 2**70), strides=(0, 0, 0, 0)), "larger than any network"),
        (tensor_code(shape=(1,) * 9, strides=(1,) * 9), "shape or strides are damaged"),
        (tensor_code(shape=(1, 1, 3), strides=(9, 9, 3, 1)), "shape or strides are damaged"),
        (tensor_code(shape=(1, 1, 3.0, 3)), "shape or strides are damaged"),
        (tensor_code(view=("1", 5, 5)), "view of its storage 0 reaches outside"),
        (tensor_code(view=("1", -1, 5)), "view of its storage 0 reaches outside"),
        (tensor_code(view=("1", 4, 5)), "outside of its storage of 5 numbers"),
    ],
)
def test_tensors_that_reach_outside(tmp_path, tensor, message):
    refused(tmp_path / "a.pth", py2.legacy_bytes(tensor, {"0": WEIGHT}), message)


def test_one_storage_of_two_types(tmp_path):
    half = {"v": py2.tensor(py2.storage("0", 9, "HalfStorage"), (1, 1, 3, 3))}
    data = py2.legacy_bytes(tensor_code() | half, {"0": WEIGHT})
    refused(tmp_path / "a.pth", data, "contradictory")


@pytest.mark.parametrize("keys", ["3", {"0": 1}, ["0", "0"], ["1"], [0], []])
def test_damaged_list_of_storages(tmp_path, keys):
    pickles = [py2.MAGIC, 1001, py2.SYS_INFO, tensor_code(), keys]
    data = b"".join(py2.Writer().dump(item) for item in pickles)
    data += 2 * (struct.pack("<q", 9) + WEIGHT.tobytes())
    refused(tmp_path / "a.pth", data, "storage")


def test_another_version_of_the_legacy_format(tmp_path):
    data = py2.Writer().dump(py2.MAGIC) + py2.Writer().dump(1000)
    refused(tmp_path / "a.pth", data, "unknown version")


def good_pickle(size=9):
    return py2.Writer().dump(tensor_code(size=size))


def test_archives_that_lie_about_sizes(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(zip_of(good_pickle(), **{"0": WEIGHT.tobytes()}))
    assert read_checkpoint(path).depth == 1  # the same archive, when it does not lie
    refused(path, zip_of(good_pickle(1 << 40), **{"0": WEIGHT.tobytes()}), "of another size")
    refused(path, zip_of(good_pickle(), **{"0": b"short"}), "of another size")
    refused(path, zip_of(good_pickle()), "missing or of another size")
    data = bytearray(zip_of(good_pickle(), **{"0": WEIGHT.tobytes()}))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    refused(path, bytes(data), "members exceed the file")


def test_zip_bomb(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 10_000_000)
    tracemalloc.start()
    refused(tmp_path / "a.pth", stream.getvalue(), "a compressed zip archive")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_archives_of_another_form(tmp_path):
    members = {"archive/data.pkl": good_pickle(), "archive/data/0": WEIGHT.tobytes()}
    marked = members | {"archive/byteorder": b"middle"}
    refused(tmp_path / "a.pth", archive_of(marked), "byte order")
    two = members | {"other/data.pkl": good_pickle()}
    refused(tmp_path / "b.pth", archive_of(two), "not one that torch")


def test_modules_without_end(tmp_path):
    """A module that is its own child, and one whose children share all grandchildren."""
    sequential = b"ctorch.nn.modules.container\nSequential\n)\x81"
    loop = sequential + b"q\x01}U\x08_modules}U\x01ah\x01ssb"
    refused(tmp_path / "a.pth", legacy_of(loop), "nested too deeply")
    node = b"N"
    for depth in range(25):
        index = bytes([depth])
        children = b"}U\x01a" + node + b"q" + index + b"sU\x01bh" + index + b"s"
        node = sequential + b"}U\x08_modules" + children + b"sb"
    refused(tmp_path / "b.pth", legacy_of(node), "too many")


def test_depth_does_not_overrun_the_stack(tmp_path):
    tuples = b")" + b"\x85" * 300_000
    refused(tmp_path / "a.pth", legacy_of(b"}" + tuples + b"Ns"), "its pickle is damaged")
    refused(tmp_path / "b.pth", legacy_of(tuples), "no network's tensors")
    refused(tmp_path / "c.pth", legacy_of(b"N0" * 600_000), "over 1000000 steps")


def test_one_list_made_into_a_mapping_again_and_again(tmp_path):
    """A step each, and the work of the whole list: quadratic in the size of the file."""
    pairs = b"".join(b"J" + struct.pack("<i", i) + b"N\x86" for i in range(5000))
    code = ORDERED + b"q\x00](" + pairs + b"e\x85q\x010(" + b"h\x00h\x01R" * 5000 + b"t."
    started = time.process_time()
    refused(tmp_path / "a.pth", zip_of(code), "over 1000000 steps")
    assert time.process_time() - started < 30


def test_a_stride_along_an_axis_of_one(tmp_path):
    """It says nothing, so that nothing is wrong with it, however large it is."""
    tensor = tensor_code(strides=(2**68, 9, 3, 1))
    (tmp_path / "a.pth").write_bytes(py2.legacy_bytes(tensor, {"0": WEIGHT}))
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.pth").layers[0].weight, WEIGHT)


def test_many_tensors_over_one_storage(tmp_path):
    size = 1 << 20
    outside = py2.storage("0", size, "HalfStorage")
    tensors = {
        f"{i}.weight": py2.tensor(outside, (1024, 1024, 1, 1), strides=(1024, 1, 1, 1))
        for i in range(100)
    }
    data = py2.legacy_bytes(tensors, {"0": np.zeros(size, np.float16)})
    tracemalloc.start()
    refused(tmp_path / "a.pth", data, "larger than any network")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_texts_that_are_no_names(tmp_path):
    long = b"X" + struct.pack("<I", 2 << 20) + "𝄞".encode() * (1 << 19)
    refused(tmp_path / "a.pth", legacy_of(long), "a text of 2097152 bytes")
    refused(tmp_path / "b.pth", legacy_of(b"c" + b"x" * (2 << 20)), "cut short or damaged")
    many = (b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20)) * 34
    refused(tmp_path / "c.pth", legacy_of(many), "over 32 MiB")


def test_archives_of_many_members(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for i in range(20_001):
            archive.writestr(f"{i}", b"")
    refused(tmp_path / "a.pth", stream.getvalue(), "over 20000 members")


def test_a_header_that_is_all_there_is(tmp_path):
    text = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' + b" " * (5 << 20) + b"}"
    data = struct.pack("<Q", len(text)) + text
    refused(tmp_path / "a.safetensors", data, "its header is too long")


def good_files():
    """One small file of every kind, two layers or a whole module in it."""
    weights = [
        np.random.default_rng(i).normal(size=s).astype(np.float32)
        for i, s in enumerate([(2, 1, 3, 3), (2, 2, 3, 3), (1, 2, 3, 3)])
    ]
    tensors = {f"{i}.weight": w for i, w in enumerate(weights)}
    files = {"safetensors": save_safetensors(tensors), "python2": py2.public_network(weights)}
    state = {name: torch.from_numpy(w) for name, w in tensors.items()}
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Conv2d(2, 1, 3)
    )
    for name, root in (("state", state), ("module", module)):
        for zipped in (True, False):
            stream = io.BytesIO()
            torch.save(root, stream, _use_new_zipfile_serialization=zipped)
            files[f"{name}-{'zip' if zipped else 'legacy'}"] = stream.getvalue()
    return files


FILES = good_files()


def read_or_refuse(path, data):
    path.write_bytes(data)
    try:
        assert isinstance(read_checkpoint(path), Architecture)
    except CheckpointError as error:
        assert str(error).isprintable()
        return False
    return True


@pytest.mark.parametrize("kind", FILES)
def test_truncation(tmp_path, kind):
    data = FILES[kind]
    assert read_or_refuse(tmp_path / "a", data)
    for size in np.linspace(0, len(data) - 1, 150).astype(int):
        assert not read_or_refuse(tmp_path / "a", data[:size])


@pytest.mark.parametrize("kind", FILES)
def test_random_damage(tmp_path, kind):
    rng = random.Random(f"{kind} 0")
    outcomes = []
    for _ in range(CASES):
        data = bytearray(FILES[kind])
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            piece = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
            data[place : place + rng.randint(0, 3)] = piece
        outcomes.append(read_or_refuse(tmp_path / "a", bytes(data)))
    assert not all(outcomes)
