"""Measure models on a dataset: one row per scale and model, bicubic first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.data.datasets import Dataset
from vdsr.errors import BackendError, InputError, MissingExtra, ModelError, UsageError, among
from vdsr.evaluation.candidates import BICUBIC, Automatic, Candidate, read_picture
from vdsr.evaluation.cases import Case, Picture
from vdsr.evaluation.cutouts import Cutout, cut_out
from vdsr.evaluation.fid import PATCH, FeatureNetwork, Features, frechet_distance, patches
from vdsr.evaluation.opencv_protocol import fixed_size
from vdsr.evaluation.protocols import CROPS, check_protocol, prepare
from vdsr.inputs import is_file

SMALLEST_SCALE, LARGEST_SCALE = 2, 8
# The first row of a protocol that enlarges nothing.
UNTOUCHED = "input"

OnStep = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How to measure.

    Attributes:
        protocol: one of `PROTOCOLS`, with numbers for its capitals.
        scales: 2..8; 1 alone where a protocol keeps the size.
        crop: `single` or `cumulative`; see `vdsr.evaluation.protocols.cropped`.
        inputs: folder of enlarged pictures, for `fixed256` and `fixed:HxW`; None makes
            them.
        consistency: whether results are also shrunk again and compared with the input, and
            with the intervals of a JPEG that they were made from.
        speed: whether seconds per megapixel of output are given.
        fid: the network whose features are compared; None for no FID.
        cutouts: whether cut-outs are kept, for a report.

    Raises:
        UsageError: for settings that do not fit each other.
    """

    protocol: str
    scales: tuple[int, ...]
    crop: str = "single"
    inputs: Path | None = None
    consistency: bool = False
    speed: bool = False
    fid: FeatureNetwork | None = None
    cutouts: bool = False

    def __post_init__(self) -> None:
        damaged = check_protocol(self.protocol)
        if self.crop not in CROPS:
            raise UsageError(f"unknown crop {self.crop!r}: {among(self.crop, CROPS)}")
        if damaged is not None and damaged.keeps_size:
            if self.scales != (1,):
                raise UsageError(f"the protocol {self.protocol} keeps the size: its scale is 1")
        elif not self.scales or not all(SMALLEST_SCALE <= s <= LARGEST_SCALE for s in self.scales):
            raise UsageError(f"scales are {SMALLEST_SCALE} to {LARGEST_SCALE}, not {self.scales}")
        fixed = fixed_size(self.protocol) is not None
        if fixed and self.crop != "single":
            raise UsageError(f"the protocol {self.protocol} crops nothing")
        if self.inputs is not None and not fixed:
            raise UsageError(f"the protocol {self.protocol} makes its own low-resolution pictures")
        if fixed and self.consistency:
            raise UsageError(
                f"the protocol {self.protocol} has no low-resolution picture to agree with"
            )

    @property
    def baseline(self) -> str:
        """What the first row is of: bicubic, or the picture as it is."""
        return UNTOUCHED if self.scales == (1,) else BICUBIC


@dataclass(frozen=True, kw_only=True)
class ImageResult:
    """One picture of a row.

    Attributes:
        image: name of the file.
        psnr, ssim: dB, and -1..1.
        seconds: see `Row`.
        further: other figures by name, in dB or as named.
        cutout: what is shown of it, where they are kept.
    """

    image: str
    psnr: float
    ssim: float
    seconds: float
    further: Mapping[str, float] = field(default_factory=dict)
    cutout: Cutout | None = None

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON; what is not finite becomes null."""
        values = {
            "image": self.image,
            "psnr": self.psnr,
            "ssim": self.ssim,
            "seconds": self.seconds,
        }
        return _finite({**values, **self.further})


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model (or bicubic) on a dataset at one scale.

    Attributes:
        dataset, scale, protocol, crop, model: what was measured.
        precision, backend: of the model; None for bicubic.
        psnr, ssim: means over the pictures.
        seconds: for all pictures: of the network alone, by `file` of the whole program from
            file to file; for bicubic of the interpolation.
        images: the same per picture.
        further: other figures by name.
    """

    dataset: str
    scale: int
    protocol: str
    crop: str
    model: str
    precision: str | None
    backend: str | None
    psnr: float
    ssim: float
    seconds: float
    images: tuple[ImageResult, ...]
    further: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """All but the pictures, as an object for JSON; what is not finite becomes null."""
        values = {
            "dataset": self.dataset,
            "scale": self.scale,
            "protocol": self.protocol,
            "model": self.model,
            "precision": self.precision,
            "backend": self.backend,
            "psnr": self.psnr,
            "ssim": self.ssim,
            "seconds": self.seconds,
            **self.further,
        }
        if self.crop != "single":
            values["crop"] = self.crop
        return _finite(values)

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return {**self.figures(), "images": [image.as_dict() for image in self.images]}


