"""Which model file, backend and precision a picture is enlarged with."""

from __future__ import annotations

import os
from pathlib import Path

from vdsr.inference import backends, cpu
from vdsr.inference.backends import Choice
from vdsr.model.file import ModelFile, load_model, shipped_models

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
        model: name of a shipped model, path of a model file, or a model file.
        backend, precision: see `vdsr.inference.backends.choose`.

    Raises:
        ModelError: if there is no such model, or the file is not intact.
        MissingExtra, BackendError: see `vdsr.inference.backends.choose`.
    """
    if isinstance(model, ModelFile):
        return model, backends.choose(model, backend, precision)
    integers = int8_form(model) if isinstance(model, str) else None
    if integers is not None and (precision == "int8" or _faster(backend, precision)):
        model = integers
    file = load_model(model if isinstance(model, str) else Path(model))
    return file, backends.choose(file, backend, precision)


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
