"""The VACC accelerator of Vastai, through its module `vaststreamx`.

What runs is not the model file, but what `vamc compile` made of it
(`vdsr.inference.compiled_paths`):
one network of one size, in fp16 or in int8, which the card's tools calibrate themselves.
Pictures of other sizes are run in windows of it (`vdsr.inference.fixed_size`).
The card takes pictures of 8 bits: luma is rounded to 1/255 on its way in.

Calls as in VastModelZOO (cv/super_resolution/vdsr, commit 43aff36) and in
VastStreamX-Samples.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import vaststreamx
from numpy.typing import NDArray

from vdsr.errors import BackendError, InputError
from vdsr.inference.compiled_paths import PARAMETERS, build_name, compiled_prefix
from vdsr.inference.fixed_size import run_fixed
from vdsr.inputs import read_file
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

# The card's tools quantize the model file in floats: it need not hold what it runs in.
COMPILES = True
# Enough to keep the card at work while the last result is fetched.
IN_FLIGHT = 8

_MAX_BYTES = 1 << 20
_MAX_SIDE = 1 << 16


def precisions() -> tuple[str, ...]:
    """Precisions that the card computes in."""
    return ("fp16", "int8")


class VastStreamXBackend:
    """A compiled network on a card.

    Args:
        model: the model file, loaded from the folder where it was compiled.
        precision: `fp16` or `int8`.
        device: number of the card.
        batch: pictures that the card runs at once, from 1.

    Raises:
        BackendError: if it was not compiled, its parameters are damaged, or the card refuses it.
    """

    def __init__(
        self, model: ModelFile, *, precision: str, device: int = 0, batch: int = 1
    ) -> None:
        path = Path(model.source)
        prefix, parameters = compiled_prefix(path, precision), path.parent / PARAMETERS
        if not parameters.is_file() or not any(prefix.parent.glob(f"{prefix.name}*")):
            raise BackendError(
                f"{model.source}: {prefix}* is not there: run 'vamc compile"
                f" build/{build_name(path, precision)}.yaml' in a folder that 'vdsr export"
                " --format vacc' made, and name the .onnx file in it"
            )
        self._device, self._batch = device, batch
        self._size, self._halo = _input_size(parameters, model), model.architecture.halo
        if vaststreamx.set_device(device) != 0:
            raise BackendError(f"there is no card {device} on this machine")
        try:
            (prepare, *_) = vaststreamx.Operator.load_ops_from_json_file(str(parameters))
            self._network = vaststreamx.ModelOperator(vaststreamx.Model(str(prefix), batch))
            graph = vaststreamx.Graph()
            graph.add_operators(prepare, self._network)
            self._stream = vaststreamx.Stream(graph, vaststreamx.StreamBalanceMode.ONCE)
            self._stream.register_operator_output(self._network)
            self._stream.build()
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{prefix}: the card refuses the network: {error}") from error

    def run(self, y: FloatArray) -> FloatArray:
        """See `Backend.run`: `[N, 1, H, W]`, in windows where it is not of the card's size."""
        planes = [run_fixed(self._windows, plane, self._size, self._halo) for plane in y[:, 0]]
        return np.stack(planes)[:, None]

    def _windows(self, planes: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """The network on float32 `[H, W]` of the card's size; calls from threads do not mix."""
        stream = self._open_stream()
        scaled = (np.rint(plane * np.float32(255.0)) for plane in planes)
        lumas = (np.clip(plane, 0, 255).astype(np.uint8) for plane in scaled)
        for images, count in self._batches(lumas):
            for plane in self._planes(stream.run_sync(images), count):
                yield plane[0, 0]

    def map(self, lumas: Iterable[NDArray[np.uint8]]) -> Iterator[FloatArray]:
        """Run many, `IN_FLIGHT` batches of them at a time.

        Args:
            lumas: uint8 `[H, W]`, of the card's size.

        Yields:
            float32 `[1, 1, H, W]`, in order.
        """
        # The card reads its inputs while they wait: they are kept until their result is there.
        waiting: deque[tuple[list[object], int]] = deque()
        stream = self._open_stream()
        for images, count in self._batches(lumas):
            stream.run_async(images)
            waiting.append((images, count))
            if len(waiting) >= IN_FLIGHT:
                yield from self._planes(stream.get_operator_output(self._network), waiting[0][1])
                waiting.popleft()
        while waiting:
            yield from self._planes(stream.get_operator_output(self._network), waiting[0][1])
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
        height, width = self._size
        return vaststreamx.create_image(planes, kind, width, height, self._device)

    def _batches(self, lumas: Iterable[NDArray[np.uint8]]) -> Iterator[tuple[list[object], int]]:
        """Whole batches, the last one filled with its last picture; and how many are meant."""
        rest = iter(lumas)
        while images := [self._image(luma) for luma in islice(rest, self._batch)]:
            count = len(images)
            yield images + images[-1:] * (self._batch - count), count

    def _planes(self, outputs: list[list[object]], count: int) -> Iterator[FloatArray]:
        """The first tensor of each of the first inputs, whose axes of length 1 vary."""
        for tensors in outputs[:count]:
            array = np.asarray(vaststreamx.as_numpy(tensors[0]), np.float32)
            yield array.reshape(1, 1, *self._size)


def _input_size(parameters: Path, model: ModelFile) -> tuple[int, int]:
    """Height and width that the card's pre-processing gives the network, px.

    Raises:
        BackendError: if the parameters are damaged, or the model file is of another size.
    """
    try:
        content = json.loads(read_file(parameters, _MAX_BYTES))["OpConfig"]
        height, width = content["OimageHeight"], content["OimageWidth"]
        if not all(type(side) is int and 0 < side <= _MAX_SIDE for side in (height, width)):
            raise ValueError("OimageHeight and OimageWidth are not sides of a picture")
    except (InputError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BackendError(
            f"{parameters}: the input size cannot be read from it: {error!s:.100}"
        ) from error
    if model.fixed_shape is not None and model.fixed_shape[2:] != (height, width):
        made = "x".join(map(str, model.fixed_shape))
        raise BackendError(
            f"{parameters}: it is for inputs of {height}x{width} px, but {model.source} is made for"
            f" {made}: 'vdsr export --format vacc' makes both of one size"
        )
    return height, width


def open_backend(
    model: ModelFile, *, precision: str, threads: int | None, parallel: int
) -> VastStreamXBackend:
    """Load `model`; see `vdsr.inference.backends.open_backend`."""
    return VastStreamXBackend(model, precision=precision)
