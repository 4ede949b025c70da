"""The Frechet distance, and features from networks in files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from vdsr.errors import InputError, UsageError
from vdsr.evaluation.fid import (
    FeatureNetwork,
    frechet_distance,
    gaussian_distance,
    moments,
    patches,
)

WEIGHT = np.random.default_rng(5).normal(0, 0.1, (4, 3, 3, 3)).astype(np.float32)


def features(seed: int, mean: float = 0.0, rows: int = 60, size: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(mean, 1.0, (rows, size)) @ rng.normal(0, 1.0, (size, size))


@pytest.fixture
def onnx_network(tmp_path: Path) -> Path:
    """Convolution and the mean over the picture, `[N, 3, h, w]` to `[N, 4]`."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    path = tmp_path / "features.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


class _Net(torch.nn.Module):
    """The same, which gives features only when asked for them, as NVIDIA's Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        y = torch.nn.functional.conv2d(x, self.weight)
        return y if return_features else y.mean(dim=[1, 2, 3])


@pytest.fixture
def torchscript_network(tmp_path: Path) -> Path:
    path = tmp_path / "features.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(_Net()).save(str(path))
    return path


def test_a_set_is_at_no_distance_from_itself():
    for rows in (60, 5):  # with 5 rows the covariance of 7 features is singular
        one = features(0, rows=rows)
        assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-6)


def test_two_gaussians_with_diagonal_covariances():
    mean1, mean2 = np.array([0.0, 3.0, -1.0]), np.array([1.0, 1.0, 1.0])
    deviation1, deviation2 = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, 0.5])
    closed_form = np.sum((mean1 - mean2) ** 2) + np.sum((deviation1 - deviation2) ** 2)
    distance = gaussian_distance(mean1, np.diag(deviation1**2), mean2, np.diag(deviation2**2))
    assert distance == pytest.approx(closed_form, rel=1e-12)
    assert closed_form == 17.0  # 1 + 4 + 4, and 4 + 4 + 0


def test_two_gaussians_whose_covariances_do_not_commute():
    rng = np.random.default_rng(3)
    one, other = (a @ a.T for a in rng.normal(0, 1, (2, 4, 4)))
    values, vectors = np.linalg.eig(one @ other)
    root = vectors @ np.diag(np.sqrt(values)) @ np.linalg.inv(vectors)
    assert np.allclose(root @ root, one @ other)
    closed_form = np.trace(one + other - 2.0 * root)
    assert gaussian_distance(np.zeros(4), one, np.zeros(4), other) == pytest.approx(closed_form)


def test_features_of_two_gaussians_come_near_the_closed_form():
    rng = np.random.default_rng(4)
    one, other = rng.normal(0.0, 1.0, (40_000, 3)), rng.normal(0.5, 2.0, (40_000, 3))
    assert frechet_distance(one, other) == pytest.approx(3 * 0.25 + 3 * 1.0, rel=0.03)


def test_the_formula_of_torchmetrics():
    # torchmetrics 1.9, _compute_fid: a + b - 2 c with c = sum(re(sqrt(eigvals(s1 @ s2)))).
    module = pytest.importorskip("torchmetrics.image.fid")
    one, other = features(1), features(2, mean=0.7)
    (mean1, covariance1), (mean2, covariance2) = moments(one), moments(other)
    a = np.sum((mean1 - mean2) ** 2)
    b = np.trace(covariance1) + np.trace(covariance2)
    c = np.sqrt(np.linalg.eigvals(covariance1 @ covariance2).astype(complex)).real.sum()
    distance = frechet_distance(one, other)
    assert distance == pytest.approx(a + b - 2 * c, rel=1e-9)
    tensors = map(torch.from_numpy, (mean1, covariance1, mean2, covariance2))
    assert distance == pytest.approx(float(module._compute_fid(*tensors)), rel=1e-9)


def test_covariances_are_unbiased():
    one = features(6)
    mean, covariance = moments(one)
    assert np.allclose(mean, one.mean(axis=0))
    assert np.allclose(covariance, np.cov(one, rowvar=False))


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 3)), np.zeros(3), np.zeros((4, 0)), np.full((4, 3), np.nan)]
)
def test_features_that_are_none(wrong):
    with pytest.raises(ValueError, match="features"):
        moments(wrong)


def test_features_of_different_networks_are_not_compared():
    with pytest.raises(ValueError, match="different size"):
        frechet_distance(features(0, size=3), features(0, size=4))


def test_patches_cover_the_picture_in_order():
    planes = np.arange(100 * 70, dtype=np.float64).reshape(1, 100, 70)
    found = patches(planes, side=64, stride=32)
    assert (found.shape, found.dtype) == ((2, 3, 64, 64), np.float32)
    assert np.array_equal(found[1, 2], planes[0, 32:96, :64])
    color = np.stack([planes[0], planes[0] + 1, planes[0] + 2])
    assert np.array_equal(patches(color, side=64, stride=32)[1, 1], color[1, 32:96, :64])
    assert patches(planes, side=64).shape[0] == 2
    assert len(patches(planes[:, :63], side=64)) == 0


def test_onnx_and_torchscript_give_the_same_features(onnx_network, torchscript_network):
    pictures = np.random.default_rng(7).uniform(0, 255, (35, 3, 12, 10)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        one = FeatureNetwork(torchscript_network).features(pictures)
    other = FeatureNetwork(onnx_network).features(pictures)
    assert one.shape == (35, 4)
    assert np.allclose(one, other, atol=1e-3)
    expected = torch.nn.functional.conv2d(torch.from_numpy(pictures), torch.from_numpy(WEIGHT))
    assert np.allclose(one, expected.mean(dim=(2, 3)).numpy(), atol=1e-3)
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-6)


def test_files_that_are_no_networks(tmp_path: Path, onnx_network: Path):
    with pytest.raises(UsageError, match="no such network"):
        FeatureNetwork(tmp_path / "missing.onnx")
    for name in ("broken.onnx", "broken.pt"):
        path = tmp_path / name
        path.write_bytes(b"nothing of the kind")
        with warnings.catch_warnings(), pytest.raises(InputError, match=name):
            warnings.simplefilter("ignore")
            FeatureNetwork(path)
    other = tmp_path / "network.pkl"
    other.write_bytes(b"")
    with pytest.raises(UsageError, match="TorchScript"):
        FeatureNetwork(other)
    with pytest.raises(InputError, match="refuses"):
        FeatureNetwork(onnx_network).features(np.zeros((2, 5, 8, 8), np.float32))


def test_a_network_that_gives_no_features(tmp_path: Path):
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, "H"]) for n in ("x", "y")]
    graph = helper.make_graph([node], "none", ends[:1], ends[1:])
    path = tmp_path / "none.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="are not finite"):
        FeatureNetwork(path).features(np.zeros((2, 3, 8), np.float32))
