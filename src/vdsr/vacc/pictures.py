"""Pictures for the card: its inputs as arrays, its calibration pictures as bmp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from vdsr.data import leaks
from vdsr.data.datasets import open_dataset
from vdsr.data.leaks import Fingerprint
from vdsr.errors import InputError, MissingExtra
from vdsr.evaluation.candidates import read_picture
from vdsr.evaluation.opencv_protocol import Size, resized_luma
from vdsr.imaging.color import FULL
from vdsr.inputs import is_folder, read_file
from vdsr.model.architecture import FloatArray
from vdsr.vacc.npz import INPUT_KEY, npz, read_npz

_MAX_BMP_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a folder.

    Attributes:
        name: of its file, without the suffix.
        samples: uint8 `[H, W, 3]` RGB, or `[H, W]`.
    """

    name: str
    samples: NDArray[np.uint8]

    def luma(self, size: Size) -> NDArray[np.uint8]:
        """uint8 `[height, width]`: full-range luma by OpenCV, resized, what the network sees."""
        return resized_luma(self.samples, size)

    @property
    def fingerprint_luma(self) -> NDArray[np.uint8]:
        """uint8 `[H, W]`: luma as `vdsr.data.leaks` takes it."""
        if self.samples.ndim == 2:
            return self.samples
        y = FULL.luma(np.ascontiguousarray(self.samples.transpose(2, 0, 1), np.float32))
        return np.clip(np.rint(y), 0, 255).astype(np.uint8)


def read_folder(folder: Path) -> Iterator[Picture]:
    """The pictures directly in a folder, in the order of their names.

    Raises:
        InputError: if there are none, one cannot be read, or two have the same name but
            for their suffix.
    """
    if not is_folder(folder):
        raise InputError(f"{folder}: there is no such folder")
    seen: dict[str, Path] = {}
    for path in open_dataset(str(folder)).pictures:
        if path.stem in seen:
            raise InputError(f"{path}: {seen[path.stem].name} has the same name: rename one")
        seen[path.stem] = path
        yield Picture(name=path.stem, samples=read_picture(path))


def evaluated_among(calibration: list[Picture], evaluated: list[Picture]) -> dict[str, str]:
    """Calibration pictures that a network is measured on: its figures of them flatter it.

    Args:
        calibration: the pictures to be looked through.
        evaluated: pictures that it will be measured on, beside Set5 and Set14.

    Returns:
        By the names of calibration pictures, the evaluation picture that each shows.
    """
    known: dict[str, Fingerprint] = dict(leaks.published())
    known |= {p.name: leaks.fingerprint(p.fingerprint_luma) for p in evaluated}
    found = {p.name: leaks.find(p.fingerprint_luma, known) for p in calibration}
    return {name: shown for name, shown in found.items() if shown is not None}


def refuse_evaluated(shown: Mapping[str, str]) -> None:
    """Check that nothing is calibrated on what it is measured on.

    Args:
        shown: of `evaluated_among`.

    Raises:
        InputError: naming the first of them.
    """
    for name, evaluated in shown.items():
        raise InputError(
            f"calibration picture {name}: it shows the evaluation picture {evaluated}:"
            " take pictures that nothing is measured on"
        )


def card_input(luma: NDArray[np.uint8]) -> bytes:
    """An input file: `.npz` with `input_0`, the luma three times, uint8 `[3, H, W]`."""
    return npz(INPUT_KEY, np.stack([luma] * 3))


def network_input(luma: NDArray[np.uint8]) -> FloatArray:
    """What the card's pre-processing makes of a luma: float32 `[1, 1, H, W]`, 0..1."""
    return luma.astype(np.float32)[None, None] / np.float32(255.0)


def read_input(path: Path, size: Size) -> NDArray[np.uint8]:
    """The luma in an input file that `card_input` made: uint8 `[height, width]`.

    Raises:
        InputError: if it is not one.
    """
    array = read_npz(path, INPUT_KEY, (3, *size), "u")
    luma: NDArray[np.uint8] = array[0].astype(np.uint8)
    return luma


def bmp(samples: NDArray[np.uint8]) -> bytes:
    """A picture as BMP of 24 bits: uint8 `[H, W, 3]` RGB or `[H, W]`.

    Raises:
        MissingExtra: without OpenCV.
    """
    cv2 = _opencv()
    color = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
    done, data = cv2.imencode(".bmp", np.ascontiguousarray(color[..., ::-1]))
    if not done:
        raise InputError("a picture cannot be written as BMP")
    encoded: bytes = data.tobytes()
    return encoded


def read_bmp(path: Path) -> NDArray[np.uint8]:
    """A picture that `bmp` made: uint8 `[H, W, 3]` RGB.

    Raises:
        InputError: if it cannot be read.
        MissingExtra: without OpenCV.
    """
    cv2 = _opencv()
    try:
        data = np.frombuffer(read_file(path, _MAX_BMP_BYTES), np.uint8)
    except InputError as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    try:
        found = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # a size that OpenCV refuses
        found = None
    if found is None:
        raise InputError(f"{path}: it is not a readable picture")
    return np.ascontiguousarray(found[..., ::-1])


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("opencv-python-headless", "evaluate") from error
    return cv2
