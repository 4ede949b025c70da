"""How `--help` looks: nothing in the place of a value for a switch, no braces."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup


def _named(params: list[Any]) -> list[Any]:
    """The parameters: a switch without a word for its value, an argument without its type."""
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""
        elif getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """See `_named`."""
        return _named(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        """The line after `Usage:`, arguments without the brackets around them."""
        return [_bare(piece) for piece in super().collect_usage_pieces(ctx)]


def _bare(piece: str) -> str:
    """`IN...` for `[IN]...` and `{IN...}...`."""
    piece = re.sub(r"(\.{3})+$", "...", re.sub(r"[{}]", "", piece))
    return re.sub(r"^\[(\w+)\]\.{3}$", r"\1...", piece)


class Group(TyperGroup):
    """A command of commands."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """See `_named`."""
        return _named(super().get_params(ctx))
