"""All backends give the same numbers, on random weights and on pictures."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from networks import model, random_layers, small_network, vdsr_20
from vdsr import Upscaler
from vdsr.errors import BackendError, MissingExtra
from vdsr.imaging.color import STUDIO
from vdsr.imaging.degrade import degrade
from vdsr.imaging.files import PictureReader
from vdsr.inference import backends, cpu
from vdsr.model.file import ModelFile, load_model

NETWORKS = {
    "vdsr with biases": vdsr_20,
    "vdsr without biases": lambda: vdsr_20(bias=False, seed=1),
    "srcnn": lambda: model(random_layers(9, 5, 5, width=32), residual=False),
    "shipped": load_model,
}


def results(file: ModelFile, y) -> dict[str, np.ndarray]:
    found = {}
    for name in backends.BACKENDS:
        network = backends.open_backend(file, backends.choose(file, name))
        found[name] = network.run(y)
        network.close()
    return found


def assert_equal(found: dict[str, np.ndarray]) -> None:
    reference = found["openvino"]
    for name, result in found.items():
        assert result.dtype == np.float32
        assert result.shape == reference.shape
        difference = np.abs(result - reference) / np.maximum(1.0, np.abs(reference))
        assert difference.max() <= 1e-5, name


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 33, 50), (2, 1, 20, 7)])
def test_seeded_random_inputs(network: str, shape: tuple[int, ...]):
    y = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert_equal(results(NETWORKS[network](), y))


def test_a_smooth_picture():
    rows, columns = np.mgrid[:60, :80] / 20.0
    y = (0.5 + 0.2 * np.sin(rows * columns) + 0.2 * (columns > 2)).astype(np.float32)
    assert_equal(results(load_model(), degrade(y, 4)[None, None]))


def test_a_real_picture(shared: Path):
    pixels = np.concatenate(
        list(PictureReader(shared / "data/eval/Set5/butterfly_GT.png").strips())
    )
    luma = STUDIO.luma(pixels[:240, :240].transpose(2, 0, 1).astype(np.float32)) / np.float32(255)
    assert_equal(results(load_model(), degrade(luma, 3)[None, None]))


def test_arrays_that_are_read_only_or_not_contiguous():
    y = np.random.default_rng(0).random((1, 1, 40, 30), dtype=np.float32)
    for name in backends.BACKENDS:
        file = small_network()
        network = backends.open_backend(file, backends.choose(file, name))
        expected = network.run(np.ascontiguousarray(y[:, :, ::2, ::3]))
        y.setflags(write=False)
        assert np.array_equal(network.run(y[:, :, ::2, ::3]), expected)
        again = network.run(np.zeros((1, 1, 5, 5), np.float32))
        assert again.shape == (1, 1, 5, 5)
        assert expected.shape == (1, 1, 20, 10)


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_a_closed_backend_says_so(name: str):
    file = small_network()
    network = backends.open_backend(file, backends.choose(file, name), threads=1)
    network.close()
    with pytest.raises(BackendError, match="closed"):
        network.run(np.zeros((1, 1, 4, 4), np.float32))


def test_a_call_that_fails_fails_alone():
    """A request of OpenVINO's that failed tells of it to everyone who comes after."""
    network = backends.open_backend(
        small_network(), backends.Choice(backend="openvino", precision="fp32"), parallel=2
    )
    good = np.random.default_rng(0).random((1, 1, 20, 20), dtype=np.float32)
    expected = network.run(good)

    def run(i: int):
        if i % 5:
            return network.run(good)
        with pytest.raises(RuntimeError):
            network.run(np.zeros((1, 2, 9, 9), np.float32))
        return expected

    with ThreadPoolExecutor(6) as pool:
        assert all(np.array_equal(found, expected) for found in pool.map(run, range(60)))
    network.close()


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_one_upscaler_serves_several_threads(name: str):
    images = [np.random.default_rng(i).random((20 + i, 31, 3), dtype=np.float32) for i in range(8)]
    with Upscaler(small_network(), backend=name) as upscaler:
        expected = [upscaler.upscale(image, scale=2) for image in images]
        found: list = [None] * len(images)

        def work(i: int) -> None:
            found[i] = upscaler.upscale(images[i], scale=2)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for got, wanted in zip(found, expected, strict=True):
        assert np.abs(got - wanted).max() < 1e-6


