"""What is to become of a picture: its size, its file, and who is told meanwhile."""

from __future__ import annotations

import difflib
import numbers
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from vdsr.errors import UsageError
from vdsr.imaging.files.formats import Format, check_quality
from vdsr.imaging.files.storage import Storage
from vdsr.inference.beside import Extras
from vdsr.inference.plan import OnProgress
from vdsr.inference.shared_strips import SharedStrips, ShareStrips
from vdsr.inference.target import Target


class TargetOptions(TypedDict, total=False):
    """A size: the fields of `Target`, or a `Target`. Nothing is x4."""

    scale: float | None
    width: int | None
    height: int | None
    fit: tuple[int, int] | None
    restore: bool
    target: Target | None


class SizeOptions(TargetOptions, total=False):
    """What a picture becomes, and how."""

    page: int | None
    consistent: bool
    ensemble: bool


class FileOptions(SizeOptions, total=False):
    """The size of a picture, and how its file is written: see `Order`."""

    format: str | None
    quality: int | None
    overwrite: bool
    residual: str | os.PathLike[str] | None
    compare: str | os.PathLike[str] | None
    report: str | os.PathLike[str] | None
    in_place: bool
    pages: str | None
    compression: str | None
    tiled: bool
    pyramid: bool
    resume: bool | None


class FilmOptions(TargetOptions, total=False):
    """What is to become of a film: the fields of `vdsr.video.order.FilmOrder`."""

    codec: str | None
    crf: int | None
    preset: str | None
    pix_fmt: str | None
    deinterlace: bool
    strict: bool
    start: float | None
    end: float | None
    preview: float | None
    drop: tuple[str, ...]
    overwrite: bool
    redo: bool
    segment: int
    format: str | None
    progress: Any


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to become of a picture.

    Attributes:
        target: its size.
        consistent: whether the result, shrunk again, shall be the picture: back-projection,
            see `vdsr.inference.consistency`.
        ensemble: whether the network sees the picture in eight positions, which are averaged.
        page: which page of a TIFF file is meant, from 1; None for the only one.
        pages: `all` for all of them, into a TIFF file; None for one.
        format: name of the file format; None for that of the suffix.
        quality: 1..100, for lossy formats; None for the format's own.
        overwrite: whether an existing output may be replaced.
        residual: picture file of what was added to bicubic, see `vdsr.inference.beside`.
        compare: HTML file that compares bicubic and the result, see
            `vdsr.inference.comparison_page`; also called `report`.
        in_place: whether the output is the input itself, which is replaced when it is whole.
        compression, tiled, pyramid: of a TIFF file, see `vdsr.imaging.files.storage.Storage`.
        resume: whether finished strips of a picture file are kept beside the output until it
            is whole, and taken up by the next call; None for results of 100 megapixels and
            more.
        kept_for: the output beside which they are kept; None for the output itself.
        share_strips: with whom they are shared, see `vdsr.inference.shared_strips`.
        progress: called after every tile.
    """

    target: Target
    consistent: bool = False
    ensemble: bool = False
    page: int | None = None
    pages: str | None = None
    format: str | None = None
    quality: int | None = None
    overwrite: bool = False
    residual: str | os.PathLike[str] | None = None
    compare: str | os.PathLike[str] | None = None
    in_place: bool = False
    compression: str | None = None
    tiled: bool = False
    pyramid: bool = False
    resume: bool | None = None
    kept_for: Path | None = None
    share_strips: ShareStrips = SharedStrips
    progress: OnProgress | None = None

    def __post_init__(self) -> None:
        _ = self.storage  # is checked when it is made
        if self.format is not None and not isinstance(self.format, str):
            raise UsageError(f"a format is a name, not {self.format!r:.60}")
        if self.quality is not None and not isinstance(self.quality, numbers.Integral):
            raise UsageError(f"quality is 1..100, not {self.quality!r:.60}")
        if self.page is not None and not (
            isinstance(self.page, numbers.Integral) and self.page >= 1
        ):
            raise UsageError(f"pages are numbered from 1, not {self.page!r:.60}")
        if self.pages not in (None, "all"):
            raise UsageError(f"pages is 'all', not {self.pages!r:.60}: page is for one of them")
        if self.page is not None and self.pages is not None:
            raise UsageError("give page, or pages: not both")
        if self.consistent and self.target.restore:
            raise UsageError("consistent is for enlarging: restore changes the picture itself")
        if self.page is not None and self.in_place:
            raise UsageError("one page in place of all would lose the others: name another output")

    @classmethod
    def of(
        cls, options: Mapping[str, Any], *, caller: str, progress: OnProgress | None = None
    ) -> Order:
        """The order that keyword arguments make.

        Args:
            options: those of `FileOptions`.
            caller: name of the function that took them.
            progress: see `Order`.

        Raises:
            TypeError: for a keyword that is none of them.
            UsageError: for sizes that contradict each other or are out of range.
        """
        known = list(FileOptions.__annotations__)
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f": did you mean {near[0]!r}?" if near else f": {', '.join(known)} are"
                raise TypeError(f"{caller}() has no keyword argument {name!r}{hint}")
        rest = dict(options)
        # A page has two names: it compares, and it is a report.
        reported = rest.pop("report", None)
        if reported is not None:
            if rest.get("compare") is not None:
                raise UsageError("report and compare name the same page: give one of them")
            rest["compare"] = reported
        size = {f.name: rest.pop(f.name) for f in fields(Target) if f.name in rest}
        target = rest.pop("target", None)
        if target is None:
            target = Target(**size)
        elif not isinstance(target, Target):
            raise UsageError(f"target is a vdsr.Target, not {target!r:.60}")
        elif any(value not in (None, False) for value in size.values()):
            raise UsageError("give a target, or a size: not both")
        return cls(target=target, progress=progress, **rest)

    @property
    def storage(self) -> Storage:
        """How a TIFF file is laid out."""
        return Storage(compression=self.compression, tiled=self.tiled, pyramid=self.pyramid)

    def check_file(self, format: Format) -> None:
        """Refuse what a format does not have.

        Raises:
            UsageError: saying what.
        """
        self.storage.check(format)
        check_quality(format, self.quality, lossy=self.storage.is_lossy)

    @property
    def extras(self) -> Extras | None:
        """What is wanted beside the result, if anything."""
        if self.residual is None and self.compare is None:
            return None
        return Extras(
            residual=None if self.residual is None else Path(self.residual),
            compare=None if self.compare is None else Path(self.compare),
            overwrite=self.overwrite,
        )

    @property
    def names_file(self) -> bool:
        """Whether it says anything of a file that is to be written."""
        named = (self.format, self.quality, self.residual, self.compare, self.pages, self.resume)
        asked = self.overwrite or self.in_place or self.storage != Storage()
        return asked or any(value is not None for value in named)