def evaluate(
    dataset: Dataset,
    settings: EvaluationSettings,
    candidates: Sequence[Candidate | Automatic],
    *,
    progress: OnStep | None = None,
) -> Iterator[Row]:
    """Measure bicubic and some models.

    Args:
        dataset: the pictures.
        settings: how to measure.
        candidates: the models; they are opened here, but not closed.
        progress: called before every picture with what is done, of how much, and its name.

    Yields:
        For each scale the row of bicubic, then one per model.

    Raises:
        InputError: for a picture that cannot be measured; means over fewer pictures than
            there are would be figures of another dataset.
        VdsrError: as the backends and the upscaler.
    """
    for candidate in candidates:
        candidate.open(settings.protocol)
    total = len(settings.scales) * len(dataset.pictures)
    for i, scale in enumerate(settings.scales):
        tallies = [_Tally(settings), *(_Tally(settings, candidate) for candidate in candidates)]
        originals: list[Features] = []
        for j, path in enumerate(dataset.pictures):
            if progress is not None:
                progress(i * len(dataset.pictures) + j, total, f"{path.name} x{scale}")
            try:
                case = _case(path, scale, settings)
                for tally in tallies:
                    tally.add(path.name, case)
                if settings.fid is not None:
                    originals.extend(_features(settings.fid, case.shown.original))
            except (BackendError, MissingExtra, ModelError):  # not this picture's fault
                raise
            except ValueError as error:
                raise InputError(f"{path}: it cannot be measured at x{scale}: {error}") from error
        for tally in tallies:
            yield tally.row(dataset.name, scale, originals)


def _case(path: Path, scale: int, settings: EvaluationSettings) -> Case:
    given = None
    if settings.inputs is not None:
        given = read_picture(_input_of(path, scale, settings.inputs))
    return prepare(read_picture(path), scale, settings.protocol, crop=settings.crop, given=given)


def input_endings(scale: int) -> tuple[str, ...]:
    """What the name of an enlarged picture may have after that of its original."""
    return ("", f"_scale_{scale}", f"_x{scale}", f"x{scale}")


def _input_of(path: Path, scale: int, folder: Path) -> Path:
    """The enlarged picture of an original: of the same name, or with the scale after it.

    Raises:
        InputError: if there is none.
    """
    endings = input_endings(scale)
    for ending in endings:
        candidate = folder / f"{path.stem}{ending}{path.suffix}"
        if is_file(candidate):
            return candidate
    raise InputError(
        f"{folder}: no picture for {path.name}, as {path.stem}{endings[1]}{path.suffix}"
    )


class _Tally:
    """Collects what one candidate does on all pictures at one scale; bicubic if None."""

    def __init__(
        self, settings: EvaluationSettings, candidate: Candidate | Automatic | None = None
    ) -> None:
        self._settings = settings
        self._candidate = candidate
        self._images: list[ImageResult] = []
        self._features: list[Features] = []
        self._pixels = 0

    def add(self, name: str, case: Case) -> None:
        """Restore and measure a picture.

        Raises:
            ValueError: if it is too small.
        """
        if self._candidate is None:
            result, seconds = case.bicubic, case.bicubic_seconds
        else:
            result, seconds = case.restore(self._candidate)
        score = case.reading.score(result)
        wanted = self._settings.cutouts and self._candidate is not None
        self._images.append(
            ImageResult(
                image=name,
                psnr=score.psnr,
                ssim=score.ssim,
                seconds=seconds,
                further=self._further(case, result, seconds),
                cutout=cut_out(case, result) if wanted else None,
            )
        )
        self._pixels += case.pixels
        if self._settings.fid is not None:
            self._features.extend(_features(self._settings.fid, case.shown.view(result)))

    def _further(self, case: Case, result: Picture, seconds: float) -> dict[str, float]:
        figures: dict[str, float] = {}
        for suffix, reading in case.further.items():
            score = reading.score(result)
            figures |= {f"psnr_{suffix}": score.psnr, f"ssim_{suffix}": score.ssim}
        agreement = case.reading.consistency(result) if self._settings.consistency else None
        if agreement is not None:
            figures["consistency"] = agreement
        if case.outside is not None and self._settings.consistency:
            figures["outside_percent"] = case.outside(result)
        if self._settings.speed:
            figures["seconds_per_megapixel"] = seconds / case.pixels * 1e6
        return figures

    def row(self, dataset: str, scale: int, originals: list[Features]) -> Row:
        """The row, when all pictures were added."""
        images, settings = self._images, self._settings
        seconds = sum(image.seconds for image in images)
        further = {
            name: float(np.mean([image.further[name] for image in images]))
            for name in images[0].further
        }
        if settings.speed:
            further["seconds_per_megapixel"] = seconds / self._pixels * 1e6
        if settings.fid is not None:
            further["fid"] = _fid(settings.fid, originals, self._features)
        candidate = self._candidate
        return Row(
            dataset=dataset,
            scale=scale,
            protocol=settings.protocol,
            crop=settings.crop,
            model=settings.baseline if candidate is None else candidate.name,
            precision=None if candidate is None else candidate.precision,
            backend=None if candidate is None else candidate.backend,
            psnr=float(np.mean([image.psnr for image in images])),
            ssim=float(np.mean([image.ssim for image in images])),
            seconds=seconds,
            images=tuple(images),
            further=further,
        )


def _features(network: FeatureNetwork, planes: NDArray[np.float64]) -> list[Features]:
    squares = patches(planes)
    return [network.features(squares)] if len(squares) else []


def _fid(network: FeatureNetwork, originals: list[Features], results: list[Features]) -> float:
    if sum(map(len, originals)) < 2:
        raise InputError(
            f"{network.path}: fewer than two patches of {PATCH} px: FID cannot be computed"
        )
    return frechet_distance(np.concatenate(originals), np.concatenate(results))


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity, which is the PSNR of equal pictures: it becomes null."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }
