"""Recipes as TOML files.

`vdsr train NAME` takes a recipe of this package, `vdsr train FILE.toml` any other. Every
key is a field of one of the classes in `vdsr.training.recipe`; unknown keys are errors.
"""

from __future__ import annotations

import math
import tomllib
import types
import typing
from dataclasses import fields, is_dataclass
from importlib import resources
from typing import Any, TypeVar

from vdsr.errors import InputError, UsageError, among
from vdsr.inputs import read_file
from vdsr.training.recipe import Recipe

# Recipes have one or two thousand bytes; a parser's work grows faster than its text.
_MAX_BYTES = 64 << 10
_LARGEST = 2**53
_SHOWN = 60

Settings = TypeVar("Settings")

_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def recipe_names() -> list[str]:
    """Names of the recipes of this package."""
    folder = resources.files("vdsr.training") / "recipes"
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """Read a recipe.

    Args:
        name: one of `recipe_names`, or the path of a TOML file.

    Raises:
        UsageError: if there is none, or it is malformed or out of range.
    """
    if name in recipe_names():
        text = (resources.files("vdsr.training") / "recipes" / f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml"):
        try:
            text = read_file(name, _MAX_BYTES).decode("utf-8")
        except (InputError, UnicodeDecodeError) as error:
            raise UsageError(f"{name}: the recipe cannot be read: {error}") from error
    else:
        known = among(name, recipe_names())
        raise UsageError(f"no recipe {name!r}: {known}, or a file that ends in .toml")
    try:
        return parse_recipe(text)
    except UsageError as error:
        raise UsageError(f"recipe {name}: {error}") from error


def parse_recipe(text: str) -> Recipe:
    """A recipe from the text of a TOML file.

    Raises:
        UsageError: if it is malformed or out of range.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"it is not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError("it is nested too deeply") from error
    except ValueError as error:
        raise UsageError("it holds a number of thousands of digits") from error
    return _build(Recipe, values, "")


def _build(kind: type[Settings], values: Any, where: str) -> Settings:  # noqa: ANN401
    """Make a dataclass of a table, checking names and types."""
    if not isinstance(values, dict):
        raise UsageError(f"{where.rstrip('.')} is a table")
    if "licence" in values:
        values = {"license" if key == "licence" else key: value for key, value in values.items()}
    hints = typing.get_type_hints(kind)
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            shown = _shown(where + key)[1:-1]
            raise UsageError(f"unknown key {shown}: known are {', '.join(known)}")
    for name, entry in known.items():
        needed = entry.default is entry.default_factory  # both are MISSING
        if needed and name not in values:
            raise UsageError(f"{where}{name} is missing")
    return kind(**{key: _value(hints[key], value, where + key) for key, value in values.items()})


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    """Check one value against the type of its field."""
    if is_dataclass(kind):
        return _build(kind, value, where + ".")  # type: ignore[arg-type]
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, list):
            raise UsageError(f"{where} is a list")
        return tuple(_value(typing.get_args(kind)[0], item, where) for item in value)
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise UsageError(f"{where} is a number beyond 2^53")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} = {value} is not a finite number")
    if type(value) is not kind:
        raise UsageError(f"{where} = {_shown(value)} is not {_NAMES[kind]}")
    return value


def _shown(value: object) -> str:
    """A value for people, however much of it there is, and however deep."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    text = f"{value!r}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
