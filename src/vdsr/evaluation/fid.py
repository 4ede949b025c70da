"""Frechet distance between the features of two sets of pictures (FID).

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
Equilibrium", NIPS 2017, https://arxiv.org/abs/1706.08500. The features of each set are
taken for a Gaussian; the squared Frechet distance of two Gaussians is

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

with means m and unbiased covariances S (Dowson and Landau, 1982). (S1 S2)^(1/2) has the
eigenvalues of (A S2 A)^(1/2) with A = S1^(1/2), which is symmetric, so that no complex
numbers come of rounding.

The features are those of a network in a file, and of patches, since a few pictures make
no distribution. Such a figure depends on network and patches: it can be compared within
one table, not with FIDs printed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, MissingExtra, UsageError
from vdsr.evaluation.cases import Planes
from vdsr.inputs import is_file

Features = NDArray[np.float64]
Extract = Callable[[NDArray[np.float32]], NDArray[Any]]

PATCH = 64
STRIDE = 32
_BATCH = 32


def frechet_distance(one: Features, other: Features) -> float:
    """Squared Frechet distance of the Gaussians through two sets of features.

    Args:
        one, other: `[N, D]`, at least two rows each; the same D.

    Returns:
        0 for equal sets, up to rounding; never below 0.

    Raises:
        ValueError: for other shapes, or features that are not finite.
    """
    mean1, covariance1 = moments(one)
    mean2, covariance2 = moments(other)
    return gaussian_distance(mean1, covariance1, mean2, covariance2)


def moments(features: Features) -> tuple[Features, Features]:
    """Mean `[D]` and unbiased covariance `[D, D]` of features `[N, D]`.

    Raises:
        ValueError: for another shape, fewer than two rows, or features that are not finite.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError(f"features are [N, D] with N >= 2, not {list(features.shape)}")
    if not np.isfinite(features).all():
        raise ValueError("some features are not finite")
    mean = features.mean(axis=0)
    centered = features - mean
    return mean, centered.T @ centered / (len(features) - 1)


def gaussian_distance(
    mean1: Features, covariance1: Features, mean2: Features, covariance2: Features
) -> float:
    """Squared Frechet distance of two Gaussians.

    Args:
        mean1, mean2: `[D]`.
        covariance1, covariance2: `[D, D]`, symmetric, positive semidefinite.

    Raises:
        ValueError: for shapes that do not fit each other.
    """
    size = len(mean1)
    if mean1.shape != mean2.shape or {covariance1.shape, covariance2.shape} != {(size, size)}:
        raise ValueError(
            f"Gaussians of different size: {mean1.shape}, {covariance1.shape} and"
            f" {mean2.shape}, {covariance2.shape}"
        )
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ covariance2 @ root)
    trace = np.trace(covariance1) + np.trace(covariance2)
    trace -= 2.0 * np.sqrt(np.clip(mixed, 0.0, None)).sum()
    return max(0.0, float(np.sum((mean1 - mean2) ** 2) + trace))


def patches(planes: Planes, *, side: int = PATCH, stride: int = STRIDE) -> NDArray[np.float32]:
    """Overlapping squares of a picture, in color.

    Args:
        planes: float `[1, H, W]` or `[3, H, W]`, 0..255; gray is repeated three times.
        side, stride: px. A picture smaller than `side` gives no patch.

    Returns:
        float32 `[N, 3, side, side]`.
    """
    if min(planes.shape[1:]) < side:
        return np.empty((0, 3, side, side), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(planes, (side, side), axis=(1, 2))
    chosen = windows[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)
    flat = chosen.reshape(-1, len(planes), side, side).astype(np.float32)
    return np.repeat(flat, 3, axis=1) if len(planes) == 1 else flat


class FeatureNetwork:
    """A network from a file, whose output describes a picture.

    It takes float32 `[N, 3, h, w]`, RGB in 0..255, and gives `[N, D]`, or `[N, D, h, w]`,
    which is averaged over h and w.

    Args:
        path: ONNX (`.onnx`), run by OpenVINO in fp32, or TorchScript (`.pt`, `.pth`, `.ts`),
            run by torch on the CPU. One whose forward has `return_features`, as NVIDIA's
            Inception, is asked for them. TorchScript is a program: take files that you trust.

    Raises:
        UsageError: for a file of another kind.
        InputError: if the file cannot be loaded.
        MissingExtra: for TorchScript without torch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not is_file(path):
            raise UsageError(f"{path}: there is no such network for FID")
        if path.suffix.lower() == ".onnx":
            self._extract = _open_onnx(path)
        elif path.suffix.lower() in (".pt", ".pth", ".ts"):
            self._extract = _open_torchscript(path)
        else:
            raise UsageError(f"{path}: a network for FID is .onnx, or TorchScript .pt")

    def features(self, pictures: NDArray[np.float32]) -> Features:
        """Run the network.

        Args:
            pictures: float32 `[N, 3, h, w]`, 0..255, N >= 1.

        Returns:
            float64 `[N, D]`.

        Raises:
            InputError: if the network refuses the pictures, or gives no features of them.
        """
        parts = []
        for start in range(0, len(pictures), _BATCH):
            batch = pictures[start : start + _BATCH]
            try:
                values = np.asarray(self._extract(batch), np.float64)
            except RuntimeError as error:
                reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
                raise InputError(
                    f"{self.path}: it refuses {list(batch.shape)}: {reason}"
                ) from error
            if values.ndim == 4:
                values = values.mean(axis=(2, 3))
            if values.ndim != 2 or len(values) != len(batch) or not np.isfinite(values).all():
                raise InputError(
                    f"{self.path}: {list(values.shape)} for {len(batch)} pictures are not finite"
                    " features [N, D]"
                )
            parts.append(values)
        return np.concatenate(parts)


def _open_onnx(path: Path) -> Extract:
    import openvino

    try:
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise InputError(f"{path}: it is not an ONNX network that OpenVINO can run") from error
    return lambda batch: np.array(compiled(np.ascontiguousarray(batch))[0])


def _open_torchscript(path: Path) -> Extract:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise InputError(f"{path}: it is not TorchScript that can be loaded") from error
    names = {argument.name for argument in module.forward.schema.arguments}
    options = {"return_features": True} if "return_features" in names else {}

    def extract(batch: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            result = module(torch.from_numpy(np.ascontiguousarray(batch)), **options)
        if not isinstance(result, torch.Tensor):
            raise InputError(f"{path}: it gives a {type(result).__name__}, not one tensor")
        return np.asarray(result.float().numpy())

    return extract
