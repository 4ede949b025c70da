"""A page that shows what a comparison found: a slider, what was added, where, and figures."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vdsr.inference.comparison import Comparison, Measures, Shift
from vdsr.report.page import data_uri, figure, figures, page
from vdsr.report.slider import slider
from vdsr.report.svg import columns
from vdsr.report.table import Table

# Of a picture of differences: what stands for none, and for each level of 255.
MIDDLE, GAIN = 128, 4
# Longer side of a map on the page, px.
_MAP = 640
# Ends of the histogram, levels.
_REACH = 32


def comparison_page(title: str, comparison: Comparison) -> str:
    """The whole document.

    Args:
        title: plain text.
        comparison: one that has taken both pictures.
    """
    found = comparison.measures()
    summary = f"{found.width}x{found.height} px"
    if found.consistency is not None:
        one = found.consistency[1]
        summary += f"; shrunk again {decibels(one.psnr)}, within {one.largest:.2f} levels"
    half = comparison.window.shape[2] // 2
    return page(
        title,
        _body(comparison, found),
        summary=summary,
        thumbnail=comparison.window[..., half:],
    )


def scale_words(names: tuple[str, str]) -> str:
    """What the grays of a picture of differences mean, in words."""
    return f"{MIDDLE} + {GAIN} x ({names[1]} - {names[0]}), in levels of 0..255"


def _body(comparison: Comparison, found: Measures) -> Iterator[str]:
    names, layout = comparison.names, comparison.layout
    window, half = comparison.window, comparison.window.shape[2] // 2
    first, second = window[..., :half], window[..., half:]
    height, width = window.shape[:2]
    yield table(found).html()
    yield f"<h2>{_text(names[0])} and {_text(names[1])}</h2>"
    yield (
        f"<p>Shown is {_text(window_words(comparison))}. Drag the line, or move it by the arrow"
        " keys; zoom below the picture.</p>"
    )
    yield slider(data_uri(first), data_uri(second), names=names, width=width, height=height)
    yield f"<h2>What {_text(names[1])} adds to {_text(names[0])}</h2>"
    added = second.astype(np.float32) - first.astype(np.float32)
    shown = _signed(added.mean(axis=2))
    yield figures([figure(shown, f"mean of the colors: {scale_words(names)}")], kind="large")
    yield _scale()
    if comparison.is_part:
        whole = _signed(_joined(comparison, "added") * 4)
        caption = f"the whole picture, 4 x stronger, a px for {comparison.cell}x{comparison.cell}"
        yield figures([figure(_enlarged(whole, _MAP), caption)], kind="large")
    yield from _crops(comparison)
    yield "<h2>How often luma differs by how much</h2>"
    yield _histogram(found, layout.width * layout.height)
    if found.quality is not None:
        yield from _maps(comparison)


def window_words(comparison: Comparison) -> str:
    """What of the pictures a page shows."""
    height, width = comparison.window.shape[:2]
    left, top = comparison.corner
    whole = f"{comparison.layout.width}x{comparison.layout.height} px"
    if comparison.is_part:
        return f"the {width}x{height} px from ({left}, {top}) on, of {whole}"
    return f"the whole picture, {whole}"


def table(found: Measures) -> Table:
    """What was found, in words."""
    rows = [["size", f"{found.width}x{found.height} px"]]
    rows.append([f"{found.first} against {found.second}", decibels(found.psnr)])
    shifts = (("luma", found.luma), ("Cb", found.cb), ("Cr", found.cr))
    for name, shift in shifts:
        if shift is not None:
            rows.append([f"{name}, levels of 0..255", shift_words(shift)])
    if found.consistency is not None:
        for name, one in zip((found.first, found.second), found.consistency, strict=True):
            rows.append(
                [
                    f"{name} shrunk again, against what it was made of",
                    f"{decibels(one.psnr)}, largest difference {one.largest:.2f} levels"
                    f" at ({one.column}, {one.row})",
                ]
            )
    if found.quality is not None:
        for name, judged in zip((found.first, found.second), found.quality, strict=True):
            similar = "" if judged.ssim is None else f", SSIM {judged.ssim:.4f}"
            rows.append(
                [f"{name} against the original (luma)", f"PSNR {decibels(judged.psnr)}{similar}"]
            )
    return Table(("", ""), rows, left=(0, 1))


def decibels(value: float | None) -> str:
    """A PSNR in words."""
    return "equal" if value is None else f"{value:.2f} dB"


def shift_words(shift: Shift) -> str:
    """Mean and largest difference in words."""
    return (
        f"mean {shift.mean:+.3f}, mean size {shift.mean_absolute:.3f}, largest"
        f" {shift.largest:+.1f} at ({shift.column}, {shift.row})"
    )


def _crops(comparison: Comparison) -> Iterator[str]:
    crops = comparison.crops
    yield "<h2>Where most differs</h2>"
    if not crops:
        yield "<p>Nowhere: both are equal.</p>"
    for crop in crops:
        left, top = crop.place
        high, wide = crop.first.shape[:2]
        pair = zip(comparison.names, (crop.first, crop.second), strict=True)
        shown = [figure(pixels, name) for name, pixels in pair]
        apart = crop.second.astype(np.float32) - crop.first.astype(np.float32)
        shown.append(figure(_signed(apart.mean(axis=2)), "difference"))
        yield f"<h3>{wide}x{high} px from ({left}, {top}) on</h3>" + figures(shown, kind="crops")


def _histogram(found: Measures, pixels: int) -> str:
    shares: dict[int, float] = {}
    for level, count in found.histogram.items():
        inside = max(-_REACH, min(_REACH, level))
        shares[inside] = shares.get(inside, 0.0) + count / pixels
    return columns(
        [(level, shares.get(level, 0.0)) for level in range(-_REACH, _REACH + 1)],
        across="levels of luma by which they differ; the outermost, and beyond",
        label="share of px",
    )


def _maps(comparison: Comparison) -> Iterator[str]:
    names = comparison.names
    yield "<h2>Against the original</h2>"
    errors = [_joined(comparison, f"error {i}") for i in (1, 2)]
    shown = []
    for name, error in zip(names, errors, strict=True):
        # 20 dB is black, 50 dB white.
        decibel = 10 * np.log10(255.0**2 / np.maximum(error, 1e-3))
        map_ = np.clip((decibel - 20) / 30 * 255, 0, 255).astype(np.uint8)
        shown.append(figure(_enlarged(map_, _MAP), f"PSNR of {name}: black 20 dB, white 50 dB"))
    yield figures(shown, kind="maps")
    if "ssim 1" in comparison.maps:
        shown = []
        for i, name in enumerate(names, 1):
            similar = np.clip(_joined(comparison, f"ssim {i}") * 255, 0, 255).astype(np.uint8)
            caption = f"SSIM of {name}: black 0, white 1"
            shown.append(figure(_enlarged(similar, _MAP), caption))
        yield figures(shown, kind="maps")


def _joined(comparison: Comparison, name: str) -> NDArray[np.float32]:
    return np.concatenate(comparison.maps[name])


def _signed(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    shown: NDArray[np.uint8] = np.clip(np.rint(MIDDLE + GAIN * levels), 0, 255).astype(np.uint8)
    return shown


def _enlarged(cells: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cells as squares of whole px, about as large as `side`."""
    times = max(1, side // max(cells.shape))
    large: NDArray[np.uint8] = cells.repeat(times, axis=0).repeat(times, axis=1)
    return large


def _scale() -> str:
    """The grays of a picture of differences, with their levels."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 2)[None].repeat(16, axis=0)
    low, high = -MIDDLE / GAIN, (255 - MIDDLE) / GAIN
    caption = f"{low:g} levels (black), 0 (gray), {high:+g} (white); more is cut off"
    return figures([figure(ramp, caption)], kind="large")


def _text(plain: str) -> str:
    return html.escape(plain)
