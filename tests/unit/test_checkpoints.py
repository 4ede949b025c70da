"""Reading other programs' checkpoints: formats, layer order, and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

import python2_pickle as py2
import vdsr
from vdsr.checkpoints.reader import read_checkpoint
from vdsr.errors import CheckpointError, MissingExtra


class Net(nn.Module):
    """The module tree of pytorch-vdsr, with fewer and narrower blocks."""

    def __init__(self, block, blocks=11):
        super().__init__()
        self.residual_layer = nn.Sequential(*(block() for _ in range(blocks)))
        self.input = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.output = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def weights(self):
        middle = [block.conv.weight for block in self.residual_layer]
        return [w.detach().numpy() for w in (self.input.weight, *middle, self.output.weight)]


class Block(nn.Module):
    """The block of pytorch-vdsr, two channels wide."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)


@pytest.fixture
def net(monkeypatch):
    """A network whose classes carry the names that they have in the public files."""
    torch.manual_seed(0)
    public = {"__module__": "vdsr"}
    classes = (type("Net", (Net,), public), type("Conv_ReLU_Block", (Block,), public))
    for cls in classes:
        monkeypatch.setattr(vdsr, cls.__name__, cls, raising=False)
    return classes[0](classes[1])


def assert_layers(architecture, weights, biases=None):
    assert architecture.depth == len(weights)
    for i, (layer, weight) in enumerate(zip(architecture, weights, strict=True)):
        assert layer.weight.dtype == np.float32
        np.testing.assert_array_equal(layer.weight, weight)
        if biases is None:
            assert layer.bias is None
        else:
            np.testing.assert_array_equal(layer.bias, biases[i])