def test_auto_takes_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    file = small_network()
    assert backends.choose(file).backend == "openvino"
    monkeypatch.setattr(backends, "is_installed", lambda name: name != "openvino")
    assert backends.choose(file).backend == "onnxruntime"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onnxruntime", r"onnxruntime is not installed: pip install 'vdsr\[onnxruntime\]'"),
        ("torch", r"torch is not installed: pip install 'vdsr\[train\]'"),
        ("openvino", "openvino is not installed: pip install vdsr"),
    ],
)
def test_a_missing_package_names_what_installs_it(monkeypatch, name: str, message: str):
    monkeypatch.setattr(backends, "is_installed", lambda _: False)
    with pytest.raises(MissingExtra, match=message):
        backends.choose(small_network(), name)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precisions_that_are_not_to_be_had(monkeypatch, precision: str):
    monkeypatch.setattr("vdsr.inference.backends.precisions", lambda name: ("fp32",))
    with pytest.raises(BackendError):
        backends.choose(small_network(), "onnxruntime", precision)
    with pytest.raises(BackendError, match="unknown precision"):
        backends.choose(small_network(), "auto", "fp64")
    with pytest.raises(BackendError, match="unknown backend"):
        backends.choose(small_network(), "caffe")


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_half_precision_only_where_the_machine_has_it(name: str):
    file = small_network()
    if "fp16" in backends.precisions(name):
        assert backends.choose(file, name, "fp16").precision == "fp16"
    else:
        with pytest.raises(BackendError, match=f"{name} has no fp16 on this machine: fp32"):
            backends.choose(file, name, "fp16")
    with pytest.raises(BackendError, match="holds fp32 weights, not int8"):
        backends.choose(file, name, "int8")


def test_without_any_backend_the_first_one_is_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backends, "is_installed", lambda _: False)
    with pytest.raises(MissingExtra, match="openvino is not installed: pip install vdsr"):
        backends.choose(small_network())


PINNED = """
import re, sys, threading
from pathlib import Path
import numpy as np
from vdsr.inference import backends
from vdsr.model.file import load_model

model = load_model("srcnn-x2")
network = backends.open_backend(model, backends.choose(model, sys.argv[1]), threads=1)
work = threading.Thread(target=network.run, args=(np.zeros((1, 1, 900, 900), np.float32),))
work.start()
while work.is_alive():
    for status in Path("/proc/self/task").glob("*/status"):
        try:
            print(re.search(r"Cpus_allowed_list:\\s+(\\S+)", status.read_text())[1])
        except OSError:  # it has ended
            pass
"""


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or cpu.cores() < 2, reason="needs Linux and two cores"
)
@pytest.mark.parametrize("name", backends.BACKENDS)
def test_a_part_of_the_cores_is_any_part(name: str):
    """Else all processes that take one core would take the first one."""
    done = subprocess.run(
        [sys.executable, "-c", PINNED, name], capture_output=True, text=True, check=True
    )
    assert len(set(done.stdout.split())) == 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", backends.BACKENDS)
def test_the_number_of_threads_changes_nothing(name: str, threads: int):
    y = np.random.default_rng(0).random((1, 1, 33, 47), dtype=np.float32)
    file = small_network()
    choice = backends.choose(file, name)
    expected = backends.open_backend(file, choice).run(y)
    assert np.abs(backends.open_backend(file, choice, threads=threads).run(y) - expected).max() < (
        1e-5
    )


# An array far too large for what the process may take, then a small one.
STARVED = """
import re, resource, sys
from pathlib import Path
import numpy as np
from vdsr.errors import OutOfMemory
from vdsr.inference import backends
from vdsr.model.file import load_model

file = load_model()
choice, parallel = backends.choose(file, sys.argv[1]), int(sys.argv[2])
network = backends.open_backend(file, choice, threads=parallel, parallel=parallel)
network.run(np.zeros((1, 1, 32, 32), np.float32))
status = Path("/proc/self/status").read_text()
limit = int(re.search(r"VmSize:\\s+(\\d+)", status)[1]) * 1024 + 160 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    network.run(np.zeros((1, 1, 1500, 1500), np.float32))
except OutOfMemory as error:
    print(error, network.run(np.zeros((1, 1, 32, 32), np.float32)).shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
@pytest.mark.parametrize(
    ("name", "parallel"), [*((name, 1) for name in backends.BACKENDS), ("openvino", 2)]
)
def test_after_running_out_of_memory_a_smaller_array_fits(name: str, parallel: int):
    done = subprocess.run(
        [sys.executable, "-c", STARVED, name, str(parallel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ran out of memory (1, 1, 32, 32)" in done.stdout, done.stderr
    assert done.stderr == ""


def test_the_core_runs_without_torch_and_onnx():
    code = (
        "import sys, numpy as np, vdsr\n"
        "with vdsr.Upscaler() as u:\n"
        "    assert u.upscale(np.zeros((4, 4, 3), np.uint8), scale=2).shape == (8, 8, 3)\n"
        "found = {'torch', 'onnx', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(repr(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
