"""The VACC accelerator of Vastai, through its module `vaststreamx`.

What runs is not the model file, but what `vamc compile` made of it
(`vdsr.inference.compiled_paths`):
one network of 1x1x256x256, in fp16 or in int8, which the card's tools calibrate themselves.
The card takes pictures of 8 bits: luma is rounded to 1/255 on its way in.

Calls as in VastModelZOO (cv/super_resolution/vdsr, commit 43aff36) and in
VastStreamX-Samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import vaststreamx
from numpy.typing import NDArray

from vdsr.errors import BackendError
from vdsr.inference.compiled_paths import PARAMETERS, SIDE, build_name, compiled_prefix
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

# The card's tools quantize the model file in floats: it need not hold what it runs in.
COMPILES = True
# Enough to keep the card at work while the last result is fetched.
IN_FLIGHT = 8


def precisions() -> tuple[str, ...]:
    """Precisions that the card computes in."""
    return ("fp16", "int8")


class VastStreamXBackend:
    """A compiled network on a card.

    Args:
        model: the model file, loaded from the folder where it was compiled.
        precision: `fp16` or `int8`.
        device: number of the card.

    Raises:
        BackendError: if it was not compiled, or the card refuses it.
    """

    def __init__(self, model: ModelFile, *, precision: str, device: int = 0) -> None:
        path = Path(model.source)
        prefix, parameters = compiled_prefix(path, precision), path.parent / PARAMETERS
        if not parameters.is_file() or not any(prefix.parent.glob(f"{prefix.name}*")):
            raise BackendError(
                f"{model.source}: {prefix}* is not there: run 'vamc compile"
                f" build/{build_name(path, precision)}.yaml' in a folder that 'vdsr export"
                " --format vacc' made, and name the .onnx file in it"
            )
        self._device = device
        if vaststreamx.set_device(device) != 0:
            raise BackendError(f"there is no card {device} on this machine")
        try:
            (prepare, *_) = vaststreamx.Operator.load_ops_from_json_file(str(parameters))
            self._network = vaststreamx.ModelOperator(vaststreamx.Model(str(prefix), 1))
            graph = vaststreamx.Graph()
            graph.add_operators(prepare, self._network)
            self._stream = vaststreamx.Stream(graph, vaststreamx.StreamBalanceMode.ONCE)
            self._stream.register_operator_output(self._network)
            self._stream.build()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{prefix}: the card refuses the network: {error}") from error

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`: of `[1, 1, 256, 256]` alone."""
        if y.shape != (1, 1, SIDE, SIDE):
            raise BackendError(f"the card runs 1x1x{SIDE}x{SIDE}, not {list(y.shape)}")
        luma = np.clip(np.rint(y[0, 0] * np.float32(255.0)), 0, 255).astype(np.uint8)
        return self._plane(self._open_stream().run_sync([self._image(luma)]))

    def map(self, lumas: Iterable[NDArray[np.uint8]]) -> Iterator[FloatArray]:
        """Run many, `IN_FLIGHT` of them at a time.

        Args:
            lumas: uint8 `[256, 256]`.

        Yields:
            float32 `[1, 1, 256, 256]`, in order.
        """
        # The card reads its inputs while they wait: they are kept until their result is there.
        waiting: deque[object] = deque()
        stream = self._open_stream()
        for luma in lumas:
            image = self._image(luma)
            stream.run_async([image])
            waiting.append(image)
            if len(waiting) >= IN_FLIGHT:
                yield self._plane(stream.get_operator_output(self._network))
                waiting.popleft()
        while waiting:
            yield self._plane(stream.get_operator_output(self._network))
            waiting.popleft()

    def close(self) -> None:
        """See `Backend.close`."""
        if self._stream is not None:
            self._stream.close_input()
            self._stream.wait_until_done()
            self._stream = self._network = None

    def _open_stream(self) -> vaststreamx.Stream:
        if self._stream is None:
            raise BackendError("this backend is closed")
        return self._stream

    def _image(self, luma: NDArray[np.uint8]) -> object:
        planes = np.stack([luma] * 3)
        kind = vaststreamx.ImageFormat.RGB_PLANAR
        return vaststreamx.create_image(planes, kind, SIDE, SIDE, self._device)

    @staticmethod
    def _plane(outputs: list[list[object]]) -> FloatArray:
        """The first tensor of the first input, whose axes of length 1 vary."""
        array = np.asarray(vaststreamx.as_numpy(outputs[0][0]), np.float32)
        return array.reshape(1, 1, SIDE, SIDE)


def open_backend(
    model: ModelFile, *, precision: str, threads: int | None, parallel: int
) -> VastStreamXBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return VastStreamXBackend(model, precision=precision)
