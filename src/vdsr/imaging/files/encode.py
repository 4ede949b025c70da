"""Encoding: strips of samples become a whole file, or none."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import pyvips
from numpy.typing import NDArray

from vdsr import forks
from vdsr.errors import OutputError
from vdsr.imaging.files import deep_zoom
from vdsr.imaging.files.decode import PictureReader, Samples
from vdsr.imaging.files.formats import Format, PixelLayout
from vdsr.imaging.files.geotiff import Placement
from vdsr.imaging.files.metadata_transfer import Carrier
from vdsr.imaging.files.png_stream import PngStream
from vdsr.imaging.files.savers import Saver
from vdsr.imaging.files.storage import Storage
from vdsr.imaging.files.vips_errors import HELPER, reason
from vdsr.outputs import Part, refuse_existing


class PictureWriter:
    """Writes one picture, strip by strip, beside its goal, and renames it when whole.

    Use as a context manager; an exception inside leaves no file.

    Args:
        path: the goal.
        layout: of the strips that will be given.
        format: file format.
        source: where profile, EXIF, XMP, IPTC and resolution come from; None for none.
        quality: 1..100 for lossy formats; None is 95 for JPEG, 90 for AVIF, lossless WebP.
        storage: how a TIFF file is laid out.
        provenance: properties to be added to the XMP packet.
        values: the floats that are black and white, for formats without floats.
        overwrite: whether an existing file may be replaced.
        placement: where the picture lies in that of `source`; None if it is the whole.

    Raises:
        UsageError: for a quality or a storage that does not apply.
        OutputError: if the goal exists or cannot be written, here or later.
    """

    def __init__(
        self,
        path: Path,
        layout: PixelLayout,
        format: Format,
        *,
        source: PictureReader | None = None,
        quality: int | None = None,
        storage: Storage | None = None,
        provenance: Mapping[str, str] | None = None,
        values: tuple[float, float] = (0.0, 1.0),
        overwrite: bool = False,
        placement: Placement | None = None,
    ) -> None:
        forks.starting("libvips")
        self.path = path
        self._layout = layout
        bits = 16 if source is None else source.bits
        self._saver = Saver(
            layout, format, quality=quality, storage=storage or Storage(), bits=bits, values=values
        )
        self._format = format
        self._carrier = Carrier(source, layout, format, provenance or {}, placement)
        self._overwrite = overwrite
        self._rows = 0
        check_goal(path, layout, format, overwrite=overwrite)
        self._stream = PngStream(layout.width, layout.height, layout.bands, layout.dtype)
        self._queue: queue.Queue[bytes | None] = queue.Queue(maxsize=2)
        self._pending = memoryview(b"")
        self._ended = False
        self._failure: Exception | None = None
        self._part: Part | None = None
        self._thread: threading.Thread | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What the format could not hold, a line each."""
        return (*self._saver.notices, *self._carrier.notices)

    def __enter__(self) -> PictureWriter:
        try:
            # At once: a folder that cannot be written is found before the work.
            self._part = Part(self.path, overwrite=self._overwrite)
            self._thread = threading.Thread(
                target=self._encode, args=(self._part,), name=HELPER, daemon=True
            )
            self._thread.start()
            self._put(self._stream.header)
        except BaseException:
            self._abandon()
            raise
        return self

    def write(self, strip: Samples) -> None:
        """Add the next rows.

        Args:
            strip: `[rows, width, bands]` of the layout's dtype.

        Raises:
            OutputError: if the file can no longer be written.
        """
        self._rows += strip.shape[0]
        for chunk in self._stream.rows(strip):
            self._put(chunk)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._abandon()

    def _finish(self) -> None:
        if self._rows != self._layout.height:
            raise OutputError(f"{self.path}: {self._rows} of {self._layout.height} rows were made")
        self._put(self._stream.end())
        self._put(None)
        if self._thread is not None:
            self._thread.join()
        self._raise_failure()
        if self._part is None:
            return
        if self._format.name == "dz":
            deep_zoom.settle(self._part.path, self.path, overwrite=self._overwrite)
        else:
            self._part.commit()

    def _abandon(self) -> None:
        """Stop the encoder, whatever it is doing, and leave no part of a file."""
        self._ended = True
        while self._thread is not None and self._thread.is_alive():
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                self._drain()
            self._thread.join(0.01)
        if self._part is not None:
            self._part.discard()

    def _drain(self) -> None:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            return

    def _put(self, chunk: bytes | None) -> None:
        while True:
            self._raise_failure()
            try:
                return self._queue.put(chunk, timeout=0.1)
            except queue.Full:
                continue

    def _raise_failure(self) -> None:
        error = self._failure
        if isinstance(error, OutputError) and self._part is not None:
            # It names the file in the making.
            raise OutputError(str(error).replace(str(self._part.path), str(self.path))) from error
        if isinstance(error, OSError):
            raise OutputError(f"{self.path}: it cannot be written: {error.strerror}") from error
        if isinstance(error, pyvips.Error):
            raise OutputError(f"{self.path}: it cannot be written: {reason(error)}") from error
        if error is not None:
            raise error

    def _read(self, length: int) -> bytes:
        """What libvips calls for the next bytes of the PNG; empty at the end."""
        if not self._pending and not self._ended:
            chunk = self._queue.get()
            if chunk is None:
                self._ended = True
            else:
                self._pending = memoryview(chunk)
        part = bytes(self._pending[:length])
        self._pending = self._pending[length:]
        return part

    def _encode(self, part: Part) -> None:
        try:
            source = pyvips.SourceCustom()
            source.on_read(self._read)
            image = self._carrier.onto(self._saver.fit(self._stream.decode(source)))
            self._saver.save(image, part.file, self._carrier.edit)
            self._carrier.add_to(part.path, part.file)
        except Exception as error:  # raised again in the thread that writes
            self._failure = error


def check_goal(path: Path, layout: PixelLayout, format: Format, *, overwrite: bool) -> None:
    """Refuse a goal that cannot be written, before any work is done.

    Raises:
        OutputError: saying why.
    """
    refuse_existing(path, overwrite=overwrite)
    if format.name == "dz":
        deep_zoom.check(path, overwrite=overwrite)
    side = max(layout.width, layout.height)
    if side > format.max_side:
        raise OutputError(
            f"{path}: {format.name} holds at most {format.max_side} px a side, not {side}:"
            " tiff and png hold it"
        )


def quantize(planes: NDArray[np.float32], dtype: str) -> Samples:
    """Planes in 0..1 as samples of a file.

    Args:
        planes: float32 `[bands, rows, width]`, 1 is white.
        dtype: `uint8`, `uint16` (rounded to nearest and clipped) or `float32` (as they are).

    Returns:
        `[rows, width, bands]` of `dtype`.
    """
    if dtype == "float32":
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    peak = np.float32(np.iinfo(dtype).max)
    scaled = np.clip(planes, 0.0, 1.0) * peak + np.float32(0.5)
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)).astype(dtype)
