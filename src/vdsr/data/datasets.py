"""Pictures to be measured: a folder, or a name that stands for one.

Names are fetched from public addresses into the data folder (`data_home`), or remembered
from a folder of that name that was once given.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vdsr.data.download import OnBytes, download
from vdsr.errors import InputError, OutputError, UsageError, among
from vdsr.imaging.files import SUFFIXES
from vdsr.inputs import is_folder
from vdsr.outputs import put, work_folder, write_whole

HOME_VARIABLE = "VDSR_DATA"
_MEMORY = "folders.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file at a public address.

    Attributes:
        url: where it is.
        sha256: of the whole file, 64 hexadecimal digits.
        megabytes: its size, for people.
    """

    url: str
    sha256: str
    megabytes: int

    @property
    def file(self) -> str:
        """Its name in the data folder."""
        return PurePosixPath(self.url).name


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A dataset that has a name.

    Attributes:
        title: its name in papers.
        pictures: how many there are.
        source: a tar archive.
        folder: where in the archive the pictures lie.
    """

    title: str
    pictures: int
    source: Source
    folder: str


@dataclass(frozen=True)
class Dataset:
    """Pictures, in the order of their names.

    Attributes:
        name: of the folder; for a registered name its title.
        pictures: their paths, at least one.
    """

    name: str
    pictures: tuple[Path, ...]


# The distribution of Lim et al., "Enhanced Deep Residual Networks for Single Image
# Super-Resolution", CVPRW 2017, https://github.com/sanghyun-son/EDSR-PyTorch: lossless PNG.
# Set5: Bevilacqua et al. 2012; Set14: Zeyde et al. 2010; B100: Martin et al. 2001;
# Urban100: Huang et al. 2015.
BENCHMARK = Source(
    url="https://cv.snu.ac.kr/research/EDSR/benchmark.tar",
    sha256="80c21c333bbf6ceb5308b7243761f8284478274413a97b96f1d63e9045fd93e8",
    megabytes=250,
)
# Inception v3 of 2015 as TorchScript, by NVIDIA (StyleGAN2-ADA): the features of FID.
INCEPTION = Source(
    url="https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    megabytes=96,
)
DATASETS = {
    title.lower(): Registered(
        title=title, pictures=count, source=BENCHMARK, folder=f"benchmark/{title}/HR"
    )
    for title, count in (("Set5", 5), ("Set14", 14), ("B100", 100), ("Urban100", 100))
}
NETWORKS = {"inception": INCEPTION}


def data_home() -> Path:
    """Where fetched data lie: `$VDSR_DATA`, else `vdsr` in `$XDG_DATA_HOME` (~/.local/share)."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vdsr"


def open_dataset(data: str) -> Dataset:
    """Find the pictures that `data` stands for.

    Args:
        data: a folder, or a name of `DATASETS`. A folder that exists comes first. One that
            has the name and the number of pictures of a registered dataset is remembered.

    Raises:
        UsageError: if there is neither such a folder nor such a name.
        InputError: if there are no pictures in the folder, or the name was never fetched.
    """
    folder = Path(data)
    if is_folder(folder):
        found = Dataset(folder.resolve().name, _pictures(folder))
        known = DATASETS.get(found.name.lower())
        if known is not None and len(found.pictures) == known.pictures:
            _remember(found.name.lower(), folder)
        return found
    name = data.lower()
    if name not in DATASETS:
        raise UsageError(f"{data}: no such folder, and no dataset of that name: {_names()}")
    for place in (_fetched(name), _remembered(name)):
        if place is not None and is_folder(place):
            return Dataset(DATASETS[name].title, _pictures(place))
    raise InputError(f"{data} is not here: run 'vdsr data fetch {name}', or give its folder once")


def fetch(name: str, *, progress: OnBytes | None = None) -> Path:
    """Get a dataset or a network from its public address, unless it is here.

    Args:
        name: a name of `DATASETS` or `NETWORKS`.
        progress: see `vdsr.data.download.download`.

    Returns:
        The folder of the dataset, or the file of the network.

    Raises:
        UsageError: for another name.
        InputError: if it cannot be fetched, or is not what was expected.
        OutputError: if it cannot be written.
    """
    key = name.lower()
    if key in NETWORKS:
        goal = data_home() / "networks" / NETWORKS[key].file
        _download(NETWORKS[key], goal, progress)
        return goal
    if key not in DATASETS:
        raise UsageError(
            f"nothing named {name!r} can be fetched: {among(name, (*DATASETS, *NETWORKS))}"
        )
    folder = _fetched(key)
    if not is_folder(folder):
        source = DATASETS[key].source
        archive = data_home() / "downloads" / source.file
        _download(source, archive, progress)
        _unpack(archive, DATASETS[key], folder)
    return folder


def _download(source: Source, goal: Path, progress: OnBytes | None) -> None:
    # Its size is known in round megabytes, which some count in units of 2^20 bytes.
    most = (source.megabytes + 10) * (11 << 20) // 10
    download(source.url, goal, source.sha256, most=most, progress=progress)


def _names() -> str:
    return ", ".join(DATASETS)


def _fetched(name: str) -> Path:
    return data_home() / "datasets" / name


def _pictures(folder: Path) -> tuple[Path, ...]:
    pictures = tuple(
        sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    )
    if not pictures:
        raise InputError(f"{folder}: there are no pictures directly in this folder")
    return pictures


def _unpack(archive: Path, dataset: Registered, folder: Path) -> None:
    """Take the pictures out of the archive, into `folder` all at once.

    Raises:
        InputError: if the archive is none, or does not hold them.
        OutputError: if they cannot be written.
    """
    try:
        with work_folder(folder.parent) as work:
            pictures = work / "pictures"
            pictures.mkdir()
            count = _take(archive, dataset.folder, pictures)
            if count != dataset.pictures:
                raise InputError(
                    f"{archive}: {count} pictures in {dataset.folder}, not {dataset.pictures}"
                )
            put(pictures, folder)
    except tarfile.TarError as error:
        raise InputError(f"{archive}: it is not a readable tar archive: {error}") from error


def _take(archive: Path, inside: str, folder: Path) -> int:
    """Copy the pictures of one folder of the archive; names keep no path of their own."""
    count = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.parent != PurePosixPath(inside) or path.suffix.lower() not in SUFFIXES:
                continue
            content = tar.extractfile(member)
            if content is not None:
                with content, (folder / path.name).open("wb") as file:
                    shutil.copyfileobj(content, file)
                count += 1
    return count


def _remembered(name: str) -> Path | None:
    try:
        text = json.loads((data_home() / _MEMORY).read_text("utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(text) if isinstance(text, str) else None


def _remember(name: str, folder: Path) -> None:
    """Note where a dataset lies; where nothing can be noted, nothing is lost."""
    path = data_home() / _MEMORY
    try:
        places = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        places = {}
    if not isinstance(places, dict):
        places = {}
    resolved = str(folder.resolve())
    if places.get(name) == resolved:
        return
    places[name] = resolved
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(places, indent=2) + "\n")
