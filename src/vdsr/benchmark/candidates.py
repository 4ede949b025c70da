"""What is measured: every model on every backend that has its precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdsr.benchmark.startup import REFERENCE
from vdsr.errors import BackendError, UsageError
from vdsr.inference import backends
from vdsr.inference.selection import int8_form
from vdsr.model.file import ModelFile, load_model

ALL = "all"
# Batches and streams of large pictures would only measure the memory.
LARGEST_BATCH_PIXELS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """How to measure.

    Attributes:
        sizes: of the output, (width, height) in px.
        batches: pictures per call.
        repeats: most rounds.
        seconds: after which no further round of a size and batch is begun.
        threads: CPU threads.
        streams: pictures processed at once, for the throughput.
        reference: whether the eager PyTorch network is measured.
        program: output size of the rows of the whole program; None leaves them out.
        program_repeats: most rounds of those.

    Raises:
        UsageError: for numbers below 1.
    """

    sizes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]
    repeats: int
    seconds: float
    threads: int
    streams: int
    reference: bool = True
    program: tuple[int, int] | None = None
    program_repeats: int = 1

    def __post_init__(self) -> None:
        numbers = (*self.batches, self.repeats, self.threads, self.streams, self.program_repeats)
        if not self.sizes or not self.batches or min(numbers) < 1 or self.seconds < 0:
            raise UsageError("sizes, batches, repeats, threads and streams are at least 1")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model on a backend, or the reference.

    Attributes:
        model: the model file.
        backend: its name, or `eager`.
        precision: that is computed in.
    """

    model: ModelFile
    backend: str
    precision: str

    @property
    def is_reference(self) -> bool:
        """Whether it is what the others are compared with."""
        return self.backend == REFERENCE

    @property
    def choice(self) -> backends.Choice:
        """For `open_backend`."""
        return backends.Choice(backend=self.backend, precision=self.precision)


def load_models(names: Sequence[str]) -> list[ModelFile]:
    """The models of these names or paths, and the int8 forms that ship with them.

    Raises:
        ModelError: if one cannot be loaded.
    """
    wanted = list(dict.fromkeys(names))
    for name in names:
        integers = int8_form(name)
        if integers is not None and integers not in wanted:
            wanted.append(integers)
    return [load_model(name) for name in wanted]


def candidates(
    models: Sequence[ModelFile], *, backend: str = ALL, precision: str = ALL
) -> list[Candidate]:
    """All that this machine can run of the models.

    Args:
        models: model files.
        backend: `all`, or names with commas between.
        precision: `all`, or names with commas between.

    Raises:
        UsageError: if nothing is left, or a backend that is named is not installed.
    """
    named = backend != ALL
    names = backend.split(",") if named else list(backends.BACKENDS)
    wanted = precision.split(",")
    found = []
    for model in models:
        for name in names:
            if not named and not backends.is_installed(name):
                continue
            for offered in backends.precisions(name):
                if wanted != [ALL] and offered not in wanted:
                    continue
                if (offered == "int8") != (model.metadata.precision == "int8"):
                    continue
                try:
                    backends.choose(model, name, offered)
                except BackendError:
                    continue
                found.append(Candidate(model=model, backend=name, precision=offered))
    if not found:
        raise UsageError(
            f"nothing to measure: no backend {backend} runs these models in {precision}"
        )
    return found


def reference(models: Sequence[ModelFile]) -> tuple[Candidate | None, str]:
    """The eager PyTorch network of the first float model, or None and the reason."""
    if not backends.is_installed("torch"):
        return None, "no reference: torch is not installed: pip install 'vdsr[train]'"
    for model in models:
        if model.metadata.precision != "int8":
            return Candidate(model=model, backend=REFERENCE, precision="fp32"), ""
    return None, "no reference: no float model was given, as the model vdsr"
