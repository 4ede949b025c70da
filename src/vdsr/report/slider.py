"""Before and after, with a slider between them; the markup is in `slider.html`."""

from __future__ import annotations

import html
from functools import cache
from importlib.resources import files
from string import Template


@cache
def _template() -> Template:
    text = files("vdsr.report").joinpath("slider.html").read_text("utf-8")
    return Template(text.partition("-->\n")[2])


def slider(before: str, after: str, *, names: tuple[str, str], width: int, height: int) -> str:
    """A piece of HTML that shows one picture to the left of a slider, the other to its right.

    Args:
        before, after: addresses of two pictures of the same size, `data:` ones too.
        names: plain text: what they are.
        width, height: of both, px.
    """
    return _template().substitute(
        BEFORE=html.escape(before),
        AFTER=html.escape(after),
        BEFORE_NAME=html.escape(names[0]),
        AFTER_NAME=html.escape(names[1]),
        WIDTH=width,
        HEIGHT=height,
    )
