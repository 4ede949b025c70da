"""Makes the pages that are not written by hand: `cli.md` from `--help`, `api.md` from docstrings.

`python docs/pages.py` writes them; with `--check` it ends with exit code 1 where they are
not up to date.
"""

from __future__ import annotations

import os

# Before typer is loaded: help as plain text, as wide as a page.
os.environ |= {"TYPER_USE_RICH": "0", "COLUMNS": "80", "TERM": "dumb"}

import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import typer
from typer.testing import CliRunner

import vdsr
from vdsr.cli.main import app

HERE = Path(__file__).parent
ORIGIN = "<!-- Made by `make docs`: change the {source} instead. -->\n"
WIDTH = 88

GROUPS = {
    "Enlarging": ("upscale", "Upscaler", "Target", "Result", "Mapped", "Progress"),
    "Files and arrays": ("read_image", "write_image"),
    "Models and backends": ("load_model", "ModelFile", "Backend"),
    "Measuring": ("psnr", "ssim", "imresize", "degrade"),
    "Showing and proving": ("compare", "Measures", "verify", "Verdict"),
}
_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):$")
_PROSE = ("Returns", "Yields")
_ENTRY = re.compile(r"(\*{0,2}\w[\w, .]*?): (.+)$")


def main(check: bool) -> None:
    """Write the pages, or see whether they are up to date."""
    stale = []
    for name, text in {"cli.md": cli_page(), "api.md": api_page()}.items():
        path = HERE / name
        if check:
            if not path.is_file() or path.read_text("utf-8") != text:
                stale.append(f"docs/{name}")
        else:
            path.write_text(text, "utf-8")
    if stale:
        sys.exit(f"{' and '.join(stale)} not up to date: run make docs")


def cli_page() -> str:
    """Every command with its help."""
    parts = [
        ORIGIN.format(source="commands in src/vdsr/cli"),
        "# The command line\n",
        "What `vdsr COMMAND --help` says.\n",
    ]
    for path in _commands(typer.main.get_command(app), ()):
        parts.append(f"## vdsr {' '.join(path)}\n" if path else "## vdsr\n")
        result = CliRunner().invoke(app, [*path, "--help"], prog_name="vdsr")
        if result.exit_code:
            sys.exit(f"vdsr {' '.join(path)} --help: {result.output}")
        lines = [line.rstrip() for line in result.output.strip().splitlines()]
        parts.append("\n".join(["```text", *lines, "```\n"]))
    return "\n".join(parts)


def _commands(command: typing.Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not command.hidden:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from _commands(inner, (*path, name))


def api_page() -> str:
    """Every public name with its docstring."""
    errors = [n for n in vdsr.__all__ if inspect.isclass(getattr(vdsr, n)) and _is_error(n)]
    groups = {**GROUPS, "Errors": tuple(errors)}
    left = set(vdsr.__all__).difference(*groups.values()) - {"errors", "__version__"}
    if left:
        sys.exit(f"docs/pages.py: to which group belongs {', '.join(sorted(left))}?")
    parts = [
        ORIGIN.format(source="docstrings in src/vdsr"),
        "# Reference\n",
        "Every name of `import vdsr`, from its docstring. [From Python](python.md) shows them in"
        " use. `**options` are keyword arguments that are listed below. `Array` is a NumPy array,"
        " `Encoded` a path, bytes or a binary file object, `Goal` a path or a binary file object"
        " to write to, `Image` any of these or a Pillow image.\n",
    ]
    for title, names in groups.items():
        parts.append(f"## {title}\n")
        if title == "Errors":
            parts.append(_errors_tree())
        for name in () if title == "Errors" else names:
            parts += _described(name, getattr(vdsr, name), "###")
    return "\n".join(parts)


def _is_error(name: str) -> bool:
    return issubclass(getattr(vdsr, name), vdsr.VdsrError)


def _errors_tree() -> str:
    text = inspect.getdoc(vdsr.errors) or ""
    tree = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(["```text", *tree, "```\n"])


def _described(name: str, thing: typing.Any, level: str) -> Iterator[str]:
    yield f"{level} {name}\n"
    if _has_signature(thing):
        yield "\n".join(["```text", *_signatures(name.rpartition(".")[2], thing), "```\n"])
    yield _markdown(inspect.getdoc(thing) or "")
    if not inspect.isclass(thing) or issubclass(thing, vdsr.VdsrError):
        return
    for key, member in vars(thing).items():
        if key.startswith("_"):
            continue
        found = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if inspect.isfunction(found):
            yield from _described(f"{name}.{key}", found, f"{level}#")
        elif isinstance(found, property | cached_property):
            yield f"{level}# {name}.{key}\n"
            yield _markdown(inspect.getdoc(found) or "")


def _has_signature(thing: typing.Any) -> bool:
    if not inspect.isclass(thing):
        return True
    plain = issubclass(thing, vdsr.VdsrError) or getattr(thing, "_is_protocol", False)
    return not plain


def _signatures(name: str, thing: typing.Any) -> Iterator[str]:
    function: Callable[..., typing.Any] = thing.__init__ if inspect.isclass(thing) else thing
    for one in typing.get_overloads(function) or [function]:
        signature = inspect.signature(one)
        entries, kinds = [], set()
        for parameter in signature.parameters.values():
            if parameter.name in ("self", "cls"):
                continue
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.kind not in kinds:
                entries.append("*")
            kinds.add(parameter.kind)
            entries.append(_parameter(parameter))
        returns = "" if inspect.isclass(thing) else f" -> {signature.return_annotation}"
        line = f"{name}({', '.join(entries)}){returns}"
        if len(line) <= WIDTH:
            yield line
        else:
            yield from (f"{name}(", *(f"    {entry}," for entry in entries), f"){returns}")


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    text = f"{stars}{parameter.name}: {parameter.annotation}"
    if parameter.default is parameter.empty:
        return text
    if type(parameter.default).__module__ == dataclasses.__name__:
        return f"{text} = ..."  # a field that makes its default
    return f"{text} = {parameter.default!r}"


def _markdown(text: str) -> str:
    """A docstring in Google's style as Markdown: its sections as lists."""
    lines: list[str] = []
    section, listed = "", False
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section, listed = match[1], False
            lines += [f"**{section}**", ""]
        elif section and line.startswith("    "):
            entry = None if section in _PROSE else _ENTRY.match(line[4:])
            if entry is not None:
                listed = True
                names = ", ".join(f"`{name}`" for name in entry[1].split(", "))
                lines.append(f"- {names}: {entry[2]}")
            else:
                lines.append(f"{'  ' if listed else ''}{line.strip()}")
        else:
            lines.append(line)
            section = section if not line else ""
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
