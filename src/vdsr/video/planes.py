"""The planes of a film's pictures: how many, how deep, how they are sampled, and as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError
from vdsr.imaging.resample import Axis

if TYPE_CHECKING:
    from av import VideoFrame

Plane = NDArray[Any]

FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# Formats that hold the same samples in another order.
_REORDERED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyyvyy411": "yuv411p",
    "vuya": "yuva444p",
    "vuyx": "yuv444p",
    "y210le": "yuv422p10le",
    "xv30le": "yuv444p10le",
    "v30xle": "yuv444p10le",
    "monow": "gray",
    "monob": "gray",
}
# Where the first chroma sample lies, in luma px from the corner of the picture, for chroma of
# half the size: ITU-T H.273, figure 1; names as FFmpeg has them.
_SITING = {
    "left": (0.5, 1.0),
    "center": (1.0, 1.0),
    "topleft": (0.5, 0.5),
    "top": (1.0, 0.5),
    "bottomleft": (0.5, 1.5),
    "bottom": (1.0, 1.5),
}


@dataclass(frozen=True, kw_only=True)
class PlaneFormat:
    """How the samples of a picture lie in planes.

    Attributes:
        name: of the pixel format, as FFmpeg has it; of yuvj420p and its like, yuv420p.
        bits: of a sample.
        sub_x, sub_y: luma px for each chroma sample, across and down.
        chroma: whether there are Cb and Cr.
        alpha: whether the last plane is alpha.
        rgb: whether it is red, green and blue (or a palette of them), in any order.
        full: whether the name itself says full range.
    """

    name: str
    bits: int
    sub_x: int
    sub_y: int
    chroma: bool
    alpha: bool
    rgb: bool
    full: bool

    @property
    def dtype(self) -> str:
        """Of the arrays."""
        return "uint8" if self.bits <= 8 else "uint16"

    @property
    def top(self) -> int:
        """The largest sample."""
        return int(2**self.bits) - 1

    def luma_range(self, *, full: bool) -> tuple[float, float]:
        """Samples of black and white."""
        step = 2.0 ** (self.bits - 8)
        return (0.0, float(self.top)) if full else (16 * step, 235 * step)

    def chroma_range(self, *, full: bool) -> tuple[float, float]:
        """Sample of no color, and what one unit of color, -0.5..0.5, is in samples."""
        span = float(self.top) if full else 224 * 2.0 ** (self.bits - 8)
        return 2.0 ** (self.bits - 1), span


@lru_cache
def plane_format(name: str) -> PlaneFormat:
    """What a pixel format of FFmpeg holds.

    Raises:
        InputError: if its samples are of a kind that is not known here.
    """
    import av

    full = name.startswith("yuvj")
    plain = name.replace("yuvj", "yuv") if full else name
    if plain.endswith("be") and plain != "rgb48be":
        plain = plain.removesuffix("be") + "le"
    plain = _REORDERED.get(plain, plain)
    try:
        format = av.VideoFormat(plain, 64, 64)
    except ValueError as error:
        raise InputError(f"pixels of the kind {name} are not known here") from error
    parts = format.components
    rgb = format.is_rgb or format.has_palette
    alpha = any(part.is_alpha for part in parts) or format.has_palette
    planar = len({part.plane for part in parts}) == len(parts)
    bits = max(part.bits for part in parts)
    if not rgb and not (planar and bits <= 16 and not format.is_bit_stream):
        raise InputError(f"pixels of the kind {name} are not known here")
    return PlaneFormat(
        name=plain,
        bits=bits,
        sub_x=64 // format.chroma_width(64) if not rgb and len(parts) > 2 else 1,
        sub_y=64 // format.chroma_height(64) if not rgb and len(parts) > 2 else 1,
        chroma=not rgb and len(parts) > 2,
        alpha=alpha,
        rgb=rgb,
        full=full,
    )


def read_planes(frame: VideoFrame, format: PlaneFormat) -> list[Plane]:
    """The planes of a frame, `[rows, columns]` each, uint8 or uint16; views where possible."""
    if frame.format.name.replace("yuvj", "yuv") != format.name:
        frame = frame.reformat(format=format.name)
    return [_view(plane, format.dtype) for plane in frame.planes]


def write_planes(frame: VideoFrame, planes: list[Plane]) -> None:
    """Put planes into a frame of their size and format."""
    for plane, samples in zip(frame.planes, planes, strict=True):
        _view(plane, str(samples.dtype))[:] = samples


def _view(plane: Any, dtype: str) -> Plane:  # noqa: ANN401
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    item = np.dtype(dtype).newbyteorder("<")
    return rows[:, : plane.width * item.itemsize].view(item)


def chroma_axes(
    size: tuple[int, int],
    goal: tuple[int, int],
    formats: tuple[PlaneFormat, PlaneFormat],
    scales: tuple[float, float],
    siting: str | None,
) -> tuple[Axis, Axis]:
    """How chroma goes from its place in one picture to its place in a larger one.

    Chroma keeps its siting: a sample that lies on a luma sample still does.

    Args:
        size, goal: (height, width) of luma, before and after.
        formats: before and after.
        scales: of luma, down and across.
        siting: where chroma lies, as FFmpeg names it; None is `left`, as in MPEG-2 and H.264,
            or `center` for full range, as in JPEG.

    Returns:
        Vertical and horizontal axis.
    """
    before, after = formats
    across, down = _SITING.get(siting or "left", _SITING["left"])
    return (
        _axis(size[0], goal[0], (before.sub_y, after.sub_y), scales[0], down),
        _axis(size[1], goal[1], (before.sub_x, after.sub_x), scales[1], across),
    )


def _axis(length: int, goal: int, subs: tuple[int, int], scale: float, place: float) -> Axis:
    sub_in, sub_out = subs

    def first(sub: int) -> float:
        # Siting is told for halves: samples at 0.5 lie on the first px whatever the step.
        return {1: 0.5, 2: place}.get(sub, 0.5 if place == 0.5 else sub / 2)

    own = scale * sub_in / sub_out
    shift = (first(sub_out) / scale - first(sub_in)) / sub_in - (0.5 / own - 0.5)
    return Axis(-(-length // sub_in), -(-goal // sub_out), own, shift)
