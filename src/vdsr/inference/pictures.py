"""What can be enlarged: arrays, Pillow images and picture files, all as one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, UnsupportedType, VdsrError
from vdsr.imaging.arrays import as_pixels, as_samples, from_pillow, is_pillow, to_pillow
from vdsr.imaging.files import PictureReader, PixelLayout
from vdsr.imaging.files.decode import Samples
from vdsr.imaging.files.images import Encoded, is_encoded, name_of, on_disk
from vdsr.inputs import file_digest

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    Image = NDArray[Any] | PillowImage | Encoded

TAKEN = "an array, a path, a Pillow image, bytes of a picture file or a binary file object is taken"


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture to be enlarged, wherever its samples are.

    Attributes:
        name: as messages have it; empty for one in memory.
        layout: size and sample type.
        strips: gives its samples from top to bottom, `[rows, width, bands]`, afresh each time.
        reader: the file behind it, with its metadata; None for one in memory.
        finish: makes of the enlarged `[H, W, bands]` what is returned.
    """

    name: str
    layout: PixelLayout
    strips: Callable[[], Iterable[Samples]]
    reader: PictureReader | None = None
    finish: Callable[[NDArray[Any]], NDArray[Any] | PillowImage] = as_pixels

    def digest(self) -> str | None:
        """SHA-256 of the file behind it; None for one in memory."""
        if self.reader is None:
            return None
        try:
            return file_digest(self.reader.path)
        except OSError as error:
            raise InputError(f"{self.name}: it cannot be read: {error.strerror}") from error

    def named(self, error: VdsrError) -> VdsrError:
        """The same error with the name of the picture before its text, once."""
        text = str(error)
        own = () if self.reader is None else (f"{self.name}: ", f"{self.reader.path}: ")
        return type(error)(text if text.startswith(own or "") else f"{self.name}: {text}")


@contextmanager
def opened(image: Image, page: int | None = None) -> Iterator[Picture]:
    """Open one picture.

    Args:
        image: see `Upscaler.upscale`; no batch.
        page: which page of a TIFF file, from 1; None for the only one.

    Raises:
        InputError: if it cannot be read or enlarged.
        UnsupportedType: if it is of a type that is not taken.
    """
    if page not in (None, 1) and not is_encoded(image):
        raise InputError(f"there is no page {page}: only picture files have pages")
    if isinstance(image, np.ndarray):
        yield of_array(image)
    elif is_pillow(image):
        pillow = image  # a name of its own, whose type the function below keeps
        pixels = from_pillow(pillow)
        yield _in_memory(pixels, lambda samples: to_pillow(as_pixels(samples), pillow))
    elif is_encoded(image):
        with on_disk(image) as path:
            yield of_file(PictureReader(path, page), name_of(image))
    else:
        raise UnsupportedType(f"{TAKEN}, not {type(image).__name__}: {image!r:.60}")


def of_array(image: NDArray[Any]) -> Picture:
    """An array `[H, W]` or `[H, W, 1..4]`; the enlarged one has as many axes.

    Raises:
        InputError: for another shape or dtype.
    """
    halves, flat = image.dtype == np.float16, image.ndim == 2

    def finish(samples: NDArray[Any]) -> NDArray[Any]:
        pixels = samples[..., 0] if flat else samples
        return pixels.astype(np.float16) if halves else pixels

    return _in_memory(image, finish)


def opened_file(path: Path, page: int | None = None) -> Picture:
    """The picture file at a path; of several pages, this one.

    Raises:
        InputError: if it cannot be read or enlarged.
    """
    return of_file(PictureReader(path, page), name_of(path))


def of_file(reader: PictureReader, name: str) -> Picture:
    """An opened picture file."""
    layout = PixelLayout(
        width=reader.width, height=reader.height, bands=reader.bands, dtype=reader.dtype
    )
    return Picture(name=name, layout=layout, strips=reader.strips, reader=reader)


def _in_memory(
    image: NDArray[Any], finish: Callable[[NDArray[Any]], NDArray[Any] | PillowImage]
) -> Picture:
    samples = as_samples(image)
    height, width, bands = samples.shape
    layout = PixelLayout(width=width, height=height, bands=bands, dtype=samples.dtype.name)
    return Picture(name="", layout=layout, strips=lambda: [samples], finish=finish)
