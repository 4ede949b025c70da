"""Recipes: everything that decides what a training run makes.

They are written as TOML files, see `vdsr.training.recipe_file`; every key there is a
field of one of these classes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from vdsr.model.architecture import FOLDS, PLANES
from vdsr.training.losses import KINDS, REDUCTIONS
from vdsr.training.recipe_data import DamageSettings, DataSettings, Source, check

__all__ = [
    "DamageSettings",
    "DataSettings",
    "DecaySettings",
    "NetworkSettings",
    "OptimizerSettings",
    "Phase",
    "Recipe",
    "Source",
    "Stage",
]

NETWORKS = ("vdsr", "srcnn")
OPTIMIZERS = ("muon", "adamw", "sgd")
SCHEDULES = ("cosine", "step", "stable", "decay")


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The network; its depth is that of the stage.

    Attributes:
        kind: `vdsr` or `srcnn`.
        width: channels between the layers of a VDSR.
        bias: whether a VDSR has biases.
        residual: whether a VDSR adds its output to its input.
        fold, planes: of a VDSR; see `vdsr.model.architecture.Architecture`.
        quiet: whether a network begins as bicubic: a residual VDSR with zeros as its last layer,
            which keeps small ones from losing their ReLUs in the first steps, and an SRCNN with
            one channel that carries the picture.
        identity: share of the identity that the inner layers of a VDSR begin with, beside a
            third of their random weights; 0 for random weights alone.
        slope: of a VDSR's ReLU below 0, at first: a channel that is below 0 everywhere can
            come back. It falls to 0, which is ReLU, over the first
        slope_steps: steps of the run.
        int8: layers of a VDSR, from 0, that compute as in int8 while they are trained, so that
            `vdsr quantize` loses less; not the first and the last.
        kernels: the three kernels of an SRCNN.
    """

    kind: str = "vdsr"
    width: int = 64
    bias: bool = True
    residual: bool = True
    fold: int = 1
    planes: int = 1
    quiet: bool = True
    identity: float = 0.0
    slope: float = 0.0
    slope_steps: int = 3000
    int8: tuple[int, ...] = ()
    kernels: tuple[int, ...] = (9, 5, 5)

    def __post_init__(self) -> None:
        check(self.kind in NETWORKS, f"network.kind is one of {', '.join(NETWORKS)}")
        check(1 <= self.width <= 1024, "network.width lies in 1..1024")
        check(0.0 <= self.identity <= 1.0, "network.identity lies in 0..1")
        check(0.0 <= self.slope <= 0.5, "network.slope lies in 0..0.5")
        check(self.slope_steps >= 1, "network.slope_steps is 1 or more")
        check(self.fold in FOLDS, "network.fold is 1, 2, 3 or 4")
        check(self.planes in PLANES, "network.planes is 1 (luma) or 3 (Y, Cb, Cr)")
        check(
            self.kind == "vdsr" or (self.fold == self.planes == 1 and not self.int8),
            "an srcnn is of luma, not folded, and not in int8",
        )
        check(min(self.int8, default=1) >= 1, "network.int8 are layers behind the first")
        check(
            len(self.kernels) == 3 and all(k % 2 == 1 and k > 0 for k in self.kernels),
            "network.kernels are three odd numbers",
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimizer; its rate is that of the stage.

    Attributes:
        kind: `muon` (for the inner kernels, AdamW for the rest), `adamw` or `sgd`.
        momentum: of muon and sgd.
        betas: of adamw.
        decay: weight decay: decoupled, but for sgd a part of the gradient.
        other_rate: of muon: AdamW's rate for the first and the last layer, in units of the
            stage's rate.
        bias_rate: of muon: AdamW's rate for biases, likewise; 0 for `other_rate`.
    """

    kind: str = "adamw"
    momentum: float = 0.9
    betas: tuple[float, ...] = (0.9, 0.99)
    decay: float = 0.0
    other_rate: float = 0.1
    bias_rate: float = 0.0

    def __post_init__(self) -> None:
        check(self.kind in OPTIMIZERS, f"optimizer.kind is one of {', '.join(OPTIMIZERS)}")
        check(0.0 <= self.momentum < 1.0, "optimizer.momentum lies in 0..1, 1 excluded")
        check(
            len(self.betas) == 2 and all(0.0 <= beta < 1.0 for beta in self.betas),
            "optimizer.betas are two numbers in 0..1, 1 excluded",
        )
        check(self.decay >= 0.0, "optimizer.decay is 0 or more")
        check(self.other_rate > 0.0, "optimizer.other_rate is above 0")
        check(self.bias_rate >= 0.0, "optimizer.bias_rate is 0 or more")


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A loss, for a part of every stage.

    Attributes:
        loss: `l1`, `charbonnier`, `mse` or `log_mse`; see `vdsr.training.losses`.
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
        check(self.loss in KINDS, f"phases.loss is one of {', '.join(KINDS)}")
        check(self.reduction in REDUCTIONS, f"phases.reduction is one of {', '.join(REDUCTIONS)}")
        check(0.0 < self.until <= 1.0, "phases.until lies in 0..1")
        check(min(self.clip_norm, self.clip_theta) >= 0.0, "limits of gradients are 0 or more")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the run: one depth, one schedule.

    Attributes:
        depth: layers; more than in the stage before grows the network.
        steps: how long it lasts, in steps; or
        minutes: in minutes of training. The last one, if it is stable, may have neither, and
            lasts until it is stopped.
        rate: the learning rate that the schedule begins with.
        schedule: `cosine`, to 0; `step`; `stable`, at the rate; or `decay`, straight to 0.
        warmup: share of the stage in which the rate rises from 0.
        warmup_steps: the same in steps.
        noise: what is added to the identity layers by which the network grows at the
            beginning of the stage, in units of He's random weights.
        revive: steps after which idle channels are looked for, and reinitialized; 0 for never.
        drops: of `step`: number of times that the rate falls, at equal distances.
        factor: of `step`: what it is multiplied by.
    """

    depth: int = 20
    steps: int = 0
    minutes: float = 0.0
    rate: float
    schedule: str = "cosine"
    warmup: float = 0.0
    warmup_steps: int = 0
    noise: float = 0.0
    revive: int = 0
    drops: int = 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        check(2 <= self.depth <= 200, "stages.depth lies in 2..200")
        check(self.steps >= 0 and self.minutes >= 0.0, "a stage cannot last less than nothing")
        check(
            (self.steps > 0) != (self.minutes > 0.0)
            or (self.endless and self.schedule == "stable"),
            "a stage has either steps or minutes",
        )
        check(self.rate > 0.0, "stages.rate is above 0")
        check(self.schedule in SCHEDULES, f"stages.schedule is one of {', '.join(SCHEDULES)}")
        check(0.0 <= self.warmup < 1.0, "stages.warmup lies in 0..1, 1 excluded")
        check(min(self.warmup_steps, self.revive) >= 0, "stages: steps are 0 or more")
        check(0.0 <= self.noise <= 1.0, "stages.noise lies in 0..1")
        check(self.drops >= 0 and 0.0 < self.factor <= 1.0, "stages.factor lies in 0..1")

    @property
    def endless(self) -> bool:
        """Whether it lasts until it is stopped."""
        return not self.steps and not self.minutes


@dataclass(frozen=True, kw_only=True)
class DecaySettings:
    """How a branch ends a trunk whose last stage is stable; see `vdsr.training.branch`.

    Attributes:
        share: how long the rate falls: a share of all steps, those of the trunk included; or
        steps: so many; or
        minutes: so long.
        phases: toward what, as those of the recipe.
    """

    share: float = 0.18
    steps: int = 0
    minutes: float = 0.0
    phases: tuple[Phase, ...] = (
        Phase(until=0.4, clip_norm=0.5),
        Phase(loss="mse", clip_norm=0.05),
    )

    def __post_init__(self) -> None:
        check(0.0 < self.share < 1.0, "decay.share lies in 0..1")
        check(self.steps >= 0 and self.minutes >= 0.0, "a branch cannot last less than nothing")
        check(not (self.steps and self.minutes), "a branch has either steps or minutes")
        _check_phases(self.phases)


def _check_phases(phases: tuple[Phase, ...]) -> None:
    ends = [phase.until for phase in phases]
    check(
        bool(ends) and ends == sorted(set(ends)) and ends[-1] == 1.0,
        "phases follow each other, and the last one ends at 1",
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run.

    Attributes:
        name: short name, and that of the model that comes of it.
        about: what it is for, in a sentence.
        seed: of the first weights and of every batch.
        precision: of the arithmetic: `32`, or `bf16` or `16` (mixed), for GPUs and for CPUs
            that multiply them faster; `auto` is `bf16` on those, and else `32`. `64` is
            slow, and for comparing runs.
        ema: the weights that come out are a running mean with this factor per step; 0
            for the last weights as they are.
        validations: how often the kept-out pictures are measured in every stage, evenly.
        validate_every: steps after which they are in a stage without an end.
        network: what is trained.
        data: on what.
        damage: what happens to it.
        optimizer: how.
        phases: toward what.
        stages: how deep and how long.
        decay: how a branch ends, if the last stage is stable.
    """

    name: str
    about: str = ""
    seed: int = 1
    precision: str = "32"
    ema: float = 0.999
    validations: int = 10
    validate_every: int = 2000
    network: NetworkSettings = field(default_factory=NetworkSettings)
    data: DataSettings = field(default_factory=DataSettings)
    damage: DamageSettings = field(default_factory=DamageSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    phases: tuple[Phase, ...] = (Phase(),)
    stages: tuple[Stage, ...]
    decay: DecaySettings = field(default_factory=DecaySettings)

    def __post_init__(self) -> None:
        check(bool(self.name) and self.name.isprintable(), "a recipe has a name")
        check(0 <= self.seed < 2**32, "seed lies in 0..2^32")
        check(
            self.precision in ("auto", "32", "bf16", "16", "64"),
            "precision is 32, bf16 or 16, or auto; or 64",
        )
        check(0.0 <= self.ema < 1.0, "ema lies in 0..1, 1 excluded")
        check(self.validations >= 0, "validations is 0 or more")
        self._check_data()
        _check_phases(self.phases)
        depths = [stage.depth for stage in self.stages]
        check(bool(depths), "a recipe has at least one stage")
        check(depths == sorted(depths), "from stage to stage a network can only grow")
        check(
            not any(stage.endless for stage in self.stages[:-1]),
            "only the last stage can be without an end",
        )
        check(self.validate_every >= 0, "validate_every is 0 or more")
        check(self.network.kind == "vdsr" or set(depths) == {3}, "an srcnn has 3 layers: depth = 3")

    def _check_data(self) -> None:
        """What data, damage and network ask of each other."""
        scales, patch = self.data.scales, self.data.patch
        if self.damage.share:
            check(
                all(patch * 2 % int(2 * scale) == 0 for scale in scales),
                "with damage, data.patch is a multiple of every scale",
            )
        else:
            check(
                all(scale >= 2 and scale == int(scale) for scale in scales),
                "without damage, data.scales are whole numbers in 2..8",
            )
        check(patch % self.network.fold == 0, "data.patch is a multiple of network.fold")

    @property
    def digest(self) -> str:
        """SHA-256 of all values, 64 hexadecimal digits, however the file was written."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
