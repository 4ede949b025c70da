"""What can be made beside an enlarged picture: a picture of what was added, and a page.

Both compare the result with bicubic interpolation alone, which is computed once more, band
by band, without the network. So nothing larger than a band is held, but for the window of
the page.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import UsageError
from vdsr.imaging.files import PictureWriter, PixelLayout, format_of
from vdsr.imaging.files.decode import Samples
from vdsr.inference.pipeline import RowBuffer, ValueRange
from vdsr.outputs import refuse_existing, write_whole
from vdsr.report.page import data_uri, figure, page
from vdsr.report.slider import slider

# Of a residual picture: what stands for nothing added, and for each level of 255 added.
MIDDLE, GAIN = 128, 4
# Sides of the window that a page shows: what a browser opens at once.
WINDOW = 1600

Added = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is wanted beside the result.

    Attributes:
        residual: file of the picture of what was added; None for none.
        compare: file of the page, `.html`; None for none.
        overwrite: whether existing ones may be replaced.
    """

    residual: Path | None
    compare: Path | None
    overwrite: bool

    def check(self, output: Path, source: str) -> None:
        """See that they can be written, and are no other file of the work.

        Args:
            output: file of the result.
            source: of the picture; a path, or what it is called.

        Raises:
            UsageError: for a residual in a format that there is not, or one file for two.
            OutputError: if one exists or cannot be written.
        """
        if self.residual is not None:
            format_of(self.residual)
        named = [path for path in (self.residual, self.compare) if path is not None]
        places = [path.resolve() for path in (*named, output, Path(source))]
        for i, path in enumerate(named):
            if places[i] in places[i + 1 :]:
                raise UsageError(f"{path}: it is named for two things: name another file")
        refuse_existing(*named, overwrite=self.overwrite)


class Beside:
    """Writes what is wanted beside a result, while its bands are made.

    Use as a context manager; an exception inside leaves no file.

    Args:
        extras: what is wanted.
        layout: of the result.
        bicubic: bands of float32 in the picture's own range, of any height.
        values: what is black and white in the picture.
        gray: whether the network adds to all colors alike, so that one plane shows all.
        title: of the page.
    """

    def __init__(
        self,
        extras: Extras,
        layout: PixelLayout,
        bicubic: Iterator[Samples],
        *,
        values: ValueRange,
        gray: bool,
        title: str,
    ) -> None:
        self._extras, self._layout = extras, layout
        self._bicubic = RowBuffer(bicubic, layout.height)
        self._values, self._title = values, title
        self._colors = layout.bands - layout.has_alpha
        self._planes = 1 if gray else self._colors
        self._stack = ExitStack()
        self._writer: PictureWriter | None = None
        self._window = _Window.of(layout, 1 + 2 * self._colors) if extras.compare else None
        self._row = 0

    def __enter__(self) -> Self:
        goal = self._extras.residual
        if goal is not None:
            layout = PixelLayout(
                width=self._layout.width,
                height=self._layout.height,
                bands=self._planes,
                dtype="uint8",
            )
            self._writer = self._stack.enter_context(
                PictureWriter(
                    goal,
                    layout,
                    format_of(goal),
                    provenance={"Residual": self.scale},
                    overwrite=self._extras.overwrite,
                )
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self._extras.compare is not None:
            write_whole(self._extras.compare, self._page(), overwrite=self._extras.overwrite)

    @property
    def scale(self) -> str:
        """What the grays of a residual picture mean, in words."""
        return f"{MIDDLE} + {GAIN} x (result - bicubic), in levels of 0..255"

    @property
    def notices(self) -> tuple[str, ...]:
        """What was made, a line each."""
        residual, compare = self._extras.residual, self._extras.compare
        found = []
        if residual is not None:
            found.append(f"{residual}: what was added: {self.scale}")
        if compare is not None and self._window is not None and self._window.is_part:
            found.append(f"{compare}: shows {self._window.words}")
        return tuple(found)

    def take(self, band: Samples) -> None:
        """Take note of the next band of the result, `[rows, width, bands]`."""
        bicubic = self._bicubic.take(self._row, self._row + len(band))
        result, plain = self._levels(band), self._levels(bicubic)
        added = result - plain
        if band.shape[2] > self._colors:
            # What stands in transparent pixels is arbitrary, and nobody sees it.
            added[band[..., -1] == 0] = 0.0
        if self._planes == 1:
            added = added.mean(axis=2, keepdims=True)
        shown = _rounded(MIDDLE + GAIN * added)
        if self._writer is not None:
            self._writer.write(shown)
        if self._window is not None:
            one = shown.mean(axis=2, keepdims=True, dtype=np.float32)
            parts = (_rounded(one), _rounded(plain), _rounded(result))
            self._window.take(np.concatenate(parts, axis=2), self._row)
        self._row += len(band)

    def _levels(self, band: Samples) -> Added:
        """The colors of samples, black as 0 and white as 255."""
        low, high = self._values.low, self._values.high
        colors = band[..., : self._colors].astype(np.float32)
        levels: Added = (colors - np.float32(low)) * np.float32(255.0 / (high - low))
        return levels

    def _page(self) -> str:
        assert self._window is not None
        pixels, count = self._window.pixels, self._colors
        plain, result = pixels[..., 1 : 1 + count], pixels[..., 1 + count :]
        height, width = pixels.shape[:2]
        body = (
            f"<p>Shown is {html.escape(self._window.words)}. Drag the line, or move it by the arrow"
            " keys.</p>",
            slider(
                data_uri(plain),
                data_uri(result),
                names=("bicubic", "vdsr"),
                width=width,
                height=height,
            ),
            figure(pixels[..., 0], f"what was added: {self.scale}"),
        )
        return page(self._title, body)


class _Window:
    """The middle of a picture, collected from its bands."""

    def __init__(self, rows: slice, columns: slice, layout: PixelLayout, planes: int) -> None:
        self._rows, self._columns, self._layout = rows, columns, layout
        shape = (rows.stop - rows.start, columns.stop - columns.start, planes)
        self.pixels = np.zeros(shape, np.uint8)

    @classmethod
    def of(cls, layout: PixelLayout, planes: int) -> Self:
        def middle(length: int) -> slice:
            shown = min(length, WINDOW)
            return slice((length - shown) // 2, (length + shown) // 2)

        return cls(middle(layout.height), middle(layout.width), layout, planes)

    @property
    def is_part(self) -> bool:
        """Whether the picture is larger."""
        height, width = self.pixels.shape[:2]
        return bool(height < self._layout.height or width < self._layout.width)

    @property
    def words(self) -> str:
        """What of the picture it is."""
        height, width = self.pixels.shape[:2]
        whole = f"{self._layout.width}x{self._layout.height} px"
        left, top = self._columns.start, self._rows.start
        return (
            f"the {width}x{height} px from ({left}, {top}) on, of {whole}"
            if self.is_part
            else (f"the whole picture, {whole}")
        )

    def take(self, band: NDArray[np.uint8], top: int) -> None:
        first, last = max(top, self._rows.start), min(top + len(band), self._rows.stop)
        if first < last:
            goal = slice(first - self._rows.start, last - self._rows.start)
            self.pixels[goal] = band[first - top : last - top, self._columns]


def _rounded(levels: Added) -> NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
