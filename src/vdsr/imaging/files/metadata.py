"""What a file carries beside its pixels: profile, EXIF, XMP, resolution, provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

import pyvips

NAMESPACE = "https://vdsr.invalid/ns/provenance/1.0/"
_KEPT = ("icc-profile-data", "xmp-data", "image-description", "resolution-unit")
# What libexif takes, with some room for the tags that libvips adds.
MAX_EXIF = 65000
# What fits into one segment of a JPEG file, beside its length and name.
MAX_XMP = 65533 - 29

_EMPTY_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF>'
    '</x:xmpmeta><?xpacket end="w"?>'
)
_OURS = re.compile(
    r"<rdf:Description[^<>]*xmlns:vdsr=\"" + re.escape(NAMESPACE) + r"\"[^<>]*/>", re.DOTALL
)
# As an attribute (XMP specification part 1, 7.9.2.2) or as an element.
_XMP_ORIENTATION = re.compile(rb"(\btiff:Orientation(?:\s*=\s*[\"']|>))\s*[2-8]\b")


def copy_metadata(source: pyvips.Image, target: pyvips.Image) -> pyvips.Image:
    """`target` with the profile, EXIF, XMP and resolution of `source`."""
    target = target.copy(xres=source.xres, yres=source.yres)
    for name in source.get_fields():
        if name in _KEPT or name.startswith("exif-"):
            target.set_type(source.get_typeof(name), name, source.get(name))
    # Where it is missing, libvips leaves the tag in the EXIF as it was before the turn.
    target.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return target


def remove(image: pyvips.Image, prefix: str) -> pyvips.Image:
    """`image` without the fields whose names begin with `prefix`."""
    image = image.copy()
    for name in image.get_fields():
        if name.startswith(prefix):
            image.remove(name)
    return image


def set_blob(image: pyvips.Image, name: str, data: bytes) -> pyvips.Image:
    """`image` with the bytes `data` as its field `name`."""
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, name, data)
    return image


def blob(image: pyvips.Image, name: str) -> bytes | None:
    """The bytes of a field, or None."""
    return bytes(image.get(name)) if image.get_typeof(name) else None


def with_exif(image: pyvips.Image, exif: bytes) -> pyvips.Image:
    """`image` with the tags of an EXIF block, as JPEG's APP1 holds it.

    libvips writes only tags that it has parsed itself, and parses them only in a
    decoder: so it is given the smallest JPEG that carries them.

    Raises:
        ValueError: if the block is larger than `MAX_EXIF`.
    """
    if len(exif) > MAX_EXIF:
        raise ValueError(f"it is larger than {MAX_EXIF} bytes")
    plain: bytes = pyvips.Image.black(1, 1).jpegsave_buffer(keep="none")
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    parsed = pyvips.Image.jpegload_buffer(plain[:2] + segment + plain[2:])
    image = image.copy()
    for name in parsed.get_fields():
        if name.startswith("exif-"):
            image.set_type(parsed.get_typeof(name), name, parsed.get(name))
    return image


def with_exif_resolution(image: pyvips.Image) -> pyvips.Image:
    """Take the resolution from EXIF where the format has no place of its own for it."""
    if image.xres != 1.0 or image.yres != 1.0:
        return image
    found = [_rational(image, f"exif-ifd0-{axis}Resolution") for axis in "XY"]
    if found[0] is None or found[1] is None:
        return image
    unit = str(_text(image, "exif-ifd0-ResolutionUnit"))
    per_mm = 10.0 if unit.startswith("3") else 25.4
    return image.copy(xres=found[0] / per_mm, yres=found[1] / per_mm)


def _text(image: pyvips.Image, name: str) -> str | None:
    return str(image.get(name)) if image.get_typeof(name) else None


def _rational(image: pyvips.Image, name: str) -> float | None:
    # libvips writes an EXIF field as "VALUE (VALUE, TYPE, ...)", a rational as "N/D".
    text = _text(image, name)
    match = re.match(r"(\d+)(?:/(\d+))?", text or "")
    if match is None or not int(match[1]) or match[2] == "0":
        return None
    return int(match[1]) / int(match[2] or 1)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet whose `tiff:Orientation` is 1, where it has one, and else as it was."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def add_provenance(xmp: bytes | None, properties: Mapping[str, str]) -> bytes | None:
    """An XMP packet that says, beside what it said before, how the picture was made.

    Args:
        xmp: the packet of the source, UTF-8, or None.
        properties: names (XML names) and values; they go into one `rdf:Description` in
            the namespace `vdsr`, which replaces an earlier one.

    Returns:
        The new packet; None if `xmp` is not a packet that can be added to.
    """
    attributes = "".join(f" vdsr:{key}={quoteattr(value)}" for key, value in properties.items())
    entry = f'<rdf:Description rdf:about="" xmlns:vdsr="{NAMESPACE}"{attributes}/>'
    try:
        text = _EMPTY_XMP if not xmp else xmp.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return None
    text = _OURS.sub("", text)
    if "<rdf:RDF" not in text:
        return None
    if "</rdf:RDF>" not in text:
        text = re.sub(r"<rdf:RDF([^<>]*)/>", r"<rdf:RDF\1></rdf:RDF>", text, count=1)
    head, end, tail = text.rpartition("</rdf:RDF>")
    return (head + entry + end + tail).encode() if end else None
