"""What rows of a table are made of: bicubic, or a model on a backend."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, UsageError
from vdsr.evaluation.damaged_protocols import DamagedProtocol
from vdsr.imaging.files import FORMATS, PictureReader, PictureWriter, PixelLayout
from vdsr.inference import backends
from vdsr.inference.compiled_paths import calibrated_on
from vdsr.inference.selection import AUTO
from vdsr.inference.target import Target
from vdsr.inference.tiling import run_tiled
from vdsr.inference.upscaler import Upscaler
from vdsr.model.architecture import FloatArray
from vdsr.model.file import ModelFile

BICUBIC = "bicubic"
# Enough for a backend to finish what it puts off until the first run.
_WARM_UP = 48


class Candidate:
    """A model on one backend, opened when it is first needed.

    Args:
        model: the model file.
        backend, precision: as `vdsr.inference.backends.choose` takes them.
        threads: CPU threads; None leaves it to the backend.
        name: for the table; None is the model's own.

    Attributes:
        name: for the table.
        backend, precision: what is used, for the table.
        model_luma: range of the luma that it takes, `studio` or `full`.
        planes: 1 for luma, 3 for Y, Cb, Cr.

    Raises:
        BackendError: if the backend or precision is not available.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        self._model = model
        self._choice = backends.choose(model, backend, precision)
        self._threads = threads
        self.name = name or model.metadata.name
        self.backend = self._choice.backend
        self.precision = self._choice.precision
        if self.backend in backends.DEVICES:
            pictures = calibrated_on(Path(model.source), self.precision)
            self.backend += f", calibrated on {pictures}" if pictures else ""
        self.model_luma = model.metadata.luma
        self.planes = model.metadata.planes

    @cached_property
    def _network(self) -> backends.Backend:
        network = backends.open_backend(self._model, self._choice, threads=self._threads)
        free = (1, self.planes, _WARM_UP, _WARM_UP)
        shape = backends.fixed_shape(self._model, self._choice) or free
        network.run(np.zeros(shape, np.float32))
        return network

    @cached_property
    def _upscaler(self) -> Upscaler:
        upscaler = Upscaler(
            self._model,
            backend=self._choice.backend,
            precision=self.precision,
            threads=self._threads,
        )
        upscaler.upscale(np.zeros((_WARM_UP, _WARM_UP), np.uint8), scale=2)
        return upscaler

    def open(self, protocol: str) -> None:
        """Load what `protocol` needs, so that the first picture is not charged with it."""
        _ = self._upscaler if is_of_files(protocol) else self._network

    def luma(self, y: FloatArray) -> FloatArray:
        """See `vdsr.evaluation.cases.Network.luma`."""
        net = self._model.architecture
        restored = run_tiled(self._network.run, y, net.halo, fold=net.fold)
        return restored if net.planes == 1 else restored[0]

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """See `vdsr.evaluation.cases.Network.picture`: through real files.

        Raises:
            VdsrError: as `Upscaler.upscale`.
        """
        return _through_files(self._upscaler, low, scale)

    def close(self) -> None:
        """Release the networks that were opened."""
        for opened in ("_network", "_upscaler"):
            if opened in self.__dict__:
                self.__dict__.pop(opened).close()


class Automatic:
    """What the program does by itself: a model chosen for each picture. For files alone.

    Args:
        backend, precision, threads: as `Candidate` takes them.

    Raises:
        BackendError: if the backend or precision is not available.
    """

    name = AUTO
    model_luma = "studio"
    planes = 1

    def __init__(
        self, *, backend: str = "auto", precision: str = "auto", threads: int | None = None
    ) -> None:
        self._upscaler = Upscaler(AUTO, backend=backend, precision=precision, threads=threads)
        self.backend, self.precision = self._upscaler.backend, self._upscaler.precision

    def open(self, protocol: str) -> None:
        """See `Candidate.open`.

        Raises:
            UsageError: for a protocol that is not of files.
        """
        if not is_of_files(protocol):
            raise UsageError(
                f"the model {AUTO} is chosen by the picture, and {protocol} gives luma alone: name"
                " a model"
            )
        self._upscaler.upscale(np.zeros((_WARM_UP, _WARM_UP), np.uint8), scale=2)

    def luma(self, y: FloatArray) -> FloatArray:
        """Never asked for: see `open`."""
        raise NotImplementedError

    def picture(
        self, low: NDArray[np.uint8] | bytes, scale: int
    ) -> tuple[NDArray[np.uint8], float]:
        """See `Candidate.picture`."""
        return _through_files(self._upscaler, low, scale)

    def close(self) -> None:
        """Release the networks."""
        self._upscaler.close()


def is_of_files(protocol: str) -> bool:
    """Whether a protocol goes from file to file, through the whole program."""
    return protocol == "file" or DamagedProtocol.parse(protocol) is not None


def _through_files(
    upscaler: Upscaler, low: NDArray[np.uint8] | bytes, scale: int
) -> tuple[NDArray[np.uint8], float]:
    with tempfile.TemporaryDirectory(prefix="vdsr-") as name:
        source, goal = Path(name) / "low", Path(name) / "high.png"
        if isinstance(low, bytes):
            source.write_bytes(low)
        else:
            write_picture(source, low)
        target = Target(restore=True) if scale == 1 else Target(scale=scale)
        result = upscaler.upscale(source, goal, target=target)
        return read_picture(goal), result.seconds


def write_picture(path: Path, picture: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write uint8 `[H, W]` or `[H, W, 3]` as PNG.

    Raises:
        OutputError: if it cannot be written.
    """
    samples = picture[..., None] if picture.ndim == 2 else picture
    height, width, bands = samples.shape
    layout = PixelLayout(width=width, height=height, bands=bands, dtype="uint8")
    with PictureWriter(path, layout, FORMATS["png"], overwrite=overwrite) as writer:
        writer.write(np.ascontiguousarray(samples))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture to be measured.

    Returns:
        uint8 `[H, W]` for gray, else `[H, W, 3]` RGB. Alpha that hides nothing is left out.

    Raises:
        InputError: if it cannot be read, has more than 8 bits, or is transparent anywhere.
    """
    reader = PictureReader(path)
    if reader.dtype != "uint8":
        raise InputError(f"{path}: samples of {reader.dtype}: the protocols are of 8-bit pictures")
    samples = np.concatenate(list(reader.strips()))
    if reader.has_alpha:
        if samples[..., -1].min() < 255:
            raise InputError(f"{path}: it is transparent in places: there is no color to compare")
        samples = samples[..., :-1]
    picture: NDArray[np.uint8] = samples[..., 0] if samples.shape[2] == 1 else samples
    return picture
