"""What a job does with each of its pictures, and how that is compared with an earlier run."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vdsr.errors import UsageError
from vdsr.imaging.files import deep_zoom
from vdsr.imaging.files.formats import FORMATS, check_quality, format_of
from vdsr.imaging.files.storage import Storage
from vdsr.inference.order import Order
from vdsr.inference.selection import AUTO
from vdsr.inference.target import Target
from vdsr.jobs.naming import NamePattern

# What is appended to the name of an output for what is made beside it.
BESIDE = {"residual": ".residual.png", "compare": ".html"}


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """All that the outputs of a job depend on; it stays the same from run to run.

    Attributes:
        scale, width, height, fit, restore: see `Target`; x4 if none is given.
        format: name of the file format of all outputs; None keeps that of each picture, and
            makes PNG of those that cannot be written.
        quality: 1..100, for lossy formats.
        compression, tiled, pyramid: of TIFF files, see `vdsr.imaging.files.storage.Storage`.
        name: pattern of the outputs' names, see `NamePattern`.
        model, backend, precision, tile: see `Upscaler`.
        residual, compare: folders for what `Upscaler.upscale` can make beside a result; None
            for none.
        page, pages: which pages of TIFF files, see `Upscaler.upscale`.
        consistent, ensemble: see `vdsr.inference.order.Order`.
        preview: make the middles of the pictures alone, see `Upscaler.preview`.

    Raises:
        UsageError: for what contradicts itself or is out of range.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    restore: bool = False
    format: str | None = None
    quality: int | None = None
    compression: str | None = None
    tiled: bool = False
    pyramid: bool = False
    name: str | None = None
    model: str = AUTO
    backend: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    residual: str | None = None
    compare: str | None = None
    page: int | None = None
    pages: str | None = None
    preview: bool = False
    consistent: bool = False
    ensemble: bool = False

    def __post_init__(self) -> None:
        if self.format is not None:
            object.__setattr__(self, "format", format_of(Path(), self.format).name)
        # Without one format for all, any lossy one tells the range of the quality.
        format = format_of(Path("lossy.jpg"), self.format)
        lossy = self.compression == "jpeg"
        check_quality(format, self.quality, lossy=lossy)
        if self.format is not None:
            self._storage.check(format)
        if self.name is not None and self.name.lower().endswith(deep_zoom.FOLDER):
            raise UsageError("in a folder Deep Zoom is one file for each picture: {stem}.szi")
        if self.preview and (self.residual or self.compare):
            raise UsageError("a preview is the middle alone: no residual and no comparison with it")
        if self.preview and self.pages:
            raise UsageError("a preview is of one page: choose it")
        # What is wrong with the others is said where they are put to use.
        _ = self.pattern
        Order.of(self.options("tiff"), caller="upscale")
        if self.consistent and self.preview:
            raise UsageError("a preview is the middle alone: it is not consistent by itself")
        # A later run may be started from another folder.
        if os.path.sep in self.model or Path(self.model).suffix:
            object.__setattr__(self, "model", str(Path(self.model).absolute()))
        for name in ("residual", "compare"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, str(Path(getattr(self, name)).absolute()))

    @property
    def _storage(self) -> Storage:
        return Storage(compression=self.compression, tiled=self.tiled, pyramid=self.pyramid)

    @property
    def target(self) -> Target:
        """What size is asked for."""
        return Target(
            scale=self.scale,
            width=self.width,
            height=self.height,
            fit=self.fit,
            restore=self.restore,
        )

    @property
    def pattern(self) -> NamePattern:
        """How outputs are named."""
        mark = ".preview" if self.preview else ""
        return NamePattern(self.name, self.target, self.format, mark)

    def beside(self, output: str) -> dict[str, Path]:
        """What is made beside an output, by the name of the option: its goal.

        Args:
            output: path of the output, relative to the folder of the outputs.
        """
        folders = {"residual": self.residual, "compare": self.compare}
        return {
            name: Path(folder) / f"{output}{BESIDE[name]}"
            for name, folder in folders.items()
            if folder is not None
        }

    @property
    def room_beside(self) -> int:
        """Bytes by which names beside the outputs are longer than theirs."""
        return max((len(BESIDE[name]) for name in self.beside("")), default=0)

    def options(self, format: str) -> dict[str, Any]:
        """What `Upscaler.upscale` is given for an output of this format."""
        tiff = format == "tiff"
        lossy = FORMATS[format].lossy or (tiff and self._storage.is_lossy)
        return {
            "scale": self.scale,
            "width": self.width,
            "height": self.height,
            "fit": self.fit,
            "restore": self.restore,
            "consistent": self.consistent,
            "ensemble": self.ensemble,
            "format": format,
            "page": self.page,
            "pages": self.pages,
            # Of mixed formats each has what means something for it.
            "quality": self.quality if lossy else None,
            "compression": self.compression if tiff else None,
            "tiled": tiff and self.tiled,
            "pyramid": tiff and self.pyramid,
        }

    @property
    def upscaler(self) -> dict[str, Any]:
        """What an `Upscaler` is opened with."""
        return {
            "model": self.model,
            "backend": self.backend,
            "precision": self.precision,
            "tile": self.tile,
        }

    def as_json(self) -> str:
        """As text; `of_json` undoes it."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> JobSettings:
        """The settings that `as_json` wrote.

        Raises:
            ValueError: if they are not.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            if content.get("fit") is not None:
                content["fit"] = tuple(content["fit"])
            return cls(**content)
        except (TypeError, AttributeError, KeyError, UsageError) as error:
            raise ValueError(f"settings that are not known: {error}") from error

    def changes(self, later: JobSettings) -> list[str]:
        """How later settings differ from these, a phrase each: `scale was 4, and is 2`."""
        found = []
        for field in fields(self):
            before, now = getattr(self, field.name), getattr(later, field.name)
            if field.name == "scale":
                before, now = self.target.asked_scale, later.target.asked_scale
            if before != now:
                found.append(f"{field.name} was {_told(before)}, and is {_told(now)}")
        return found


def _told(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)
