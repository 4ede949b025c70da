"""Which model file, backend and precision a picture is enlarged with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from vdsr.errors import ModelError
from vdsr.inference import backends, cpu
from vdsr.inference.backends import Choice
from vdsr.model.file import ModelFile, load_model, shipped_models

AUTO = "auto"
"""The model that is chosen picture by picture."""

# For each kind of picture: the first that is shipped.
_CLEAN = ("vdsr-fast", "vdsr")
_DAMAGED = ("vdsr-photo", *_CLEAN)
_OWN_SIZE = ("vdsr-restore", *_DAMAGED)

# Shipped models have their int8 form beside them under this name.
_INT8 = "-int8"
# Of a weight: two products of 255 and this fit in 16 bits.
_NEVER_SATURATES = 64


def select(
    model: str | os.PathLike[str] | ModelFile, backend: str = "auto", precision: str = "auto"
) -> tuple[ModelFile, Choice]:
    """Settle what `auto` stands for, int8 included.

    A shipped model stands for its int8 form, too: that is taken if int8 is asked for; with
    `auto`, where the backend is faster in int8 on processors of this kind.
    A model file is what it is.

    Args:
        model: name of a shipped model, path of a model file, or a model file; `auto` is that
            for clean pictures.
        backend, precision: see `vdsr.inference.backends.choose`.

    Raises:
        ModelError: if there is no such model, or the file is not intact.
        MissingExtra, BackendError: see `vdsr.inference.backends.choose`.
    """
    if isinstance(model, ModelFile):
        return model, backends.choose(model, backend, precision)
    if model == AUTO:
        model = automatic_models().clean
    integers = int8_form(model) if isinstance(model, str) else None
    if integers is not None and (precision == "int8" or _faster(backend, precision)):
        model = integers
    file = load_model(model if isinstance(model, str) else Path(model))
    return file, backends.choose(file, backend, precision)


class AutomaticModels(NamedTuple):
    """The shipped models that `auto` stands for.

    Attributes:
        clean: for clean pictures.
        damaged: for damaged ones.
        own_size: for those that keep their size.
    """

    clean: str
    damaged: str
    own_size: str


def automatic_models() -> AutomaticModels:
    """The models that `auto` stands for here."""
    shipped = shipped_models()

    def first(names: tuple[str, ...]) -> str:
        return next(name for name in names if name in shipped)

    return AutomaticModels(first(_CLEAN), first(_DAMAGED), first(_OWN_SIZE))


def check_free(model: ModelFile, choice: Choice) -> None:
    """Check that a model takes pictures of any size on the backend of `choice`.

    Raises:
        ModelError: if it does not.
    """
    shape = backends.fixed_shape(model, choice)
    if shape is not None:
        raise ModelError(
            f"{model.source}: made for {'x'.join(map(str, shape))} alone;"
            " pictures of any size need a model file whose sizes are free"
        )


def int8_form(model: str) -> str | None:
    """The name of the int8 form of a shipped model; None if there is none."""
    name = f"{model}{_INT8}"
    return name if name in shipped_models() else None


def _faster(backend: str, precision: str) -> bool:
    return precision == "auto" and cpu.int8_is_faster(backends.settle(backend))


def int8_notice(model: ModelFile) -> str | None:
    """What is to be said of an int8 model on this CPU, or None."""
    if model.metadata.precision != "int8" or model.largest_integer <= _NEVER_SATURATES:
        return None
    if not cpu.int8_saturates():
        return None
    return (
        "this CPU has no VNNI: sums of this model's 8-bit weights are cut off here, which can be"
        " seen; 'vdsr quantize --target any' makes a model with 7 bits"
    )
