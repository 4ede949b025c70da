"""Packs: many pictures in one file, which is all the data that training needs.

A pack is a plain zip archive, stored without further compression, of one `pack.json`
and 8-bit PNG files, so that any tool can look into it: gray ones of luma, or RGB ones in a
color pack. `pack.json` holds the
names and sizes of the pictures, their license and a digest of their samples.
Reading one needs numpy and Pillow, nothing else of this program's dependencies.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vdsr.errors import InputError, MissingExtra, ModelError, VdsrError
from vdsr.inputs import is_file
from vdsr.model.metadata import check_text
from vdsr.outputs import write_atomic

FORMAT = 1
INDEX = "pack.json"

# Of 100,000 pictures it has 6 MB.
_MAX_DIRECTORY_BYTES = 16 << 20
# Of 100,000 pictures it has 15 MB.
_MAX_INDEX_BYTES = 32 << 20
# What pictures unpack to at most: so many px, and so many more for each byte of the file.
_FREE_PIXELS = 64 << 20
_MAX_RATIO = 256

Luma = NDArray[np.uint8]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Pictures to train on.

    Attributes:
        pictures: uint8 `[H, W]` each, studio-range luma (BT.601); or all `[H, W, 3]`, RGB.
        names: where each picture came from, as many as there are pictures.
        data: the names of the data sets, for the card of what is trained on them.
        license: their terms, likewise.
        digest: SHA-256 of all names, sizes and samples, 64 hexadecimal digits.
        groups: the number of the pack that each picture came from, of joined packs.
        shares: the part of the training that each of these is to have; 0 for what is left.
    """

    pictures: tuple[Picture, ...]
    names: tuple[str, ...]
    data: str
    license: str
    digest: str
    groups: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def pixels(self) -> int:
        """Number of pixels of all pictures."""
        return sum(picture.shape[0] * picture.shape[1] for picture in self.pictures)

    @property
    def color(self) -> bool:
        """Whether its pictures are RGB."""
        return self.pictures[0].ndim == 3


def make_pack(
    pictures: Sequence[Picture], names: Sequence[str], *, data: str, license: str
) -> Pack:
    """A pack in memory.

    Args:
        pictures: uint8 `[H, W]`, studio-range luma; or all `[H, W, 3]`, RGB.
        names: one for each.
        data: names of the data sets.
        license: their terms.

    Raises:
        InputError: if there are no pictures, or some are luma and some RGB.
    """
    if not pictures:
        raise InputError("a pack needs at least one picture")
    if len({picture.ndim for picture in pictures}) > 1:
        raise InputError("pictures in color and luma alone cannot be trained on together")
    digest = hashlib.sha256()
    for picture, name in zip(pictures, names, strict=True):
        digest.update(f"{name}\n{' '.join(map(str, picture.shape))}\n".encode())
        digest.update(np.ascontiguousarray(picture).data)
    return Pack(
        pictures=tuple(pictures),
        names=tuple(names),
        data=data,
        license=license,
        digest=digest.hexdigest(),
    )


def join_packs(packs: Sequence[Pack], shares: Sequence[float] = ()) -> Pack:
    """Several packs as one, in the order given.

    Args:
        packs: each becomes a group.
        shares: see `Pack`; one for each pack, or none.

    Raises:
        InputError: if there are none, or some are in color and some are not.
    """
    if len(packs) == 1:
        return packs[0]
    joined = make_pack(
        [picture for pack in packs for picture in pack.pictures],
        [name for pack in packs for name in pack.names],
        data=" + ".join(pack.data for pack in packs),
        license="; ".join(dict.fromkeys(f"{pack.data}: {pack.license}" for pack in packs)),
    )
    groups = tuple(i for i, pack in enumerate(packs) for _ in pack.pictures)
    return replace(joined, groups=groups, shares=tuple(shares))