def random_weights(*channels, kernel=3):
    rng = np.random.default_rng(0)
    shapes = [(b, a, kernel, kernel) for a, b in itertools.pairwise(channels)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def safetensors_file(path, tensors):
    save_file({name: np.array(value, order="C") for name, value in tensors.items()}, path)
    return path


# Formats


def test_safetensors(tmp_path):
    weights = random_weights(1, 3, 3, 1)
    tensors = {f"layers.{i}.weight": w for i, w in enumerate(weights)}
    tensors |= {f"layers.{i}.bias": w[:, 0, 0, 0] for i, w in enumerate(weights)}
    read = read_checkpoint(safetensors_file(tmp_path / "a.safetensors", tensors))
    assert_layers(read, weights, [w[:, 0, 0, 0] for w in weights])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model", "params", "net"])
def test_state_dict_and_the_usual_wrappers(tmp_path, zipped, key, net):
    root = net.state_dict()
    if key is not None:
        root = {"epoch": torch.tensor(3), "optimizer": {"lr": 0.1, "betas": (0.9, 0.99)}, key: root}
    torch.save(root, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_layers(read_checkpoint(tmp_path / "a.pth"), net.weights())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("parallel", [True, False])
def test_whole_module(tmp_path, zipped, parallel, protocol, net):
    root = {"epoch": 50, "model": nn.DataParallel(net) if parallel else net}
    torch.save(
        root,
        tmp_path / "a.pth",
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=protocol,
    )
    assert_layers(read_checkpoint(tmp_path / "a.pth"), net.weights())


@pytest.mark.parametrize("path", ["vdsr", "__main__"])
def test_public_file_as_python_2_wrote_it(tmp_path, path):
    weights = random_weights(1, *[4] * 13, 1)
    (tmp_path / "model_epoch_50.pth").write_bytes(py2.public_network(weights, path))
    read = read_checkpoint(tmp_path / "model_epoch_50.pth")
    assert_layers(read, weights)
    assert read.residual


def test_the_python_2_writer_writes_what_pytorch_reads(tmp_path):
    """Anchors the hand-made files: PyTorch itself reads a tensor out of one."""
    weight = random_weights(1, 2)[0]
    root = {"w": py2.tensor(py2.storage("7", 18), (2, 1, 3, 3))}
    path = py2.save(tmp_path / "a.pth", root, **{"7": weight})
    read = torch.load(path, map_location="cpu", weights_only=False, encoding="latin1")
    np.testing.assert_array_equal(read["w"].numpy(), weight)


def test_older_forms_of_tensors_and_instances(tmp_path):
    first, last = random_weights(1, 2, 1)
    floats = py2.Name("torch", "FloatTensor")
    old = py2.Call(floats, (), (py2.storage("0", 18), 0, (2, 1, 3, 3), (9, 9, 3, 1)), new=True)
    hooks = py2.ordered({})
    variable = py2.Name("torch.autograd.variable", "Variable")
    old = py2.Call(variable, (), (old, None, hooks, True, False), new=True)
    new = py2.convolution(py2.tensor(py2.storage("1", 18), (1, 2, 3, 3)))
    reconstruct = py2.Name("copy_reg", "_reconstructor")
    args = (new.name, py2.Name("__builtin__", "object"), None)
    modules = {"a": py2.convolution(old), "b": py2.Call(reconstruct, args, new.state)}
    names = py2.Call(py2.Name("__builtin__", "set"), (["a"],))
    net = py2.module("vdsr", "Net", _modules=py2.ordered(modules), names=names)
    path = py2.save(tmp_path / "a.pth", net, **{"0": first, "1": last})
    assert_layers(read_checkpoint(path), [first, last])


def test_needs_no_torch(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "a.pth")
    code = (
        "import sys; from vdsr.checkpoints.reader import read_checkpoint;"
        f"read_checkpoint({str(tmp_path / 'a.pth')!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_views_and_shared_storages(tmp_path, net):
    whole = torch.arange(2000, dtype=torch.float32)
    shared = whole[100:118].view(2, 1, 3, 3)
    flipped = whole[200:272].view(3, 3, 4, 2).permute(3, 2, 0, 1)[:, ::2]
    tensors = {"0.weight": shared, "1.weight": flipped, "2.weight": shared.view(1, 2, 3, 3)}
    for zipped in (True, False):
        torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / "a.pth")
        assert_layers(read, [tensor.numpy() for tensor in tensors.values()])


def test_storage_views_of_python_2(tmp_path):
    data = np.arange(100, dtype=np.float32)
    part = py2.storage("9", 100, view=("10", 40, 9))
    path = py2.save(tmp_path / "a.pth", {"w": py2.tensor(part, (1, 1, 3, 3))}, **{"9": data})
    assert_layers(read_checkpoint(path), [data[40:49].reshape(1, 1, 3, 3)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_other_floats(tmp_path, dtype, form):
    weight = torch.from_numpy(random_weights(1, 1)[0]).to(dtype)
    path = tmp_path / "a.pth"
    if form == "safetensors":
        from safetensors.torch import save_file as save_torch

        save_torch({"weight": weight}, path)
    else:
        torch.save({"weight": weight}, path, _use_new_zipfile_serialization=form == "zip")
    assert_layers(read_checkpoint(path), [weight.float().numpy()])


def test_tensors_over_untyped_storages(tmp_path):
    """The form of types that have no storage class of their own, here float32."""
    weight = random_weights(1, 1)[0]
    untyped = py2.Outside(("storage", py2.Name("torch.storage", "UntypedStorage"), "0", "cpu", 36))
    dtype = py2.Name("torch", "float32")
    args = (untyped, 0, (1, 1, 3, 3), (9, 9, 3, 1), False, py2.ordered({}), dtype)
    root = {"weight": py2.Call(py2.Name("torch._utils", "_rebuild_tensor_v3"), args)}
    path = py2.save(tmp_path / "a.pth", root, **{"0": np.frombuffer(weight.tobytes(), np.uint8)})
    assert_layers(read_checkpoint(path), [weight])


def test_big_endian_archive(tmp_path):
    weight = random_weights(1, 1)[0]
    torch.save({"weight": torch.from_numpy(weight)}, tmp_path / "little.pth")
    with (
        zipfile.ZipFile(tmp_path / "little.pth") as little,
        zipfile.ZipFile(tmp_path / "big.pth", "w") as big,
    ):
        for name in little.namelist():
            data = little.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            elif name.endswith("data/0"):
                data = weight.astype(">f4").tobytes()
            big.writestr(name, data)
    assert_layers(read_checkpoint(tmp_path / "big.pth"), [weight])


# From tensors to layers


def test_natural_order_between_first_and_last(tmp_path):
    weights = random_weights(1, *[3] * 13, 1)
    names = ["input", *(f"residual_layer.{i}.conv" for i in range(12)), "output"]
    tensors = {f"module.{name}.weight": w for name, w in zip(names, weights, strict=True)}
    read = read_checkpoint(safetensors_file(tmp_path / "a.safetensors", tensors))
    assert_layers(read, weights)


@pytest.mark.parametrize(
    ("kernel", "depth", "residual"), [(3, 4, True), (3, 3, False), (5, 4, False), (3, 1, False)]
)
def test_residual_is_told_from_the_shape(tmp_path, kernel, depth, residual):
    weights = random_weights(1, *[2] * (depth - 1), 1, kernel=kernel)
    tensors = {f"{i}.weight": w for i, w in enumerate(weights)}
    path = safetensors_file(tmp_path / "a.safetensors", tensors)
    assert read_checkpoint(path).residual is residual
    assert read_checkpoint(path, residual=not residual).residual is not residual


def test_counters_are_ignored(tmp_path):
    tensors = {"weight": random_weights(1, 1)[0], "num_batches_tracked": np.array(7)}
    assert read_checkpoint(safetensors_file(tmp_path / "a.safetensors", tensors)).depth == 1


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"conv.weight": ones(1, 1, 3, 3), "bn.weight": ones(1)}, "no place for 1 tensors: bn.we"),
        ({"conv.weight": ones(1, 1, 3, 3), "scale": ones()}, "no place for 1 tensors: scale"),
        ({"conv.weight": ones(1, 1, 3, 3, dtype=np.int8)}, "no place for 1 tensors: conv.weight"),
        ({"fc.weight": ones(2, 2)}, "no place for 1 tensors: fc.weight"),
        ({"n": np.array(3)}, "no weights of convolutions"),
        ({"conv.weight": np.full((1, 1, 3, 3), np.nan, np.float32)}, "conv.weight: .*not a number"),
        ({"conv.weight": np.full((1, 1, 3, 3), 1e300)}, "conv.weight: .*infinite"),
        (
            {"a.weight": ones(1, 1, 3, 3), "a.bias": np.full(1, np.inf, np.float32)},
            "tensor a.bias: .*infinite",
        ),
        ({"a.weight": ones(1, 1, 3, 3), "a.bias": ones(2)}, "tensor a.bias: a bias of .2."),
        ({"a.weight": ones(1, 1, 4, 4)}, "tensor a.weight: .*k odd"),
        ({"a.weight": ones(1, 1, 3, 5)}, "tensor a.weight: .*k odd"),
        ({"a.weight": ones(2, 1, 3, 3), "b.weight": ones(1, 3, 3, 3)}, "layer 1 takes 3 channels"),
        ({"a.weight": ones(2, 5, 3, 3), "b.weight": ones(5, 2, 3, 3)}, "or one of Y, Cb, Cr has"),
        (
            {"in.weight": ones(1, 1, 3, 3), "out.weight": ones(1, 1, 3, 3)},
            "order of its layers cannot be told: one channel in in.weight, out.weight",
        ),
        (
            {"a.weight": ones(1, 1, 3, 3), "module.a.weight": ones(1, 1, 3, 3)},
            "it holds a.weight twice",
        ),
        ({"a.weight": ones(0, 1, 3, 3), "b.weight": ones(1, 0, 3, 3)}, "empty axis"),
    ],
)
def test_what_is_no_chain_of_convolutions(tmp_path, tensors, message):
    path = safetensors_file(tmp_path / "a.safetensors", tensors)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Conv2d(1, 2, 3), nn.LeakyReLU(), nn.Conv2d(2, 1, 3)], "layer 1 is a LeakyReLU"),
        ([nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 3)], "layer 1 is a BatchNorm2d"),
        ([nn.Conv2d(1, 1, 3, stride=2)], "layer 0 is a convolution whose stride"),
        ([nn.Conv2d(1, 1, 3, padding_mode="reflect")], "layer 0 is a convolution whose padding_m"),
    ],
)
def test_modules_that_the_tensors_alone_would_hide(tmp_path, layers, message):
    torch.save(nn.Sequential(*layers), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


# Files of other kinds


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n", "neither a safetensors file nor"),
        (b"\x80\x04K\x01.", "a pickle, but not one that torch.save wrote"),
        (b"PK\x03\x04 and nothing more", "damaged zip archive"),
        (b"\x20\0\0\0\0\0\0\0{", "damaged safetensors file"),
    ],
)
def test_other_files(tmp_path, data, message):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_checkpoint(str(tmp_path / "none.pth"))


def test_another_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        read_checkpoint(tmp_path / "a.zip")


def test_checkpoint_without_a_network(tmp_path):
    torch.save(OrderedDict(epoch=3, optimizer={"lr": 0.1}), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"no network's tensors .it holds: epoch, optimizer"):
        read_checkpoint(tmp_path / "a.pth")


def test_without_safetensors(tmp_path, monkeypatch):
    path = safetensors_file(tmp_path / "a.safetensors", {"weight": random_weights(1, 1)[0]})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtra, match=r"safetensors is not installed.*vdsr\[models\]"):
        read_checkpoint(path)


# The networks that the project knows


def test_public_network(shared: Path):
    network = read_checkpoint(shared / "reference" / "pytorch-vdsr.safetensors")
    assert network.residual
    assert all(layer.bias is None for layer in network)
    assert (network.depth, network.width, network.parameters) == (20, 64, 664_704)
    assert network.macs(256, 256) == 43_562_041_344
    assert round(network.flops(256, 256) / 1e9, 3) == 87.124
    assert round(network.flops_with_bias_convention(256, 256) / 1e9, 3) == 96.805
    assert (network.receptive_field, network.halo) == (41, 20)


def test_first_network_of_our_own(shared: Path):
    network = read_checkpoint(shared / "weights" / "bootstrap.safetensors")
    assert network.residual
    assert all(layer.bias is not None for layer in network)
    assert (network.depth, network.parameters) == (20, 665_921)
