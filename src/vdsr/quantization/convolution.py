"""One convolution at a time, in float32, by OpenVINO: what calibration is made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino
from openvino import opset13 as ops

from vdsr.model.architecture import FloatArray, Layer

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
        y = convolved(x, layer)
        if relu:
            y = ops.relu(y)
        self._layer, self._request = layer, compiled([y], [x])

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

    def __call__(self, x: FloatArray, spare: FloatArray | None = None) -> FloatArray:
        """Run it on everything.

        Args:
            x: float32 `[N, in, H, W]`.
            spare: an array that is not needed any more, `x` perhaps: if it has the shape of
                the result, that takes its place.

        Returns:
            float32 `[N, out, H, W]`.
        """
        shape = (len(x), self._layer.out_channels, *x.shape[2:])
        if spare is None or spare.shape != shape:
            spare = np.empty(shape, np.float32)
        for part, result in self.parts(x):
            spare[part] = result
        return spare


def convolved(x: openvino.Node, layer: Layer) -> openvino.Node:
    """A layer as a part of a graph, without its ReLU."""
    pad = [layer.kernel // 2] * 2
    y = ops.convolution(x, ops.constant(layer.weight), [1, 1], pad, pad, [1, 1])
    if layer.bias is None:
        return y
    return ops.add(y, ops.constant(layer.bias.reshape(1, -1, 1, 1)))


def compiled(outputs: list[openvino.Node], inputs: list[openvino.Node]) -> openvino.InferRequest:
    """A graph, ready to run in float32 on the CPU."""
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Model(outputs, inputs, "part")
    return openvino.Core().compile_model(model, "CPU", config).create_infer_request()
