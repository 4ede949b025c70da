"""The TIFF matrix: small files of every kind, and what an independent decoder makes of them.

`python tests/tiff_matrix.py` runs all of it and prints how many are right, refused and wrong.
Files are made by tifffile, Pillow (fax) and libtiff (through libvips: nothing else writes
some kinds); samples are decoded by tifffile and imagecodecs, and what they mean is written
down here once more, in numpy.
"""

from __future__ import annotations

import io
import itertools
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from vdsr.errors import VdsrError
from vdsr.imaging.files import PictureReader

HEIGHT, WIDTH = 37, 46
Pixels = NDArray[Any]
_DTYPES = {8: "u1", 16: "u2", 32: "u4", 64: "u8"}
_COLORS = {"minisblack": 1, "miniswhite": 1, "palette": 1, "separated": 4}
_WORDS = ("cannot be", "not supported", "needs the extra", "damaged", "it holds", "it claims")
_WORDS = (*_WORDS, "its palette", "its predictor", "are not stored", "samples per pixel")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file.

    Attributes:
        name: what it is.
        data: the file.
        expected: what `PictureReader` is to give, float64 `[H, W, bands]` in 0..1; None if it
            can only be refused. Of damaged files, what tifffile gives, if it gives anything.
        tolerance: largest difference allowed, in 0..1.
        refusable: whether a refusal is as good.
    """

    name: str
    data: bytes
    expected: Pixels | None
    tolerance: float = 0.5 / 65535
    refusable: bool = False


def samples(bands: int, bits: int, kind: str = "uint") -> Pixels:
    """`[H, W, bands]` with ramps, no band like another, nothing symmetric."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [(x * (3 + k) + y * (5 - k) + 17 * k) % 101 / 100 for k in range(bands)]
    unit = np.stack(planes, axis=-1)
    if kind == "float":
        return unit.astype({16: "f2", 32: "f4", 64: "f8"}[bits])
    if kind == "int":
        return (unit * (2 ** (bits - 1) - 1)).astype(f"i{bits // 8}")
    dtype = next(d for size, d in _DTYPES.items() if size >= bits)
    return np.rint(unit * (2.0**bits - 1)).clip(0, 2**bits - 1).astype(dtype)


def meaning(raw: Pixels, photometric: str, bits: int, extra: int | None) -> Pixels | None:
    """What stored samples `[H, W, samples]` mean, 0..1; None for what is no picture here."""
    peak = 1.0 if raw.dtype.kind == "f" else 2.0**bits - 1
    values = raw.astype(np.float64) / peak
    colors = {"minisblack": 1, "miniswhite": 1}.get(photometric, 3)
    if photometric == "miniswhite":
        values[..., 0] = 1.0 - values[..., 0]
    if photometric == "ycbcr":
        values[..., :3] = from_ycbcr(values[..., :3] * 255.0) / 255.0
    if extra == 0:
        return values[..., :colors]
    if extra == 1:  # colors are stored times alpha
        alpha = np.maximum(values[..., colors:], 1e-9)
        values[..., :colors] = (values[..., :colors] / alpha).clip(0.0, 1.0)
    return values


def from_ycbcr(values: Pixels) -> Pixels:
    """RGB of full-range BT.601, 0..255 (JFIF 1.02)."""
    y, cb, cr = np.moveaxis(values - np.array([0.0, 128.0, 128.0]), -1, 0)
    rgb = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return np.stack(rgb, axis=-1).clip(0.0, 255.0)


def from_lab(lab: Pixels) -> Pixels:
    """sRGB, 0..1, of CIE L*a*b* under D65 (CIE 15, IEC 61966-2-1); matrices differ a little."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz = xyz * np.array([0.95047, 1.0, 1.08883])
    matrix = [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
    linear = (xyz @ np.array(matrix).T).clip(0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def written(raw: Pixels, **options: Any) -> bytes | None:
    """A TIFF by tifffile; None if it refuses to write it."""
    file = io.BytesIO()
    pixels = raw[..., 0] if raw.shape[2] == 1 else raw
    if options.get("planarconfig") == 2 and raw.shape[2] > 1:
        pixels = np.ascontiguousarray(np.moveaxis(raw, 2, 0))
    try:
        tifffile.imwrite(file, pixels, metadata=None, **options)
    except (ValueError, TypeError, RuntimeError, KeyError, NotImplementedError):
        return None
    return file.getvalue()


def decoded(data: bytes) -> Pixels | None:
    """The samples by tifffile, `[H, W, samples]`; None if it refuses."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            raw = np.asarray(page.asarray())
            if page.planarconfig == 2 and page.samplesperpixel > 1:
                raw = np.moveaxis(raw, 0, -1)
            return raw.reshape(page.imagelength, page.imagewidth, -1)
    except Exception:  # whatever strangers raise
        return None


