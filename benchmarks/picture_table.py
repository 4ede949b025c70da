"""Make `docs/pictures.png`: five small pictures, and what each network makes of them.

    python benchmarks/picture_table.py [--photo FILE]

Rows: a face, drawn text, a drawn comic, a photograph saved as JPEG of quality 30, and one with
noise of 10 levels. Columns: the original, bicubic, `vdsr`, `vdsr-fast`, `vdsr-photo`. The
photograph is that of `before_after.py` (public domain); text and comic are drawn here, four
times as large, and shrunk. All are shrunk to half their sides by MATLAB's bicubic, damaged,
and enlarged x2 by `vdsr.upscale` in fp32; every pixel of a crop is shown as 4x4. The figures,
PSNR of luma and of RGB over the whole picture, 2 px shaved, are printed as a table.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import machine
import numpy as np
from before_after import GAP, Pixels, enlarged, luma, planes, rounded
from before_after import row as strip
from PIL import Image, ImageDraw, ImageFont

import vdsr
from vdsr.imaging.degrade import enlarge, shrink

SCALE = 2
SIDE = 64
ZOOM = 4
LARGER = 4
CREAM, RED, INK, SKIN, BLUE = "#f6ecd2", "#c81e1e", "#1c1a18", "#f2c79a", "#3c6fb4"
GOAL = Path(__file__).parent.parent / "docs" / "pictures.png"


@dataclass(frozen=True)
class Row:
    """One picture: its original `[H, W, 3]`, what happens to the small one, and the crop."""

    title: str
    original: Pixels
    corner: tuple[int, int]
    damage: Callable[[Pixels], Pixels] = lambda small: small


def main() -> None:
    """Draw, shrink, damage, enlarge, measure, and put the crops side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", default="vdsr-photo", help="the network of the last column")
    networks = ("vdsr", "vdsr-fast", parser.parse_args().photo)
    portrait: Pixels = vdsr.read_image(machine.photograph())
    rows = (
        Row("a face", portrait, (188, 88)),
        Row("text", text(), (20, 30)),
        Row("a comic", comic(), (42, 34)),
        Row("JPEG 30", portrait, (352, 196), jpeg),
        Row("noise 10", portrait, (140, 348), noise),
    )
    print("| | bicubic | " + " | ".join(networks) + " |\n|---|---|" + "---|" * len(networks))
    lines = []
    for row in rows:
        small = row.damage(rounded(shrink(planes(row.original), SCALE)))
        pictures = [row.original, rounded(enlarge(planes(small), SCALE))]
        pictures += [enlarged(small, SCALE, name) for name in networks]
        figures = [f"{measure(p, row.original)}" for p in pictures[1:]]
        print(f"| {row.title} | " + " | ".join(figures) + " |")
        lines.append(strip(pictures, (*row.corner, SIDE), ZOOM))
    gap = np.full((GAP, lines[0].shape[1], 3), 255, np.uint8)
    parts = [part for line in lines for part in (line, gap)]
    vdsr.write_image(GOAL, np.concatenate(parts[:-1]), overwrite=True)
    print(f"{GOAL}: {GOAL.stat().st_size // 1024} KiB")


def measure(result: Pixels, original: Pixels) -> str:
    """PSNR of luma, and of RGB, dB."""
    pairs = ((luma(result), luma(original)), (result, original))
    values = [
        vdsr.psnr(
            np.moveaxis(np.atleast_3d(a), -1, 0).astype(np.float64),
            np.moveaxis(np.atleast_3d(b), -1, 0).astype(np.float64),
            data_range=255.0,
            border=SCALE,
        )
        for a, b in pairs
    ]
    return f"{values[0]:.2f} / {values[1]:.2f}"


def jpeg(small: Pixels) -> Pixels:
    """Saved at quality 30, chroma at half the size, as cameras do."""
    file = io.BytesIO()
    Image.fromarray(small).save(file, "JPEG", quality=30, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


def noise(small: Pixels) -> Pixels:
    """Gaussian noise of 10 levels, the same at every run."""
    grain = np.random.default_rng(0).normal(0.0, 10.0, small.shape)
    return np.rint(small + grain).clip(0, 255).astype(np.uint8)


def text() -> Pixels:
    """A printed page: letters of several sizes on cream."""
    page = Image.new("RGB", (160 * LARGER, 128 * LARGER), CREAM)
    pen = ImageDraw.Draw(page)
    lines = (
        (22, RED, "Anno 1867"),
        (13, INK, "Silver prints from glass"),
        (11, INK, "plates, box 7, no. 23 to 48"),
        (9, INK, "handwritten on the back: Aunt Kate"),
        (9, BLUE, "& friends, summer, near the river"),
    )
    top = 8
    for size, ink, words in lines:
        font = ImageFont.load_default(size * LARGER)
        pen.text((8 * LARGER, top * LARGER), words, ink, font=font)
        top += round(size * 1.4)
    return smaller(page)


def comic() -> Pixels:
    """A drawn face: red and black lines on cream, flat colors."""
    page = Image.new("RGB", (160 * LARGER, 128 * LARGER), CREAM)
    pen = ImageDraw.Draw(page)

    def scaled(*values: float) -> list[float]:
        return [value * LARGER for value in values]

    for i in range(24):
        pen.line(scaled(80, 64, 80 + 120 * np.cos(i / 3.82), 64 + 120 * np.sin(i / 3.82)), RED, 4)
    pen.ellipse(scaled(44, 24, 116, 108), SKIN, INK, 3 * LARGER)
    pen.pieslice(scaled(44, 16, 116, 84), 180, 360, BLUE, INK, 2 * LARGER)
    for x in (64, 96):
        pen.ellipse(scaled(x - 8, 54, x + 8, 68), "white", INK, 2 * LARGER)
        pen.ellipse(scaled(x - 3, 58, x + 3, 65), INK)
    pen.arc(scaled(62, 66, 98, 98), 20, 160, RED, 2 * LARGER)
    pen.line(scaled(80, 66, 76, 80, 82, 80), INK, 5)
    return smaller(page)


def smaller(page: Image.Image) -> Pixels:
    """Shrunk to the size it stands for."""
    return rounded(shrink(planes(np.asarray(page)), LARGER))


if __name__ == "__main__":
    main()
