"""Several processes that share the batches of one make the weights of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train_together
from s3_server import free_port
from vdsr.data.packfile import make_pack
from vdsr.errors import UsageError
from vdsr.training.recipe_file import parse_recipe
from vdsr.training.run import TrainingOptions
from vdsr.training.trainer import train

PATIENCE = 600
SCRIPT = os.fspath(Path(train_together.__file__))
ON_CLUSTER = os.fspath(Path(train_together.__file__).with_name("train_on_cluster.py"))
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")


# As torchrun has it: the products that make patches, in float32, round otherwise in threads.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def weights(folder: Path, launch: tuple[str, ...], kind: str, precision: str) -> np.ndarray:
    folder.mkdir()
    command = [*launch, SCRIPT, kind, precision, os.fspath(folder)]
    subprocess.run(command, check=True, timeout=PATIENCE, env=ENVIRONMENT)
    return kept(folder)


def kept(folder: Path) -> np.ndarray:
    with np.load(folder / "weights.npz") as found:
        return np.concatenate([found[name].ravel() for name in found.files])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "precision", "most"), [("sgd", "32", 1e-6), ("adamw", "64", 1e-9)]
)
def test_two_processes_equal_one(tmp_path: Path, kind: str, precision: str, most: float):
    """In float32 AdamW, which divides by the roots of tiny squares, would differ by more."""
    one = weights(tmp_path / "one", (sys.executable,), kind, precision)
    pair = (*TORCHRUN, "--master-port", str(free_port()), "--nproc-per-node", "2")
    two = weights(tmp_path / "two", pair, kind, precision)
    difference = float(abs(two - one).max())
    print(kind, precision, difference)
    assert one.dtype == {"32": np.float32, "64": np.float64}[precision]
    assert difference <= most


@pytest.mark.slow
def test_two_machines_equal_one(tmp_path: Path):
    """Each is a torchrun of its own, with one process; the second starts as another command."""
    one = weights(tmp_path / "one", (sys.executable,), "sgd", "32")
    folder, port = tmp_path / "two", str(free_port())
    folder.mkdir()
    machines = [
        subprocess.Popen(
            [
                *(*TORCHRUN, "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"),
                *("--master-addr", "127.0.0.1", "--master-port", port),
                *(SCRIPT, "sgd", "32", os.fspath(folder)),
            ],
            env=ENVIRONMENT,
        )
        for rank in range(2)
    ]
    try:
        assert [machine.wait(PATIENCE) for machine in machines] == [0, 0]
    finally:
        for machine in machines:
            machine.kill()
    difference = float(abs(kept(folder) - one).max())
    print(difference)
    assert difference <= 1e-6


@pytest.mark.slow
def test_ray_train_equals_one_process_and_survives_a_death(tmp_path: Path):
    for name in ("ray", "pandas", "pyarrow", "pydantic"):
        pytest.importorskip(name, reason="needs Ray Train, of the extra 'cluster-train'")
    one = weights(tmp_path / "one", (sys.executable,), "sgd", "32")
    folder = tmp_path / "two"
    folder.mkdir()
    command = [sys.executable, ON_CLUSTER, os.fspath(folder)]
    subprocess.run(command, check=True, timeout=PATIENCE, env=ENVIRONMENT)
    difference = float(abs(kept(folder) - one).max())
    print(difference)
    assert difference <= 1e-6
    assert (folder / "killed").exists()
    assert not (folder / "run" / "ray").exists()


def test_batches_that_cannot_be_shared_are_refused(tmp_path: Path):
    text = train_together.RECIPE.format(kind="sgd", precision="32", reduction="sum", rate=0.1)
    pack = make_pack([np.zeros((60, 60), np.uint8)], ["a"], data="none", license="CC0")
    with pytest.raises(UsageError, match="3 processes cannot share batches of 8"):
        train(parse_recipe(text), pack, tmp_path / "run", options=TrainingOptions(devices=3))
