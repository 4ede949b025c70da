"""What quantization did, layer by layer: as text, as JSON, and as a page with plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from vdsr.model.architecture import FloatArray, Layer
from vdsr.quantization.convolution import compiled, convolved
from vdsr.quantization.quantizer import Quantized
from vdsr.quantization.search import Trial
from vdsr.quantization.spread import spread
from vdsr.quantization.thresholds import LEVELS
from vdsr.quantization.variant import LayerTable, float_weight
from vdsr.report import page as frame
from vdsr.report.svg import bars
from vdsr.report.table import Table

# Patches that single layers are measured on: their order is clear after a few.
_PATCHES = 8


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What one int8 layer costs.

    Attributes:
        table: what calibration found.
        alone: rms change of the network's output, in gray levels of 0..255, if this layer
            alone is in int8.
    """

    table: LayerTable
    alone: float


def layer_costs(quantized: Quantized, patches: FloatArray) -> list[LayerCost]:
    """Run the network with every int8 layer in turn, all others in float.

    Args:
        quantized: what was quantized.
        patches: float32 `[N, planes, P, P]`.
    """
    patches = quantized.exact.folded(patches)
    request = _in_turn(quantized, patches.shape[1:])
    some = patches[spread(len(patches))[:_PATCHES]]
    squares = np.zeros(len(quantized.table))
    for patch in some:
        request.infer([patch[None]])
        outputs = request.get_output_tensor().data
        squares += np.square(outputs[1:] - outputs[0], dtype=np.float64).mean((1, 2, 3))
    alone = 255.0 * np.sqrt(squares / len(some))
    return [
        LayerCost(table=row, alone=float(one))
        for row, one in zip(quantized.table, alone, strict=True)
    ]


def _in_turn(quantized: Quantized, shape: tuple[int, ...]) -> openvino.InferRequest:
    """From a patch to the residual in float, and with every int8 layer in turn.

    They run as one batch, which a layer's own form joins there: what is before it is
    computed once.
    """
    patch = runs = ops.parameter([1, *shape], np.float32)
    for i, layer in enumerate(quantized.exact):
        if i:
            runs = ops.relu(runs)
        after = [convolved(runs, layer)]
        if i in quantized.layers:
            one = quantized.layers[i]
            step = np.float32(one.input_scale)
            exact = ops.slice(runs, [0], [1], [1], [0])
            units = ops.divide(exact, step)
            if i in quantized.shifts:
                shift = ops.constant(quantized.shifts[i].reshape(1, -1, 1, 1))
                units = ops.add(units, shift)
            units = ops.clamp(ops.round(units, "half_to_even"), 0, LEVELS - 1)
            integers = Layer(weight=float_weight(one), bias=layer.bias)
            after.append(convolved(ops.multiply(units, step), integers))
        runs = ops.concat(after, 0)
    return compiled([runs], [patch])


def summary(trials: Sequence[Trial]) -> Table:
    """The settings that were tried, best first."""
    scales = list(trials[0].drop)
    return Table(
        ["method", *(f"loss {scale}, dB" for scale in scales)],
        [
            [trial.quantized.settings.method, *(f"{trial.drop[scale]:.4f}" for scale in scales)]
            for trial in trials
        ],
    )


def layers(costs: Sequence[LayerCost]) -> Table:
    """A row per layer."""
    return Table(
        [
            "layer",
            "highest",
            "becomes 255",
            "clipped",
            "input noise",
            "output noise",
            "alone, levels",
        ],
        [
            [
                str(cost.table.layer),
                f"{cost.table.highest:.4g}",
                f"{cost.table.threshold:.4g}",
                f"{cost.table.clipped:.2e}",
                f"{cost.table.input_noise:.2%}",
                f"{cost.table.output_noise:.2%}",
                f"{cost.alone:.4f}",
            ]
            for cost in costs
        ],
        left=(),
    )


def as_json(trials: Sequence[Trial], costs: Sequence[LayerCost]) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "trials": [
            {
                "settings": asdict(trial.quantized.settings),
                "table": trial.quantized.digest,
                "psnr": trial.psnr,
                "loss": trial.drop,
            }
            for trial in trials
        ],
        "layers": [{**asdict(cost.table), "alone": cost.alone} for cost in costs],
    }


def page(trials: Sequence[Trial], costs: Sequence[LayerCost], *, heading: str) -> str:
    """One page of HTML that needs no other file.

    Args:
        trials: best first, at least one.
        costs: of the best one.
        heading: what was quantized.
    """
    body = (
        "<h2>Calibrations, best first</h2>",
        summary(trials).html(),
        "<p>Loss: PSNR of the float model minus that of the int8 model, on pictures kept out of"
        " calibration.</p>",
        "<h2>Layers</h2>",
        layers(costs).html(),
        "<p>Clipped: share of the positive inputs beyond what becomes 255. Noise: rms error over"
        " rms value, everything before the layer included. Alone: rms change of the network's"
        " output, in levels of 0..255, if this layer alone is in int8.</p>",
        bars([(f"layer {cost.table.layer}", cost.alone) for cost in costs], unit="levels"),
    )
    return frame.page(heading, body)


def most_costly(quantized: Quantized, costs: Sequence[LayerCost]) -> str:
    """The layers that cost most, in a line."""
    names = ", ".join(f"{cost.table.layer} ({cost.alone:.3f})" for cost in _worst_first(costs)[:3])
    return f"of {len(quantized.layers)} int8 layers, these cost most (levels of 0..255): {names}"


def advice(quantized: Quantized, costs: Sequence[LayerCost], *, methods: int) -> str:
    """What may bring the loss down, in a sentence, most promising first.

    Args:
        quantized: the best network that was made.
        costs: of its layers.
        methods: how many methods were tried.
    """
    found = []
    if methods == 1:
        found.append("the other methods (auto tries all)")
    everything = range(quantized.architecture.depth)
    kept = sorted(
        {i for i in everything if i not in quantized.layers}
        # One at least must be left to quantize.
        | {cost.table.layer for cost in _worst_first(costs)[: min(2, len(costs) - 1)]}
    )
    if len(costs) > 1:
        found.append(f"in float also those layers that cost most: {','.join(map(str, kept))}")
    found.append("more pictures to calibrate on, like those to be enlarged")
    if quantized.settings.weight_bits == 7:
        found.append("8-bit weights, for processors that do not saturate")
    return f"What may help: {'; '.join(found)}."


def _worst_first(costs: Sequence[LayerCost]) -> list[LayerCost]:
    return sorted(costs, key=lambda cost: -cost.alone)