def plain_cases(every: int = 1) -> Iterator[Case]:
    """Photometric x planes x extra x bits x strips or tiles x compression x order x predictor.

    Args:
        every: 1 for all; a prime for a selection in which all values of all axes occur.
    """
    number = itertools.count()
    kinds = [("minisblack", 1), ("miniswhite", 1), ("rgb", 3), ("ycbcr", 3)]
    extras = [None, 0, 1, 2]
    types = [(b, "uint") for b in (1, 2, 4, 6, 8, 10, 12, 14, 16, 32)]
    types += [(b, "float") for b in (16, 32, 64)] + [(8, "int"), (16, "int")]
    layouts: list[dict[str, Any]] = [{}, {"rowsperstrip": 5}, {"tile": (16, 32)}]
    codecs = [None, "lzw", "deflate", "packbits", "zstd", "lzma"]
    for (photometric, colors), extra, (bits, kind), planar in itertools.product(
        kinds, extras, types, (1, 2)
    ):
        bands = colors + (extra is not None)
        if photometric == "ycbcr" and (kind != "uint" or bits not in (8, 16)):
            continue
        if planar == 2 and bands == 1:
            continue
        raw = samples(bands, bits, kind)
        if extra == 1:  # what is stored is never above alpha
            raw[..., :colors] = np.minimum(raw[..., :colors], raw[..., colors:])
        for layout, codec, order in itertools.product(layouts, codecs, "<>"):
            for predictor in (1, 2, 3) if codec in ("lzw", "deflate", "zstd") else (1,):
                if next(number) % every:
                    continue
                options: dict[str, Any] = {
                    "photometric": photometric,
                    "compression": codec,
                    "byteorder": order,
                    "predictor": predictor if predictor > 1 else None,
                    **layout,
                }
                if bands > 1:
                    options["planarconfig"] = planar
                if extra is not None:
                    options["extrasamples"] = [extra]
                if kind == "uint" and bits not in _DTYPES:
                    options["bitspersample"] = bits
                name = f"{photometric} {bits}-bit {kind} extra={extra} planes={planar} {layout}"
                name += f" {codec} {order} predictor={predictor}"
                yield from _case(name, raw, photometric, bits, extra, options)


def _case(
    name: str,
    raw: Pixels,
    photometric: str,
    bits: int,
    extra: int | None,
    options: dict[str, Any],
) -> Iterator[Case]:
    if bits == 1:
        raw = raw.astype(bool)
        options = {k: v for k, v in options.items() if k != "bitspersample"}
    data = written(raw, **options)
    if data is None:
        return
    stored = decoded(data)
    if stored is None or not np.array_equal(stored, raw):
        return  # tifffile does not read what it wrote
    expected = meaning(stored, photometric, bits, extra)
    if raw.dtype.kind == "i" or (bits in (32, 64) and raw.dtype.kind == "u"):
        expected = None  # refused by design
    if photometric == "miniswhite" and (raw.dtype.kind == "f" or extra == 1):
        expected = None
    if photometric == "ycbcr" and extra == 1:
        expected = None
    whole = raw.dtype.kind in "ub"
    step = 0.5 / (255 if bits <= 8 else 65535) if whole else 1e-6
    exact = extra != 1 and photometric != "ycbcr" and bits in (1, 2, 4, 8, 16)
    tolerance = 1e-6 if exact else step + 1e-6
    if photometric == "ycbcr":
        tolerance = 1.5 / 255
    refusable = bits in (1, 2, 4) and options.get("predictor") is not None
    yield Case(name=name, data=data, expected=expected, tolerance=tolerance, refusable=refusable)