def write_pack(pack: Pack, path: Path) -> None:
    """Write a pack; a file that is there is replaced at the end, whole, or not at all.

    Raises:
        OutputError: if the file cannot be written.
        MissingExtra: if Pillow is not installed.
    """
    pillow = _pillow()
    members = [f"{i:06}.png" for i in range(len(pack.pictures))]
    index = {
        "format": FORMAT,
        **({"color": "rgb"} if pack.color else {"luma": "studio"}),
        "data": pack.data,
        "license": pack.license,
        "digest": pack.digest,
        "pictures": [
            {"file": member, "name": name, "height": picture.shape[0], "width": picture.shape[1]}
            for member, name, picture in zip(members, pack.names, pack.pictures, strict=True)
        ],
    }
    with (
        write_atomic(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        archive.writestr(_entry(INDEX), json.dumps(index, indent=1, ensure_ascii=False))
        for member, picture in zip(members, pack.pictures, strict=True):
            buffer = io.BytesIO()
            pillow.fromarray(picture).save(buffer, "PNG", optimize=True)
            archive.writestr(_entry(member), buffer.getvalue())


def read_pack(path: Path) -> Pack:
    """Read a pack and check it against its digest.

    Raises:
        InputError: if it cannot be read, is not a pack, or is damaged.
        MissingExtra: if Pillow is not installed.
    """
    pillow = _pillow()
    try:
        if not is_file(path):
            raise FileNotFoundError(errno.ENOENT, "there is no such file")
        with _Limited(path) as file, zipfile.ZipFile(file) as archive:
            file.most = None
            index = _index(archive, path)
            mode = "RGB" if "color" in index else "L"
            pictures = [_picture(pillow, archive, entry, mode) for entry in index["pictures"]]
        names = [entry["name"] for entry in index["pictures"]]
        pack = make_pack(pictures, names, data=index["data"], license=index["license"])
        if pack.digest != index["digest"]:
            raise InputError(f"{path}: the pack is damaged: its digest does not fit")
    except VdsrError:
        raise
    # Whatever zipfile, json and Pillow raise for what they cannot read, OSError included.
    except Exception as error:
        reason = getattr(error, "strerror", None)
        if reason:
            raise InputError(f"{path}: the pack cannot be read: {reason}") from error
        raise InputError(f"{path}: it is not an intact pack (vdsr data pack makes one)") from error
    return pack


class _Limited(io.FileIO):
    """A file of which nothing large is read at once, while its directory is looked for.

    `zipfile` reads the whole directory, as large as the file says that it is, and makes an
    object of some hundred bytes for each entry.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.most: int | None = _MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """As `io.FileIO.read`.

        Raises:
            InputError: for more than may be read.
        """
        rest = os.fstat(self.fileno()).st_size - self.tell()
        asked = rest if size is None or size < 0 else min(size, rest)
        if self.most is not None and asked > self.most:
            raise InputError(f"{self.name}: its directory has {asked} bytes, more than packs have")
        return super().read(asked) or b""


def _index(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """The list of pictures, with every text and size in it checked.

    Raises:
        InputError: if the pack is of a later version, or asks for more memory than pictures do.
        ValueError, TypeError, KeyError: if it is not such a list.
    """
    stored = archive.getinfo(INDEX)
    if stored.file_size > _MAX_INDEX_BYTES:
        raise InputError(f"{path}: its {INDEX} has {stored.file_size} bytes")
    index: dict[str, Any] = json.loads(_stored(archive, INDEX))
    if "license" not in index:  # earlier packs spell it so
        index["license"] = index["licence"]
    if index["format"] > FORMAT:
        raise InputError(f"{path}: a pack of a later version of vdsr: upgrade vdsr")
    pixels = 0
    for entry in index["pictures"]:
        sides = entry["height"], entry["width"]
        if not all(type(side) is int and side > 0 for side in sides):
            raise ValueError("a picture without a size")
        pixels += sides[0] * sides[1]
    if pixels > _FREE_PIXELS + _MAX_RATIO * path.stat().st_size:
        raise InputError(f"{path}: its pictures unpack to {pixels} px, more than pictures do")
    texts = [index["data"], index["license"], *(entry["name"] for entry in index["pictures"])]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError("a name that is not a text")
        try:
            check_text(text)
        except ModelError as error:
            raise InputError(f"{path}: {error}") from error
    return index


def _picture(
    pillow: Any,  # noqa: ANN401 - a module
    archive: zipfile.ZipFile,
    entry: dict[str, Any],
    mode: str,
) -> Picture:
    with warnings.catch_warnings():
        # Its size is known, and was allowed.
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
        data = io.BytesIO(_stored(archive, entry["file"]))
        with pillow.open(data, formats=["PNG"]) as image:
            if image.mode != mode or image.size != (entry["width"], entry["height"]):
                raise ValueError("not the picture that the index names")
            return np.array(image, np.uint8)


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member, which is not compressed a second time: no larger than it lies in the file."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError("a compressed member, which packs never have")
    return archive.read(name)


def _entry(name: str) -> zipfile.ZipInfo:
    # A fixed date, so that the same pictures give the same bytes.
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _pillow() -> Any:  # noqa: ANN401 - the module PIL.Image
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("pillow", "train") from error
    return Image
