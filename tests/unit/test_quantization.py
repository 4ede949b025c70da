"""int8: thresholds, integers, equalization, and whole networks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from networks import random_layers, small_network, waves
from vdsr.data import folders
from vdsr.errors import InputError, UsageError, VdsrError
from vdsr.evaluation.candidates import write_picture
from vdsr.inference import backends
from vdsr.model.architecture import Architecture, FloatArray, Layer
from vdsr.model.file import ModelFile
from vdsr.model.metadata import ModelMetadata
from vdsr.model.onnx_writer import model_bytes
from vdsr.quantization import picture_choice, report, search
from vdsr.quantization.convolution import Convolution
from vdsr.quantization.equalize import equalize, factors
from vdsr.quantization.moments import second_moment
from vdsr.quantization.pictures import Pictures, prepare, useful
from vdsr.quantization.prequantize import equalized
from vdsr.quantization.quantizer import maxima, quantize, quantize_variants
from vdsr.quantization.report import layer_costs
from vdsr.quantization.settings import QuantizationSettings
from vdsr.quantization.spread import spread
from vdsr.quantization.thresholds import BINS, METHODS, Histogram, threshold
from vdsr.quantization.variant import float_weight
from vdsr.quantization.weights import (
    channel_scales,
    compensated,
    nearest,
    refitted,
)


def network(depth: int = 5, width: int = 8, seed: int = 0) -> Architecture:
    layers = random_layers(*[3] * depth, width=width, seed=seed)
    # A residual of the order of what VDSR adds.
    last = replace(layers[-1], weight=layers[-1].weight * np.float32(0.05))
    return Architecture(layers=(*layers[:-1], last), residual=True)


def run(architecture: Architecture, x: np.ndarray) -> np.ndarray:
    y = x
    for layer in architecture.layers[:-1]:
        y = Convolution(layer, relu=True)(y)
    return x + Convolution(architecture.layers[-1], relu=False)(y)


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return waves(24, fastest=3, seed=1)


def of(values: list[float]) -> Histogram:
    return Histogram.of(np.array(values, np.float32))


def test_zeros_and_negative_values_are_no_part_of_a_histogram():
    histogram = of([0.0, 0.0, -1.0, 0.5, 1.0])
    assert histogram.counts.sum() == 2
    assert histogram.highest == 1.0
    assert histogram.share_above(0.6) == 0.5
    assert histogram.share_above(1.0) == 0.0


def test_of_many_values_each_is_counted_once():
    values = np.random.default_rng(1).random(2**21 + 12345, np.float32)
    counts = Histogram.of(values).counts
    assert counts.sum() == np.count_nonzero(values)
    assert counts.max() < 2 * counts.min()


def test_minmax_and_percentile():
    values = np.linspace(0.001, 10.0, 100_000, dtype=np.float32)
    histogram = Histogram.of(values)
    assert threshold(histogram, "minmax") == pytest.approx(10.0)
    assert threshold(histogram, "percentile", percentile=90.0) == pytest.approx(9.0, abs=0.01)
    assert threshold(histogram, "percentile", percentile=100.0) == pytest.approx(10.0)


def test_mse_is_near_the_best_of_all_thresholds():
    rng = np.random.default_rng(0)
    values = np.abs(rng.laplace(0, 1, 400_000)).astype(np.float32)
    values[0] = 40.0
    found = threshold(Histogram.of(values), "mse")

    def error(limit: float) -> float:
        step = limit / 255
        return float(((np.clip(np.rint(values / step), 0, 255) * step - values) ** 2).mean())

    best = min(error(limit) for limit in np.linspace(2, 40, 100))
    assert found < 35.0
    assert error(found) <= 1.02 * best


def test_kl_keeps_an_even_distribution_and_cuts_off_a_stray_value():
    even = Histogram(np.full(BINS, 100.0), 1.0)
    assert threshold(even, "kl") == pytest.approx(1.0, abs=0.01)
    counts = np.zeros(BINS)
    counts[: BINS // 4] = np.exp(-np.arange(BINS // 4) / 100.0) * 1e6
    counts[-1] = 1.0
    assert threshold(Histogram(counts, 1.0), "kl") < 0.5
    # 256 bins tell all of what lies in them; of more, two would share a level.
    counts = np.zeros(BINS)
    counts[:256] = np.random.default_rng(4).integers(1, 1000, 256)
    counts[-1] = 1.0
    assert threshold(Histogram(counts, 16.0), "kl") == 16.0 * 256 / BINS


def test_an_unknown_method_and_an_empty_histogram():
    with pytest.raises(ValueError, match="unknown method"):
        threshold(of([1.0]), "guess")
    for method in METHODS:
        assert threshold(of([0.0, -2.0]), method) == 0.0


@pytest.mark.parametrize(("bits", "limit"), [(8, 127), (7, 63)])
def test_the_largest_weight_of_every_channel_becomes_the_largest_integer(bits: int, limit: int):
    weight = np.random.default_rng(0).normal(0, 1, (6, 3, 3, 3)).astype(np.float32)
    weight[4] = 0.0
    scale = channel_scales(weight, bits)
    integers = nearest(weight, scale, bits)
    assert integers.dtype == np.int8
    assert (np.abs(integers).reshape(6, -1).max(1) == [limit] * 4 + [0, limit]).all()
    error = np.abs(integers * scale[:, None, None, None] - weight)
    assert (error <= scale[:, None, None, None] / 2 + 1e-6).all()


def smooth(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Inputs that vary together, as those of a network do."""
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    for axis in (2, 3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return np.maximum(noise + noise.mean(1, keepdims=True) * 3, 0).astype(np.float32)


def test_the_second_moment_is_that_of_the_patches():
    x = smooth((2, 3, 7, 6), 0)
    patches = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(
                np.pad(p, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2)
            )
            .transpose(1, 2, 0, 3, 4)
            .reshape(-1, 27)
            for p in x
        ]
    ).astype(np.float64)
    centered = patches - patches.mean(0)
    expected = centered.T @ centered
    assert np.abs(second_moment(x, 3) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("bits", [8, 7])
def test_errors_that_cancel_are_smaller_than_errors_that_do_not(bits: int):
    x = smooth((4, 5, 20, 20), 1)
    weight = np.random.default_rng(2).normal(0, 1, (6, 5, 3, 3)).astype(np.float32)
    scale = channel_scales(weight, bits)
    second = second_moment(x, 3)

    def error(integers: np.ndarray) -> float:
        rows = (integers * scale[:, None, None, None] - weight).reshape(6, -1).astype(np.float64)
        return float(np.einsum("ij,jk,ik->", rows, second, rows))

    better = compensated(weight, scale, bits, second)
    assert np.abs(better).max() <= 2 ** (bits - 1) - 1
    assert error(better) < 0.7 * error(nearest(weight, scale, bits))


def test_of_inputs_with_nothing_in_common_each_weight_is_rounded_alone():
    weight = random_layers(3, 3, width=6)[1].weight
    scale = channel_scales(weight, 8)
    second = np.diag(np.linspace(1.0, 2.0, 54))
    assert np.array_equal(compensated(weight, scale, 8, second), nearest(weight, scale, 8))


@pytest.mark.parametrize(
    ("kernel", "shape"), [(1, (2, 3, 5, 4)), (5, (2, 2, 8, 6)), (3, (1, 2, 1, 2))]
)
def test_the_second_moment_for_any_kernel_and_size(kernel: int, shape: tuple[int, ...]):
    x = np.random.default_rng(6).random(shape, np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), *[(kernel // 2, kernel // 2)] * 2)).astype(np.float64)
    patches = np.stack(
        [
            padded[n, :, i : i + kernel, j : j + kernel].ravel()
            for n, i, j in np.ndindex(shape[0], *shape[2:])
        ]
    )
    centered = patches - patches.mean(0)
    np.testing.assert_allclose(second_moment(x, kernel), centered.T @ centered, atol=1e-4)


def test_a_refitted_weight_makes_up_for_what_its_input_has_lost():
    exact = smooth((4, 5, 20, 20), 1)
    spoiled = (0.9 * exact + 0.01 * smooth(exact.shape, 2)).astype(np.float32)
    weight = np.random.default_rng(2).normal(0, 1, (6, 5, 3, 3)).astype(np.float32)
    both = second_moment(np.concatenate([spoiled, exact - spoiled], 1), 3)
    size = len(both) // 2
    found = refitted(weight, both[:size, :size], both[size:, :size])

    def error(one: np.ndarray) -> float:
        wanted = Convolution(Layer(weight=weight, bias=None), relu=False)(exact)
        given = Convolution(Layer(weight=one, bias=None), relu=False)(spoiled)
        change = given - wanted
        return float((change - change.mean((0, 2, 3), keepdims=True)).std())

    assert error(found) < 0.3 * error(weight)
    # What is not spoiled is left alone.
    same = refitted(weight, both[:size, :size], np.zeros((size, size)))
    assert np.array_equal(same, weight)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_equalizing_changes_ranges_and_nothing_else(patches: np.ndarray, power: float):
    before = network()
    highest = maxima(before, patches)
    after = equalize(before, highest, power)
    assert np.abs(run(after, patches) - run(before, patches)).max() < 1e-5

    def spread(architecture: Architecture) -> float:
        ranges = [m[m > 1e-3 * m.max()] for m in maxima(architecture, patches)]
        return max(float(r.max() / r.min()) for r in ranges)

    assert spread(after) < spread(before) ** (1 - power) * 1.01


def test_ranges_that_no_factor_evens():
    assert factors(np.array([4.0, 2.0, 0.0]), 1.0) == pytest.approx([1.0, 0.5, 0.001])
    assert (factors(np.zeros(3), 1.0) > 0).all()
    assert (factors(np.array([1.0, np.inf]), 1.0) == 1).all()
    assert (factors(np.array([1.0, 8.0]), 0.0) == 1).all()


def test_int8_is_close_deterministic_and_right_on_average(patches: np.ndarray):
    architecture = network()
    once, again = (
        quantize(architecture, patches, QuantizationSettings(method="minmax")) for _ in range(2)
    )
    exact, rough = run(architecture, patches), run(once.architecture, patches)
    plain = quantize(
        architecture,
        patches,
        QuantizationSettings(method="minmax", compensate=False, split=False, equalize=0.0),
    )
    assert np.abs(rough - exact).max() * 255 < 2.0
    for one, other in zip(plain.architecture, architecture, strict=True):
        assert np.array_equal(one.bias, other.bias)
    assert np.abs(run(plain.architecture, patches) - exact).std() > np.abs(rough - exact).std()
    assert sorted(once.layers) == [1, 2, 3]
    assert [row.layer for row in once.table] == [1, 2, 3]
    assert all(0 < row.input_noise < 0.1 for row in once.table)
    metadata = ModelMetadata(name="int8", precision="int8")
    files = [model_bytes(q.architecture, metadata, quantized=q.layers) for q in (once, again)]
    assert files[0] == files[1]
    assert once.digest == again.digest
    # Bias correction: on the calibration pictures, every layer is right on average.
    x = y = patches
    for i, layer in enumerate(once.exact):
        if i in once.layers:
            step = np.float32(once.layers[i].input_scale)
            y = np.clip(np.rint(y / step), 0, 255) * step
            used = Layer(weight=float_weight(once.layers[i]), bias=once.architecture.layers[i].bias)
        else:
            used = once.architecture.layers[i]
        wanted = Convolution(layer, relu=False)(x)
        given = Convolution(used, relu=False)(y)
        if i + 1 in once.shifts:
            amount = once.shifts[i + 1] * np.float32(once.layers[i + 1].input_scale)
            wanted += amount[:, None, None]
        assert np.abs((wanted - given).mean((0, 2, 3))).max() < 1e-4 * max(1, np.abs(wanted).max())
        x, y = np.maximum(Convolution(layer, relu=False)(x), 0), np.maximum(given, 0)


def test_ways_side_by_side_are_those_alone(patches: np.ndarray):
    given, metadata = patches.copy(), ModelMetadata(name="int8", precision="int8")

    def written(one) -> bytes:
        return model_bytes(one.architecture, metadata, quantized=one.layers)

    ways = [QuantizationSettings(method="kl"), QuantizationSettings(method="minmax")]
    both = quantize_variants(network(), given, ways)
    assert np.array_equal(given, patches)
    assert written(both[0]) != written(both[1])
    assert written(both[1]) == written(quantize(network(), patches, ways[1]))
    with pytest.raises(ValueError, match="do not share a float network"):
        quantize_variants(
            network(), patches, [QuantizationSettings(), QuantizationSettings(equalize=0.5)]
        )


def test_a_layer_without_a_bias_gets_one(patches: np.ndarray):
    layers = tuple(replace(layer, bias=None) for layer in network())
    found = quantize(Architecture(layers=layers, residual=True), patches, QuantizationSettings())
    assert all(layer.bias is not None for layer in found.architecture)
    exact, rough = run(found.exact, patches), run(found.architecture, patches)
    assert np.abs(rough - exact).max() * 255 < 2.0


def test_another_setting_is_another_table(patches: np.ndarray):
    architecture = network()
    tables = {
        quantize(architecture, patches, settings).digest
        for settings in (
            QuantizationSettings(method="minmax"),
            QuantizationSettings(method="kl"),
            QuantizationSettings(method="minmax", weight_bits=8),
            QuantizationSettings(method="minmax", keep_float=(0, 1, 4)),
        )
    }
    assert len(tables) == 4


def test_layers_are_kept_in_float_by_their_numbers(patches: np.ndarray):
    found = quantize(network(), patches, QuantizationSettings(keep_float=(0, 2)))
    assert sorted(found.layers) == [1, 3, 4]
    with pytest.raises(UsageError, match="there is no layer 5: layers are 0 to 4"):
        quantize(network(), patches, QuantizationSettings(keep_float=(5,)))
    with pytest.raises(UsageError, match="nothing is left"):
        quantize(network(), patches, QuantizationSettings(keep_float=(0, 1, 2, 3, 4)))


def test_a_layer_without_a_scale_is_named(patches: np.ndarray):
    architecture = network()
    dead = architecture.layers[1]
    silent = Layer(weight=dead.weight * 0, bias=np.full(dead.out_channels, -1.0, np.float32))
    layers = (architecture.layers[0], silent, *architecture.layers[2:])
    with pytest.raises(VdsrError, match="layer 2: its input reaches 0 on the calibration"):
        quantize(
            Architecture(layers=layers, residual=True), patches, QuantizationSettings(equalize=0.0)
        )
    with np.errstate(over="ignore", invalid="ignore"):
        huge = replace(architecture.layers[0], weight=architecture.layers[0].weight * 1e38)
        layers = (huge, *architecture.layers[1:])
        with pytest.raises(VdsrError, match="layer 1: its input reaches inf"):
            quantize(
                Architecture(layers=layers, residual=True),
                patches * 100,
                QuantizationSettings(equalize=0.0),
            )


@pytest.mark.parametrize(("bias", "reaches"), [(-1e3, "0"), (np.inf, "inf")])
def test_no_method_finds_a_scale_where_there_is_none(
    patches: np.ndarray, bias: float, reaches: str
):
    layers = list(network().layers)
    layers[1] = replace(layers[1], bias=np.full(8, bias, np.float32))
    architecture = Architecture(layers=tuple(layers), residual=True)
    for method in METHODS:
        with pytest.raises(VdsrError, match=f"layer 2: its input reaches {reaches} on"):
            quantize(architecture, patches, QuantizationSettings(method=method))
    if reaches == "0":
        kept = quantize(architecture, patches, QuantizationSettings(keep_float=(0, 2, 3, 4)))
        assert sorted(kept.layers) == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "best"}, "unknown method 'best'"),
        ({"weight_bits": 4}, "8 or 7 bits, not 4"),
        ({"percentile": 50.0}, "lies in 90..100"),
        ({"equalize": 2.0}, "lies in 0..1"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str):
    with pytest.raises(UsageError, match=message):
        QuantizationSettings(**settings)


def test_a_network_for_calibration_elsewhere_is_close_in_float(patches: np.ndarray):
    architecture = Architecture(
        layers=tuple(replace(layer, bias=None) for layer in network()), residual=True
    )
    found = equalized(architecture, patches)
    assert all(layer.bias is not None for layer in found)
    assert np.abs(run(found, patches) - run(architecture, patches)).max() * 255 < 4.0

    def spread(one: Architecture) -> float:
        ranges = [m[m > 1e-3 * m.max()] for m in maxima(one, patches)]
        return max(float(r.max() / r.min()) for r in ranges)

    assert spread(found) < spread(architecture)
    # Weights lie on the steps that they are rounded to there: plain rounding moves few.
    layer = found.layers[2]
    steps = layer.weight / channel_scales(layer.weight, 8)[:, None, None, None]
    assert np.abs(steps - np.rint(steps)).mean() < 0.15


def pictures(count: int, side: int = 120) -> list[np.ndarray]:
    y, x = np.mgrid[:side, :side]
    return [
        (120 + 80 * np.sin(y / (3.0 + i)) * np.cos(x / (4.0 + i))).astype(np.uint8)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def ready():
    metadata = ModelMetadata(name="small", scales=(2, 3))
    names = [str(i) for i in range(8)]
    return prepare(pictures(8), names, metadata, patches=6)


def test_pictures_are_kept_apart(ready):
    assert ready.apart
    assert len(ready.names) == 6
    assert ready.patches.shape == (7, 1, 96, 96)  # one is drawn
    alone = prepare(pictures(1), ["a"], ModelMetadata(name="small"), patches=2)
    assert not alone.apart
    few = prepare(pictures(8), [str(i) for i in range(8)], ModelMetadata(name="small"), patches=3)
    assert few.names == ("0", "2", "5")
    given = prepare(
        pictures(2), ["a", "b"], ModelMetadata(name="small"), validation=pictures(1), patches=2
    )
    assert (given.names, given.apart) == (("a", "b"), True)
    with pytest.raises(InputError, match="no calibration picture is at least"):
        prepare(pictures(1, 60), ["a"], ModelMetadata(name="small"))


def test_undamaged_pictures_of_their_own_size_are_no_part_of_it():
    def ready_for(*scales: int) -> Pictures:
        metadata = ModelMetadata(name="small", scales=scales)
        return prepare(pictures(4), list("abcd"), metadata, patches=4)

    def nothing(y: FloatArray) -> FloatArray:
        return y

    with_one, without = ready_for(1, 2, 3), ready_for(2, 3)
    np.testing.assert_array_equal(with_one.patches, without.patches)
    assert list(with_one.validation.measure(nothing)) == ["x2", "x3"]


@pytest.mark.parametrize("planes", [1, 3])
def test_a_network_that_only_restores_is_given_damage(planes: int):
    metadata = ModelMetadata(name="small", scales=(1,), planes=planes)
    (luma,) = pictures(1)
    one = np.dstack([luma] * 3) if planes == 3 else luma
    ready = prepare([one] * 2, ["a", "b"], metadata, validation=[one] * 6, patches=2)
    seen: list[FloatArray] = []

    def nothing(y: FloatArray) -> FloatArray:
        seen.append(y)
        return y

    assert 25.0 < ready.validation.measure(nothing)["x1"] < 45.0
    # The same picture, each time in another way.
    assert len({y.tobytes() for y in seen}) == 6
    if planes == 1:
        # The first patch begins where the picture does.
        change = ready.patches[0, 0] - luma[:96, :96] / np.float32(255.0)
        assert 1e-3 < np.abs(change).mean() < 0.1


def test_a_network_for_the_full_range_is_given_it():
    studio, full = (
        prepare(pictures(1), ["a"], ModelMetadata(name="small", luma=luma), patches=3).patches
        for luma in ("studio", "full")
    )
    np.testing.assert_allclose(full, (studio - 16 / 255) * 255 / 219, atol=1e-5)


def test_all_ways_are_tried_the_best_comes_first_and_the_gate_holds(ready):
    architecture = network(depth=4)
    floats = ModelFile(
        model_bytes(architecture, ModelMetadata(name="small", scales=(2, 3))), "small"
    )
    found = search.trials(
        floats, ready, search.settings_to_try(QuantizationSettings(), search.AUTO)
    )
    assert {trial.quantized.settings.method for trial in found} == set(METHODS)
    assert [trial.worst for trial in found] == sorted(trial.worst for trial in found)
    best = found[0].model.metadata
    assert (best.name, best.precision, best.source) == ("small-int8", "int8", floats.digest)
    assert best.calibration["table"] == found[0].quantized.digest
    assert best.calibration["psnr_drop"] == round(found[0].worst, 4)
    assert search.failure(found[0], found[0].worst) is None
    assert "may be lost" in (search.failure(found[0], found[0].worst - 1e-6) or "")
    with pytest.raises(UsageError, match="in int8 already"):
        search.trials(found[0].model, ready, [QuantizationSettings()])
    costs = layer_costs(found[0].quantized, ready.patches)
    assert [cost.table.layer for cost in costs] == [1, 2]
    assert all(0 < cost.alone < 5 for cost in costs)
    # What is not a number does not pass.
    lost = replace(found[0], drop={"x2": float("nan")})
    assert "loses nan dB" in (search.failure(lost, 1.0) or "")


def test_a_layers_cost_is_that_of_a_file_with_this_layer_alone(ready):
    found = quantize(network(depth=4), ready.patches, QuantizationSettings())
    costs = layer_costs(found, ready.patches)
    assert [cost.table for cost in costs] == list(found.table)

    def outputs(precision: str, layers: dict) -> np.ndarray:
        metadata = ModelMetadata(name="one", precision=precision)
        changed = list(found.exact)
        for i, one in layers.items():
            if i in found.shifts:
                bias = changed[i - 1].bias + found.shifts[i] * np.float32(one.input_scale)
                changed[i - 1] = replace(changed[i - 1], bias=bias)
        architecture = Architecture(layers=tuple(changed), residual=True)
        file = ModelFile(model_bytes(architecture, metadata, quantized=layers), "one")
        backend = backends.open_backend(file, backends.choose(file, "openvino"))
        try:
            return backend.run(ready.patches)
        finally:
            backend.close()

    exact = outputs("fp32", {})
    for i, cost in zip((1, 2), costs, strict=True):
        change = outputs("int8", {i: found.layers[i]}) - exact
        assert cost.alone == pytest.approx(255 * np.sqrt(np.square(change).mean()), rel=0.02)


def test_the_page_says_what_the_text_says(ready):
    quantized = quantize(network(depth=4), ready.patches, QuantizationSettings())
    costs = layer_costs(quantized, ready.patches)
    metadata = ModelMetadata(name="int8", precision="int8")
    data = model_bytes(quantized.architecture, metadata, quantized=quantized.layers)
    trial = search.Trial(
        quantized=quantized, model=ModelFile(data, "a"), psnr={"x2": 30.0}, drop={"x2": 0.125}
    )
    page = report.page([trial], costs, heading="a <b>")
    assert "<h1>a &lt;b&gt;</h1>" in page
    assert page.count("<rect") == 2
    assert "0.1250" in report.summary([trial]).text()
    tables = (report.summary([trial]), report.layers(costs))
    assert all(cell in page for table in tables for row in table.rows for cell in row)
    assert report.most_costly(quantized, costs).startswith("of 2 int8 layers, these cost most")
    (entry,) = report.as_json([trial], costs)["trials"]
    assert (entry["loss"], entry["table"]) == ({"x2": 0.125}, quantized.digest)


@pytest.mark.parametrize("count", [1, 7, 36, 100])
def test_the_first_few_lie_evenly_among_all(count: int):
    order = spread(count)
    assert sorted(order) == list(range(count))
    for few in range(2, count):
        first = sorted(order[:few])
        assert np.diff([*first, first[0] + count]).max() <= 3 * count / few
    if count >= 36:
        # Scales take turns: none may be left out.
        assert np.bincount(np.array(order[:11]) % 3).min() >= 3


def test_no_more_pictures_are_wanted_than_are_of_use():
    assert useful(32, apart=True) == 32
    assert useful(32, apart=False) == 48
    assert useful(300, apart=False) == 400


def test_no_more_pictures_are_read_than_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "photographs"
    (folder / "deep").mkdir(parents=True)
    for i, picture in enumerate(pictures(9, 40)):
        write_picture(folder / ("deep" if i == 4 else ".") / f"{i}.png", picture)
    read, reading = [], folders.read_luma
    monkeypatch.setattr(folders, "read_luma", lambda path: (read.append(path), reading(path))[1])
    found = picture_choice.choose_pictures([folder], 4, smallest=32)
    assert (len(read), len(found.pictures), found.files, found.left_out) == (4, 4, 9, ())
    assert found.names == picture_choice.choose_pictures([folder], 4, smallest=32).names
    everything = picture_choice.choose_pictures([folder], 10, smallest=32).names
    assert everything[:2] == ("photographs/0.png", "photographs/1.png")
    assert everything[-1] == "photographs/deep/4.png"


def test_pictures_that_are_left_out_are_named_and_replaced(tmp_path: Path):
    for name, picture in zip("abc", pictures(3, 40), strict=True):
        write_picture(tmp_path / f"{name}.png", picture)
    write_picture(tmp_path / "again.png", pictures(1, 40)[0])
    write_picture(tmp_path / "small.png", pictures(1, 20)[0])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    found = picture_choice.choose_pictures([tmp_path], 4, smallest=32)
    assert len(found.pictures) == 3
    reasons = "\n".join(found.left_out)
    assert len(found.left_out) == 3
    for reason in ("the same picture as", "small.png: 20x20 px are too small: 32 px", "broken.png"):
        assert reason in reasons
    with pytest.raises(InputError, match=r"no pictures .* \(the first of 6 left out: "):
        picture_choice.choose_pictures([tmp_path], 4, smallest=100)
    with pytest.raises(InputError, match="there is no such folder"):
        picture_choice.choose_pictures([tmp_path / "none"], 4, smallest=32)


def test_it_needs_no_torch():
    modules = "vdsr.quantization.search, vdsr.quantization.report"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("fold", "planes"), [(2, 1), (1, 3), (2, 3), (3, 1), (4, 3)])
def test_folded_networks_and_networks_of_three_planes(fold: int, planes: int):
    floats = small_network(fold=fold, planes=planes)
    side = 96 * min(fold, 2) + 8
    rng = np.random.default_rng(0)
    shape = (side, side, 3) if planes == 3 else (side, side)
    smooth = [np.cumsum(rng.normal(0, 3, shape), 0) + 128 for _ in range(5)]
    photographs = [picture.clip(16, 235).astype(np.uint8) for picture in smooth]
    ready = prepare(photographs, [str(i) for i in range(5)], floats.metadata, patches=3)
    assert ready.patches.shape[1:] == (planes, *[96 * min(fold, 2)] * 2)
    assert len(ready.patches) == {1: 4, 2: 4, 3: 8, 4: 13}[fold]
    (trial,) = search.trials(floats, ready, [QuantizationSettings()])
    assert (trial.model.metadata.fold, trial.model.metadata.planes) == (fold, planes)
    assert (trial.model.weight_bits, sorted(trial.model.quantized)) == (7, [1, 2])
    assert max(map(abs, trial.drop.values())) < 0.1
    # What each layer costs alone is less than all together, nearly.
    exact, rough = (
        backends.open_backend(one, backends.choose(one, "openvino"))
        for one in (floats, trial.model)
    )
    change = exact.run(ready.patches) - rough.run(ready.patches)
    exact.close()
    rough.close()
    alone = [cost.alone for cost in layer_costs(trial.quantized, ready.patches)]
    assert 0 < max(alone) < 2 * 255 * np.sqrt(np.square(change).mean()) < 3.0


def test_pictures_of_another_number_of_planes():
    metadata = ModelMetadata(name="colored", planes=3)
    with pytest.raises(ValueError, match="of 2 axes for 3 planes"):
        prepare(pictures(1, 120), ["a"], metadata, patches=1)
