"""The network that is exported: layers as they are to be written, read from a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vdsr.errors import UsageError
from vdsr.model.architecture import Architecture
from vdsr.model.file import ModelFile
from vdsr.model.graph import QuantizedLayer
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import DEFAULT_OPSET, model_bytes


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in the precision of the export.

    Attributes:
        model: the source, with free sizes.
        architecture: its layers, float32.
        metadata: what the export says of itself.
        quantized: its layers in int8, by index.
    """

    model: ModelFile
    architecture: Architecture
    metadata: ModelMetadata
    quantized: Mapping[int, QuantizedLayer]

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` or `int8`."""
        return self.metadata.precision

    def onnx(
        self,
        *,
        opset: int | None = None,
        shape: tuple[int, int, int, int] | None = None,
        precision: str | None = None,
    ) -> bytes:
        """As a model file.

        Args:
            opset, shape: see `vdsr.model.onnx_writer.model_bytes`.
            precision: another than its own, between fp32 and fp16.

        Raises:
            UsageError: for an opset that is not supported.
            MissingExtra: if onnx is not installed.
        """
        return model_bytes(
            self.architecture,
            replace(self.metadata, precision=precision or self.precision),
            opset=DEFAULT_OPSET if opset is None else opset,
            shape=shape,
            quantized=self.quantized,
        )


def network_of(model: ModelFile, precision: str) -> Network:
    """The network of a model file, to be written in `precision`.

    Args:
        model: the source.
        precision: `fp32` or `fp16` for a model in floats; `int8` for one in int8.

    Raises:
        UsageError: if a weight is too large for fp16.
    """
    if precision == "fp16":
        _check_halves(model)
    metadata = replace(
        model.metadata,
        precision=precision,
        source=model.digest,
        # What was measured holds for the numbers that it was measured with.
        psnr=model.metadata.psnr if precision == model.metadata.precision else {},
    )
    free = model
    if model.fixed_shape is not None:
        data = model_bytes(model.architecture, model.metadata, quantized=model.quantized)
        free = ModelFile(data, model.source)
    return Network(
        model=free,
        architecture=model.architecture,
        metadata=metadata,
        quantized=model.quantized,
    )


def _check_halves(model: ModelFile) -> None:
    most = float(np.finfo(np.float16).max)
    for i, layer in enumerate(model.architecture):
        for array in (layer.weight, layer.bias):
            largest = 0.0 if array is None else float(np.abs(array).max())
            if not largest <= most:
                raise UsageError(
                    f"{model.source}: layer {i} holds {largest:g}, and fp16 ends at {most:g}"
                )
