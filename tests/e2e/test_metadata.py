"""Each kind of metadata, from each format that holds it, into each format: kept, or said.

The files are made and read here without the code that is tested: by Pillow, zlib and struct.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from picture_files import png_chunk, tiff_block, tiff_tags, xmp_properties
from vdsr import Upscaler

HEIGHT, WIDTH, SCALE = 20, 30, 2
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="Attic" %s'
    ' tiff:ImageWidth="30" exif:PixelYDimension="20"/></rdf:RDF></x:xmpmeta>'
)
EXIF_DIRECTORY, GPS = 34665, 34853
MAKER_NOTE = bytes(range(256))
THUMBNAIL = b"\xff\xd8" + b"thumbnail" * 9
IPTC = b"\x1c\x02\x05\0\x05Title"
RESOURCES = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EPSG = (3, (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, 32633))


def exif_block(order: str = "<", orientation: int = 1) -> bytes:
    tree: dict[int, Any] = {
        271: (2, b"Maker\0"),
        274: (3, (orientation,)),
        282: (5, (300, 1)),
        283: (5, (300, 1)),
        296: (3, (2,)),
        315: (2, b"J\xf6rg\0"),
        316: (2, b"Phone 14\0"),
        50708: (2, b"Camera X\0"),
        EXIF_DIRECTORY: {
            33434: (5, (1, 60)),
            37500: (7, MAKER_NOTE),
            40962: (3, (WIDTH,)),
            40963: (4, (HEIGHT,)),
            59000: (2, b"unknown\0"),
        },
        GPS: {1: (2, b"N\0"), 2: (5, (52, 1, 30, 1, 0, 1))},
    }
    if not orientation:
        del tree[274]
    return tiff_block(tree, order)


def rgb(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 9 % 256, columns * 7 % 256, (rows + columns) % 256], 2).astype(np.uint8)


def make(format: str, **carried: Any) -> bytes:
    """A picture by Pillow; `carried` are its options."""
    buffer = io.BytesIO()
    options = {"webp": {"lossless": True}, "avif": {"quality": 95}}.get(format, {})
    Image.fromarray(rgb()).save(buffer, format.upper(), **{**options, **carried})
    return buffer.getvalue()


def with_exif(format: str, block: bytes) -> bytes:
    if format == "tiff":
        tree = tiff_tags(block)
        kinds = {271: 2, 274: 3, 282: 5, 283: 5, 296: 3, 315: 2, 316: 2, 50708: 2}
        tags = {tag: (kind, tree[tag]) for tag, kind in kinds.items() if tag in tree}
        exif = {33434: (5, (1, 60)), 37500: (7, MAKER_NOTE), 40962: (3, (WIDTH,))}
        exif |= {40963: (4, (HEIGHT,)), 59000: (2, b"unknown\0")}
        tags |= {EXIF_DIRECTORY: exif, GPS: {1: (2, b"N\0"), 2: (5, (52, 1, 30, 1, 0, 1))}}
        return tiff(tags)
    return make(format, exif=b"Exif\0\0" + block if format != "png" else block)


def tiff(
    tags: dict[int, Any],
    order: str = "<",
    big: bool = False,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> bytes:
    pixels = rgb(*size)[..., 0].tobytes()
    tree = {
        256: (3, (size[1],)),
        257: (3, (size[0],)),
        258: (3, (8,)),
        259: (3, (1,)),
        262: (3, (1,)),
        273: (4, (16 if big else 8,)),
        277: (3, (1,)),
        278: (3, (size[0],)),
        279: (4, (len(pixels),)),
    }
    return tiff_block({**tree, **tags}, order, big=big, pixels=pixels)


def png(*chunks: tuple[bytes, bytes], after: bool = False) -> bytes:
    data = make("png")
    extra = b"".join(png_chunk(kind, content) for kind, content in chunks)
    at = len(data) - 12 if after else 33
    return data[:at] + extra + data[at:]


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(data) + 2).to_bytes(2, "big") + data


def jpeg(*segments: bytes) -> bytes:
    data = make("jpeg")
    return data[:2] + b"".join(segments) + data[2:]


def enlarged(
    upscaler: Upscaler, folder: Path, source: str, data: bytes, goal: str
) -> tuple[bytes, tuple[str, ...]]:
    path = folder / f"in{SUFFIXES.get(source, source)}"
    path.write_bytes(data)
    out = folder / f"out{SUFFIXES.get(goal, goal)}"
    result = upscaler.upscale(path, out, scale=SCALE, overwrite=True)
    return out.read_bytes(), result.notices


def exif_of(format: str, data: bytes) -> dict[int, Any]:
    """The tags of a file; of TIFF all of its first directory."""
    if format == "tiff":
        return tiff_tags(data)
    block = Image.open(io.BytesIO(data)).info.get("exif", b"")
    return tiff_tags(block.removeprefix(b"Exif\0\0")) if block else {}


def xmp_of(format: str, data: bytes) -> bytes:
    if format == "tiff":
        return bytes(tiff_tags(data)[700])
    found = re.search(rb"<x:xmpmeta.*?</x:xmpmeta>", data, re.DOTALL)
    assert found is not None
    return found[0]


def dpi_of(format: str, data: bytes) -> tuple[float, float] | None:
    if format in ("webp", "avif"):
        tags = exif_of(format, data)
        if 282 not in tags:
            return None
        factor = 2.54 if tags[296] == (3,) else 1.0
        return tuple(tags[tag][0] / tags[tag][1] * factor for tag in (282, 283))  # type: ignore[return-value]
    if format == "tiff":
        tags = tiff_tags(data)
        if 282 not in tags:
            return None
        factor = 2.54 if tags[296] == (3,) else 1.0
        return tuple(tags[tag][0] / tags[tag][1] * factor for tag in (282, 283))  # type: ignore[return-value]
    info = Image.open(io.BytesIO(data)).info
    if format == "jpeg":  # for which Pillow makes up 72 dpi where there is EXIF
        factor = {0: 0.0, 1: 1.0, 2: 2.54}[info["jfif_unit"]]
        info["dpi"] = tuple(factor * x for x in info["jfif_density"])
    found = info.get("dpi")
    return (float(found[0]), float(found[1])) if found and found[0] else None


every_pair = pytest.mark.parametrize(
    ("source", "goal"),
    [pytest.param(a, b, id=f"{a}-to-{b}") for a in SUFFIXES for b in SUFFIXES],
)
every_goal = pytest.mark.parametrize("goal", SUFFIXES)


@every_pair
def test_nothing_is_made_up(upscaler: Upscaler, tmp_path: Path, source: str, goal: str) -> None:
    data = tiff({}) if source == "tiff" else make(source)
    if source == "jpeg":  # Pillow writes no density, but a unit of none
        assert dpi_of(source, data) is None
    written, notices = enlarged(upscaler, tmp_path, source, data, goal)
    assert notices == ()
    assert dpi_of(goal, written) is None
    if goal == "tiff":
        assert not {271, 282, 283, 296, 305, EXIF_DIRECTORY, 34675} & tiff_tags(written).keys()
    else:
        assert exif_of(goal, written) == {}
        assert "icc_profile" not in Image.open(io.BytesIO(written)).info


@pytest.mark.parametrize("order", ["<", ">"])
@every_pair
def test_exif(upscaler: Upscaler, tmp_path: Path, source: str, goal: str, order: str) -> None:
    block = exif_block(order, orientation=6 if source != "avif" else 0)
    data = with_exif(source, block)
    written, notices = enlarged(upscaler, tmp_path, source, data, goal)
    assert notices == ()
    image = Image.open(io.BytesIO(written))
    turned = source != "avif"
    size = (SCALE * HEIGHT, SCALE * WIDTH) if turned else (SCALE * WIDTH, SCALE * HEIGHT)
    assert image.size == size
    tags = exif_of(goal, written)
    assert (tags[271], tags[315]) == (b"Maker\0", b"J\xf6rg\0")
    assert (tags[316], tags[50708]) == (b"Phone 14\0", b"Camera X\0")
    assert tags.get(274, (1,)) == (1,)
    inner = tags[EXIF_DIRECTORY]
    assert inner[37500] == MAKER_NOTE
    assert inner[33434] == (1, 60)
    assert inner[59000] == b"unknown\0"
    assert (inner[40962], inner[40963]) == ((size[0],), (size[1],))
    assert tags[GPS][1] == b"N\0"
    assert dpi_of(goal, written) == pytest.approx((300.0, 300.0), rel=1e-3)


@every_goal
def test_maker_notes_keep_their_place(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    block = exif_block(orientation=3)
    written, _ = enlarged(upscaler, tmp_path, "jpeg", with_exif("jpeg", block), goal)
    if goal != "tiff":
        found = Image.open(io.BytesIO(written)).info["exif"].removeprefix(b"Exif\0\0")
        assert found.index(MAKER_NOTE) == block.index(MAKER_NOTE)


@pytest.mark.parametrize("at_end", [True, False])
def test_thumbnails_go(upscaler: Upscaler, tmp_path: Path, at_end: bool) -> None:
    block = bytearray(exif_block())
    count = int.from_bytes(block[8:10], "little")
    following = len(block) + len(block) % 2
    block[10 + 12 * count : 14 + 12 * count] = following.to_bytes(4, "little")
    block += bytes(following - len(block))
    place = following + 2 + 24 + 4
    entries = struct.pack("<HHII", 513, 4, 1, place)
    entries += struct.pack("<HHII", 514, 4, 1, len(THUMBNAIL))
    block += struct.pack("<H", 2) + entries + bytes(4) + THUMBNAIL
    block += b"" if at_end else b"more"
    data = jpeg(segment(0xE1, b"Exif\0\0" + bytes(block)))
    written, notices = enlarged(upscaler, tmp_path, "jpeg", data, "jpeg")
    assert notices == ()
    assert b"thumbnail" not in written
    assert exif_of("jpeg", written)[271] == b"Maker\0"


@every_pair
def test_xmp(upscaler: Upscaler, tmp_path: Path, source: str, goal: str) -> None:
    packet = (XMP % 'tiff:Orientation="6"').encode()
    if source == "avif":  # whose decoder turns by itself
        packet = (XMP % "").encode()
    if source == "tiff":
        data = tiff({700: (1, tuple(packet))})
    elif source == "png":
        data = png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    else:
        data = make(source, xmp=packet)
    written, notices = enlarged(upscaler, tmp_path, source, data, goal)
    assert notices == ()
    size = (SCALE * HEIGHT, SCALE * WIDTH) if source != "avif" else (SCALE * WIDTH, SCALE * HEIGHT)
    assert Image.open(io.BytesIO(written)).size == size
    properties = xmp_properties(xmp_of(goal, written))
    assert properties["{http://purl.org/dc/elements/1.1/}source"] == "Attic"
    assert properties.get("{http://ns.adobe.com/tiff/1.0/}Orientation", "1") == "1"
    assert properties["{http://ns.adobe.com/tiff/1.0/}ImageWidth"] == str(size[0])
    assert properties["{http://ns.adobe.com/exif/1.0/}PixelYDimension"] == str(size[1])


@pytest.mark.parametrize("own", [1, 8])
def test_the_files_own_orientation_counts_more(
    upscaler: Upscaler, tmp_path: Path, own: int
) -> None:
    packet = (XMP % 'tiff:Orientation="3"').encode()
    data = make("jpeg", xmp=packet, exif=b"Exif\0\0" + exif_block(orientation=own))
    written, _ = enlarged(upscaler, tmp_path, "jpeg", data, "png")
    pixels = np.asarray(Image.open(io.BytesIO(written)))
    assert pixels.shape[:2] == ((40, 60) if own == 1 else (60, 40))
    if own == 1:  # not upside down
        assert pixels[-1, :, 0].mean() > pixels[0, :, 0].mean()


@every_goal
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("where", ["eXIf", "exif", "APP1"])
def test_exif_of_png_wherever_it_stands(
    upscaler: Upscaler, tmp_path: Path, goal: str, after: bool, where: str
) -> None:
    block = exif_block(orientation=6)
    chunk = (b"eXIf", block)
    if where != "eXIf":
        digits = (b"Exif\0\0" + block).hex().encode()
        lines = b"\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
        text = b"\n%s\n%8d\n%s\n" % (where.encode(), len(block) + 6, lines)
        name = b"Raw profile type " + where.encode()
        chunk = (b"zTXt", name + b"\0\0" + zlib.compress(text))
    written, notices = enlarged(upscaler, tmp_path, "png", png(chunk, after=after), goal)
    assert notices == ()
    assert Image.open(io.BytesIO(written)).size == (SCALE * HEIGHT, SCALE * WIDTH)
    assert exif_of(goal, written)[271] == b"Maker\0"
    assert b"Raw profile" not in written


@every_goal
def test_other_raw_profiles_of_png(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    packet = (XMP % "").encode()
    chunks = []
    for name, data in ((b"xmp", packet), (b"iptc", RESOURCES)):
        text = b"\n%s\n%8d\n%s\n" % (name, len(data), data.hex().encode())
        chunks.append((b"tEXt", b"Raw profile type " + name + b"\0" + text))
    written, notices = enlarged(upscaler, tmp_path, "png", png(*chunks), goal)
    assert xmp_properties(xmp_of(goal, written))["{http://purl.org/dc/elements/1.1/}source"]
    if goal in ("jpeg", "tiff"):
        assert RESOURCES in written
        assert notices == ()
    else:
        assert notices == (f"{goal} holds no IPTC: it was left out",)


@every_goal
def test_texts_of_png(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    chunks = [
        (b"tEXt", "L\xe9gende\0ici".encode("latin-1")),
        (b"tEXt", "\xdcberschrift\0K\xf6ln".encode("latin-1")),
        (b"iTXt", b"Title\0\0\0\0\0" + "Übung".encode()),
    ]
    for after in (False, True):
        written, notices = enlarged(upscaler, tmp_path, "png", png(*chunks, after=after), goal)
        if goal == "png":
            assert all(png_chunk(*chunk) in written for chunk in chunks)
            assert notices == ()
        else:
            assert notices == (f"{goal} holds no PNG texts: they were left out",)


@every_goal
def test_comments_of_jpeg(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    data = jpeg(segment(0xFE, b"Scanned, box 7"), segment(0xFE, "Köln".encode()))
    written, notices = enlarged(upscaler, tmp_path, "jpeg", data, goal)
    if goal == "jpeg":
        assert segment(0xFE, b"Scanned, box 7") + segment(0xFE, "Köln".encode()) in written
    elif goal == "png":
        image = Image.open(io.BytesIO(written))
        image.load()
        assert image.info["Comment"] == "Köln"
        assert b"Scanned, box 7" in written
    elif goal == "tiff":
        assert tiff_tags(written)[270] == "Scanned, box 7\nKöln".encode() + b"\0"
    if goal in ("webp", "avif"):
        assert notices == (f"{goal} holds no comments: its comment was left out",)
    else:
        assert notices == ()


def extended(packet: bytes, extension: bytes, *, whole: bool = True) -> bytes:
    name = b"0123456789ABCDEF" * 2
    note = b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"' % name
    main = packet.replace(b"dc:source", note + b" dc:source")
    half = len(extension) // 2
    pieces = [(half, extension[half:]), (0, extension[:half])]  # in any order
    head = b"http://ns.adobe.com/xmp/extension/\0" + name + len(extension).to_bytes(4, "big")
    parts = [segment(0xE1, head + at.to_bytes(4, "big") + data) for at, data in pieces]
    first = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main)
    return jpeg(first, *(parts if whole else parts[:1]))


@every_goal
def test_extended_xmp(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    packet = (XMP % "").encode()
    extension = packet.replace(b"dc:source", b"dc:relation").replace(b"Attic", b"x" * 70_000)
    data = extended(packet, extension)
    written, notices = enlarged(upscaler, tmp_path, "jpeg", data, goal)
    assert notices == ()
    assert (b"HasExtendedXMP" in written) == (goal == "jpeg")
    assert (b"xmp/extension/" in written) == (goal == "jpeg")
    assert xmp_properties(xmp_of(goal, written))["{http://purl.org/dc/elements/1.1/}source"]
    if goal != "jpeg":
        properties = xmp_properties(xmp_of(goal, written))
        assert len(properties["{http://purl.org/dc/elements/1.1/}relation"]) == 70_000
    else:
        again, notices = enlarged(upscaler, tmp_path, "jpeg", written, "jpeg")
        assert (b"xmp/extension/" in again, notices) == (True, ())


@every_goal
@pytest.mark.parametrize(
    ("extension", "whole", "said"),
    [(b"<a/> " * 9, True, "is malformed"), (b"<a/> " * 9, False, "is incomplete")],
)
def test_extended_xmp_that_is_none(
    upscaler: Upscaler, tmp_path: Path, goal: str, extension: bytes, whole: bool, said: str
) -> None:
    data = extended((XMP % "").encode(), extension, whole=whole)
    written, notices = enlarged(upscaler, tmp_path, "jpeg", data, goal)
    kept = goal == "jpeg" and whole
    assert (b"HasExtendedXMP" in written) == kept
    assert len(notices) == (not kept)
    assert kept or f"its extended XMP {said}" in notices[0]


@every_goal
def test_several_pictures_and_credentials(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    buffer = io.BytesIO()
    first = Image.fromarray(rgb())
    first.save(buffer, "MPO", save_all=True, append_images=[first.rotate(180)])
    _, notices = enlarged(upscaler, tmp_path, "jpeg", buffer.getvalue(), goal)
    assert notices == ("only the first of its 2 pictures (MPO) was enlarged",)
    signed = jpeg(segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x18jumdc2pa"))
    _, notices = enlarged(upscaler, tmp_path, "jpeg", signed, goal)
    assert len(notices) == 1
    assert "content credentials (C2PA)" in notices[0]


@every_pair
def test_resolution(upscaler: Upscaler, tmp_path: Path, source: str, goal: str) -> None:
    if source in ("webp", "avif"):
        tags = {282: (5, (240, 1)), 283: (5, (120, 1)), 296: (3, (2,))}
        data = make(source, exif=b"Exif\0\0" + tiff_block(tags))
    else:
        data = make(source, dpi=(240, 120))
    written, notices = enlarged(upscaler, tmp_path, source, data, goal)
    assert notices == ()
    assert dpi_of(goal, written) == pytest.approx((240.0, 120.0), rel=3e-3)
    if source not in ("webp", "avif") and goal in ("png", "jpeg"):
        assert exif_of(goal, written) == {}
    if goal in ("webp", "avif"):
        assert exif_of(goal, written).keys() == {282, 283, 296}


def test_resolution_is_turned_with_the_picture(upscaler: Upscaler, tmp_path: Path) -> None:
    tags = {274: (3, (6,)), 282: (5, (240, 1)), 283: (5, (120, 1)), 296: (3, (2,))}
    written, _ = enlarged(upscaler, tmp_path, "tiff", tiff(tags), "tiff")
    assert dpi_of("tiff", written) == (120.0, 240.0)


@every_goal
def test_the_scale_of_an_object(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    text = b"ImageJ=1.54\nunit=um\n\0"
    tags = {270: (2, text), 282: (5, (2, 1)), 283: (5, (5, 2)), 296: (3, (1,))}
    written, notices = enlarged(upscaler, tmp_path, "tiff", tiff(tags), goal)
    found = exif_of(goal, written)
    assert found[270] == text
    if goal == "tiff":
        assert (found[282], found[283], found[296]) == ((4, 1), (5, 1), (1,))
        assert notices == ()
    else:
        assert dpi_of(goal, written) is None
        assert notices == (f"{goal} holds no resolution without a unit: it was left out",)


@every_goal
def test_ome_xml(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    pixels = (
        '<Pixels ID="Pixels:0" SizeX="30" SizeY="20" SizeZ="1" PhysicalSizeX="0.5"'
        ' PhysicalSizeY = \'0.25\' PhysicalSizeZ="3" PhysicalSizeXUnit="µm">'
    )
    text = f'<?xml version="1.0"?><OME xmlns="x"><Image>{pixels}</Pixels></Image></OME>'.encode()
    written, notices = enlarged(upscaler, tmp_path, "tiff", tiff({270: (2, text + b"\0")}), goal)
    assert notices == ()
    found = exif_of(goal, written)[270].decode()
    changed = pixels.replace('SizeX="30" SizeY="20"', 'SizeX="60" SizeY="40"')
    changed = changed.replace('"0.5"', '"0.25"').replace("'0.25'", "'0.125'")
    assert changed in found


@every_goal
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_geotiff(upscaler: Upscaler, tmp_path: Path, goal: str, order: str, big: bool) -> None:
    tags = {
        33550: (12, (10.0, 8.0, 0.0)),
        33922: (12, (0.0, 0.0, 0.0, 5e5, 4.6e6, 0.0, 3.0, 4.0, 0.0, 1.0, 2.0, 3.0)),
        34735: EPSG,
        34737: (2, b"WGS 84|\0"),
        42112: (2, b"<GDALMetadata/>\0"),
        42113: (2, b"-9999\0"),
    }
    written, notices = enlarged(upscaler, tmp_path, "tiff", tiff(tags, order, big), goal)
    if goal != "tiff":
        assert len(notices) == 2
        assert "no GeoTIFF tags" in notices[0]
        assert "no tags of GDAL" in notices[1]
        return
    assert notices == ()
    found = tiff_tags(written)
    assert found[33550] == (5.0, 4.0, 0.0)
    assert found[33922] == (0.0, 0.0, 0.0, 5e5, 4.6e6, 0.0, 6.0, 8.0, 0.0, 1.0, 2.0, 3.0)
    for tag in (34735, 34737, 42112, 42113):
        assert found[tag] == tags[tag][1]


def on_earth(tags: dict[int, Any], column: float, row: float) -> tuple[float, float]:
    """Where a point of the picture lies, by the tags alone; whole numbers are corners."""
    keys = tags[34735]
    is_point = any(keys[i] == 1025 and keys[i + 3] == 2 for i in range(0, len(keys), 4))
    column, row = (column - 0.5, row - 0.5) if is_point else (column, row)
    if 34264 in tags:
        m = tags[34264]
        return (m[0] * column + m[1] * row + m[3], m[4] * column + m[5] * row + m[7])
    i, j, _, x, y, _ = tags[33922]
    step_x, step_y, _ = tags[33550]
    return x + (column - i) * step_x, y - (row - j) * step_y


@pytest.mark.parametrize("raster", [1, 2])
@pytest.mark.parametrize("matrix", [False, True])
def test_pixels_stay_where_they_are_on_the_earth(
    upscaler: Upscaler, tmp_path: Path, raster: int, matrix: bool
) -> None:
    keys = (1, 1, 0, 1, 1025, 0, 1, raster)
    tags: dict[int, Any] = {34735: (3, keys)}
    if matrix:
        rows = (10.0, 1.0, 0.0, 500.0, -2.0, -9.0, 0.0, 900.0, *(0.0,) * 7, 1.0)
        tags[34264] = (12, rows)
    else:
        tags |= {33550: (12, (10.0, 8.0, 0.0)), 33922: (12, (3.0, 2.0, 0.0, 500.0, 900.0, 0.0))}
    written, notices = enlarged(upscaler, tmp_path, "tiff", tiff(tags), "tiff")
    assert notices == ()
    before = {tag: item[1] for tag, item in tags.items()}
    after = tiff_tags(written)
    for column, row in [(0.0, 0.0), (30.0, 20.0), (7.25, 3.5)]:
        expected = on_earth(before, column, row)
        assert on_earth(after, SCALE * column, SCALE * row) == pytest.approx(expected)
    tags[274] = (3, (6,))
    _, notices = enlarged(upscaler, tmp_path, "tiff", tiff(tags), "tiff")
    assert notices == ("its place on the Earth was left out, since the picture was turned",)


def test_a_preview_lies_where_it_is(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    tags = {33550: (12, (10.0, 10.0, 0.0)), 33922: (12, (0.0, 0.0, 0.0, 500.0, 900.0, 0.0))}
    source.write_bytes(tiff({**tags, 34735: EPSG}, size=(400, 600)))
    left, top, _, _ = upscaler.preview(source, tmp_path / "out.tif", scale=2)
    found = tiff_tags((tmp_path / "out.tif").read_bytes())
    assert found[33550] == (5.0, 5.0, 0.0)
    assert (left, top) != (0, 0)
    assert found[33922] == (-left, -top, 0.0, 500.0, 900.0, 0.0)


@every_goal
def test_names_of_documents_and_pages(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    tags = {269: (2, b"Folio 12r\0"), 285: (2, b"page one\0"), 297: (3, (3, 9))}
    written, notices = enlarged(upscaler, tmp_path, "tiff", tiff(tags), goal)
    assert notices == ()
    found = exif_of(goal, written)
    assert {tag: found[tag] for tag in tags} == {tag: item[1] for tag, item in tags.items()}


@every_goal
def test_private_tags_are_said(upscaler: Upscaler, tmp_path: Path, goal: str) -> None:
    data = tiff({65001: (2, b"mine\0"), 34361: (1, (1, 2, 3))})
    _, notices = enlarged(upscaler, tmp_path, "tiff", data, goal)
    assert notices == ("its private TIFF tags 34361, 65001 were left out",)


@every_pair
def test_profiles(upscaler: Upscaler, tmp_path: Path, source: str, goal: str) -> None:
    data = make(source, icc_profile=ICC)
    written, notices = enlarged(upscaler, tmp_path, source, data, goal)
    assert notices == ()
    assert Image.open(io.BytesIO(written)).info["icc_profile"] == ICC


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda block: block[:40],
    "no TIFF": lambda block: b"XX" + block[2:],
    "endless": lambda block: block[:8] + b"\xff\xff" + block[10:],
    "empty": lambda block: b"",
}


@every_goal
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_exif_is_said(upscaler: Upscaler, tmp_path: Path, goal: str, damage: str) -> None:
    data = png((b"eXIf", DAMAGE[damage](exif_block())))
    written, notices = enlarged(upscaler, tmp_path, "png", data, goal)
    assert len(notices) == 1
    assert notices[0].startswith("its EXIF was not kept: ")
    assert Image.open(io.BytesIO(written)).size == (SCALE * WIDTH, SCALE * HEIGHT)


@pytest.mark.parametrize(
    "content",
    [
        b'xmlns:vdsr="https://vdsr.invalid/ns/provenance/1.0/"' * 60_000,
        b"tiff:Orientation" * 200_000,
        b"tiff:Orientation" + b" " * 1_000_000,
        b"<rdf:Description " * 200_000,
        b'xmpNote:HasExtendedXMP="' * 100_000,
        b"<rdf:RDF" * 300_000,
    ],
    ids=range(6),
)
def test_hostile_xmp_takes_no_longer_than_it_is_long(
    upscaler: Upscaler, tmp_path: Path, content: bytes
) -> None:
    head, tail = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>', b"</rdf:RDF></x:xmpmeta>"
    packet = head + b"<rdf:Description " + content + b"></rdf:Description>" + tail
    data = png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    for goal in ("png", "jpeg"):
        written, _ = enlarged(upscaler, tmp_path, "png", data, goal)
        assert Image.open(io.BytesIO(written)).size == (SCALE * WIDTH, SCALE * HEIGHT)
