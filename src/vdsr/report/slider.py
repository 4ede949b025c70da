"""Before and after, with a slider between them.

Markup, style and script have a file each, `slider.html`, `slider.css` and `slider.js`: a page
that stands by itself has them within it, one that a server gives loads them.
"""

from __future__ import annotations

import html
from functools import cache
from importlib.resources import files
from string import Template


@cache
def slider_file(suffix: str) -> str:
    """The text of `slider.css`, `slider.js` or `slider.html`, by its suffix."""
    return files("vdsr.report").joinpath(f"slider{suffix}").read_text("utf-8")


def slider_markup(
    before: str, after: str, *, names: tuple[str, str], width: int, height: int
) -> str:
    """The markup alone; see `slider`."""
    return Template(slider_file(".html").partition("-->\n")[2]).substitute(
        BEFORE=html.escape(before),
        AFTER=html.escape(after),
        BEFORE_NAME=html.escape(names[0]),
        AFTER_NAME=html.escape(names[1]),
        WIDTH=width,
        HEIGHT=height,
    )


def slider(before: str, after: str, *, names: tuple[str, str], width: int, height: int) -> str:
    """A piece of HTML that shows one picture to the left of a slider, the other to its right.

    Args:
        before, after: addresses of two pictures of the same size, `data:` ones too.
        names: plain text: what they are.
        width, height: of both, px.
    """
    markup = slider_markup(before, after, names=names, width=width, height=height)
    style = slider_file(".css") + f".slider{{max-width:{width}px}}\n"
    return f"<style>\n{style}</style>\n{markup}<script>\n{slider_file('.js')}</script>\n"
