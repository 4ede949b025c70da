"""From folders of photographs to a pack of luma or of RGB.

It is the one part of training that reads any format. It needs libvips, and so is not part of
the way that trains: that reads packs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdsr.data import leaks
from vdsr.data.folders import File, files_in, none_found, read_luma, usable
from vdsr.data.leaks import Fingerprint
from vdsr.data.packfile import Pack, make_pack

# Less than the smallest patch that anybody trains on.
SMALLEST = 32


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What became of some folders.

    Attributes:
        pack: the pictures.
        left_out: the others: a line each, with the reason.
    """

    pack: Pack
    left_out: tuple[str, ...]


def pack_folders(
    folders: Sequence[Path],
    *,
    license: str = "unknown",
    evaluation: Sequence[Path] = (),
    keep_evaluation: bool = False,
    color: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Packed:
    """Read all pictures of some folders; see `folders.read_luma` and `folders.read_rgb`.

    Left out are files that cannot be read, pictures smaller than 32 px, second copies, and
    pictures of evaluation sets.

    Args:
        folders: searched with all folders below them, files in the order of their names.
        license: terms of the pictures, for the card of what is trained on them.
        evaluation: folders of further pictures that must not be trained on, beside those
            of Set5 and Set14, which are known.
        keep_evaluation: keep pictures of evaluation sets: for experiments only.
        color: whether they are kept as RGB, or as luma alone.
        progress: called with files done and files in all.

    Raises:
        InputError: if a folder is missing, or no picture is left.
    """
    known = {} if keep_evaluation else {**leaks.published(), **_fingerprints(evaluation)}
    files = files_in(folders)

    def counted() -> Iterator[File]:
        for done, file in enumerate(files):
            progress(done, len(files))
            yield file
        progress(len(files), len(files))

    left_out: list[str] = []
    found = list(usable(counted(), smallest=SMALLEST, known=known, left_out=left_out, color=color))
    if not found:
        raise none_found(folders, "train on", left_out)
    _, names, pictures = zip(*found, strict=True)
    data = " + ".join(folder.resolve().name for folder in folders)
    return Packed(
        pack=make_pack(pictures, names, data=data, license=license), left_out=tuple(left_out)
    )


def _fingerprints(folders: Sequence[Path]) -> dict[str, Fingerprint]:
    return {
        f"{folder.resolve().name}/{path.stem}": leaks.fingerprint(read_luma(path))
        for folder, path in files_in(folders)
    }
