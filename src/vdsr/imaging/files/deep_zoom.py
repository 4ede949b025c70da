"""Deep Zoom: a pyramid of small tiles, which viewers in browsers load as they are looked at.

libvips makes it as one ZIP file (SZI). From there it comes to its goal: `NAME.dzi` with a
folder `NAME_files` beside it, or one file `NAME.szi`. What libvips says of itself and of the
time is left out, and tiles have an order, so that the same picture gives the same bytes.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyvips

from vdsr.outputs import put, refuse_existing, work_folder, write_atomic

FOLDER = ".dzi"
ARCHIVES = (".szi", ".zip")
_NAME = "picture"
_TILE, _OVERLAP = 254, 1  # 256 px with the overlap, as OpenSeadragon's users have them


def goal_of(path: Path) -> Path:
    """Where Deep Zoom goes: to that path if its suffix says how, else with `.dzi` after it."""
    known = path.suffix.lower() in (FOLDER, *ARCHIVES)
    return path if known else path.with_name(f"{path.name}{FOLDER}")


def tiles_of(goal: Path) -> Path | None:
    """The folder of the tiles of a goal; None if it is one file."""
    if goal.suffix.lower() != FOLDER:
        return None
    return goal.with_name(f"{goal.stem}_files")


def check(goal: Path, *, overwrite: bool) -> None:
    """Refuse a goal whose tiles cannot be written.

    Raises:
        OutputError: see `refuse_existing`.
    """
    if (folder := tiles_of(goal)) is not None:
        refuse_existing(folder, overwrite=overwrite, folder=True)


def save(image: pyvips.Image, file: BinaryIO, *, quality: int | None, keep: int) -> None:
    """Write it as one ZIP file, as libvips makes it.

    Args:
        image: 8 bits.
        file: open for writing, and empty.
        quality: of JPEG tiles, 1..100; None is 90. With alpha the tiles are PNG.
        keep: what the tiles carry, see libvips.
    """
    suffix = ".png" if image.hasalpha() else f".jpg[Q={quality or 90}]"
    image.dzsave_target(
        pyvips.Target.new_to_descriptor(file.fileno()),
        container="szi",
        imagename=_NAME,
        suffix=suffix,
        tile_size=_TILE,
        overlap=_OVERLAP,
        keep=keep,
    )


def settle(made: Path, goal: Path, *, overwrite: bool) -> None:
    """Bring what `save` wrote to its goal.

    Raises:
        OutputError: if it cannot be there.
    """
    with zipfile.ZipFile(made) as archive:
        folder = tiles_of(goal)
        if folder is None:
            _repack(archive, goal, overwrite=overwrite)
        else:
            _unpack(archive, folder, goal, overwrite=overwrite)


def _unpack(archive: zipfile.ZipFile, folder: Path, goal: Path, *, overwrite: bool) -> None:
    with work_folder(goal.parent) as work:
        for name, inside in _members(archive):
            place = work.joinpath(*inside.parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as packed, place.open("wb") as file:
                shutil.copyfileobj(packed, file)
        # Last of all what is opened, so that nobody opens what is not there.
        put(work / f"{_NAME}_files", folder, overwrite=overwrite)
        put(work / f"{_NAME}.dzi", goal, overwrite=overwrite)


def _repack(archive: zipfile.ZipFile, goal: Path, *, overwrite: bool) -> None:
    with write_atomic(goal, overwrite=overwrite) as file, zipfile.ZipFile(file, "w") as packed:
        for name, inside in _members(archive):
            info = zipfile.ZipInfo(f"{_NAME}/{inside}")  # of 1980, not of today
            packed.writestr(info, archive.read(name))


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, PurePosixPath]]:
    """Names in an archive, and what they are below its folder, in order."""
    for name in sorted(archive.namelist()):
        inside = PurePosixPath(name).relative_to(_NAME)
        if not name.endswith(("/", "-properties.xml")):
            yield name, inside
