"""Folded networks and networks of three planes: description, file, order of channels."""

from __future__ import annotations

import itertools
import json

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from networks import model, random_layers, small_network
from vdsr import Upscaler
from vdsr.benchmark.eager import EagerNetwork, tensors_of
from vdsr.checkpoints.reader import read_checkpoint
from vdsr.cli.main import main
from vdsr.errors import ModelError, UsageError
from vdsr.evaluation.candidates import Candidate
from vdsr.evaluation.protocols import prepare
from vdsr.imaging.color import STUDIO
from vdsr.imaging.resample import imresize
from vdsr.inference import backends
from vdsr.inference.memory import network_bytes_per_pixel
from vdsr.inference.tiling import filled
from vdsr.model.architecture import FOLDS, PLANES, Architecture, Layer, shape_of
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.training.growth import deepen
from vdsr.training.network import VDSR

SHAPES = list(itertools.product(FOLDS, PLANES))


def test_a_folded_vdsr_in_numbers():
    layers = random_layers(*[3] * 20, fold=2)
    net = Architecture(layers=layers, residual=True, fold=2)
    assert (net.halo, net.receptive_field, net.depth, net.width) == (40, 81, 20, 64)
    assert net.parameters == 669_380
    assert round(net.macs_per_pixel / 1e6, 3) == 0.167
    # An odd side ends in a square that is half empty.
    assert net.macs(5, 8) == net.macs(6, 8) == net.macs_per_pixel * 48
    plain = Architecture(layers=random_layers(*[3] * 20), residual=True)
    assert plain.macs(256, 256) / net.macs(256, 256) == pytest.approx(4.0, rel=0.03)
    # OpenVINO holds layers, and a folded one has a quarter of the numbers.
    assert 3.5 < network_bytes_per_pixel(plain) / network_bytes_per_pixel(net) < 4.0


@pytest.mark.parametrize(("fold", "planes"), SHAPES)
def test_no_two_shapes_take_the_same_channels(fold: int, planes: int):
    assert shape_of(planes * fold**2) == (fold, planes)


def test_channels_of_no_network():
    assert [n for n in range(50) if shape_of(n)] == [1, 3, 4, 9, 12, 16, 27, 48]


@pytest.mark.parametrize("fold", [0, 5, -1, 2.0, True, "2"])
def test_folds_that_there_are_not(fold):
    with pytest.raises(ModelError, match="fold is one of 1, 2, 3, 4"):
        Architecture(layers=random_layers(3, 3, width=2), residual=True, fold=fold)


def test_layers_of_another_fold():
    with pytest.raises(ModelError, match="takes 1 channels, but gets 12"):
        Architecture(layers=random_layers(3, 3, width=2), residual=True, fold=2, planes=3)
    layers = (*random_layers(3, 3, width=2, fold=2)[:1], random_layers(3, 3, width=2)[1])
    with pytest.raises(ModelError, match="gives 1 channels; a network of 1 planes and fold 2"):
        Architecture(layers=layers, residual=True, fold=2)


@pytest.mark.parametrize(("fold", "planes"), SHAPES)
def test_the_file_says_and_holds_it(fold: int, planes: int):
    file = small_network(fold=fold, planes=planes)
    found = file.architecture
    assert (found.fold, found.planes) == (file.metadata.fold, file.metadata.planes)
    assert (found.fold, found.planes) == (fold, planes)
    assert file.data == small_network(fold=fold, planes=planes).data
    onnx.checker.check_model(onnx.load_from_string(file.data), full_check=True)
    properties = {p.key: p.value for p in onnx.load_from_string(file.data).metadata_props}
    assert ("vdsr.fold" in properties) == (fold > 1)
    again = model_bytes(found, file.metadata)
    assert again == file.data


def test_a_card_that_says_something_else():
    with pytest.raises(UsageError, match="the metadata say fold=1, the layers 2"):
        model_bytes(small_network(fold=2).architecture, ModelMetadata(name="a"))
    with pytest.raises(ModelError, match="planes is one of 1, 3, not 2"):
        ModelMetadata(name="a", planes=2)