def color_cases() -> Iterator[Case]:
    """CIELAB, ICCLAB, palettes, and what is no picture."""
    for bits, tile, order in itertools.product((8, 16), (None, (16, 16)), "<>"):
        options: dict[str, Any] = {"tile": tile, "byteorder": order}
        raw = samples(3, bits)
        unit = 2 ** (bits - 8)
        signed = raw[..., 1:].astype(np.int64)
        signed = np.where(signed >= 128 * unit, signed - 256 * unit, signed) / unit
        light = raw[..., :1] * (100.0 / (2**bits - 1))
        lab = np.concatenate([light, signed], axis=2)
        for planar in (1, 2):
            data = written(raw, photometric="cielab", planarconfig=planar, **options)
            assert data is not None
            name = f"cielab {bits} {tile} {order} planes={planar}"
            yield Case(name=name, data=data, expected=from_lab(lab), tolerance=0.5 / 255)
        offset = raw[..., 1:] / unit - 128.0
        light = raw[..., :1] * (100.0 / (255 if bits == 8 else 65280))
        icc = np.concatenate([light, offset], axis=2)
        data = written(raw, photometric="icclab", **options)
        assert data is not None
        name = f"icclab {bits} {tile} {order}"
        yield Case(name=name, data=data, expected=from_lab(icc), tolerance=0.5 / 255)
    yield from _palettes()
    for photometric in ("cfa", "logl", "logluv", "itulab", "linear_raw", "depth_map"):
        bands = 1 if photometric in ("cfa", "logl", "depth_map") else 3
        data = written(samples(bands, 16), photometric=photometric)
        if data is not None:
            yield Case(name=photometric, data=data, expected=None)


def _palettes() -> Iterator[Case]:
    colors = np.random.default_rng(5).integers(0, 256, (3, 256), np.uint8)
    for bits, tile, codec in itertools.product((8,), (None, (16, 16)), (None, "lzw", "zstd")):
        raw = samples(1, bits)
        data = written(
            raw,
            photometric="palette",
            colormap=colors.astype(np.uint16) * 257,
            tile=tile,
            compression=codec,
        )
        assert data is not None
        expected = colors.T[raw[..., 0]] / 255.0
        yield Case(name=f"palette {bits} {tile} {codec}", data=data, expected=expected)


def codec_cases() -> Iterator[Case]:
    """Lossy and rare codecs, by what tifffile decodes; libtiff's fax."""
    smooth = np.asarray(Image.fromarray(samples(3, 8)).resize((128, 96), Image.Resampling.BICUBIC))
    for codec, tile, order in itertools.product(
        ("jpeg", "lerc", "jpeg2000", "jpegxl", "png", "webp", "jpegxr"), (None, (32, 32)), "<>"
    ):
        for pixels, photometric in ((smooth, "rgb"), (smooth[..., :1], "minisblack")):
            options = {"compression": codec, "tile": tile, "byteorder": order}
            data = written(pixels, photometric=photometric, **options)
            if data is None or (stored := decoded(data)) is None:
                continue
            slack = 2.0 / 255 if codec == "jpeg" else 1e-6
            name = f"{codec} {photometric} {tile} {order}"
            yield Case(name=name, data=data, expected=stored / 255.0, tolerance=slack)
    for subsampling in ((1, 1), (2, 1), (2, 2)):
        options = {"photometric": "ycbcr", "compression": "jpeg", "subsampling": subsampling}
        data = written(smooth, **options)
        if data is not None and (stored := decoded(data)) is not None:
            name = f"jpeg ycbcr {subsampling}"
            # Decoders differ in how they enlarge chroma.
            yield Case(name=name, data=data, expected=stored / 255.0, tolerance=24.0 / 255)
    for codec in ("group3", "group4", "tiff_ccitt"):
        page = smooth[..., 0] > 127
        file = io.BytesIO()
        Image.fromarray(page).save(file, "TIFF", compression=codec)
        yield Case(name=codec, data=file.getvalue(), expected=page[..., None] * 1.0)


