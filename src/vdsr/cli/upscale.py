"""`vdsr upscale`: one picture into another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import typer

from vdsr.cli.console import ProgressDisplay, duration, say, write_json
from vdsr.errors import UsageError
from vdsr.imaging.files import format_of
from vdsr.imaging.files.formats import check_quality
from vdsr.inference.engine import Result
from vdsr.inference.memory import parse_size
from vdsr.inference.target import Target
from vdsr.inference.upscaler import Upscaler

_REPORTED = (
    "input",
    "output",
    "width",
    "height",
    "scale",
    "model",
    "precision",
    "backend",
    "seconds",
    "megapixels_per_second",
    "peak_memory_bytes",
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command, as they were typed."""

    source: Path
    goal: Path
    scale: float | None
    width: int | None
    height: int | None
    fit: str | None
    restore: bool
    model: str
    backend: str
    precision: str
    max_memory: str | None
    tile: int | None
    threads: int | None
    format: str | None
    quality: int | None
    overwrite: bool
    preview: bool
    quiet: bool
    json: str | None

    @property
    def target(self) -> Target:
        """What size is asked for."""
        return Target(
            scale=self.scale,
            width=self.width,
            height=self.height,
            fit=None if self.fit is None else parse_box(self.fit),
            restore=self.restore,
        )


def parse_box(text: str) -> tuple[int, int]:
    """(width, height) from a text like `1920x1080`.

    Raises:
        UsageError: if it is nothing of the kind.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[x×X]\s*(\d+)\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is no size: write WIDTHxHEIGHT, as 1920x1080")
    return int(match[1]), int(match[2])


def run(request: Request) -> None:
    """Do what is asked for.

    Raises:
        VdsrError: see `Upscaler`.
    """
    target = request.target
    # Whatever is wrong with the options is said before the model is loaded.
    check_quality(format_of(request.goal, request.format), request.quality)
    max_memory = None if request.max_memory is None else parse_size(request.max_memory)
    with Upscaler(
        request.model,
        backend=request.backend,
        precision=request.precision,
        threads=request.threads,
        max_memory=max_memory,
        tile=request.tile,
    ) as upscaler:
        if request.preview:
            _preview(upscaler, request, target)
        with ProgressDisplay(request.source.name, quiet=request.quiet) as display:
            result = upscaler.upscale(
                request.source,
                request.goal,
                scale=target.scale,
                width=target.width,
                height=target.height,
                fit=target.fit,
                restore=target.restore,
                format=request.format,
                quality=request.quality,
                overwrite=request.overwrite,
                progress=display,
            )
    _report(result, request)


def _preview(upscaler: Upscaler, request: Request, target: Target) -> None:
    goal = request.goal.with_name(f"{request.goal.stem}.preview{request.goal.suffix}")
    left, top, width, height = upscaler.preview(
        request.source, goal, target=target, format=request.format, overwrite=request.overwrite
    )
    if not request.quiet:
        say(f"{goal}: the {width}x{height} px from ({left}, {top}) on, as they will be")


def _report(result: Result, request: Request) -> None:
    if not request.quiet:
        for notice in result.notices:
            say(f"{result.input}: note: {notice}")
    if request.json is not None:
        content = result.as_dict()
        write_json({key: content[key] for key in _REPORTED}, request.json)
    if not request.quiet and request.json != "-":
        typer.echo(
            f"{result.output}: {result.width}x{result.height} px, x{result.scale:g} in"
            f" {duration(result.seconds)} ({result.megapixels_per_second:.2f} Mpixel/s,"
            f" {result.model} {result.precision} on {result.backend})"
        )
