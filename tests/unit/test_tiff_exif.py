"""EXIF in TIFF files: nothing lost, nothing else changed, and no harm from damaged files.

The structures are built and taken apart by code of these tests, not of the package.
"""

from __future__ import annotations

import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vdsr.errors import FileError, InputError, OutputError
from vdsr.imaging.files.tiff_exif import read_exif, write_exif

WIDTH, HEIGHT = 37, 23
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
POINTERS = (EXIF, GPS, INTEROPERABILITY)
CODES = {
    **dict.fromkeys((1, 2, 7, 129), "B"),
    **{3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d"},
    **{13: "I", 16: "Q", 17: "q", 18: "Q"},
}
FLAVOURS = [("<", False), (">", False), ("<", True), (">", True)]

MAKER_NOTE = bytes(range(256)) * 3 + b"!"
TREE: dict[int, Any] = {
    271: (2, b"Maker\0"),
    272: (2, b"M1\0"),
    305: (2, "Prüfung\0".encode()),
    306: (2, b"2024:05:06 07:08:09\0"),
    33432: (2, b"(c) someone\0"),
    EXIF: {
        33434: (5, (1, 60)),
        34855: (3, (100, 200, 300)),
        36864: (7, b"0232"),
        37380: (10, (-2, 3)),
        37500: (7, MAKER_NOTE),
        37510: (7, b"ASCII\0\0\0a comment"),
        40961: (3, (1,)),
        40962: (3, (9,)),
        40963: (4, (8,)),
        42033: (129, "sérial\0".encode()),
        59000: (12, (0.1, -2.5)),
        59001: (11, (0.25, 3.0)),
        59002: (9, (-5,)),
        59003: (8, (-5, 6, -7)),
        59004: (6, (-1, 2)),
        INTEROPERABILITY: {1: (2, b"R98\0"), 2: (7, b"0100")},
    },
    GPS: {
        0: (1, b"\2\3\0\0"),
        1: (2, b"N\0"),
        2: (5, (52, 1, 30, 1, 1234, 100)),
        6: (5, (4_294_967_295, 1)),
        29: (2, b"2024:05:06\0"),
    },
}
DROPPED = {274: (3, (6,)), 282: (5, (72, 1)), 296: (3, (2,))}
EXPECTED = {**TREE, EXIF: {**TREE[EXIF], 40962: (4, (WIDTH,)), 40963: (4, (HEIGHT,))}}


def build(
    tree: dict[int, Any],
    order: str = "<",
    big: bool = False,
    *,
    thumbnail: dict[int, Any] | None = None,
    pixels: bytes = b"",
) -> bytes:
    """A TIFF structure, its pixels (tag 273 points there) right after the header."""
    word = "Q" if big else "I"
    width = 8 if big else 4
    pad = b"\0" * (len(pixels) % 2)
    start = 2 * width + len(pixels) + len(pad)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HH", 8, 0) if big else b""
    data = head + struct.pack(order + word, start) + pixels + pad
    return data + lay_out(tree, order, big, start, thumbnail)


def lay_out(
    tree: dict[int, Any], order: str, big: bool, start: int, then: dict[int, Any] | None = None
) -> bytes:
    word, width, counter = ("Q", 8, "Q") if big else ("I", 4, "H")
    entries, tail = b"", b""
    tail_start = start + struct.calcsize(order + counter) + len(tree) * (4 + 2 * width) + width
    for tag, item in sorted(tree.items()):
        at = tail_start + len(tail)
        if isinstance(item, dict):
            kind, count, field = 4, 1, struct.pack(order + "I", at)
            tail += lay_out(item, order, big, at)
        else:
            kind, values = item
            code = CODES[kind]
            field = struct.pack(f"{order}{len(values)}{code}", *values)
            count = len(values) // (2 if kind in (5, 10) else 1)
            if len(field) > width:
                tail += field + b"\0" * (len(field) % 2)
                field = struct.pack(order + word, at)
        entries += struct.pack(order + "HH" + word, tag, kind, count) + field.ljust(width, b"\0")
    following = tail_start + len(tail) if then is not None else 0
    if then is not None:
        tail += lay_out(then, order, big, following)
    head = struct.pack(order + counter, len(tree))
    return head + entries + struct.pack(order + word, following) + tail


def take_apart(data: bytes, at: int | None = None) -> dict[int, Any]:
    """Every tag of the first directory and those below; checks order and alignment."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    word, width, counter = ("Q", 8, "Q") if big else ("I", 4, "H")
    if at is None:
        (at,) = struct.unpack_from(order + word, data, width)
    assert at % 2 == 0
    (n,) = struct.unpack_from(order + counter, data, at)
    found: dict[int, Any] = {}
    for i in range(n):
        place = at + struct.calcsize(order + counter) + i * (4 + 2 * width)
        tag, kind, count = struct.unpack_from(order + "HH" + word, data, place)
        assert not found or tag > max(found)
        place += 4 + width
        numbers = count * (2 if kind in (5, 10) else 1)
        code = f"{order}{numbers}{CODES[kind]}"
        if struct.calcsize(code) > width:
            (place,) = struct.unpack_from(order + word, data, place)
            assert place % 2 == 0
        values = struct.unpack_from(code, data, place)
        if tag in POINTERS:
            found[tag] = take_apart(data, values[0])
        else:
            found[tag] = (kind, bytes(values) if code.endswith("B") else values)
    return found


def picture(form: str = "uchar", bands: int = 3) -> pyvips.Image:
    rng = np.random.default_rng(1)
    dtype = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}[form]
    array = (rng.random((HEIGHT, WIDTH, bands)) * 250).astype(dtype)
    kinds = {"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}
    image = pyvips.Image.new_from_array(array, interpretation=kinds[form])
    image = image.copy(xres=11.811, yres=5.9055)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    image.set_type(pyvips.GValue.gstr_type, "image-description", "of the file")
    return image


def fields(image: pyvips.Image) -> dict[str, Any]:
    return {f: image.get(f) for f in image.get_fields() if f != "filename"}


def loaded(data: bytes, fail_on: str = "warning", **options: Any) -> tuple[dict[str, Any], bytes]:
    # From memory: libvips would answer a second load of the same name from its cache.
    image = pyvips.Image.new_from_buffer(data, "", fail_on=fail_on, **options)
    return fields(image), image.write_to_memory()


def block(order: str = "<", tree: dict[int, Any] | None = None) -> bytes:
    return b"Exif\0\0" + build(TREE | DROPPED if tree is None else tree, order)


def plain_tiff(order: str = "<", big: bool = False, **more: Any) -> bytes:
    """A gray 8-bit picture, written by hand."""
    width = 16 if big else 8
    pixels = bytes(i % 251 for i in range(WIDTH * HEIGHT))
    tree = {
        256: (3, (WIDTH,)),
        257: (3, (HEIGHT,)),
        258: (3, (8,)),
        259: (3, (1,)),
        262: (3, (1,)),
        273: (4, (width,)),
        277: (3, (1,)),
        278: (3, (HEIGHT,)),
        279: (4, (len(pixels),)),
        **more.get("tree", {}),
    }
    for tag in more.get("without", ()):
        del tree[tag]
    return build(tree, order, big, pixels=pixels)


SAVES = {
    "strips": ("uchar", {}),
    "tiled": ("uchar", {"tile": True, "tile_width": 16, "tile_height": 16}),
    "bigtiff": ("uchar", {"bigtiff": True}),
    "big tiled": ("ushort", {"bigtiff": True, "tile": True, "compression": "lzw"}),
    "16-bit": ("ushort", {"compression": "deflate", "predictor": "horizontal"}),
    "float": ("float", {"compression": "deflate", "predictor": "float"}),
    "icc": ("uchar", {"profile": "srgb"}),
    "jpeg": ("uchar", {"compression": "jpeg"}),
    "pyramid": ("uchar", {"pyramid": True, "tile": True, "tile_width": 16, "tile_height": 16}),
    "sub-directories": (
        "uchar",
        {"pyramid": True, "tile": True, "tile_width": 16, "tile_height": 16, "subifd": True},
    ),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("save", SAVES)
def test_a_libvips_file_gains_the_exif_and_keeps_the_rest(
    tmp_path: Path, save: str, order: str
) -> None:
    form, options = SAVES[save]
    path = tmp_path / "out.tif"
    picture(form).tiffsave(str(path), **options)
    before = path.read_bytes()
    write_exif(path, block(order))
    after = path.read_bytes()
    assert loaded(after) == loaded(before)
    assert ("icc-profile-data" in loaded(after)[0]) == (save == "icc")
    levels = 2 if save == "pyramid" else 0
    for page in range(levels):
        assert loaded(after, page=page) == loaded(before, page=page)
    if save == "sub-directories":
        assert loaded(after, subifd=0) == loaded(before, subifd=0)
    assert after[16 : len(before)] == before[16:]
    exif = read_exif(path)
    assert exif is not None
    assert exif.startswith(b"Exif\0\0II*\0\x08\0\0\0")
    assert take_apart(exif[6:]) == {270: (2, b"of the file\0"), **EXPECTED}


@pytest.mark.parametrize("exif_order", ["<", ">"])
@pytest.mark.parametrize(("order", "big"), FLAVOURS)
def test_every_flavour_of_file(tmp_path: Path, order: str, big: bool, exif_order: str) -> None:
    path = tmp_path / "out.tif"
    before = plain_tiff(order, big)
    assert len(before) % 2 == 0
    path.write_bytes(before + b"!")  # an odd end has to be padded
    write_exif(path, block(exif_order))
    after = path.read_bytes()
    assert loaded(after)[1] == loaded(before)[1]
    assert take_apart(after) == {**take_apart(before), **EXPECTED}
    exif = read_exif(path)
    assert exif is not None
    assert take_apart(exif[6:]) == EXPECTED


@pytest.mark.parametrize(("order", "big"), FLAVOURS)
def test_reading_what_others_wrote(tmp_path: Path, order: str, big: bool) -> None:
    path = tmp_path / "in.tif"
    wide = {59010: (16, (1, 4_294_967_295)), 59011: (17, (-3,))} if big else {}
    path.write_bytes(plain_tiff(order, big, tree={**TREE, **DROPPED, EXIF: TREE[EXIF] | wide}))
    exif = read_exif(path)
    assert exif is not None
    narrow = {59010: (4, (1, 4_294_967_295)), 59011: (9, (-3,))} if big else {}
    assert take_apart(exif[6:]) == {**TREE, EXIF: TREE[EXIF] | narrow}


def test_what_was_read_is_exif_to_libvips(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    path.write_bytes(plain_tiff(">", tree=TREE))
    exif = read_exif(path)
    assert exif is not None
    jpeg = pyvips.Image.black(4, 4).jpegsave_buffer(keep="none")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    image = pyvips.Image.new_from_buffer(jpeg[:2] + segment + jpeg[2:], "")
    assert image.get("exif-data") == exif
    assert image.get("exif-ifd0-Make").startswith("Maker ")
    assert image.get("exif-ifd2-ExposureTime").startswith("1/60 ")
    assert image.get("exif-ifd3-GPSLatitude").startswith("52/1 30/1 1234/100 ")
    assert image.get("exif-ifd4-InteroperabilityIndex").startswith("R98 ")


def test_the_exif_of_a_jpeg_by_libvips(tmp_path: Path) -> None:
    image = picture()
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "somebody")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd2-FNumber", "28/10")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSAltitude", "1234/10")
    jpeg = pyvips.Image.new_from_buffer(image.jpegsave_buffer(), "")
    path = tmp_path / "out.tif"
    jpeg.tiffsave(str(path))
    write_exif(path, jpeg.get("exif-data"))
    found = take_apart(path.read_bytes())
    assert found[315] == (2, b"somebody\0")
    assert found[EXIF][33437] == (5, (28, 10))
    assert found[GPS][6] == (5, (1234, 10))


def test_a_block_without_its_prefix_and_with_a_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff())
    thumbnail = {271: (2, b"wrong one\0"), 513: (4, (8,)), 514: (4, (4,))}
    write_exif(path, build(TREE, ">", thumbnail=thumbnail))
    assert take_apart(path.read_bytes()) == {**take_apart(plain_tiff()), **EXPECTED}


def test_tags_of_the_file_win(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff(tree={271: (2, b"kept\0"), GPS: {1: (2, b"S\0")}}))
    write_exif(path, block())
    found = take_apart(path.read_bytes())
    assert found[271] == (2, b"kept\0")
    assert found[272] == TREE[272]
    assert found[GPS] == {1: (2, b"S\0")}
    assert found[EXIF] == EXPECTED[EXIF]
    first = path.read_bytes()
    write_exif(path, block(tree={271: (2, b"late\0"), EXIF: {36864: (7, b"0100")}}))
    assert path.read_bytes() == first


def test_the_pages_of_a_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    pages = picture().join(picture().invert(), "vertical")
    pages.tiffsave(str(path), page_height=HEIGHT)
    before = path.read_bytes()
    write_exif(path, block())
    after = path.read_bytes()
    assert loaded(after, n=-1) == loaded(before, n=-1)
    assert pyvips.Image.new_from_buffer(after, "").get("n-pages") == 2


def test_dimensions_are_not_invented(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff())
    write_exif(path, block(tree={EXIF: {36864: (7, b"0232")}}))
    assert take_apart(path.read_bytes())[EXIF] == {36864: (7, b"0232")}


def test_pointers_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    stray = {INTEROPERABILITY: (4, (8,)), EXIF: {36864: (7, b"0232"), GPS: (4, (8,))}}
    path.write_bytes(build(stray))
    exif = read_exif(path)
    assert exif is not None
    assert take_apart(exif[6:]) == {EXIF: {36864: (7, b"0232")}}


def test_the_first_of_two_equal_tags_counts(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    data = build({271: (2, b"one\0"), 272: (2, b"two\0")})
    path.write_bytes(data.replace(struct.pack("<H", 272), struct.pack("<H", 271)))
    exif = read_exif(path)
    assert exif is not None
    assert take_apart(exif[6:]) == {271: (2, b"one\0")}


def test_nothing_to_read_or_write(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff(tree={**DROPPED, EXIF: {}}))
    assert read_exif(path) is None
    before = path.read_bytes()
    write_exif(path, block(tree={**DROPPED, EXIF: {INTEROPERABILITY: {}}, GPS: {}}))
    assert path.read_bytes() == before


def patched(data: bytes, tag: int, *, kind: int = 2, count: int = 2, field: int = 8) -> bytes:
    """`data` (little-endian, classic) with the entry of a tag replaced."""
    old = data.index(struct.pack("<H", tag), data.index(struct.pack("<H", 271)))
    return data[:old] + struct.pack("<HHII", tag, kind, count, field) + data[old + 12 :]


GOOD = build(TREE)
DAMAGED = {
    "empty": (b"", "the header reaches to byte 4"),
    "no TIFF": (b"hello, world", "does not begin like a TIFF"),
    "cut header": (GOOD[:6], "the header reaches to byte 8"),
    "no directory": (GOOD[:4] + bytes(4), "a directory is missing"),
    "far directory": (GOOD[:4] + b"\xf0\xff\xff\xff" + GOOD[8:], "at byte 4294967280 reaches"),
    "cut directory": (GOOD[:30], "the directory at byte 8 reaches"),
    "cut values": (GOOD[:200], "reaches to byte"),
    "unknown type": (patched(GOOD, 271, kind=99), "tag 271 has the unknown field type 99"),
    "type 0": (patched(GOOD, 271, kind=0), "tag 271 has the unknown field type 0"),
    "lying count": (patched(GOOD, 271, count=0xFFFFFFFF), "tag 271 reaches"),
    "far value": (patched(GOOD, 271, count=9, field=0xFFFFFFFF), "tag 271 reaches"),
    "loop": (patched(GOOD, EXIF, kind=4, count=1), "the directory at byte 8 is pointed to twice"),
    "no pointer": (patched(GOOD, GPS, kind=2, count=1), "tag 34853 is not a pointer"),
    "two pointers": (patched(GOOD, GPS, kind=4, count=2), "tag 34853 is not a pointer"),
    "bad BigTIFF": (b"II+\0\4\0\0\0" + bytes(16), "BigTIFF header is damaged"),
    "wide": (
        build({EXIF: {1: (16, (1 << 32,))}}, big=True),
        "tag 1 holds a number of more than 32 bits",
    ),
    "many entries": (
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60) + bytes(64),
        "claims 1152921504606846976 entries",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    data, message = DAMAGED[damage]
    source, goal = tmp_path / "in.tif", tmp_path / "out.tif"
    source.write_bytes(data)
    with pytest.raises(FileError) as reading:
        read_exif(source)
    goal.write_bytes(plain_tiff())
    with pytest.raises(FileError) as writing:
        write_exif(goal, b"Exif\0\0" + data)
    for path, caught in ((source, reading), (goal, writing)):
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert message in text
        assert "\n" not in text
    assert goal.read_bytes() == plain_tiff()


@pytest.mark.parametrize("data", [b"", b"II*\0\x08\0\0\0", plain_tiff(without=[256]), build({})])
def test_a_damaged_goal_is_left_as_it_was(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(data)
    with pytest.raises(FileError, match="EXIF cannot be added"):
        write_exif(path, block())
    assert path.read_bytes() == data


def test_no_more_is_allocated_than_exif_may_need(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    path.write_bytes(patched(plain_tiff(tree=TREE), 271, count=1 << 30))
    os.truncate(path, 2 << 30)  # sparse: the bytes that the count claims are there
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="larger than 16 MiB"):
            read_exif(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", [(1 << 32) - 64, 1 << 32])
def test_a_classic_file_does_not_grow_past_4_gib(tmp_path: Path, end: int) -> None:
    path = tmp_path / "big.tif"
    path.write_bytes(plain_tiff())
    os.truncate(path, end)
    with pytest.raises(FileError, match="4 GiB"):
        write_exif(path, block())
    assert path.stat().st_size == end
    path.write_bytes(plain_tiff(big=True))
    os.truncate(path, end)
    write_exif(path, block())
    exif = read_exif(path)
    assert exif is not None
    assert take_apart(exif[6:]) == EXPECTED


def test_nor_does_its_last_value(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    path.write_bytes(plain_tiff())
    # 156 bytes are added, the last 12 of them a value.
    os.truncate(path, (1 << 32) - 150)
    with pytest.raises(FileError, match="4 GiB"):
        write_exif(path, block(tree={GPS: {29: (2, b"2024:05:06\0")}}))


def test_a_failed_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_exif(path, block())
    assert path.read_bytes() == plain_tiff()


def test_the_header_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "out.tif"
    path.write_bytes(plain_tiff())
    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_exif(path, block())
    data = path.read_bytes()
    assert data.startswith(plain_tiff())
    assert b"Maker\0" in data[len(plain_tiff()) :]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_exif(tmp_path / "none.tif")
    with pytest.raises(OutputError, match="No such file"):
        write_exif(tmp_path / "none.tif", block())


quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from([0, 1, 2, 8, 127, 255])),
    min_size=1,
    max_size=6,
)


def corrupted(data: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    return bytes(damaged[: int(keep * len(damaged))])


@quick
@given(
    flavour=st.sampled_from(FLAVOURS),
    changes=edits,
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_corrupted_structures(
    tmp_path: Path, flavour: tuple[str, bool], changes: list[tuple[float, int]], keep: float
) -> None:
    source, goal = tmp_path / "in.tif", tmp_path / "out.tif"
    data = corrupted(build(TREE, *flavour), changes, keep)
    source.write_bytes(data)
    goal.write_bytes(plain_tiff())
    try:
        exif = read_exif(source)
    except FileError:
        exif = None
    if exif is not None:
        write_exif(goal, exif)
        assert read_exif(goal) is not None
    goal.write_bytes(plain_tiff())
    try:
        write_exif(goal, data)
    except FileError:
        assert goal.read_bytes() == plain_tiff()
    # A tag that was damaged before may well be worth a warning, but not the picture.
    assert loaded(goal.read_bytes(), fail_on="error")[1] == loaded(plain_tiff())[1]


@quick
@given(flavour=st.sampled_from(FLAVOURS), changes=edits, keep=st.just(1.0))
def test_corrupted_goals(
    tmp_path: Path, flavour: tuple[str, bool], changes: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path / "out.tif"
    # Few pixels, so that the damage meets the structure.
    data = corrupted(plain_tiff(*flavour)[-400:], changes, keep)
    data = plain_tiff(*flavour)[:-400] + data
    path.write_bytes(data)
    try:
        write_exif(path, block())
    except FileError:
        assert path.read_bytes() == data


@quick
@given(data=st.binary(max_size=200), flavour=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b""]))
def test_noise(tmp_path: Path, data: bytes, flavour: bytes) -> None:
    path = tmp_path / "in.tif"
    path.write_bytes(flavour + data)
    for action in (lambda: read_exif(path), lambda: write_exif(path, block())):
        try:
            action()
        except FileError as error:
            assert "\n" not in str(error).replace(str(path), "")
