"""Files of every kind, enlarged and written in every format: nothing may be lost unsaid.

The network of these tests adds nothing, so that every result must be MATLAB's bicubic.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray

from picture_files import EXIF, GPS, palette_png, tiff_block, tiff_tags, xmp_properties
from vdsr import Upscaler
from vdsr.imaging.files import tiff_exif
from vdsr.imaging.files.xmp import NAMESPACE
from vdsr.imaging.resample import imresize

Pixels = NDArray[Any]

WIDTH, HEIGHT, SCALE = 41, 29, 2
DPI = 300.0
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
SUFFIXES |= {"gif": ".gif"}
LOSSLESS = ("png", "tiff", "webp")

TAGS: dict[int, Any] = {
    271: (2, b"Maker\0"),
    315: (2, "Zoë (and others)\0".encode()),
    33432: (2, b"(c) 2024 (someone, ASCII)\0"),
    EXIF: {
        33434: (5, (1, 60)),
        36867: (2, b"2024:05:06 07:08:09\0"),
        37380: (10, (-2, 3)),
        37500: (7, bytes(range(256))),
    },
    GPS: {1: (2, b"N\0"), 2: (5, (52, 1, 30, 1, 1234, 100)), 6: (5, (4321, 10))},
}
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:source>Archive &amp; attic</dc:source></rdf:Description>"
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()
IPTC = b"\x1c\x02\x00\x00\x02\x00\x04\x1c\x02\x78\x00\x0bA headline."


def scene(bands: int = 3, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """`[H, W, bands]` with edges and ramps; no channel is like another, nor like its mirror."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    disc = (x - 0.3) ** 2 + (y - 0.25) ** 2 < 0.03
    planes = [
        0.1 + 0.8 * x + 0.1 * disc,
        0.9 - 0.7 * y * x - 0.3 * disc,
        0.35 + 0.3 * np.sin(9 * y),
    ]
    alpha = np.clip(1.6 - 2.2 * np.hypot(x - 0.6, y - 0.3), 0.0, 1.0)
    chosen = {1: planes[:1], 2: [planes[0], alpha], 3: planes, 4: [*planes, alpha]}[bands]
    values = np.clip(np.stack(chosen, axis=-1), 0.0, 1.0)
    if dtype == "float32":
        return values.astype(np.float32)
    peak = np.iinfo(dtype).max
    return np.rint(values * peak).astype(dtype)


