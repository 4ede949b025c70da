"""What real files have, and simple ones have not: long, foreign, odd and contradictory metadata."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from picture_files import EXIF, GPS, png_chunk, png_file, tiff_block, tiff_tags, xmp_properties
from vdsr import Upscaler
from vdsr.errors import InputError, OutputError, UsageError
from vdsr.imaging.resample import imresize

WIDTH, HEIGHT = 30, 20
PHOTOSHOP = b"Photoshop 3.0\0"
IPTC = bytes(range(256)) * 3
TAGS: dict[int, Any] = {
    271: (2, b"Maker\0"),
    EXIF: {36867: (2, b"2024:05:06 07:08:09\0"), 37500: (7, b"a note")},
    GPS: {1: (2, b"N\0")},
}


def pixels(bands: int = 3) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (HEIGHT // 5, WIDTH // 5, bands), np.uint8)
    return coarse.repeat(5, axis=0).repeat(5, axis=1)


def picture(bands: int = 3, **fields: bytes) -> pyvips.Image:
    image = pyvips.Image.new_from_array(pixels(bands)).copy()
    for name, value in fields.items():
        image.set_type(pyvips.GValue.blob_type, name.replace("_", "-"), value)
    return image


def plain_tiff(
    order: str = "<", *, big: bool = False, bands: int = 3, tags: dict[int, Any] | None = None
) -> bytes:
    """A gray or RGB picture, uncompressed, in one strip."""
    data = pixels(bands).tobytes()
    tree = {
        256: (3, (WIDTH,)),
        257: (3, (HEIGHT,)),
        258: (3, (8,) * bands),
        259: (3, (1,)),
        262: (3, (2 if bands == 3 else 1,)),
        273: (4, (16 if big else 8,)),
        277: (3, (bands,)),
        278: (3, (HEIGHT,)),
        279: (4, (len(data),)),
        **(tags or {}),
    }
    return tiff_block(tree, order, big=big, pixels=data)


def enlarge(
    upscaler: Upscaler, source: Path, suffix: str
) -> tuple[pyvips.Image, tuple[str, ...], bytes]:
    goal = source.with_name(f"out{suffix}")
    result = upscaler.upscale(source, goal, scale=2, overwrite=True)
    data = goal.read_bytes()
    return pyvips.Image.new_from_buffer(data, ""), result.notices, data


def exif(image: pyvips.Image) -> dict[int, Any]:
    return tiff_tags(bytes(image.get("exif-data")).removeprefix(b"Exif\0\0"))


def png_chunks(data: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.setdefault(kind, []).append(data[at + 8 : at + 8 + length])
        assert png_chunk(kind, found[kind][-1]) == data[at : at + 12 + length]
        at += 12 + length
    return found


def jpeg_extension(data: bytes) -> bytes:
    """The extended XMP of a JPEG file, put together from its pieces."""
    head = b"http://ns.adobe.com/xmp/extension/\0"
    result, at = b"", 0
    while (at := data.find(head, at)) >= 0:
        length = int.from_bytes(data[at - 2 : at], "big") - 2
        place = at + len(head) + 32
        total, offset = struct.unpack_from(">II", data, place)
        assert offset == len(result)
        result += data[place + 8 : at + length]
        at += length
    assert len(result) == total
    return result


def resources(data: bytes) -> bytes:
    head = b"8BIM\x04\x04\0\0" + len(data).to_bytes(4, "big")
    return head + data + b"\0" * (len(data) % 2)


def test_hidden_colors_make_no_fringes(upscaler: Upscaler, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (24, 24, 4), np.uint8)
    y, x = np.mgrid[0:24, 0:24] - 11.5
    image[..., 3] = np.clip(255 * (9.5 - np.hypot(x, y)), 0, 255)
    image[image[..., 3] > 0, :3] = (200, 100, 50)
    source = tmp_path / "in.png"
    source.write_bytes(png_file(24, 24, image.tobytes(), color=6))
    for suffix in (".png", ".webp", ".tif"):
        result = enlarge(upscaler, source, suffix)[0].numpy().astype(int)
        seen = result[..., 3] > 2
        assert np.abs(result[seen][:, :3] - (200, 100, 50)).max() <= 2
        assert 0 < seen.sum() < seen.size
    flat = enlarge(upscaler, source, ".jpg")[0].numpy().astype(int)
    # On white, every color lies between white and the one of the disc.
    assert (flat >= np.array([200, 100, 50]) - 12).all()


def test_white_is_white_in_ten_bits(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.avif"
    white = np.full((16, 16, 3), 65535, np.uint16)
    image = pyvips.Image.new_from_array(white, interpretation="rgb16")
    image.heifsave(str(source), compression="av1", bitdepth=10, Q=100)
    assert enlarge(upscaler, source, ".png")[0].min() == 65535
    again = enlarge(upscaler, source, ".avif")[0]
    assert again.min() >= 1022 << 6
    assert again.get("bits-per-sample") == 10


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_floats_beyond_the_unit_become_integers(
    upscaler: Upscaler, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / "in.tif"
    values = np.linspace(-100.0, 3000.0, 32, dtype=np.float32)[None, :, None].repeat(16, 0)
    pyvips.Image.new_from_array(values, interpretation="b-w").tiffsave(str(source))
    image, notices, _ = enlarge(upscaler, source, suffix)
    low, high = {".png": (0, 65535), ".jpg": (0, 255), ".tif": (-100, 3000)}[suffix]
    assert image.min() == pytest.approx(low, abs=0.03 * (high - low))
    assert image.max() == pytest.approx(high, abs=0.03 * (high - low))
    assert image.avg() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    assert "float samples were taken as -100 (black) to 3000 (white)" in notices


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 4, 7])
def test_iptc_of_tiff(upscaler: Upscaler, tmp_path: Path, order: str, big: bool, kind: int) -> None:
    source = tmp_path / "in.tif"
    words = struct.unpack(f"{order}{len(IPTC) // 4}I", IPTC) if kind == 4 else IPTC
    source.write_bytes(plain_tiff(order, big=big, tags={33723: (kind, tuple(words))}))
    image, notices, _ = enlarge(upscaler, source, ".jpg")
    assert bytes(image.get("iptc-data")) == PHOTOSHOP + resources(IPTC)
    assert notices == ()
    assert tiff_tags(enlarge(upscaler, source, ".tif")[2])[34377] == resources(IPTC)
    assert "png holds no IPTC" in enlarge(upscaler, source, ".png")[1][0]


def test_iptc_of_jpeg_becomes_resources_of_tiff(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    picture(iptc_data=PHOTOSHOP + resources(IPTC)).jpegsave(str(source))
    image, notices, data = enlarge(upscaler, source, ".tif")
    assert tiff_tags(data)[34377] == resources(IPTC)
    assert image.get_typeof("iptc-data") == 0
    assert notices == ()


def test_resources_that_are_no_resources(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    picture(iptc_data=PHOTOSHOP + b"8BIM\x04\x04\x09cut").jpegsave(str(source))
    assert enlarge(upscaler, source, ".tif")[1] == ()


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png", ".webp", ".avif"])
def test_a_long_description(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.tif"
    description = b"<OME>" + b"x" * 100_000 + b"</OME>\0"
    source.write_bytes(plain_tiff(tags={**TAGS, 270: (2, description)}))
    image, notices, data = enlarge(upscaler, source, suffix)
    tags = tiff_tags(data) if suffix == ".tif" else exif(image)
    assert tags[271] == b"Maker\0"
    assert tags[EXIF][37500] == b"a note"
    assert tags[GPS] == {1: b"N\0"}
    if suffix != ".jpg":
        assert tags[270] == description
        assert notices == ()
    else:
        assert len(notices) == 1
        assert "ImageDescription was left out" in notices[0]


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
def test_a_long_maker_note(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.png"
    note = bytes(range(256)) * 400
    tree = {**TAGS, EXIF: {**TAGS[EXIF], 37500: (7, note)}}
    chunks = [(b"eXIf", tiff_block(tree))]
    source.write_bytes(png_file(WIDTH, HEIGHT, pixels().tobytes(), chunks=chunks))
    image, notices, data = enlarge(upscaler, source, suffix)
    tags = tiff_tags(data) if suffix == ".tif" else exif(image)
    assert tags[271] == b"Maker\0"
    assert tags[EXIF][36867] == b"2024:05:06 07:08:09\0"
    assert tags[GPS] == {1: b"N\0"}
    assert tags[EXIF].get(37500) == (None if suffix == ".jpg" else note)
    assert [n for n in notices if "MakerNote was left out" not in n] == []
    assert len(notices) == (suffix == ".jpg")


def test_xmp_that_is_too_long_for_a_segment_of_jpeg(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{rdf}">{"<!-- -->" * 9000}'
    picture(xmp_data=f"{xmp}</rdf:RDF></x:xmpmeta>".encode()).pngsave(str(source))
    image, notices, _ = enlarge(upscaler, source, ".png")
    assert b"<!-- -->" * 9000 in bytes(image.get("xmp-data"))
    assert notices == ()
    image, notices, data = enlarge(upscaler, source, ".jpg")
    properties = xmp_properties(bytes(image.get("xmp-data")))
    extension = jpeg_extension(data)
    assert b"<!-- -->" * 9000 in extension
    name = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    assert properties["{http://ns.adobe.com/xmp/note/}HasExtendedXMP"] == name
    assert notices == ()
    # And back into one.
    image, notices, _ = enlarge(upscaler, tmp_path / "out.jpg", ".webp")
    packet = bytes(image.get("xmp-data"))
    assert b"<!-- -->" * 9000 in packet
    assert b"HasExtendedXMP" not in packet
    assert packet.count(b"vdsr:ModelDigest=") == 1
    assert notices == ()


@pytest.mark.parametrize("xmp", [b"no packet", "<x:xmpmeta/>".encode("utf-16"), b"\xff\xfe"])
def test_foreign_xmp_is_kept(upscaler: Upscaler, tmp_path: Path, xmp: bytes) -> None:
    source = tmp_path / "in.tif"
    picture(xmp_data=xmp).tiffsave(str(source))
    image, notices, _ = enlarge(upscaler, source, ".webp")
    assert bytes(image.get("xmp-data")) == xmp
    assert notices == ("its XMP is malformed: it was kept as it is, without provenance",)


def test_enlarging_twice_says_it_once(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    picture().pngsave(str(source))
    upscaler.upscale(source, tmp_path / "once.jpg", scale=2)
    image, _, _ = enlarge(upscaler, tmp_path / "once.jpg", ".png")
    assert bytes(image.get("xmp-data")).count(b"vdsr:ModelDigest=") == 1


def test_a_profile_of_another_kind(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.webp"  # which holds gray only as RGB; so it is, and stays
    rgb = bytes(pyvips.Image.profile_load("p3"))
    picture(1, icc_profile_data=rgb).webpsave(str(source), lossless=True)
    image, notices, _ = enlarge(upscaler, source, ".png")
    assert bytes(image.get("icc-profile-data")) == rgb
    assert notices == ()
    source = tmp_path / "in.tif"
    source.write_bytes(plain_tiff(bands=1, tags={34675: (7, tuple(rgb))}))
    for suffix in (".png", ".tif", ".jpg"):
        image, notices, _ = enlarge(upscaler, source, suffix)
        assert image.get_typeof("icc-profile-data") == 0
        assert len(notices) == 1
        assert "its ICC profile is not for a gray picture" in notices[0]


def test_warnings_of_libvips_are_not_printed(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    chunks = [(b"iCCP", b"p\0\0" + zlib.compress(bytes(pyvips.Image.profile_load("p3"))))]
    source.write_bytes(png_file(WIDTH, HEIGHT, pixels(1).tobytes(), color=0, chunks=chunks))
    code = (
        "import sys; from pathlib import Path; from vdsr.imaging.files import PictureReader;"
        "[None for _ in PictureReader(Path(sys.argv[1])).strips()]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_cmyk_without_a_profile(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    cmyk = picture().icc_transform("cmyk", input_profile="srgb")
    cmyk.tiffsave(str(source), keep="none")
    image, notices, _ = enlarge(upscaler, source, ".png")
    assert image.bands == 3
    expected = cmyk.icc_transform("srgb", input_profile="cmyk").numpy().transpose(2, 0, 1)
    large = imresize(expected.astype(np.float64), scale=2).clip(0, 255).transpose(1, 2, 0)
    assert np.abs(image.numpy() - large).max() <= 0.51
    assert notices == ("CMYK was converted to sRGB through a general profile, since it has none",)


def test_cmyk_with_alpha(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    cmyk = picture().icc_transform("cmyk", input_profile="srgb")
    opacity = (pyvips.Image.black(WIDTH, HEIGHT) + 180).cast("uchar")
    cmyk.bandjoin(opacity).copy(interpretation="cmyk").tiffsave(str(source))
    image, _, _ = enlarge(upscaler, source, ".png")
    assert image.bands == 4
    assert np.unique(image.numpy()[..., 3]).tolist() == [180]


@pytest.mark.parametrize(
    ("chunk", "data", "said"),
    [
        (b"gAMA", struct.pack(">I", 100_000), "gamma 1"),
        (b"gAMA", struct.pack(">I", 45455), None),
        (b"cICP", bytes([9, 16, 0, 1]), "primaries 9, transfer 16"),
        (b"cICP", bytes([1, 13, 0, 1]), None),
        (b"sRGB", b"\0", None),
    ],
)
def test_color_spaces_without_profile(
    upscaler: Upscaler, tmp_path: Path, chunk: bytes, data: bytes, said: str | None
) -> None:
    source = tmp_path / "in.png"
    rows = pixels().tobytes()
    source.write_bytes(png_file(WIDTH, HEIGHT, rows, chunks=[(chunk, data)]))
    _, notices, written = enlarge(upscaler, source, ".png")
    assert notices == ()
    assert png_chunks(written)[chunk] == [data]
    _, notices, _ = enlarge(upscaler, source, ".tif")
    assert len(notices) == (said is not None)
    assert said is None or said in notices[0]


def test_hdr_avif(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.avif"
    picture().heifsave(str(source), compression="av1", Q=90)
    assert enlarge(upscaler, source, ".tif")[1] == ()
    # Where the box stands makes no difference here, and at the end it moves nothing.
    box = b"colrnclx" + struct.pack(">HHHB", 9, 16, 9, 0)
    source.write_bytes(source.read_bytes() + struct.pack(">I", len(box) + 4) + box)
    (notice,) = enlarge(upscaler, source, ".tif")[1]
    assert "primaries 9, transfer 16" in notice
    _, notices, written = enlarge(upscaler, source, ".png")
    assert notices == ()
    assert png_chunks(written)[b"cICP"] == [bytes([9, 16, 0, 1])]


def test_png_texts_are_kept_as_they_are(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    latin, packed = b"Copyright\0\xa9 Zo\xeb", b"Comment\0\0" + zlib.compress(b"long " * 99)
    utf = b"Title\0\0\0de\0Titel\0" + "Übung".encode()
    late = b"Author\0after the pixels"
    data = png_file(
        WIDTH,
        HEIGHT,
        pixels().tobytes(),
        chunks=[(b"tEXt", latin), (b"zTXt", packed), (b"iTXt", utf), (b"xyZz", b"unknown")],
    )
    source.write_bytes(data[:-12] + png_chunk(b"tEXt", late) + data[-12:])
    _, notices, written = enlarge(upscaler, source, ".png")
    found = png_chunks(written)
    assert found[b"tEXt"] == [latin, late]
    assert found[b"zTXt"] == [packed]
    assert found[b"iTXt"][0] == utf
    assert found[b"iTXt"][1].startswith(b"XML:com.adobe.xmp\0\0\0\0\0<?xpacket")
    assert list(found) == [b"IHDR", b"tEXt", b"zTXt", b"iTXt", b"IDAT", b"IEND"]
    assert notices == ()
    assert enlarge(upscaler, source, ".jpg")[1] == ("jpeg holds no PNG texts: they were left out",)


def test_descriptions_in_latin_1(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / "in.tif"
    tags = {270: (2, b"\xa9 Zo\xeb\0"), 315: (2, b"Zo\xeb\0")}
    source.write_bytes(plain_tiff(tags=tags))
    found = tiff_tags(enlarge(upscaler, source, ".tif")[2])
    assert {tag: found[tag] for tag in tags} == {tag: item[1] for tag, item in tags.items()}


def test_ultra_hdr_jpeg(upscaler: Upscaler, tmp_path: Path) -> None:
    if not pyvips.type_find("VipsOperation", "uhdrsave"):
        pytest.skip("needs libvips with libultrahdr")
    source = tmp_path / "in.jpg"
    large = pyvips.Image.new_from_array(pixels().repeat(4, 0).repeat(4, 1)).colourspace("scrgb")
    (large * 3).copy(interpretation="scrgb").uhdrsave(str(source))
    image, notices, _ = enlarge(upscaler, source, ".jpg")
    assert (image.width, image.height) == (8 * WIDTH, 8 * HEIGHT)
    plain = pyvips.Image.jpegload_buffer(source.read_bytes())
    assert bytes(image.get("icc-profile-data")) == bytes(plain.get("icc-profile-data"))
    assert image.avg() == pytest.approx(plain.avg(), abs=2)
    assert notices == ("its HDR gain map was left out: the picture itself was enlarged",)


@pytest.mark.parametrize("suffix", [".avif", ".webp"])
def test_orientation_in_newer_formats(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    image = picture()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    options = {"compression": "av1", "Q": 95} if suffix == ".avif" else {"lossless": True}
    source = tmp_path / f"in{suffix}"
    image.write_to_file(str(source), **options)
    large, _, _ = enlarge(upscaler, source, ".avif")
    turned = np.rot90(pixels(), -1).astype(np.float64).transpose(2, 0, 1)
    expected = imresize(turned, scale=2).clip(0, 255).transpose(1, 2, 0)
    assert large.numpy().shape == expected.shape
    assert np.abs(large.numpy() - expected).mean() < 3.0
    assert exif(large)[274] == (1,)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_resolution_in_centimetres(
    upscaler: Upscaler, tmp_path: Path, order: str, big: bool
) -> None:
    source = tmp_path / "in.tif"
    resolution = {282: (5, (120, 1)), 283: (5, (60, 1)), 296: (3, (3,))}
    source.write_bytes(plain_tiff(order, big=big, tags=resolution))
    for suffix in (".tif", ".png", ".jpg"):
        image, _, _ = enlarge(upscaler, source, suffix)
        assert (image.xres, image.yres) == pytest.approx((12.0, 6.0), rel=5e-3)


def test_the_longest_names(upscaler: Upscaler, tmp_path: Path) -> None:
    source = tmp_path / ("i" * 251 + ".png")
    picture().pngsave(str(source))
    upscaler.upscale(source, tmp_path / ("o" * 251 + ".png"), scale=2)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_output_replaces_the_input_only_in_place(upscaler: Upscaler, tmp_path: Path) -> None:
    path, link, twin = tmp_path / "a.png", tmp_path / "link.png", tmp_path / "twin.png"
    picture().pngsave(str(path))
    path.chmod(0o640)
    link.symlink_to("a.png")
    twin.hardlink_to(path)
    before = path.read_bytes()
    for source, goal in [(path, path), (path, link), (link, path), (path, twin), (twin, link)]:
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=r"the input itself: in_place=True replaces it"):
                upscaler.upscale(source, goal, scale=2, overwrite=overwrite)
    with pytest.raises(UsageError, match="the output is the input"):
        upscaler.upscale(path, tmp_path / "b.png", scale=2, in_place=True)
    assert path.read_bytes() == before
    upscaler.upscale(link, link, scale=2, in_place=True)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert pyvips.Image.new_from_buffer(path.read_bytes(), "").width == 2 * WIDTH
    assert twin.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "link.png", "twin.png"]


def test_a_failure_in_place_leaves_the_input(upscaler: Upscaler, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture().pngsave(str(path))
    path.write_bytes(before := path.read_bytes()[:-60])
    with pytest.raises(InputError):
        upscaler.upscale(path, path, scale=2, in_place=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif", ".gif"])
def test_names_that_are_not_utf8(upscaler: Upscaler, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9p\xf4t")
    folder.mkdir()
    plain = tmp_path / f"plain{suffix}"
    picture().write_to_file(str(plain))
    source = plain.rename(folder / os.fsdecode(b"caf\xe9" + suffix.encode()))
    goal = folder / os.fsdecode(b"\xff" * (255 - len(suffix)) + suffix.encode())
    upscaler.upscale(source, goal, scale=2)
    assert pyvips.Image.new_from_buffer(goal.read_bytes(), "").width == 2 * WIDTH
    damaged = folder / os.fsdecode(b"\xe9" + suffix.encode())
    damaged.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InputError):
        upscaler.upscale(damaged, folder / "out.png", scale=2)


@pytest.mark.parametrize(
    ("name", "output"), [("a [1] ü%.png", "b [2] ñ%.webp"), ("p.jpg", "p.tif"), ("f.tif", "f.avif")]
)
def test_the_command_with_its_own_model(tmp_path: Path, name: str, output: str) -> None:
    picture().write_to_file(str(tmp_path / "plain.png"))
    pyvips.Image.new_from_file(str(tmp_path / "plain.png")).write_to_file(
        str(tmp_path / Path(name).name.replace("[1]", "1"))
    )
    (tmp_path / name.replace("[1]", "1")).rename(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-m", "vdsr", "upscale", name, output, "-s", "3", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    chosen = f"{name}: {report['model']} was chosen: {report['why']}\n" if "why" in report else ""
    assert (done.returncode, done.stderr) == (0, chosen)
    assert (report["width"], report["height"]) == (3 * WIDTH, 3 * HEIGHT)
    image = pyvips.Image.new_from_buffer((tmp_path / output).read_bytes(), "")
    stored = pyvips.Image.new_from_buffer((tmp_path / name).read_bytes(), "").numpy()
    planes = stored.transpose(2, 0, 1).astype(np.float64)
    bicubic = imresize(planes, scale=3).clip(0, 255).transpose(1, 2, 0)
    assert image.numpy().shape == bicubic.shape
    # The edges of such squares become sharp; planes or px in another order would be 50 off.
    assert 0.05 < np.abs(image.numpy() - bicubic).mean() < 9.0
