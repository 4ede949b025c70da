"""The ceiling of the machine: the rate of a product of two square float32 matrices.

It is measured in a process of its own, since numpy's threads can be set only before it is
loaded, by numpy, and by torch and OpenVINO where they are installed; the best product counts,
since not every library has its best kernels on every processor. int8 is
counted as four times that where the CPU multiplies bytes in groups of four (VNNI, NEON's
dot product): an instruction of the same width and rate then does four times the work.
Elsewhere int8 has no ceiling here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

SIDE = 2048
_PRODUCTS = 2
_GROUPS_OF_FOUR = frozenset(("AVX-512 VNNI", "AVX VNNI", "NEON dot product"))
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Ceiling:
    """Matrix products on demand, in a process that waits in between.

    Args:
        threads: threads of the products.
    """

    def __init__(self, threads: int) -> None:
        environment = {**os.environ, **dict.fromkeys(_VARIABLES, str(threads))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.rates: dict[str, list[float]] = {}

    def __enter__(self) -> Ceiling:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The process ends with its input.
        self._process.communicate()

    def measure(self) -> None:
        """Measure once more; the rates go to `rates`, FLOP/s by library."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process was started without pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for name, rate in json.loads(self._process.stdout.readline()).items():
            self.rates.setdefault(name, []).append(rate)

    @property
    def flops(self) -> float:
        """The best rate so far, FLOP/s."""
        return max(rate for rates in self.rates.values() for rate in rates)


def int8_factor(instructions: Sequence[str]) -> int | None:
    """How many times the float32 ceiling int8 has on a CPU; None where that is not known."""
    return 4 if _GROUPS_OF_FOUR.intersection(instructions) else None


def share(flops: float, ceiling: float, precision: str, factor: int | None) -> float | None:
    """Share of the ceiling.

    Args:
        flops: FLOP/s that were reached, two per multiply-accumulate.
        ceiling: FLOP/s of float32 matrix products.
        precision: `int8`, or a float.
        factor: see `int8_factor`.

    Returns:
        Share, 1 for the whole; None where the ceiling is not known.
    """
    if precision != "int8":
        return flops / ceiling
    return None if factor is None else flops / (factor * ceiling)


def rate(product: Callable[[], object], side: int = SIDE) -> float:
    """FLOP/s of a product of square matrices: the better of two."""
    best = float("inf")
    for _ in range(_PRODUCTS):
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return 2.0 * side**3 / best


def _openvino_product(a: NDArray[np.float32], threads: int) -> Callable[[], object] | None:
    """The product `a @ a` by OpenVINO in float32; None where it is not installed."""
    try:
        import openvino
        from openvino import opset8
    except ImportError:
        return None
    given = opset8.parameter(a.shape, np.float32)
    model = openvino.Model([opset8.matmul(given, given, False, False)], [given])
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    request.set_input_tensor(openvino.Tensor(a))
    product: Callable[[], object] = request.infer
    return product


def _serve(threads: int) -> None:
    """Answer every line of the input with the rates, as JSON."""
    a = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    products: dict[str, Callable[[], object]] = {"numpy": lambda: a @ a}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(threads)
        b = torch.from_numpy(a)
        products["torch"] = lambda: b @ b
    if (run := _openvino_product(a, threads)) is not None:
        products["openvino"] = run
    for product in products.values():
        product()
    for _ in sys.stdin:
        rates = {name: rate(product) for name, product in products.items()}
        sys.stdout.write(json.dumps(rates) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
