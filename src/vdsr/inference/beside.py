"""What can be made beside an enlarged picture: a picture of what was added, and a page.

Both compare the result with bicubic interpolation alone, which is computed once more, band
by band, without the network. So nothing larger than a band is held, but for the window of
the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from vdsr.inference.comparison import Comparison
from vdsr.inference.comparison_page import (
    GAIN,
    MIDDLE,
    comparison_page,
    scale_words,
    window_words,
)
from vdsr.inference.pipeline import RowBuffer, ValueRange
from vdsr.outputs import as_output_error, refuse_existing, write_whole

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
        """Check that they can be written, and are not another file of the same work.

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
        places = []
        for path in (*named, output, Path(source)):
            with as_output_error(path):
                places.append(path.resolve())
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
        small: layout of the picture, and what gives its strips.
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
        small: tuple[PixelLayout, Callable[[], Iterable[Samples]]],
    ) -> None:
        self._extras, self._layout = extras, layout
        self._bicubic = RowBuffer(bicubic, layout.height)
        self._values, self._title = values, title
        self._colors = layout.bands - layout.has_alpha
        self._planes = 1 if gray else self._colors
        self._stack = ExitStack()
        self._writer: PictureWriter | None = None
        self._comparison: Comparison | None = None
        if extras.compare is not None:
            names = ("bicubic", "vdsr")
            self._comparison = Comparison(layout, values, names, small=small)
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
            assert self._comparison is not None
            text = comparison_page(self._title, self._comparison)
            write_whole(self._extras.compare, text, overwrite=self._extras.overwrite)

    @property
    def scale(self) -> str:
        """What the grays of a residual picture mean, in words."""
        return scale_words(("bicubic", "result"))

    @property
    def notices(self) -> tuple[str, ...]:
        """What was made, a line each."""
        residual, compare = self._extras.residual, self._extras.compare
        found = []
        if residual is not None:
            found.append(f"{residual}: what was added: {self.scale}")
        if self._comparison is not None and self._comparison.is_part:
            found.append(f"{compare}: shows {window_words(self._comparison)}")
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
        if self._comparison is not None:
            self._comparison.take(bicubic, band)
        self._row += len(band)

    def _levels(self, band: Samples) -> Added:
        """The colors of samples, black as 0 and white as 255."""
        low, high = self._values.low, self._values.high
        colors = band[..., : self._colors].astype(np.float32)
        levels: Added = (colors - np.float32(low)) * np.float32(255.0 / (high - low))
        return levels


def _rounded(levels: Added) -> NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
