"""Formats that libvips does not read: right samples, damage told, other files called by name."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from picture_files import png_chunk, png_file
from vdsr.errors import InputError
from vdsr.imaging.files import PictureReader, whole
from vdsr.imaging.files.signatures import describe

Pixels = NDArray[Any]
DEEP = (np.arange(23 * 31 * 3).reshape(23, 31, 3) * 31 % 65536).astype(np.uint16)
RGB = (DEEP >> 8).astype(np.uint8)
GRAY = np.ascontiguousarray(RGB[..., :1])
RGBA = np.dstack([RGB, 255 - GRAY])
FLOATS = (RGB / 255).astype(np.float32)
BITS = GRAY[..., 0] > 127


def by_pillow(pixels: Pixels, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(flat).save(file, format, **options)
    return file.getvalue()


def anymap(head: str, data: bytes) -> bytes:
    return head.replace("SIZE", "31 23").encode() + data


def psd(pixels: Pixels, mode: int, *, rle: bool = False, layers: bytes = bytes(4)) -> bytes:
    planes = np.moveaxis(pixels, 2, 0).astype(pixels.dtype.newbyteorder(">"))
    depth = 8 * pixels.dtype.itemsize
    shape = struct.pack(">HIIHH", len(planes), 23, 31, depth, mode)
    data = planes.tobytes()
    if rle:
        rows = [imagecodecs.packbits_encode(r.tobytes()) for plane in planes for r in plane]
        data = struct.pack(f">{len(rows)}H", *map(len, rows)) + b"".join(rows)
    dpi = struct.pack(">IHHIHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
    resources = b"8BIM" + struct.pack(">HHI", 1005, 0, len(dpi)) + dpi
    sections = bytes(4) + struct.pack(">I", len(resources)) + resources + layers
    return b"8BPS\0\1" + bytes(6) + shape + sections + struct.pack(">H", rle) + data


def heic(pixels: Pixels, folder: Path) -> bytes:
    mode = "RGB;16" if pixels.dtype == np.uint16 else "RGBA" if pixels.shape[2] == 4 else "RGB"
    path = folder / "made.heic"
    image = pillow_heif.from_bytes(mode=mode, size=(31, 23), data=pixels.tobytes())
    image.save(path, quality=-1, chroma=444)
    return path.read_bytes()


GOOD: dict[str, tuple[bytes, Pixels]] = {
    "gray.bmp": (by_pillow(GRAY, "BMP"), GRAY),
    "rgb.bmp": (by_pillow(RGB, "BMP"), RGB),
    "bits.bmp": (by_pillow(BITS[..., None], "BMP"), BITS[..., None] * np.uint8(255)),
    "gray.tga": (by_pillow(GRAY, "TGA"), GRAY),
    "rgba.tga": (by_pillow(RGBA, "TGA", compression="tga_rle"), RGBA),
    "a.pgm": (anymap("P5 SIZE 255\n", GRAY.tobytes()), GRAY),
    "comment.ppm": (anymap("P6\n# text\nSIZE\n255\n", RGB.tobytes()), RGB),
    "deep.ppm": (anymap("P6 SIZE 65535 ", DEEP.astype(">u2").tobytes()), DEEP),
    "text.ppm": (anymap("P3 SIZE 255\n", " ".join(map(str, RGB.ravel())).encode()), RGB),
    "bits.pbm": (anymap("P4 SIZE\n", np.packbits(BITS, 1).tobytes()), ~BITS[..., None] * 255),
    "digits.pbm": (
        anymap("P1 SIZE\n", "".join("01"[int(x)] for x in BITS.ravel()).encode()),
        ~BITS[..., None] * 255,
    ),
    "hundred.pgm": (
        anymap("P5 SIZE 100\n", (GRAY % 101).tobytes()),
        np.rint((GRAY % 101) * 2.55),
    ),
    "little.pfm": (anymap("PF\nSIZE\n-1.0\n", FLOATS[::-1].tobytes()), FLOATS),
    "big.pfm": (
        anymap("Pf\nSIZE\n1.0\n", FLOATS[::-1, :, :1].astype(">f4").tobytes()),
        FLOATS[..., :1],
    ),
    "a.pam": (
        b"P7\nWIDTH 31\nHEIGHT 23\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
        + RGBA.tobytes(),
        RGBA,
    ),
    "rgb.psd": (psd(RGB, 3), RGB),
    "packed.psd": (psd(DEEP, 3, rle=True), DEEP),
    "gray.psd": (psd(GRAY, 1), GRAY),
    "float.psd": (psd(FLOATS, 3), FLOATS),
    "selection.psd": (psd(RGBA, 3), RGB),
    **{
        f"{name}.{kind}": (
            imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat=kind),
            pixels,
        )
        for name, pixels in (("gray", GRAY), ("rgb", RGB), ("rgba", RGBA), ("deep", DEEP))
        for kind in ("jp2", "j2k")
    },
    "twelve.jp2": (
        imagecodecs.jpeg2k_encode(DEEP >> 4, level=0, reversible=True, bitspersample=12),
        np.rint((DEEP >> 4) * (65535 / 4095)),
    ),
    **{
        f"{name}.jxl": (imagecodecs.jpegxl_encode(pixels, lossless=True), pixels)
        for name, pixels in (("gray", GRAY), ("rgb", RGB), ("rgba", RGBA), ("deep", DEEP))
    },
}


def read(path: Path) -> tuple[PictureReader, Pixels]:
    reader = PictureReader(path)
    return reader, np.concatenate(list(reader.strips()))


@pytest.mark.parametrize("name", GOOD)
def test_samples(tmp_path: Path, name: str) -> None:
    data, expected = GOOD[name]
    (tmp_path / name).write_bytes(data)
    reader, pixels = read(tmp_path / name)
    assert pixels.shape == expected.shape
    np.testing.assert_array_equal(pixels, expected)
    assert reader.has_alpha == (expected.shape[2] == 4)
    left, top, width, height = 3, 5, 11, 7
    part = reader.crop(left, top, width, height)
    np.testing.assert_array_equal(part, expected[top : top + height, left : left + width])


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_short(tmp_path: Path, name: str, share: float) -> None:
    data = GOOD[name][0]
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"damaged|cut short"):
        read(tmp_path / name)


@pytest.mark.parametrize(("pixels", "bits"), [(RGB, 8), (RGBA, 8), (DEEP, 10)])
def test_heic(tmp_path: Path, pixels: Pixels, bits: int) -> None:
    data = heic(pixels, tmp_path)
    (tmp_path / "a.heic").write_bytes(data)
    reader, got = read(tmp_path / "a.heic")
    assert (got.shape, got.dtype, reader.bits) == (pixels.shape, pixels.dtype, bits)
    step = 1 if bits == 8 else 65535 // 1023
    assert np.abs(got.astype(int) - pixels).max() <= 2 * step
    (tmp_path / "cut.heic").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged, cut short"):
        read(tmp_path / "cut.heic")


def test_cmyk_and_lab_of_photoshop(tmp_path: Path) -> None:
    white = np.full((23, 31, 4), 255, np.uint8)
    (tmp_path / "cmyk.psd").write_bytes(psd(white, 4))  # no ink at all
    reader, got = read(tmp_path / "cmyk.psd")
    assert got.shape == (23, 31, 3)
    assert got.min() >= 253
    assert "CMYK was converted" in reader.notices[0]
    gray = np.full((23, 31, 3), 128, np.uint8)
    (tmp_path / "lab.psd").write_bytes(psd(gray, 9))
    _, got = read(tmp_path / "lab.psd")
    assert np.ptp(got.reshape(-1, 3)[0].astype(int)) < 100
    assert abs(int(got[0, 0, 0]) / 65535 - 0.467) < 0.005  # L* 50.2


def test_resolution_of_what_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(by_pillow(RGB, "BMP", dpi=(300, 150)))
    header = PictureReader(tmp_path / "a.bmp").header
    assert (round(header.xres * 25.4), round(header.yres * 25.4)) == (300, 150)
    (tmp_path / "a.psd").write_bytes(psd(RGB, 3))
    assert round(PictureReader(tmp_path / "a.psd").header.xres * 25.4) == 300


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("huge.pgm", b"P5 60000 60000 255\n" + bytes(100), "are there"),
        ("huge.psd", psd(GRAY, 1).replace(struct.pack(">II", 23, 31), b"\0\0\xea\x60" * 2), "hold"),
        ("no-number.ppm", b"P6 31 x 255\n", "where a number belongs"),
        ("too-light.pgm", anymap("P5 SIZE 99\n", GRAY.tobytes()), "larger than the highest"),
        ("cmyk.pam", b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 1\nTUPLTYPE CMYK\nENDHDR\n", "CMYK"),
        ("zero.ppm", b"P6 0 9 255\n", "0x9 px"),
    ],
)
def test_bad_headers(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["rgb.jp2", "rgb.jxl", "rgb.psd", "a.heic"])
def test_without_the_extra(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(RGB, tmp_path) if name == "a.heic" else GOOD[name][0]
    (tmp_path / name).write_bytes(data)

    def missing(module: str) -> None:
        raise ImportError(module)

    monkeypatch.setattr(whole.importlib, "import_module", missing)
    with pytest.raises(
        InputError, match=r"needs the extra 'formats': pip install 'vdsr\[formats\]'"
    ):
        read(tmp_path / name)


def test_what_other_files_are_called() -> None:
    samples = {
        bytes(128) + b"DICM": "a DICOM file",
        b"%PDF-1.7\n": "a PDF document",
        b"SIMPLE  =                    T": "a FITS file",
        b"\x76\x2f\x31\x01\x02": "an OpenEXR picture",
        b"\0\0\0\x18ftypcrx \0\0\0\1": "a raw photograph (Canon CR3)",
        b"\0\0\0\x18ftypisom\0\0\0\1": "an MP4 or QuickTime film",
        b"PK\x03\x04": "a ZIP archive, or a document in one",
        b"<?xml version='1.0'?><svg/>": "an SVG drawing",
        b"<!DOCTYPE html>": "an HTML page",
        b"hello, world": "a text",
        b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer",
    }
    for data, what in samples.items():
        assert (describe(data) or "").startswith(what)
    assert describe(b"\0\xff\x11\x22") is None


END = png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data, None),
        (lambda data: data[: -len(END)], "its end is missing"),
        (lambda data: data[:-1] + b"\0", "IEND at byte"),
        (lambda data: data[: -len(END)] + b"\0\0\0\4tEXtA\0bc" + bytes(4) + END, "tEXt at byte"),
        (lambda data: data[: -len(END)] + b"\0\0\1\0tEXtA", "cut short, at byte"),
        (lambda data: data + b"something else", None),
    ],
)
def test_a_png_that_is_damaged_behind_its_pixels(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(change(png_file(31, 23, RGB.tobytes())))
    reader, pixels = read(path)
    np.testing.assert_array_equal(pixels, RGB)
    assert [said in notice for notice in reader.notices] == ([] if said is None else [True])