def steps(levels: int) -> Pixels:
    """Gray with so many evenly spaced levels, 0 and 255 among them."""
    return (np.rint(scene(1) / 255.0 * (levels - 1)) * (255 // (levels - 1))).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file.

    Attributes:
        name: of the file.
        pixels: `[H, W, bands]`, as they are stored.
        format: by the suffix, if None.
        save: options of the libvips encoder.
        data: the whole file, instead of one by libvips.
        space: libvips interpretation to convert `pixels` to before saving.
        icc: built-in profile of libvips, or `gray`.
        exif, xmp, iptc, text: whether the file has them.
        dpi: resolution; None for none.
        orientation: tag, 1..8.
        exact: whether the format keeps `pixels` as they are.
        bits: of each sample.
        notes: parts of what has to be said about reading it.
        targets: formats that it is written in.
    """

    name: str
    pixels: Pixels = field(default_factory=scene)
    format: str | None = None
    save: dict[str, Any] = field(default_factory=dict)
    data: bytes = b""
    space: str | None = None
    icc: str | None = None
    exif: bool = False
    xmp: bool = False
    iptc: bool = False
    text: bool = False
    dpi: float | None = None
    orientation: int = 1
    exact: bool = True
    bits: int | None = None
    notes: tuple[str, ...] = ()
    targets: tuple[str, ...] = tuple(SUFFIXES)

    @property
    def kind(self) -> str:
        suffix = Path(self.name).suffix
        return self.format or next(f for f, s in SUFFIXES.items() if s == suffix)


ALL: dict[str, Any] = {"exif": True, "xmp": True, "dpi": DPI, "icc": "p3"}
TILED: dict[str, Any] = {"tile": True, "tile_width": 16, "tile_height": 16}
LOSSY: dict[str, Any] = {"exact": False}
AV1: dict[str, Any] = {"compression": "av1", "Q": 95, "subsample_mode": "off"}
FROM_CMYK = ("CMYK was converted to sRGB through its ICC profile",)
OVERVIEWS = ("only the full-size picture is kept of 3",)
COLORS = np.array([[200, 30, 40], [20, 180, 60], [10, 40, 220], [250, 240, 230]], np.uint8)
INDICES = (np.indices((HEIGHT, WIDTH)).sum(axis=0) // 7 % 4).astype(np.uint8)
OPACITY = np.array([255, 128, 255, 64], np.uint8)
SEE_THROUGH = np.concatenate([COLORS, OPACITY[:, None]], axis=1)

CASES = [
    Case(name="gray-1-bit.png", pixels=steps(2), save={"bitdepth": 1}),
    Case(name="gray-2-bit.png", pixels=steps(4), save={"bitdepth": 2}),
    Case(name="gray-4-bit.png", pixels=steps(16), save={"bitdepth": 4}),
    Case(name="gray.png", pixels=scene(1), icc="gray", dpi=DPI),
    Case(name="gray-16.png", pixels=scene(1, "uint16"), exif=True),
    Case(name="gray-alpha.png", pixels=scene(2)),
    Case(name="gray-alpha-16.png", pixels=scene(2, "uint16")),
    Case(name="rgb.png", **ALL, text=True),
    Case(name="rgb-16.png", pixels=scene(3, "uint16"), **ALL),
    Case(name="rgba.png", pixels=scene(4), **ALL),
    Case(name="rgba-16.png", pixels=scene(4, "uint16"), xmp=True),
    Case(name="palette.png", pixels=COLORS[INDICES], data=palette_png(INDICES, COLORS)),
    Case(
        name="palette-2-bit.png",
        pixels=COLORS[INDICES],
        data=palette_png(INDICES, COLORS, depth=2),
    ),
    Case(
        name="palette-alpha.png",
        pixels=SEE_THROUGH[INDICES],
        data=palette_png(INDICES, COLORS, depth=4, alpha=OPACITY.tobytes()),
    ),
    Case(name="interlaced.png", save={"interlace": True}, orientation=6, exif=True),
    Case(name="one-pixel.png", pixels=scene(3, height=1, width=1)),
    Case(name="one-column.png", pixels=scene(3, height=17, width=1), dpi=72.0),
    Case(name="one-row.png", pixels=scene(4, height=1, width=23)),
    Case(name="a[1].png", xmp=True),
    Case(name="100% [page=1,access=random].tif", **ALL),
    Case(name='it\'s "quoted" & spaced.webp', save={"lossless": True}),
    Case(name="rgb.jpg", **ALL, **LOSSY, iptc=True),
    Case(name="ü ñ 画像.jpg", **ALL, **LOSSY),
    Case(name="gray.jpg", pixels=scene(1), **LOSSY, icc="gray", dpi=DPI),
    Case(name="progressive.jpg", **LOSSY, save={"interlace": True}, exif=True),
    Case(name="subsampled.jpg", **LOSSY, save={"subsample_mode": "on", "Q": 80}, xmp=True),
    Case(name="really-a-jpeg.png", format="jpeg", **ALL, **LOSSY),
    Case(name="cmyk.jpg", space="cmyk", **LOSSY, exif=True, xmp=True, dpi=DPI, notes=FROM_CMYK),
    *(
        Case(
            name=f"orientation-{n}.jpg",
            targets=tuple(SUFFIXES) if n == 6 else ("jpeg", "tiff"),
            orientation=n,
            exif=True,
            xmp=n == 6,
            dpi=DPI,
            **LOSSY,
        )
        for n in range(1, 9)
    ),
    Case(name="lossless.webp", save={"lossless": True}, **ALL),
    Case(name="lossy.webp", **LOSSY, save={"Q": 90}, exif=True),
    Case(name="alpha.webp", pixels=scene(4), save={"lossless": True, "exact": True}, xmp=True),
    Case(name="strips.tif", **ALL, iptc=True),
    Case(name="upright.tif", orientation=8, **ALL),
    Case(name="tiles.tif", save=TILED, dpi=150.0),
    Case(name="big.tif", save={"bigtiff": True, "compression": "deflate"}, **ALL),
    Case(name="lzw.tif", save={"compression": "lzw", "predictor": "horizontal"}, icc="srgb"),
    Case(name="packbits.tif", pixels=scene(1), save={"compression": "packbits"}, icc="gray"),
    Case(name="pyramid.tif", save={**TILED, "pyramid": True}, xmp=True, notes=OVERVIEWS),
    Case(
        name="pyramid-in-subdirectories.tif",
        save={**TILED, "pyramid": True, "subifd": True},
        notes=OVERVIEWS,
    ),
    Case(name="gray-1-bit.tif", pixels=steps(2), save={"bitdepth": 1, "compression": "ccittfax4"}),
    Case(name="gray-16.tif", pixels=scene(1, "uint16"), exif=True),
    Case(name="rgb-16.tif", pixels=scene(3, "uint16"), **ALL),
    Case(name="rgba-16.tif", pixels=scene(4, "uint16"), icc="srgb"),
    Case(name="gray-alpha.tif", pixels=scene(2)),
    Case(name="premultiplied.tif", pixels=scene(4), save={"premultiply": True}, **LOSSY),
    Case(name="float.tif", pixels=scene(3, "float32"), **ALL),
    Case(name="float-gray.tif", pixels=scene(1, "float32"), save={"compression": "deflate"}),
    Case(name="float-rgba.tif", pixels=scene(4, "float32")),
    Case(
        name="float-beyond.tif",
        pixels=scene(3, "float32") * np.float32(700.0) - np.float32(50.0),
        notes=("float samples were taken as",),
    ),
    Case(name="cmyk.tif", space="cmyk", **LOSSY, exif=True, notes=FROM_CMYK),
    Case(name="lab.tif", space="lab", **LOSSY, notes=("CIE color was converted",)),
    Case(name="8-bit.avif", save=AV1, **ALL, **LOSSY),
    Case(
        name="10-bit.avif",
        pixels=scene(3, "uint16"),
        save={**AV1, "bitdepth": 10},
        bits=10,
        exif=True,
        **LOSSY,
    ),
    Case(
        name="12-bit-alpha.avif",
        pixels=scene(4, "uint16"),
        save={**AV1, "bitdepth": 12},
        bits=12,
        **LOSSY,
    ),
    Case(name="still.gif", **LOSSY),
    Case(name="see-through.gif", pixels=scene(4), **LOSSY),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All the files, by name."""
    folder = tmp_path_factory.mktemp("inputs")
    return {case.name: make(case, folder) for case in CASES}


@pytest.fixture(scope="module")
def table() -> Iterator[dict[str, list[str]]]:
    """What was kept of each file; printed at the end (seen with `pytest -s`)."""
    rows: dict[str, list[str]] = {}
    yield rows
    width = max(map(len, rows), default=0)
    lines = [f"{name:{width}}  {'  '.join(row)}" for name, row in rows.items()]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


def make(case: Case, folder: Path) -> Path:
    path = folder / case.name
    if case.data:
        path.write_bytes(case.data)
        return path
    image = as_image(case.pixels)
    if case.space == "cmyk":
        image = image.icc_transform("cmyk", input_profile="srgb")
    elif case.space is not None:
        image = image.colourspace(case.space)
    image = with_metadata(image, case)
    codec = "heif" if case.kind == "avif" else case.kind
    getattr(image, f"{codec}save")(str(path), **case.save)
    if case.kind == "tiff" and case.exif:
        tiff_exif.write_exif(path, tiff_block(TAGS, ">"))
    return path


def as_image(pixels: Pixels) -> pyvips.Image:
    color = pixels.shape[2] > 2
    kinds = {"uint8": "srgb", "uint16": "rgb16", "float32": "scrgb"}
    gray = {"uint8": "b-w", "uint16": "grey16", "float32": "b-w"}
    name = pixels.dtype.name
    return pyvips.Image.new_from_array(
        np.ascontiguousarray(pixels), interpretation=(kinds if color else gray)[name]
    )


def with_metadata(image: pyvips.Image, case: Case) -> pyvips.Image:
    blob = pyvips.GValue.blob_type
    image = image.copy()
    if case.exif and case.kind != "tiff":
        image = with_exif(image)
    if case.dpi is not None:
        image = image.copy(xres=case.dpi / 25.4, yres=case.dpi / 25.4)
    if case.icc is not None:
        image.set_type(blob, "icc-profile-data", profile(case.icc))
    if case.xmp:
        image.set_type(blob, "xmp-data", XMP)
    if case.iptc:
        prefix = b"Photoshop 3.0\0" if case.kind == "jpeg" else b""
        name = "iptc-data" if case.kind == "jpeg" else "photoshop-data"
        image.set_type(blob, name, prefix + resource(0x0404, IPTC) + resource(0x0409, b"old"))
    if case.text:
        image.set_type(pyvips.GValue.gstr_type, "png-comment-0-Author", "Zoë")
    image.set_type(pyvips.GValue.gint_type, "orientation", case.orientation)
    return image


def with_exif(image: pyvips.Image) -> pyvips.Image:
    """libvips writes the EXIF that it has read; so let it read some."""
    jpeg = image[0].cast("uchar").jpegsave_buffer(keep="none")
    block = b"Exif\0\0" + tiff_block(TAGS)
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    read = pyvips.Image.new_from_buffer(jpeg[:2] + segment + jpeg[2:], "")
    for name in read.get_fields():
        if name.startswith("exif-"):
            image.set_type(read.get_typeof(name), name, read.get(name))
    return image


def resource(number: int, data: bytes) -> bytes:
    head = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big")
    return head + data + b"\0" * (len(data) % 2)


def profile(name: str) -> bytes:
    if name != "gray":
        return bytes(pyvips.Image.profile_load(name))
    # One that says that it is for gray is all that is needed.
    rgb = bytearray(profile("srgb"))
    rgb[16:20] = b"GRAY"
    return bytes(rgb)


def stored(path: Path, case: Case) -> Pixels:
    """What the file holds, upright, as this test understands it."""
    pixels = case.pixels
    if case.save.get("premultiply"):  # libvips cuts off what it divides
        pixels = tifffile.imread(path)
        alpha = np.maximum(pixels[..., 3:].astype(int), 1)
        colors = np.rint((pixels[..., :3].astype(int) * 255 / alpha).clip(0, 255))
        pixels = np.concatenate([colors, pixels[..., 3:]], axis=2).astype(np.uint8)
    elif not case.exact:
        image = pyvips.Image.new_from_buffer(path.read_bytes(), "")
        if case.space == "cmyk":
            image = image.icc_transform("srgb", embedded=True)
        elif case.space is not None:
            image = image.colourspace("rgb16")
        pixels = np.atleast_3d(image.numpy())
        if case.bits is not None:
            peak = (1 << case.bits) - 1
            pixels = np.rint((pixels >> (16 - case.bits)) * (65535 / peak)).astype(np.uint16)
    return turned(pixels, case.orientation)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """The picture that EXIF's orientation tag means (Exif 3.0, 4.6.5.1.6)."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, 1),
    }[orientation](pixels)


def bicubic(pixels: Pixels) -> Pixels:
    """float64 `[H, W, bands]`, 0..1 (floats as they are), alpha respected."""
    whole = pixels.dtype != np.float32
    planes = pixels.transpose(2, 0, 1) / (np.iinfo(pixels.dtype).max if whole else 1.0)
    planes = planes.astype(np.float64)
    if pixels.shape[2] in (2, 4):
        large = imresize(np.concatenate([planes[:-1] * planes[-1], planes[-1:]]), scale=SCALE)
        with np.errstate(invalid="ignore", divide="ignore"):
            large[:-1] = np.nan_to_num(large[:-1] / large[-1])
        large[:-1] = large[:-1].clip(0.0, 1.0)
    else:
        large = imresize(planes, scale=SCALE)
    low, high = (0.0, 1.0) if whole else (min(0.0, planes.min()), max(1.0, planes.max()))
    return large.clip(low, high).transpose(1, 2, 0)


def check_pixels(case: Case, pixels: Pixels, target: str, result: pyvips.Image) -> None:
    expected = bicubic(pixels)
    got = np.atleast_3d(result.numpy())
    if pixels.dtype == np.float32 and target != "tiff":  # black and white are what was found
        low, high = min(0.0, float(pixels.min())), max(1.0, float(pixels.max()))
        alpha = pixels.shape[2] in (2, 4)
        colors = expected[..., :-1] if alpha else expected
        colors -= low
        colors /= high - low
    alpha = pixels.shape[2] in (2, 4)
    visible = np.ones(expected.shape[:2], bool)
    if alpha and target == "jpeg":
        opacity = expected[..., -1:]
        expected = expected[..., :-1] * opacity + 1.0 - opacity
    elif alpha:
        visible = expected[..., -1] > (0.6 if target == "gif" else 0.1)
    if expected.shape[2] < 3 and target in ("webp", "avif", "gif"):
        expected = np.concatenate([expected[..., :1].repeat(3, 2), expected[..., 1:]], axis=2)
    if target == "gif":  # its alpha is only whether there is something
        expected, got = expected[..., :3], got[..., :3]
    assert got.shape == expected.shape
    peak = 1.0 if got.dtype == np.float32 else float(np.iinfo(got.dtype).max)
    difference = np.abs(got.astype(np.float64) - expected * peak)[visible]
    if got.dtype == np.float32:
        assert difference.max() <= 2e-6 * max(1.0, np.abs(expected).max())
    elif target in LOSSLESS:
        # Half a step, and what float32 is wrong by; a whole one if rounded twice.
        twice = pixels.dtype not in (got.dtype, np.float32)
        slack = 0.51 if twice else 0.002 * max(1.0, peak / 4096)
        assert difference.max() <= 0.5 + slack * (30 if alpha and not twice else 1)
    else:
        assert difference.mean() <= (0.03 if target == "gif" else 0.012) * peak


def expected_notes(case: Case, target: str) -> list[str]:
    pixels, notes = case.pixels, list(case.notes)
    bands = pixels.shape[2]
    dtype = "uint16" if case.space == "lab" else pixels.dtype.name
    most = {"png": 16, "tiff": 32, "avif": 12}.get(target, 8)
    if (case.bits or {"uint8": 8, "uint16": 16, "float32": 32}[dtype]) > most:
        notes.append(f"{target} holds {most} bits at most: the {dtype} samples were rounded")
    if target == "gif":
        return [*notes, "gif holds neither profile nor EXIF", "gif holds 256 colors"]
    if bands in (2, 4) and target == "jpeg":
        notes.append("jpeg holds no alpha: the picture was laid on white")
    if case.icc == "gray" and target in ("webp", "avif"):
        notes.append("its ICC profile is not for a RGB picture")
    if case.text and target != "png":
        notes.append(f"{target} holds no PNG texts")
    if case.iptc and target not in ("jpeg", "tiff"):
        notes.append(f"{target} holds no IPTC")
    return notes


def check_metadata(case: Case, target: str, path: Path, result: pyvips.Image) -> list[str]:
    """What was kept, in words."""
    kept = []
    fields = set(result.get_fields())
    if case.icc is not None and not (case.icc == "gray" and target in ("webp", "avif")):
        assert bytes(result.get("icc-profile-data")) == profile(case.icc)
        kept.append("ICC")
    elif case.space == "cmyk":
        assert bytes(result.get("icc-profile-data"))[16:20] == b"RGB "
    else:
        assert "icc-profile-data" not in fields
    tags = exif_of(path, target, result)
    assert tags.get(274, (1,)) == (1,)
    assert "orientation" not in fields or result.get("orientation") == 1
    if case.exif:
        for tag in (271, 315, 33432):
            assert tags[tag] == TAGS[tag][1]
        for group in (EXIF, GPS):
            assert {t: tags[group][t] for t in TAGS[group]} == values(TAGS[group])
        kept.append("EXIF")
    properties = xmp_properties(bytes(result.get("xmp-data")))
    check_provenance(properties)
    if case.xmp:
        assert properties["{http://ns.adobe.com/xap/1.0/}Rating"] == "4"
        assert properties["{http://purl.org/dc/elements/1.1/}source"] == "Archive & attic"
        assert properties["{http://ns.adobe.com/tiff/1.0/}Orientation"] == "1"
        kept.append("XMP")
    if case.dpi is not None:
        resolution = result.xres * 25.4
        if target in ("webp", "avif"):
            resolution = tags[282][0] / tags[282][1] * (2.54 if tags[296] == (3,) else 1.0)
        assert resolution == pytest.approx(case.dpi, rel=1e-3)
        kept.append("dpi")
    if case.text and target == "png":
        assert any(result.get(f) == "Zoë" for f in fields if f.startswith("png-comment-"))
        kept.append("text")
    if case.iptc and target in ("jpeg", "tiff"):
        name = "iptc-data" if target == "jpeg" else "photoshop-data"
        prefix = b"Photoshop 3.0\0" if target == "jpeg" else b""
        assert bytes(result.get(name)) == prefix + resource(0x0404, IPTC)
        kept.append("IPTC")
    return kept


def values(tree: dict[int, Any]) -> dict[int, Any]:
    return {tag: item[1] for tag, item in tree.items()}


def exif_of(path: Path, target: str, result: pyvips.Image) -> dict[int, Any]:
    if target == "tiff":
        return tiff_tags(path.read_bytes())
    if not result.get_typeof("exif-data"):
        return {}
    return tiff_tags(bytes(result.get("exif-data")).removeprefix(b"Exif\0\0"))


def check_provenance(properties: dict[str, str]) -> None:
    ours = {k.removeprefix(f"{{{NAMESPACE}}}"): v for k, v in properties.items() if NAMESPACE in k}
    how = {"Program", "Model", "ModelDigest", "Precision", "Backend"}
    assert set(ours) == {*how, "Scale", "Target", "SourceDigest"}
    assert ours["Program"].startswith("vdsr ")
    assert ours["Model"] == "zero 0"
    for digest in ("ModelDigest", "SourceDigest"):
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", ours[digest])
    assert (ours["Scale"], ours["Precision"]) == (str(SCALE), "fp32")


@pytest.mark.parametrize(
    ("case", "target"),
    [
        pytest.param(case, target, id=f"{case.name}-{target}")
        for case in CASES
        for target in case.targets
    ],
)
def test_nothing_is_lost_unsaid(
    case: Case,
    target: str,
    upscaler: Upscaler,
    inputs: dict[str, Path],
    table: dict[str, list[str]],
    tmp_path: Path,
) -> None:
    path = inputs[case.name]
    before = path.read_bytes()
    goal = tmp_path / (Path(case.name).stem + SUFFIXES[target])
    result = upscaler.upscale(path, goal, scale=SCALE)

    pixels = stored(path, case)
    assert (result.height, result.width) == (SCALE * pixels.shape[0], SCALE * pixels.shape[1])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [goal.name]
    # Not by name, for which libvips might answer from its cache.
    image = pyvips.Image.new_from_buffer(goal.read_bytes(), "")
    check_pixels(case, pixels, target, image)
    notes = expected_notes(case, target)
    assert len(result.notices) == len(notes), result.notices
    for note in notes:
        assert any(note in notice for notice in result.notices), result.notices
    kept = [] if target == "gif" else check_metadata(case, target, goal, image)
    if target == case.kind:
        size = f"{image.width}x{image.height}x{image.bands} {image.format}"
        table[case.name] = [f"{case.kind:5}{size:20}", " ".join(kept)]