def test_fixed_sizes_are_whole_squares():
    file = small_network(fold=2, planes=3)
    data = model_bytes(file.architecture, file.metadata, shape=(1, 3, 8, 10))
    assert ModelFile(data, "a").fixed_shape == (1, 3, 8, 10)
    for shape in ((1, 1, 8, 10), (1, 3, 9, 10), (1, 3, 8, 11)):
        with pytest.raises(UsageError, match="N x 3 x H x W, H and W multiples of 2"):
            model_bytes(file.architecture, file.metadata, shape=shape)


@pytest.mark.parametrize("name", backends.BACKENDS)
@pytest.mark.parametrize(("fold", "planes"), SHAPES)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_all_backends_compute_what_torch_defines(fold: int, planes: int, name: str, precision: str):
    file = small_network(fold=fold, planes=planes)
    if precision == "fp16":
        metadata = ModelMetadata(name="half", fold=fold, planes=planes, precision="fp16")
        file = ModelFile(model_bytes(file.architecture, metadata), "half")
        if name == "onnxruntime":
            pytest.skip("ONNX Runtime computes in halves as it likes")
    choice = backends.Choice(backend=name, precision="fp32")
    network = backends.open_backend(file, choice)
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (2 * fold, 3 * fold), (17, 30), (31, 5)):
        y = rng.random((2, planes, height, width), dtype=np.float32)
        whole = torch.from_numpy(filled(y, fold))
        h = functional.pixel_unshuffle(whole, fold)
        for i, layer in enumerate(file.architecture):
            h = torch.relu(h) if i else h
            weight, bias = (torch.from_numpy(a) for a in (layer.weight, layer.bias))
            h = functional.conv2d(h, weight, bias, padding=1)
        expected = (whole + functional.pixel_shuffle(h, fold))[..., :height, :width].numpy()
        found = network.run(y)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert np.abs(found - expected).max() < 1e-5
    network.close()


def test_filling_mirrors_the_last_pixels():
    y = np.arange(5, dtype=np.float32)[None] + np.arange(2, dtype=np.float32)[:, None] * 10
    assert filled(y, 4)[0].tolist() == [0, 1, 2, 3, 4, 4, 3, 2]
    assert filled(y, 4)[:, 0].tolist() == [0, 10, 10, 0]
    assert filled(y, 1) is y


def test_a_network_that_adds_nothing_gives_bicubic():
    for fold, planes in SHAPES:
        layers = random_layers(3, 3, width=4, bias=False, fold=fold, planes=planes)
        file = model((layers[0], Layer(weight=np.zeros_like(layers[1].weight))))
        image = np.random.default_rng(0).random((7, 9, 3), dtype=np.float32)
        with Upscaler(file) as upscaler:
            found = upscaler.upscale(image, scale=3)
        exact = imresize(image.transpose(2, 0, 1), scale=3).transpose(1, 2, 0)
        assert np.abs(found - np.clip(exact, 0, 1)).max() < 1e-6


class Shift:
    """A backend of three planes that adds fixed amounts to Y, Cb and Cr."""

    added = np.array([0.05, -0.04, 0.03], np.float32)[:, None, None]

    def run(self, y):
        assert y.shape[1] == 3
        return y + self.added

    def close(self):
        pass


def test_three_planes_are_added_in_rgb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "open_backend", lambda *_, **__: Shift())
    file = small_network(fold=2, planes=3)
    image = np.full((6, 6, 3), [0.5, 0.4, 0.6], np.float32)
    with Upscaler(file) as upscaler:
        found = upscaler.upscale(image, scale=2)
        gray = upscaler.upscale(image[..., 0], scale=2)
    ycbcr = STUDIO.to_ycbcr(np.full((3, 12, 12), 0.0) + image[0, 0][:, None, None] * 255.0)
    expected = STUDIO.to_rgb(ycbcr + Shift.added * 255.0).transpose(1, 2, 0) / 255.0
    assert np.abs(found - expected).max() < 1e-5
    # Gray has no chroma to be changed.
    assert np.abs(gray - (0.5 + 0.05 * 255.0 / 219.0)).max() < 1e-5


