"""XMP packets: what in them is about the pixels, provenance, and what JPEG keeps apart.

After the XMP specification (ISO 16684-1; part 3, 1.1.3 for JPEG). Packets are edited as
texts, since a parser would not give back what it does not know. Everything runs in time
proportional to the packet.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

NAMESPACE = "https://vdsr.invalid/ns/provenance/1.0/"

_HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
_TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
_OURS = f'xmlns:vdsr="{NAMESPACE}"'
_DESCRIPTION = "<rdf:Description"
_NOTE = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'

# As an attribute (XMP specification part 1, 7.9.2.2) or as an element.
_PROPERTY = r"(\b%s(?:\s*=\s*[\"']|>)\s*)(\d{1,10})\b"
_ORIENTATION = re.compile(_PROPERTY % "tiff:Orientation")
_WIDTH = re.compile(_PROPERTY % "(?:tiff:ImageWidth|exif:PixelXDimension)")
_HEIGHT = re.compile(_PROPERTY % "(?:tiff:ImageLength|exif:PixelYDimension)")
_EXTENDED = re.compile(r"\bxmpNote:HasExtendedXMP(?:\s*=\s*[\"']|>)\s*([0-9A-Fa-f]{32})\b")
_SAID = re.compile(r"\bvdsr:(\w{1,40})\s*=\s*(\"[^\"]*\"|'[^']*')")
_SAID_WITHIN = re.compile(r"<vdsr:(\w{1,40})>([^<]*)</vdsr:")
_NO_LONGER_EXTENDED = re.compile(
    r"\bxmpNote:HasExtendedXMP\s*=\s*(?:\"[0-9A-Fa-f]{32}\"|'[0-9A-Fa-f]{32}')"
    r"|<xmpNote:HasExtendedXMP>[0-9A-Fa-f]{32}</xmpNote:HasExtendedXMP>"
)


def _text(packet: bytes) -> str | None:
    try:
        return packet.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return None


def orientation(packet: bytes) -> int | None:
    """`tiff:Orientation`, 1 to 8; None if the packet has none."""
    match = _ORIENTATION.search(_text(packet) or "")
    return int(match[2]) if match and 1 <= int(match[2]) <= 8 else None


def adjusted(packet: bytes, width: int, height: int) -> bytes:
    """A packet for the picture upright and of another size, where it speaks of them.

    Args:
        packet: UTF-8; anything else is left as it is.
        width, height: px.
    """
    text = _text(packet)
    if text is None:
        return packet
    result = _ORIENTATION.sub(r"\g<1>1", text)
    result = _WIDTH.sub(rf"\g<1>{width}", result)
    result = _HEIGHT.sub(rf"\g<1>{height}", result)
    return packet if result == text else result.encode()


def add_provenance(packet: bytes | None, properties: Mapping[str, str]) -> bytes | None:
    """A packet that says, beside what it said before, how the picture was made.

    Args:
        packet: that of the source, UTF-8, or None.
        properties: names (XML names) and values; they go into one `rdf:Description` in
            the namespace `vdsr`, which replaces an earlier one.

    Returns:
        The new packet; None if `packet` is not one that can be added to.
    """
    attributes = "".join(f" vdsr:{key}={quoteattr(value)}" for key, value in properties.items())
    text = _text(packet) if packet else _HEAD + _TAIL
    if text is None:
        return None
    return _inserted(_without_ours(text), f'{_DESCRIPTION} rdf:about="" {_OURS}{attributes}/>')


def provenance(packet: bytes) -> dict[str, str]:
    """What `add_provenance` said of a picture; empty for a packet without.

    Other programs write what was an attribute as an element; both are read.
    """
    text = _text(packet) or ""
    if NAMESPACE not in text:
        return {}
    found = {match[1]: match[2][1:-1] for match in _SAID.finditer(text)}
    found |= {match[1]: match[2] for match in _SAID_WITHIN.finditer(text)}
    return {name: html.unescape(value) for name, value in found.items()}


def without_provenance(packet: bytes) -> bytes:
    """A packet without what `add_provenance` added, and without white space: to compare."""
    text = _text(packet)
    if text is None:
        return packet
    return "".join(_without_ours(text).split()).encode()


def _inserted(text: str, elements: str) -> bytes | None:
    """A packet with further elements at the end of its RDF; None if it has none."""
    if "<rdf:RDF" not in text:
        return None
    if "</rdf:RDF>" not in text:
        text = re.sub(r"<rdf:RDF([^<>]*)/>", r"<rdf:RDF\1></rdf:RDF>", text, count=1)
    head, end, tail = text.rpartition("</rdf:RDF>")
    return (head + elements + end + tail).encode() if end else None


def _without_ours(text: str) -> str:
    """A packet without the elements that an earlier run added."""
    kept, done, at = [], 0, 0
    while (at := text.find(_OURS, at)) >= 0:
        start, end = text.rfind("<", done, at), text.find(">", at)
        if end < 0:
            break
        if start >= 0 and text.startswith(_DESCRIPTION, start) and text[end - 1] == "/":
            kept.append(text[done:start])
        else:
            kept.append(text[done : end + 1])
        done = at = end + 1
    return "".join(kept) + text[done:]


def extension_named(packet: bytes) -> str | None:
    """Name of the extension that a packet out of a JPEG file says it has: 32 digits."""
    match = _EXTENDED.search(_text(packet) or "")
    return match[1] if match else None


def without_extension(packet: bytes) -> bytes:
    """A packet that speaks of no extension any more."""
    text = _text(packet)
    return packet if text is None else _NO_LONGER_EXTENDED.sub("", text).encode()


def merged(packet: bytes, extension: bytes) -> bytes | None:
    """One packet of the two that JPEG has; None if that cannot be done."""
    text, more = _text(without_extension(packet)), _text(extension)
    if text is None or more is None:
        return None
    start = more.find("<rdf:RDF")
    start, end = more.find(">", start) + 1 if start >= 0 else 0, more.rfind("</rdf:RDF>")
    return _inserted(text, more[start:end]) if 0 < start <= end else None


def split(packet: bytes, provenance: Mapping[str, str]) -> tuple[bytes, bytes, str]:
    """A packet that is too long for JPEG as two: a short one, and its extension.

    Returns:
        The short packet, with the provenance; the extension; its name.
    """
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    short = f'{_HEAD}{_DESCRIPTION} rdf:about="" {_NOTE} xmpNote:HasExtendedXMP="{name}"/>{_TAIL}'
    return add_provenance(short.encode(), provenance) or short.encode(), packet, name