_DAMAGES: dict[str, Callable[[bytearray, int, int], bytes]] = {
    "one bit": lambda data, at, length: _changed(data, at + length // 2, 1, 0x10),
    "16 bytes": lambda data, at, length: _changed(data, at + length // 3, 16, 0xA5),
    "zeros": lambda data, at, length: bytes(data[:at] + bytes(length) + data[at + length :]),
    "cut": lambda data, at, length: bytes(data[: at + length // 2]),
    "cut before": lambda data, at, length: bytes(data[:at]),
}


def _changed(data: bytearray, at: int, length: int, mask: int) -> bytes:
    for i in range(at, min(at + length, len(data))):
        data[i] ^= mask
    return bytes(data)


def damaged_cases() -> Iterator[Case]:
    """Files damaged in one strip or tile: refused, or as the other decoder reads them."""
    pixels = np.asarray(Image.fromarray(samples(3, 8)).resize((128, 96)))
    codecs = ("lzw", "deflate", "packbits", "jpeg", "zstd", "lzma", "webp", "lerc", "jpeg2000")
    for codec, tile, planar in itertools.product((None, *codecs), (None, (32, 32)), (1, 2)):
        strips = {"rowsperstrip": 24} if tile is None else {}
        options = {"photometric": "rgb", "compression": codec, "tile": tile, **strips}
        data = written(pixels, planarconfig=planar, **options)
        if data is not None:
            yield from _damaged(f"{codec} {tile} planes={planar}", data)
    for codec in ("group3", "group4", "tiff_ccitt"):
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] > 127).save(file, "TIFF", compression=codec)
        yield from _damaged(codec, file.getvalue())


def _damaged(name: str, data: bytes) -> Iterator[Case]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        lossy = page.compression == tifffile.COMPRESSION.JPEG
    for (i, (at, length)), (damage, change) in itertools.product(
        enumerate(segments), _DAMAGES.items()
    ):
        if i not in (0, len(segments) - 1, len(segments) // 2):
            continue
        changed = change(bytearray(data), at, length)
        stored = decoded(changed)
        if stored is not None:
            stored = stored.astype(np.float64) / (1.0 if stored.dtype == bool else 255.0)
        yield Case(
            name=f"damaged: {name} {damage} in {i}",
            data=changed,
            expected=stored,
            tolerance=2.0 / 255 if lossy else 1e-6,
            refusable=True,
        )


@dataclass
class Tally:
    """What became of the cases."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{self.counts[key]} {key}" for key in ("right", "refused", "wrong")]
        return f"{sum(self.counts.values())} cases: {', '.join(parts)}"

    def add(self, case: Case, path: Path) -> None:
        """Read one, and compare."""
        path.write_bytes(case.data)
        verdict, why = judged(case, path)
        self.counts[verdict] += 1
        if verdict == "wrong":
            self.wrong.append(f"{case.name}: {why}")


def judged(case: Case, path: Path) -> tuple[str, str]:
    """`right`, `refused` or `wrong`, and why."""
    try:
        reader = PictureReader(path)
        got = np.concatenate(list(reader.strips())).astype(np.float64)
    except VdsrError as error:
        text = str(error)
        if not any(word in text for word in _WORDS):
            return "wrong", f"refused without a reason: {text}"
        if case.expected is not None and not case.refusable:
            return "wrong", f"refused: {text}"
        return "refused", text
    if case.expected is None:
        return "wrong", "read, though the other decoder refuses it"
    got /= {"uint8": 255.0, "uint16": 65535.0}.get(reader.dtype, 1.0)
    if got.shape != case.expected.shape:
        return "wrong", f"shape {got.shape}, not {case.expected.shape}"
    difference = np.abs(got - case.expected).max()
    return ("right", "") if difference <= case.tolerance else ("wrong", f"differs by {difference}")


def all_cases(every: int = 1) -> Iterator[Case]:
    """The whole matrix, or a selection of its largest part."""
    yield from plain_cases(every)
    yield from color_cases()
    yield from codec_cases()
    yield from damaged_cases()


def main() -> int:
    """Run it all."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for case in all_cases(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
            tally.add(case, Path(folder) / "case.tif")
    for line in tally.wrong[:40]:
        print(line)
    print(tally)
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
