"""Repeats, statistics, ceiling, and what is measured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import networks
from vdsr.benchmark import ceiling, gpu, machine
from vdsr.benchmark.candidates import BenchmarkSettings, Candidate, candidates, reference
from vdsr.benchmark.ceiling import Ceiling, int8_factor, share
from vdsr.benchmark.eager import EagerNetwork, tensors_of
from vdsr.benchmark.program import FILES, NETWORK, PROCESS, _rows
from vdsr.benchmark.report import as_markdown, as_text
from vdsr.benchmark.rounds import interleaved, median, percentile, summary
from vdsr.benchmark.streams import Streams
from vdsr.benchmark.timing import Timing
from vdsr.errors import BackendError, UsageError
from vdsr.inference import backends


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rounds_interleave_and_turn_round():
    clock, order = Clock(), []

    def work(name: str, seconds: float):
        def run() -> None:
            order.append(name)
            clock.now += seconds

        return run

    taken = interleaved(
        {"a": work("a", 1.0), "b": work("b", 2.0)},
        repeats=3,
        seconds=100,
        between=work("|", 5.0),
        clock=clock,
    )
    assert "".join(order) == "|ab|ba|ab"
    assert taken == {"a": [1.0] * 3, "b": [2.0] * 3}


@pytest.mark.parametrize(("seconds", "rounds"), [(0, 1), (3, 1), (4, 2), (6.5, 3), (100, 5)])
def test_time_bounds_rounds_but_finishes_them(seconds: float, rounds: int):
    clock = Clock()

    def work() -> None:
        clock.now += 3.0

    assert len(interleaved({0: work}, repeats=5, seconds=seconds, clock=clock)[0]) == rounds


def test_statistics():
    values = [5.0, 1.0, 2.0, 3.0, 4.0]
    assert median(values) == 3.0
    assert percentile(values, 95) == pytest.approx(4.8)
    assert summary(values) == {"p50": 3.0, "p95": pytest.approx(4.8), "all": values}


def test_share_of_ceiling():
    assert share(50.0, 100.0, "fp32", 4) == 0.5
    assert share(200.0, 100.0, "int8", 4) == 0.5
    assert share(200.0, 100.0, "int8", None) is None
    assert int8_factor(["AVX2", "AVX-512 VNNI"]) == 4
    assert int8_factor(["AVX2", "AVX-512"]) is None


def test_rate_counts_two_operations_and_takes_the_best(monkeypatch: pytest.MonkeyPatch):
    times = iter([0.0, 2.0, 10.0, 11.0])
    monkeypatch.setattr(ceiling, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert ceiling.rate(lambda: None, side=10) == 2000.0


def test_ceiling_takes_the_best_library(monkeypatch: pytest.MonkeyPatch):
    products = object.__new__(Ceiling)
    products.rates = {"numpy": [1.0, 3.0], "torch": [2.0, 2.5]}
    assert products.flops == 3.0


def test_the_ceiling_is_measured_by_every_library_that_is_there():
    with Ceiling(1) as products:
        products.measure()
    assert set(products.rates) == {"numpy", "torch", "openvino"}
    given = np.random.default_rng(0).random((9, 9), np.float32)
    product = ceiling._openvino_product(given, 1)
    assert product is not None
    (found,) = product().values()  # type: ignore[attr-defined]
    assert np.allclose(found, given @ given, rtol=1e-5)


def test_timing_as_json():
    model = networks.small_network()
    candidate = Candidate(model=model, backend="openvino", precision="fp32")
    timing = Timing(
        candidate=candidate,
        size=(100, 50),
        batch=2,
        seconds=(0.1, 0.2, 0.3),
        stream_seconds=(0.04,),
    )
    row = timing.as_dict(1e9, 4, reference_seconds=0.6)
    assert row["megapixels_per_second"] == pytest.approx(0.05)
    assert row["throughput_megapixels_per_second"] == pytest.approx(0.125)
    assert row["times_reference"] == pytest.approx(3.0)
    # The faster of one stream and several counts.
    assert row["share_of_ceiling"] == pytest.approx(
        2 * model.architecture.macs_per_pixel * 0.125e6 / 1e9
    )


def test_ratios_of_the_whole_program():
    model = networks.small_network()
    found = [
        Candidate(model=model, backend="openvino", precision="fp32"),
        Candidate(model=networks.int8_network(), backend="openvino", precision="int8"),
        Candidate(model=model, backend="eager", precision="fp32"),
    ]
    taken = {
        (NETWORK, 0): [8.0],
        (NETWORK, 1): [2.0],
        (NETWORK, 2): [20.0],
        (FILES, 0): [10.0],
        (FILES, 1): [4.0],
        (PROCESS, 1): [5.0],
        (PROCESS, 2): [30.0],
    }
    rows = {
        (row["what"], row["backend"], row["precision"]): row for row in _rows(taken, found, (8, 8))
    }
    files = rows[FILES, "openvino", "int8"]
    assert (files["times_fp32"], files["times_reference"]) == (2.5, 5.0)
    process = rows[PROCESS, "openvino", "int8"]
    assert (process["times_fp32"], process["times_reference"]) == (None, 6.0)
    assert rows[NETWORK, "openvino", "int8"]["times_reference"] == 10.0


def test_candidates_are_all_that_is_installed():
    models = [networks.small_network(), networks.int8_network()]
    found = {(one.backend, one.precision) for one in candidates(models)}
    assert {("openvino", "fp32"), ("openvino", "int8")} <= found
    assert ("torch", "int8") not in found
    only = candidates(models, backend="openvino", precision="int8")
    assert [(one.backend, one.precision) for one in only] == [("openvino", "int8")]
    with pytest.raises(UsageError, match="nothing to measure"):
        candidates(models[:1], precision="int8", backend="openvino")


def test_no_reference_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "is_installed", lambda name: name != "torch")
    found, reason = reference([networks.small_network()])
    assert found is None
    assert "torch is not installed" in reason


def test_reference_needs_a_float_model():
    pytest.importorskip("torch")
    assert reference([networks.int8_network()])[0] is None
    found, _ = reference([networks.int8_network(), networks.small_network()])
    assert found is not None
    assert found.is_reference


@pytest.mark.parametrize("change", [{"batches": (0,)}, {"sizes": ()}, {"streams": 0}])
def test_settings_refuse(change: dict):
    given = {"sizes": ((8, 8),), "batches": (1,), "repeats": 1, "seconds": 1.0}
    with pytest.raises(UsageError):
        BenchmarkSettings(**{**given, "threads": 1, "streams": 1, **change})


def test_eager_network_equals_backend():
    pytest.importorskip("torch")
    model = networks.small_network()
    y = np.random.default_rng(0).random((2, 1, 20, 30), np.float32)
    network = EagerNetwork(tensors_of(model.architecture), residual=True, threads=1)
    given = y.copy()
    expected = backends.open_backend(model, backends.choose(model, "openvino")).run(y)
    assert np.abs(network.run(y) - expected).max() < 1e-5
    np.testing.assert_array_equal(y, given)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_streams_run(backend: str):
    pytest.importorskip(backend)
    model = networks.small_network()
    streams = Streams(model, backends.choose(model, backend), count=2, threads=2)
    streams.run(np.zeros((1, 1, 16, 16), np.float32))
    streams.close()


def test_machine_is_described():
    found = machine.describe()
    assert found["cores"] >= 1
    assert found["packages"]["numpy"] == np.__version__


def test_gpu_ways_on_a_cpu():
    torch = pytest.importorskip("torch")
    device = torch.device("cpu")
    ways = [
        gpu.Way(precision=precision, mode=gpu.EAGER, tile=(32, 24), batch=2)
        for precision in ("fp32", "bf16")
    ]
    rows, rates = gpu.measure(
        networks.small_network().architecture,
        ways,
        device,
        repeats=2,
        say=lambda text: None,
        rate_of=lambda device: 1e12,
    )
    assert rates == [1e12, 1e12]
    assert rows[0]["largest_difference"] == 0.0
    assert 0.0 < rows[1]["largest_difference"] < 2 / 255
    assert all(len(row["seconds"]["all"]) == 2 and row["share_of_ceiling"] > 0 for row in rows)


def test_gpu_is_refused_where_there_is_none():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(BackendError, match="CUDA"):
        gpu.require_cuda()


def test_tables_show_all_rows():
    row = {"model": "vdsr", "backend": "openvino", "precision": "int8", "size": "8x8"}
    seconds = {"p50": 0.25, "p95": 0.5, "all": [0.25]}
    figures = {
        "machine": machine.describe(),
        "threads": 2,
        "ceiling": {"gflops": 100.0, "best_gflops": {"numpy": 100.0}, "int8_factor": 4},
        "notes": ["a note"],
        "network": [
            {
                **row,
                "batch": 1,
                "latency_seconds": seconds,
                "megapixels_per_second": 0.5,
                "throughput_megapixels_per_second": None,
                "share_of_ceiling": 0.75,
                "times_reference": None,
            }
        ],
        "program": [],
    }
    page = as_markdown(figures)
    assert "| 8x8 | 1 | vdsr | openvino | int8 | 250 | 500 | 0.500 | - | 75 % | - |" in page
    assert "A note." in page
    assert "The whole program" not in page
    assert "75 %" in as_text(figures)