@pytest.mark.parametrize(("fold", "planes"), SHAPES)
def test_training_network_and_growth(fold: int, planes: int):
    network = VDSR(depth=3, width=8, fold=fold, planes=planes)
    net = network.architecture()
    assert (net.fold, net.planes, net.folded_planes) == (fold, planes, planes * fold**2)
    y = np.random.default_rng(0).random((1, planes, 12, 24), dtype=np.float32)
    grown = VDSR(depth=5, width=8, fold=fold, planes=planes)
    grown.load_architecture(deepen(net, 5))
    file = model(net.layers)
    run = backends.open_backend(file, backends.choose(file)).run(y)
    with torch.no_grad():
        for one in (network, grown):
            assert np.abs(one(torch.from_numpy(y)).numpy() - run).max() < 1e-5
    with pytest.raises(ValueError, match="not those"):
        VDSR(depth=3, width=8, fold=fold, planes=4 - planes).load_architecture(net)


@pytest.mark.parametrize("names", ["layers", "pytorch-vdsr"])
@pytest.mark.parametrize(("fold", "planes"), SHAPES)
def test_a_checkpoint_says_it_by_its_channels(tmp_path, fold: int, planes: int, names: str):
    from safetensors.numpy import save_file

    net = small_network(fold=fold, planes=planes).architecture
    title = {"layers": [f"layers.{i}" for i in range(4)]}.get(
        names, ["input", "residual_layer.0.conv", "residual_layer.1.conv", "output"]
    )
    tensors = {f"{t}.weight": layer.weight for t, layer in zip(title, net, strict=True)}
    tensors |= {f"{t}.bias": layer.bias for t, layer in zip(title, net, strict=True)}
    save_file(tensors, tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert (found.fold, found.planes, found.residual) == (fold, planes, True)
    for a, b in zip(found, net, strict=True):
        assert np.array_equal(a.weight, b.weight)


@pytest.mark.parametrize("protocol", ["paper", "float", "file"])
@pytest.mark.parametrize(("fold", "planes"), [(2, 1), (2, 3), (3, 3)])
def test_evaluation_gives_a_network_the_planes_that_it_takes(protocol: str, fold: int, planes: int):
    """Odd sizes; a network that adds nothing is bicubic, one that adds to Y is seen."""
    image = np.random.default_rng(0).integers(0, 256, (43, 38, 3), np.uint8)
    case = prepare(image, 2, protocol)
    layers = random_layers(3, 3, width=4, fold=fold, planes=planes)
    last = Layer(weight=np.zeros_like(layers[1].weight), bias=np.zeros_like(layers[1].bias))
    scores = []
    for added in (0.0, 0.1):
        # The first channels that come out are those of luma.
        bias = last.bias.copy()
        bias[: fold**2] = added
        candidate = Candidate(model((layers[0], Layer(weight=last.weight, bias=bias))))
        candidate.open(protocol)
        scores.append(case.reading.score(case.restore(candidate)[0]).psnr)
        candidate.close()
    assert scores[0] == pytest.approx(case.reading.score(case.bicubic).psnr, abs=0.02)
    assert scores[1] < scores[0] - 0.5


def test_the_protocol_of_luma_alone_says_so():
    pytest.importorskip("cv2")
    case = prepare(np.zeros((40, 40, 3), np.uint8), 2, "fixed256")
    with pytest.raises(UsageError, match="no chroma for a network of Y, Cb, Cr"):
        case.restore(Candidate(small_network(planes=3)))


@pytest.mark.parametrize(("fold", "planes"), [(2, 1), (2, 3), (3, 3)])
def test_the_benchmarks_reference_is_the_same_network(fold: int, planes: int):
    file = small_network(fold=fold, planes=planes)
    eager = EagerNetwork(tensors_of(file.architecture), residual=True, threads=1, fold=fold)
    y = np.random.default_rng(0).random((2, planes, 17, 22), dtype=np.float32)
    expected = backends.open_backend(file, backends.choose(file)).run(y)
    assert np.abs(eager.run(y) - expected).max() < 1e-5


def test_info_tells_fold_and_planes(tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.onnx"
    path.write_bytes(small_network(fold=2, planes=3).data)
    for arguments in ((), ("--json",)):
        monkeypatch.setattr("sys.argv", ["vdsr", "info", str(path), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    out = capsys.readouterr().out
    assert "Y, Cb, Cr" in out
    assert "2x2 px at a time" in out
    found = json.loads(out[out.index("{") :])
    assert (found["fold"], found["planes"], found["receptive_field"]) == (2, 3, 17)
