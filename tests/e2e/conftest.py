"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vdsr import Upscaler
from vdsr.model.architecture import Architecture, Layer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import write_model


@pytest.fixture(scope="session")
def zero_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of three layers that adds nothing."""
    rng = np.random.default_rng(1)

    def layer(outputs: int, inputs: int, size: float) -> Layer:
        weight = rng.normal(0.0, size, (outputs, inputs, 3, 3))
        return Layer(weight=weight.astype(np.float32), bias=np.zeros(outputs, np.float32))

    layers = (layer(4, 1, 0.2), layer(4, 4, 0.2), layer(1, 4, 0.0))
    path = tmp_path_factory.mktemp("model") / "zero.onnx"
    write_model(Architecture(layers=layers, residual=True), ModelMetadata(name="zero"), path)
    return path


@pytest.fixture(scope="session")
def upscaler(zero_model: Path) -> Iterator[Upscaler]:
    with Upscaler(zero_model, threads=1) as upscaler:
        yield upscaler
