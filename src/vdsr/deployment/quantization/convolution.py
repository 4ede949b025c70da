"""One convolution at a time, in float32, by OpenVINO: what calibration is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
from openvino import opset13 as ops

from vdsr.inference.architecture import FloatArray, Layer

# Arrays of many channels are run in parts, so that few of them are held twice.
_PART = 8


class Convolution:
    """A layer, compiled.

    Args:
        layer: weight and bias, float32.
        relu: whether negative results become 0.
    """

    def __init__(self, layer: Layer, *, relu: bool) -> None:
        x = ops.parameter([-1, layer.in_channels, -1, -1], np.float32)
        pad = [layer.kernel // 2] * 2
        y = ops.convolution(x, ops.constant(layer.weight), [1, 1], pad, pad, [1, 1])
        if layer.bias is not None:
            y = ops.add(y, ops.constant(layer.bias.reshape(1, -1, 1, 1)))
        if relu:
            y = ops.relu(y)
        config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        model = openvino.Model([y], [x], "layer")
        self._request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()

    def parts(self, x: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
        """Run it, a few pictures at a time.

        Args:
            x: float32 `[N, in, H, W]`.

        Yields:
            Which pictures, and float32 `[n, out, H, W]`, valid until the next step.
        """
        for start in range(0, len(x), _PART):
            part = slice(start, min(start + _PART, len(x)))
            self._request.infer([np.ascontiguousarray(x[part])], share_inputs=True)
            yield part, self._request.get_output_tensor().data

    def __call__(self, x: FloatArray) -> FloatArray:
        """Run it on everything: float32 `[N, in, H, W]` to `[N, out, H, W]`."""
        found = [result.copy() for _, result in self.parts(x)]
        return np.concatenate(found)
