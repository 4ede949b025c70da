"""A folder as people have them: every format and name, some broken, some no pictures at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips

SUFFIXES = (".png", ".jpg", ".webp", ".tif", ".avif", ".gif", ".JPG")
FOLDERS = ("", "1998 summer", "1998 summer/scans", "日本/東京")
NO_PICTURES = ("Thumbs.db", ".DS_Store", "1998 summer/scan 1.xmp", "._a.png", "notes.txt")
NAMES = (
    "{i:03} plain",
    "{i:03} with  spaces and 'quotes'",
    "{i:03} 🏔️ émoji",
    "{i:03}-" + "long" * 49,
    "{i:03} caf\udce9",  # Latin-1, and no UTF-8
    "{i:03} [1] *?%s {{stem}}",
)


@dataclass(frozen=True)
class MixedFolder:
    """What was made: the folder, how many pictures, and which of them are broken."""

    path: Path
    pictures: int
    broken: tuple[Path, ...]
    skipped: int = len(NO_PICTURES)


def mixed_folder(path: Path, count: int, broken: int, *, side: int = 12) -> MixedFolder:
    """Make `count` small pictures of all formats, `broken` of them cut, empty or something else."""
    rng = np.random.default_rng(0)
    bad = {int(i) for i in rng.choice(count, broken, replace=False)}
    spoiled = []
    for i in range(count):
        suffix = SUFFIXES[i % len(SUFFIXES)]
        folder = path / FOLDERS[i % len(FOLDERS)]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / (NAMES[i % len(NAMES)].format(i=i) + suffix)
        height, width = rng.integers(side // 2, side * 2, 2)
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        data = pyvips.Image.new_from_array(pixels).write_to_buffer(suffix.lower())
        if i in bad:
            data = (data[: len(data) // 2], b"", b"no picture")[len(spoiled) % 3]
            spoiled.append(file)
        file.write_bytes(data)
    for name in NO_PICTURES:
        (path / name).write_bytes(b"nothing to see")
    return MixedFolder(path, count, tuple(spoiled))


def tree(folder: Path) -> dict[str, str]:
    """Digests of all files of an output folder but those of the manifest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "manifest.sqlite" not in path.name
    }


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells whether an output was written again: its inode and time."""
    found = {}
    for place, folders, names in os.walk(folder):  # which passes over folders that go meanwhile
        folders[:] = [name for name in folders if not name.startswith(".vdsr")]
        for path in (Path(place) / name for name in names if not name.startswith(".vdsr")):
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns)
    return found


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "vdsr", *map(os.fspath, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        **options,  # type: ignore[call-overload]
    )
