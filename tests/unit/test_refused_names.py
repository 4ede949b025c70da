"""Names that the system refuses to look for: whatever they are given to, an error of our tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vdsr
from networks import zero_network
from vdsr.checkpoints.reader import read_checkpoint
from vdsr.data import datasets, folders, pack, packfile
from vdsr.errors import VdsrError
from vdsr.evaluation.fid import FeatureNetwork
from vdsr.export import ExportOptions, export
from vdsr.jobs.estimate import dry_run
from vdsr.jobs.manifest import open_manifest
from vdsr.jobs.runner import RunOptions, run_job
from vdsr.jobs.settings import JobSettings
from vdsr.outputs import put, work_folder, write_whole
from vdsr.training.recipe_file import load_recipe
from vdsr.vacc import layout, measure, outputs, pictures

NAMES = {
    "long": "x" * 300,
    "long-suffix": "x" * 300 + ".png",
    "deep": "folder/" * 1000 + "a.png",
    "null": "a\0b.png",
}
GRAY = np.zeros((8, 8), np.uint8)

Use = Callable[[Path, Path], object]


def _upscaler() -> vdsr.Upscaler:
    return vdsr.Upscaler(zero_network())


def _mapped(name: Path) -> None:
    with _upscaler() as upscaler:
        for one in upscaler.map([name], scale=2):
            assert one.error is not None
            raise one.error


def _upscaled(source: Path, goal: Path, **options: object) -> None:
    with _upscaler() as upscaler:
        upscaler.upscale(source, goal, scale=2, **options)  # type: ignore[call-overload]


def _job(source: Path, goal: Path) -> None:
    run_job([source], goal, JobSettings(scale=2.0), RunOptions())


def _put(name: Path) -> None:
    with work_folder(Path.cwd()) as work:
        (work / "a").write_bytes(b"")
        put(work / "a", name)


USES: dict[str, Use] = {
    "read_image": lambda name, here: vdsr.read_image(name),
    "write_image": lambda name, here: vdsr.write_image(name, GRAY),
    "upscale": lambda name, here: _upscaled(name, here / "out.png"),
    "upscale, output": lambda name, here: _upscaled(here / "in.png", name.with_suffix(".png")),
    "upscale, residual": lambda name, here: _upscaled(
        here / "in.png", here / "out.png", residual=name.with_suffix(".png")
    ),
    "upscale, all pages": lambda name, here: _upscaled(name, here / "out.tif", pages="all"),
    "map": lambda name, here: _mapped(name),
    "load_model": lambda name, here: vdsr.load_model(name),
    "import": lambda name, here: read_checkpoint(name),
    "dataset": lambda name, here: datasets.open_dataset(str(name)),
    "folders": lambda name, here: folders.files_in([name]),
    "pack": lambda name, here: pack.pack_folders([name], license="CC0"),
    "read_pack": lambda name, here: packfile.read_pack(name),
    "recipe": lambda name, here: load_recipe(f"{name}.toml"),
    "fid": lambda name, here: FeatureNetwork(name),
    "export": lambda name, here: export(zero_network(), "onnx", name, ExportOptions(check=False)),
    "export, pictures": lambda name, here: export(
        zero_network(), "onnx", here / "a.onnx", ExportOptions(pictures=name)
    ),
    "job, input": lambda name, here: _job(name, here / "out"),
    "job, output": lambda name, here: _job(here / "in.png", name),
    "job, dry run": lambda name, here: dry_run(
        [here / "in.png"], name, JobSettings(scale=2.0), RunOptions(), lambda _: None
    ),
    "manifest": lambda name, here: open_manifest(name),
    "accelerator folder": lambda name, here: layout.read_manifest(name),
    "accelerator pictures": lambda name, here: list(pictures.read_folder(name)),
    "accelerator outputs": lambda name, here: outputs.read_outputs(name, ["a"], (256, 256)),
    "accelerator origin": lambda name, here: outputs.origin_of(name, None) and _refused(),
    "accelerator subjects": lambda name, here: (
        measure.subjects(datasets.open_dataset(str(here)), name, scale=2)
        and outputs.read_outputs(name, [], (256, 256))
    ),
    "write_whole": lambda name, here: write_whole(name, b""),
    "put": lambda name, here: _put(name),
}


def _refused() -> None:
    raise VdsrError("it was not looked for")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    vdsr.write_image(tmp_path / "in.png", GRAY)
    return tmp_path


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_name_that_the_system_refuses(use: Use, name: str, here: Path) -> None:
    with pytest.raises(VdsrError) as caught:
        use(Path(name), here)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in here.iterdir()) in (["in.png"], ["in.png", "out"])
