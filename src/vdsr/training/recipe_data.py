"""The part of a recipe that says what is trained on: pictures, patches, damage."""

from __future__ import annotations

from dataclasses import dataclass

from vdsr.errors import UsageError
from vdsr.inputs import exists


def check(holds: bool, text: str) -> None:
    """Refuse what does not hold.

    Raises:
        UsageError: with this text.
    """
    if not holds:
        raise UsageError(text)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures to train on.

    Attributes:
        path: a folder or a pack, from the working directory on.
        license: terms of its pictures; a pack knows its own.
        share: the part of all patches that comes from it; 0 for what the others leave, in
            proportion to what is there.
    """

    path: str
    license: str = "unknown"
    share: float = 0.0

    def __post_init__(self) -> None:
        check(0.0 <= self.share <= 1.0, "data.sources.share lies in 0..1")


def source_of(text: str, license: str = "unknown") -> Source:
    """A source as it is named on a command line: `lines.pack@0.1`, a tenth of all patches.

    Raises:
        UsageError: for a share outside of 0..1.
    """
    path, _, share = text.rpartition("@")
    if not path or exists(text):
        return Source(path=text, license=license)
    try:
        part = float(share)
    except ValueError:
        return Source(path=text, license=license)
    return Source(path=path, license=license, share=part)


@dataclass(frozen=True, kw_only=True)
class DamageSettings:
    """What happens to the small pictures; see `vdsr.training.damage`.

    Attributes:
        share: of the patches that are damaged; the others are clean.
        kernels: of these, the part that is shrunk in another way than by bicubic.
        noise: the part that is noisy.
        levels: largest deviation of the noise, of 255; all up to it are alike.
        photons: of the noisy ones, the part whose noise grows with the brightness.
        jpeg: the part that is saved as JPEG. What is not noisy always is.
        qualities: the lowest and the highest quality.
        mozjpeg: of the JPEGs, the part with mozjpeg's tables.
        halved: the part whose chroma is stored at half the size.
        again: the part that is saved a second time, cut at another place.
    """

    share: float = 0.0
    kernels: float = 0.5
    noise: float = 0.5
    levels: float = 15.0
    photons: float = 0.5
    jpeg: float = 0.6
    qualities: tuple[int, ...] = (20, 98)
    mozjpeg: float = 0.25
    halved: float = 0.6
    again: float = 0.2

    def __post_init__(self) -> None:
        for name in ("share", "kernels", "noise", "photons", "jpeg", "mozjpeg", "halved", "again"):
            check(0.0 <= getattr(self, name) <= 1.0, f"damage.{name} lies in 0..1")
        check(0.0 <= self.levels <= 100.0, "damage.levels lies in 0..100")
        check(
            len(self.qualities) == 2 and 1 <= self.qualities[0] <= self.qualities[1] <= 100,
            "damage.qualities are the lowest and the highest, in 1..100",
        )


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What a batch holds; see `vdsr.training.patches.Patches`.

    Attributes:
        sources: the pictures; those named on the command line take their place.
        scales: of which every batch holds equal numbers: whole numbers in 2..8; with damage
            also 1, and halves. One that is named twice gets twice the patches.
        patch: side of a patch in px.
        batch: patches in a batch, of each device.
        flips: mirror patches at random.
        rotations: turn patches by 90 degrees at random.
        rescales: also train on copies of the pictures made smaller by these factors.
        focus: 0: all places alike; 1: in proportion to what degrading loses there.
        validation: pictures that are kept out of training and measured instead.
    """

    sources: tuple[Source, ...] = ()
    scales: tuple[float, ...] = (2, 3, 4)
    patch: int = 48
    batch: int = 16
    flips: bool = True
    rotations: bool = True
    rescales: tuple[float, ...] = (1.0,)
    focus: float = 0.0
    validation: int = 12

    def __post_init__(self) -> None:
        check(
            len(self.scales) > 0
            and all(1 <= scale <= 8 and 2 * scale == int(2 * scale) for scale in self.scales),
            "data.scales are whole or half numbers in 1..8",
        )
        check(8 <= self.patch <= 1024, "data.patch lies in 8..1024 px")
        check(1 <= self.batch <= 65536, "data.batch lies in 1..65536")
        check(
            len(self.rescales) > 0 and all(0.1 <= factor <= 1.0 for factor in self.rescales),
            "data.rescales lie in 0.1..1",
        )
        check(0.0 <= self.focus <= 4.0, "data.focus lies in 0..4")
        check(self.validation >= 0, "data.validation is 0 or more")
