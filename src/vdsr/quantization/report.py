"""What quantisation did, layer by layer: as text, as JSON, and as a page with plots."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from vdsr.model.architecture import FloatArray, Layer
from vdsr.quantization.convolution import compiled, convolved
from vdsr.quantization.quantizer import LayerTable, Quantized, float_weight
from vdsr.quantization.search import Trial
from vdsr.quantization.spread import spread
from vdsr.quantization.thresholds import LEVELS

# Patches that single layers are measured on: their order is clear after a few.
_PATCHES = 8
_WIDTH, _ROW = 760, 20


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
        quantized: what was quantised.
        patches: float32 `[N, 1, P, P]`.
    """
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


def summary(trials: Sequence[Trial]) -> str:
    """The ways that were tried, best first, as a table of text."""
    scales = list(trials[0].drop)
    head = f"{'method':<12}" + "".join(f"{'loss ' + scale + ', dB':>14}" for scale in scales)
    rows = [
        f"{trial.quantized.settings.method:<12}"
        + "".join(f"{trial.drop[scale]:>14.4f}" for scale in scales)
        for trial in trials
    ]
    return "\n".join([head, *rows])


def layers_text(costs: Sequence[LayerCost]) -> str:
    """A row per layer, as text."""
    head = "layer   highest  becomes 255   clipped  input noise  output noise  alone, levels"
    rows = [
        f"{cost.table.layer:>5}{cost.table.highest:>10.4g}{cost.table.threshold:>13.4g}"
        f"{cost.table.clipped:>10.2e}{cost.table.input_noise:>12.2%}"
        f"{cost.table.output_noise:>14.2%}"
        f"{cost.alone:>15.4f}"
        for cost in costs
    ]
    return "\n".join([head, *rows])


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
        heading: what was quantised.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(heading)}</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em}"
        "pre{overflow-x:auto}svg{width:100%;font-size:12px}</style></head><body>"
        f"<h1>{html.escape(heading)}</h1>"
        "<h2>Calibrations, best first</h2>"
        f"<pre>{html.escape(summary(trials))}</pre>"
        "<p>Loss: PSNR of the float model minus that of the int8 model, on pictures kept out of"
        " calibration.</p>"
        "<h2>Layers</h2>"
        f"<pre>{html.escape(layers_text(costs))}</pre>"
        "<p>Clipped: share of the positive inputs beyond what becomes 255. Noise: rms error over"
        " rms value, everything before the layer included. Alone: rms change of the network's"
        " output, in levels of 0..255, if this layer alone is in int8.</p>"
        f"{bars([(f'layer {c.table.layer}', c.alone) for c in costs], unit='levels')}"
        "</body></html>\n"
    )


def bars(values: Sequence[tuple[str, float]], *, unit: str) -> str:
    """Horizontal bars as an `<svg>` element.

    Args:
        values: name and length, 0 or more.
        unit: of the lengths.
    """
    top = max((value for _, value in values), default=0.0) or 1.0
    height = _ROW * len(values)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html.escape(unit)}">']
    for i, (name, value) in enumerate(values):
        y, length = _ROW * i, (_WIDTH - 200) * value / top
        parts.append(f'<text x="0" y="{y + 14}">{html.escape(name)}</text>')
        parts.append(f'<rect x="70" y="{y + 3}" width="{length:.1f}" height="14" fill="#0072b2"/>')
        text = f"{value:.4f} {html.escape(unit)}"
        parts.append(f'<text x="{76 + length:.1f}" y="{y + 14}">{text}</text>')
    return "".join((*parts, "</svg>"))


def most_costly(quantized: Quantized, costs: Sequence[LayerCost]) -> str:
    """The layers that cost most, in a line."""
    first = sorted(costs, key=lambda cost: -cost.alone)[:3]
    names = ", ".join(f"{cost.table.layer} ({cost.alone:.3f})" for cost in first)
    return f"of {len(quantized.layers)} int8 layers, these cost most (levels of 0..255): {names}"
