"""What a format is, what can be asked of it, and what an export is told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsr.errors import UsageError
from vdsr.export.check import Check, Finding
from vdsr.model.architecture import Architecture

if TYPE_CHECKING:
    from vdsr.export.source import Network


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What can be asked of an export.

    Attributes:
        precision: `fp32`, `fp16` or `int8`; None is that of the model.
        shape: the only input shape, `(N, planes, H, W)`; None leaves N, H and W free.
        planes: of the network that the shape is for.
        opset: version of the ONNX operators; None is the default.
        scale: by which a picture grows, 2, 3 or 4, in formats that take pictures.
        pictures: folder of pictures that the export is checked on; None is generated ones.
        calibration: folder of pictures that int8 is calibrated on, where the vendor does so.
        allow_evaluated: whether these may be pictures that networks are measured on; what is
            made of them says so.
        check: whether the export is run and compared.
        overwrite: whether an existing output may be replaced.

    Raises:
        UsageError: for a shape that no network takes, or evaluated pictures without calibration.
    """

    precision: str | None = None
    shape: tuple[int, int, int, int] | None = None
    planes: int = 1
    opset: int | None = None
    scale: int | None = None
    pictures: Path | None = None
    calibration: Path | None = None
    allow_evaluated: bool = False
    check: bool = True
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.shape is not None and (self.shape[1] != self.planes or min(self.shape) < 1):
            raise UsageError(f"an input shape is N x {self.planes} x H x W, not {list(self.shape)}")
        if self.allow_evaluated and self.calibration is None:
            raise UsageError(
                "evaluated pictures are allowed for calibration, and there is no folder of"
                " calibration pictures"
            )


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """How one export is made.

    Attributes:
        names: the file that was asked for, then those beside it; or the folder.
        write: makes them in the folder that it is given.
        checks: what they are run with; all must be within their tolerance.
        contents: names that the folder may hold; None if files are made.
        facts: what to say of the export, by name: its shape and the like.
    """

    names: tuple[str, ...]
    write: Callable[[Path], None]
    checks: tuple[Check, ...]
    contents: tuple[str, ...] | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format.

    Attributes:
        name: by which it is asked for.
        suffix: of the file, with its dot; empty for a folder.
        precisions: that it can be made in.
        takes: which of `shape`, `opset`, `scale` and `calibration` it has.
        needs: optional packages that make it, as `vdsr.extras.PACKAGES` names them.
        check_needs: those that run it.
        plan: from the network, the name of the output and the options to what is to be done.
    """

    name: str
    suffix: str
    precisions: tuple[str, ...]
    takes: frozenset[str]
    needs: tuple[str, ...] = ("onnx",)
    check_needs: tuple[str, ...] = ()
    plan: Callable[[Network, str, ExportOptions], ExportPlan]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was exported.

    Attributes:
        format, precision: of the export.
        model, source: name and SHA-256 of the model.
        files: paths of what was written; the one that was asked for first.
        bytes: their size.
        facts: shape and the like.
        findings: of every check; empty if none was asked for.
        seconds: for all of it.
    """

    format: str
    precision: str
    model: str
    source: str
    files: tuple[str, ...]
    bytes: int
    facts: Mapping[str, str | int]
    findings: tuple[Finding, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)


def shape_facts(architecture: Architecture, shape: str) -> dict[str, str]:
    """What is to be said of the input of an export.

    Args:
        architecture: of the network.
        shape: in words.
    """
    if architecture.fold == 1:
        return {"shape": shape}
    return {"shape": shape, "sides": f"multiples of {architecture.fold} px"}
