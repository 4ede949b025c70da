"""What a file is by its first bytes: a format that is read, or another one by its name."""

from __future__ import annotations

from pathlib import Path

from vdsr.imaging.files.formats import READABLE, Format

SNIFFED_BYTES = 4096

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
    b"8BPS": "psd",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",
    b"\xff\x4f\xff\x51": "jp2",
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",
    b"\xff\x0a": "jxl",
}
# Brands of ISO/IEC 23008-12; the general ones say nothing about the codec.
_HEVC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_HEIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
_TRUEVISION = b"TRUEVISION-XFILE.\0"

# What others there are: where the signature stands, the signature, and what it is.
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "a DICOM file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"CDF\x01", "a NetCDF file"),
    (0, b"CDF\x02", "a NetCDF file"),
    (0, b"CDF\x05", "a NetCDF file"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"#?RGBE", "a Radiance HDR picture"),
    (0, b"DDS ", "a DirectDraw texture (DDS)"),
    (0, b"\xabKTX ", "a KTX texture"),
    (0, b"\0\0\1\0", "a Windows icon (ICO)"),
    (0, b"\0\0\2\0", "a Windows cursor"),
    (0, b"icns", "an Apple icon (ICNS)"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)"),
    (40, b" EMF", "an enhanced metafile (EMF)"),
    (0, b"gimp xcf", "a GIMP picture (XCF)"),
    (0, b"qoif", "a QOI picture"),
    (0, b"BPG\xfb", "a BPG picture"),
    (0, b"FLIF", "a FLIF picture"),
    (0, b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (0, b"\x8bJNG\r\n\x1a\n", "a JNG picture"),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster picture"),
    (0, b"\x97JB2\r\n\x1a\n", "a JBIG2 picture"),
    (0, b"/* XPM", "an XPM picture"),
    (0, b"FUJIFILMCCD-RAW", "a raw photograph (Fujifilm)"),
    (0, b"IIU\0", "a raw photograph (Panasonic)"),
    (0, b"IIRO", "a raw photograph (Olympus)"),
    (0, b"IIRS", "a raw photograph (Olympus)"),
    (0, b"MMOR", "a raw photograph (Olympus)"),
    (0, b"FOVb", "a raw photograph (Sigma)"),
    (0, b"\0MRM", "a raw photograph (Minolta)"),
    (8, b"crx ", "a raw photograph (Canon CR3)"),
    (0, b"ZISRAWFILE", "a Zeiss microscopy file (CZI)"),
    (0, b"\xda\xce\xbe\x0a", "a Nikon microscopy file (ND2)"),
    (208, b"MAP ", "an MRC density map"),
    (344, b"n+1\0", "a NIfTI volume"),
    (344, b"ni1\0", "a NIfTI header"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    (8, b"AVI ", "an AVI film"),
    (8, b"WAVE", "a sound file (WAV)"),
    (4, b"ftyp", "an MP4 or QuickTime film"),
    (4, b"moov", "a QuickTime film"),
    (0, b"\0\0\1\xba", "an MPEG film"),
    (0, b"FLV\x01", "a Flash film"),
    (0, b"OggS", "an Ogg file"),
    (0, b"ID3", "a sound file (MP3)"),
    (0, b"\xff\xfb", "a sound file (MP3)"),
    (0, b"fLaC", "a sound file (FLAC)"),
    (0, b"PK\x03\x04", "a ZIP archive, or a document in one"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a Windows program"),
    (0, b"\xd0\xcf\x11\xe0", "an old Office document"),
    (0, b"{\\rtf", "an RTF document"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer: fetch the file it stands for (git lfs pull)",
    ),
)
_TEXTS = (
    (b"<svg", "an SVG drawing"),
    (b"<html", "an HTML page"),
    (b"<!doctype html", "an HTML page"),
    (b"<?xml", "an XML document"),
)


def sniff(start: bytes, path: Path, end: bytes = b"") -> Format | None:
    """The format of a file that is read, by its content.

    Args:
        start: its first `SNIFFED_BYTES` bytes.
        path: its name; only TGA, which need not say what it is, is told by the suffix.
        end: its last 18 bytes or more.
    """
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return READABLE[name]
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return READABLE["webp"]
    if _is_pnm(start):
        return READABLE["pnm"]
    if _has_brand(start, _HEVC_BRANDS):
        return READABLE["heic"]
    if _has_brand(start, _HEIF_BRANDS):
        return READABLE["avif"]
    return READABLE["tga"] if _is_tga(start, path, end) else None


def describe(start: bytes) -> str | None:
    """What a file of no format that is read is, by its first bytes; None if unknown."""
    for at, signature, what in _OTHERS:
        if start[at : at + len(signature)] == signature:
            return what
    if b"\0" in start:
        return None
    lower = start[:1024].lower()
    named = (what for mark, what in _TEXTS if mark in lower)
    return next(named, "a text" if _is_text(start) else None)


def _is_text(start: bytes) -> bool:
    try:
        start[:-4].decode("utf-8")  # whose last character may be cut
    except UnicodeDecodeError:
        return False
    return True


def _is_pnm(start: bytes) -> bool:
    return start[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"PF", b"Pf") and (
        start[2:3].isspace() or start[2:3] == b"#"
    )


def _is_tga(start: bytes, path: Path, end: bytes) -> bool:
    if len(start) < 18 or start[1] > 1 or start[2] not in (1, 2, 3, 9, 10, 11):
        return False
    if start[16] not in (8, 15, 16, 24, 32) or not (any(start[12:14]) and any(start[14:16])):
        return False
    return end.endswith(_TRUEVISION) or path.suffix.lower() in READABLE["tga"].suffixes


def _has_brand(start: bytes, brands: tuple[bytes, ...]) -> bool:
    if start[4:8] != b"ftyp":
        return False
    end = int.from_bytes(start[:4], "big")
    return any(start[i : i + 4] in brands for i in (8, *range(16, min(end, len(start), 64), 4)))
