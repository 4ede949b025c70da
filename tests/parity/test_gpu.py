"""On a CUDA device: every way to run the network gives what the network gives."""

from __future__ import annotations

import numpy as np
import pytest

import networks
from vdsr.benchmark.gpu import MODES, PRECISIONS, Way, inputs, prepare, runner
from vdsr.inference import backends

torch = pytest.importorskip("torch", reason="needs torch")
pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here"
    ),
    # torch's own, of its compiler's imports.
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]
# Half a level of 255 for fp16; bf16 keeps 8 bits of the mantissa, so an output of up to 1 is
# itself rounded by up to half a level.
LARGEST = {"fp16": 0.5 / 255, "bf16": 2.0 / 255}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_way_equals_float32(mode: str, precision: str):
    architecture = networks.small_network().architecture
    device = torch.device("cuda")
    exact = Way(precision="fp32", mode="eager", tile=(64, 48), batch=2)
    way = Way(precision=precision, mode=mode, tile=(64, 48), batch=2)
    with torch.inference_mode():
        truth = prepare(architecture, exact, torch.device("cpu"))(
            inputs(exact, torch.device("cpu"))
        )
        step = prepare(architecture, way, device)
        # Twice: a graph gives the same memory again.
        step(torch.zeros_like(inputs(way, device)))
        result = step(inputs(way, device)).float().cpu()
    assert float((result - truth).abs().max()) < LARGEST[precision]


def test_streams_run():
    architecture = networks.small_network().architecture
    device = torch.device("cuda")
    way = Way(precision="fp16", mode="eager", tile=(64, 48), batch=2, streams=2)
    with torch.inference_mode():
        step = prepare(architecture, way, device)
    runner(step, way, device)()


def test_backend_equals_the_cpu():
    model = networks.small_network()
    y = np.random.default_rng(0).random((1, 1, 48, 64), np.float32)
    exact = Way(precision="fp32", mode="eager", tile=(64, 48), batch=1)
    with torch.inference_mode():
        expected = prepare(model.architecture, exact, torch.device("cpu"))(torch.from_numpy(y))
    found = backends.open_backend(model, backends.choose(model, "torch", "fp32")).run(y)
    assert np.abs(found - expected.numpy()).max() < 1e-4
