"""Recipes: everything that decides what a training run makes.

They are written as TOML files, see `vdsr.training.recipe_file`; every key there is a
field of one of these classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from vdsr.errors import UsageError
from vdsr.model.architecture import FOLDS, PLANES
from vdsr.training.losses import KINDS, REDUCTIONS

NETWORKS = ("vdsr", "srcnn")
OPTIMIZERS = ("muon", "adamw", "sgd")
SCHEDULES = ("cosine", "step")


def _check(holds: bool, text: str) -> None:
    if not holds:
        raise UsageError(text)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The network; its depth is that of the stage.

    Attributes:
        kind: `vdsr` or `srcnn`.
        width: channels between the layers of a VDSR.
        bias: whether a VDSR has biases.
        residual: whether a VDSR adds its output to its input.
        fold, planes: of a VDSR; see `vdsr.model.architecture.Architecture`.
        quiet: whether a residual VDSR begins as bicubic: its last layer as zeros. It keeps
            small networks from losing their ReLUs in the first steps.
        kernels: the three kernels of an SRCNN.
    """

    kind: str = "vdsr"
    width: int = 64
    bias: bool = True
    residual: bool = True
    fold: int = 1
    planes: int = 1
    quiet: bool = True
    kernels: tuple[int, ...] = (9, 5, 5)

    def __post_init__(self) -> None:
        _check(self.kind in NETWORKS, f"network.kind is one of {', '.join(NETWORKS)}")
        _check(1 <= self.width <= 1024, "network.width lies in 1..1024")
        _check(self.fold in FOLDS, "network.fold is 1, 2, 3 or 4")
        _check(self.planes in PLANES, "network.planes is 1 (luma) or 3 (Y, Cb, Cr)")
        _check(
            self.kind == "vdsr" or self.fold == self.planes == 1,
            "an srcnn is of luma, and not folded",
        )
        _check(
            len(self.kernels) == 3 and all(k % 2 == 1 and k > 0 for k in self.kernels),
            "network.kernels are three odd numbers",
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Pictures to train on.

    Attributes:
        path: a folder or a pack, from the working directory on.
        licence: terms of its pictures; a pack knows its own.
        share: the part of all patches that comes from it; 0 for what the others leave, in
            proportion to what is there.
    """

    path: str
    licence: str = "unknown"
    share: float = 0.0

    def __post_init__(self) -> None:
        _check(0.0 <= self.share <= 1.0, "data.sources.share lies in 0..1")


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
            _check(0.0 <= getattr(self, name) <= 1.0, f"damage.{name} lies in 0..1")
        _check(0.0 <= self.levels <= 100.0, "damage.levels lies in 0..100")
        _check(
            len(self.qualities) == 2 and 1 <= self.qualities[0] <= self.qualities[1] <= 100,
            "damage.qualities are the lowest and the highest, in 1..100",
        )


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What a batch holds; see `vdsr.training.patches.Patches`.

    Attributes:
        sources: the pictures; those named on the command line take their place.
        scales: of which every batch holds equal numbers: whole numbers in 2..8; with damage
            also 1, and halves.
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
        _check(
            len(self.scales) > 0
            and len(set(self.scales)) == len(self.scales)
            and all(1 <= scale <= 8 and 2 * scale == int(2 * scale) for scale in self.scales),
            "data.scales are different whole or half numbers in 1..8",
        )
        _check(8 <= self.patch <= 1024, "data.patch lies in 8..1024 px")
        _check(1 <= self.batch <= 65536, "data.batch lies in 1..65536")
        _check(
            len(self.rescales) > 0 and all(0.1 <= factor <= 1.0 for factor in self.rescales),
            "data.rescales lie in 0.1..1",
        )
        _check(0.0 <= self.focus <= 4.0, "data.focus lies in 0..4")
        _check(self.validation >= 0, "data.validation is 0 or more")


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimiser; its rate is that of the stage.

    Attributes:
        kind: `muon` (for the inner kernels, AdamW for the rest), `adamw` or `sgd`.
        momentum: of muon and sgd.
        betas: of adamw.
        decay: weight decay: decoupled, but for sgd a part of the gradient.
        other_rate: of muon: AdamW's rate, in units of the stage's rate.
    """

    kind: str = "adamw"
    momentum: float = 0.9
    betas: tuple[float, ...] = (0.9, 0.99)
    decay: float = 0.0
    other_rate: float = 0.1

    def __post_init__(self) -> None:
        _check(self.kind in OPTIMIZERS, f"optimizer.kind is one of {', '.join(OPTIMIZERS)}")
        _check(0.0 <= self.momentum < 1.0, "optimizer.momentum lies in 0..1, 1 excluded")
        _check(
            len(self.betas) == 2 and all(0.0 <= beta < 1.0 for beta in self.betas),
            "optimizer.betas are two numbers in 0..1, 1 excluded",
        )
        _check(self.decay >= 0.0, "optimizer.decay is 0 or more")
        _check(self.other_rate > 0.0, "optimizer.other_rate is above 0")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A loss, for a part of every stage.

    Attributes:
        loss: `l1`, `charbonnier` or `mse`.
        reduction: `mean`, `sum` or `half_sum`; see `vdsr.training.losses`.
        until: share of the stage at which it ends, the last one at 1.
        clip_norm: largest norm of the whole gradient; 0 for no such limit.
        clip_theta: largest element of the gradient x the current rate (Kim et al., 3.2:
            "adjustable gradient clipping"); 0 for no such limit.
    """

    loss: str = "l1"
    reduction: str = "mean"
    until: float = 1.0
    clip_norm: float = 0.0
    clip_theta: float = 0.0

    def __post_init__(self) -> None:
        _check(self.loss in KINDS, f"phases.loss is one of {', '.join(KINDS)}")
        _check(self.reduction in REDUCTIONS, f"phases.reduction is one of {', '.join(REDUCTIONS)}")
        _check(0.0 < self.until <= 1.0, "phases.until lies in 0..1")
        _check(min(self.clip_norm, self.clip_theta) >= 0.0, "limits of gradients are 0 or more")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the run: one depth, one schedule.

    Attributes:
        depth: layers; more than in the stage before grows the network.
        steps: how long it lasts, in steps; or
        minutes: in minutes of training.
        rate: the learning rate that the schedule begins with.
        schedule: `cosine`, to 0; or `step`.
        warmup: share of the stage in which the rate rises from 0.
        drops: of `step`: number of times that the rate falls, at equal distances.
        factor: of `step`: what it is multiplied by.
    """

    depth: int = 20
    steps: int = 0
    minutes: float = 0.0
    rate: float
    schedule: str = "cosine"
    warmup: float = 0.0
    drops: int = 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check(2 <= self.depth <= 200, "stages.depth lies in 2..200")
        _check(self.steps >= 0 and self.minutes >= 0.0, "a stage cannot last less than nothing")
        _check((self.steps > 0) != (self.minutes > 0.0), "a stage has either steps or minutes")
        _check(self.rate > 0.0, "stages.rate is above 0")
        _check(self.schedule in SCHEDULES, f"stages.schedule is one of {', '.join(SCHEDULES)}")
        _check(0.0 <= self.warmup < 1.0, "stages.warmup lies in 0..1, 1 excluded")
        _check(self.drops >= 0 and 0.0 < self.factor <= 1.0, "stages.factor lies in 0..1")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Attributes:
        name: short name, and that of the model that comes of it.
        about: what it is for, in a sentence.
        seed: of the first weights and of every batch.
        precision: of the arithmetic: `32`, or `bf16` or `16` (mixed), for GPUs.
        ema: the weights that come out are a running mean with this factor per step; 0
            for the last weights as they are.
        validations: how often the kept-out pictures are measured in every stage, evenly.
        network: what is trained.
        data: on what.
        damage: what happens to it.
        optimizer: how.
        phases: towards what.
        stages: how deep and how long.
    """

    name: str
    about: str = ""
    seed: int = 1
    precision: str = "32"
    ema: float = 0.999
    validations: int = 10
    network: NetworkSettings = field(default_factory=NetworkSettings)
    data: DataSettings = field(default_factory=DataSettings)
    damage: DamageSettings = field(default_factory=DamageSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    phases: tuple[Phase, ...] = (Phase(),)
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        _check(bool(self.name) and self.name.isprintable(), "a recipe has a name")
        _check(0 <= self.seed < 2**32, "seed lies in 0..2^32")
        _check(self.precision in ("32", "bf16", "16"), "precision is 32, bf16 or 16")
        _check(0.0 <= self.ema < 1.0, "ema lies in 0..1, 1 excluded")
        _check(self.validations >= 0, "validations is 0 or more")
        self._check_data()
        ends = [phase.until for phase in self.phases]
        _check(
            bool(ends) and ends == sorted(set(ends)) and ends[-1] == 1.0,
            "phases follow each other, and the last one ends at 1",
        )
        depths = [stage.depth for stage in self.stages]
        _check(bool(depths), "a recipe has at least one stage")
        _check(depths == sorted(depths), "from stage to stage a network can only grow")
        _check(
            self.network.kind == "vdsr" or set(depths) == {3}, "an srcnn has 3 layers: depth = 3"
        )

    def _check_data(self) -> None:
        """What data, damage and network ask of each other."""
        scales, patch = self.data.scales, self.data.patch
        if self.damage.share:
            _check(
                all(patch * 2 % int(2 * scale) == 0 for scale in scales),
                "with damage, data.patch is a multiple of every scale",
            )
        else:
            _check(
                all(scale >= 2 and scale == int(scale) for scale in scales),
                "without damage, data.scales are whole numbers in 2..8",
            )
        _check(patch % self.network.fold == 0, "data.patch is a multiple of network.fold")

    @property
    def digest(self) -> str:
        """SHA-256 of all values, 64 hexadecimal digits, however the file was written."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
