"""Whole training runs: killed and resumed, by the functions behind the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vdsr.cli.pack import pack as pack_pictures
from vdsr.cli.train import _start, train
from vdsr.data.packfile import make_pack, read_pack, write_pack
from vdsr.errors import CheckpointError, OutputError, UsageError
from vdsr.imaging.degrade import degrade
from vdsr.imaging.metrics import psnr
from vdsr.inference.upscaler import Upscaler
from vdsr.model.file import load_model

RECIPE = """
name = "tiny"
about = "A test."
ema = 0.9
validations = 2
[network]
width = 6
[data]
scales = [2, 3]
patch = 18
batch = 4
focus = 1.0
validation = 1
[optimizer]
kind = "muon"
[[phases]]
loss = "l1"
clip_norm = 0.5
[[stages]]
depth = 3
steps = 60
rate = 0.01
[[stages]]
depth = 4
steps = 40
rate = 0.005
"""

# Loads torch and Lightning once; every run of the recipe is a process forked from there.
# Standard output names the step at which each run was killed.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from vdsr.training.checkpoint import load_checkpoint
from vdsr.data.packfile import read_pack
from vdsr.training.recipe_file import load_recipe
from vdsr.training.run import TrainingOptions
from vdsr.training.trainer import train

folder = Path(sys.argv[1])
recipe, pack = load_recipe(str(folder / "tiny.toml")), read_pack(folder / "tiny.pack")
torch.set_num_threads(1)

def start(name):
    process = os.fork()
    if process == 0:
        options = TrainingOptions(threads=2, save_seconds=0)
        train(recipe, pack, folder / name, resume=True, options=options)
        os._exit(0)
    return process

def steps():
    path = folder / "killed" / "checkpoint.pt"
    return load_checkpoint(path).total if path.exists() else 0

os.waitpid(start("whole"), 0)
chance = random.Random(int(sys.argv[2]))
for kill in range(10):
    process, goal = start("killed"), 3 + 9 * kill
    while steps() < goal:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.1))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    print(steps())
os.waitpid(start("killed"), 0)
"""


def drawn(seed, side=72):
    """Discs with soft edges."""
    rng = np.random.default_rng(seed)
    fine = 4 * side
    y, x = np.mgrid[:fine, :fine]
    picture = np.full((fine, fine), 120.0)
    for _ in range(14):
        (cy, cx), r = rng.uniform(0, fine, 2), rng.uniform(0.05, 0.25) * fine
        picture[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = rng.uniform(20, 230)
    return picture.reshape(side, 4, side, 4).mean((1, 3)).round().astype(np.uint8)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        Image.fromarray(drawn(seed)).save(folder / f"{seed}.png")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return folder


def options(**changes):
    plain = {
        "start_from": None,
        "start_data": "unknown",
        "license": "CC0",
        "name": None,
        "version": "1",
        "resume": False,
        "overwrite": False,
        "devices": 1,
        "threads": 1,
        "quiet": False,
        "json": None,
    }
    return {**plain, **changes}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, to kill the copies")
def test_a_run_killed_ten_times_ends_with_the_weights_of_the_unbroken_run(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    pictures = [drawn(seed) for seed in range(6)]
    write_pack(
        make_pack(pictures, list("abcdef"), data="discs", license="CC0"), tmp_path / "tiny.pack"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLER, str(tmp_path), "7"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    killed_at = [int(line) for line in done.stdout.split()]
    assert len(killed_at) == 10, done.stderr
    assert len(set(killed_at)) > 5
    assert max(killed_at) > 60  # in the second stage, too
    from vdsr.training.checkpoint import load_checkpoint

    whole, killed = (
        load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "killed")
    )
    assert whole.stage == killed.stage == 2
    assert whole.total == killed.total == 100
    assert len(whole.mean) == 8
    for name, value in whole.mean.items():
        assert np.array_equal(value.numpy(), killed.mean[name].numpy()), name


def test_from_photographs_to_a_model_that_can_be_used(photos, tmp_path, capsys):
    pack, model, report = (tmp_path / name for name in ("p.pack", "m.onnx", "report.json"))
    pack_pictures(
        [photos],
        pack,
        license="CC0",
        evaluation=[],
        keep_evaluation=False,
        overwrite=False,
        quiet=False,
        json=None,
    )
    assert "6 pictures" in capsys.readouterr().out
    assert read_pack(pack).names[0] == "photos/0.png"
    train(str(tmp_path / "tiny.toml"), model, [pack], **options(json=str(report)))
    shown = capsys.readouterr()
    assert "4 layers" in shown.out
    assert "bicubic" in shown.err
    content = json.loads(report.read_text())
    assert (content["steps"], content["recipe"]) == (100, "tiny")
    card = load_model(model).metadata
    assert (card.name, card.version, card.scales) == ("tiny", "1", (2, 3))
    assert (card.training_data, card.license) == ("photos, 6 pictures", "CC0")
    assert content["recipe_digest"][:12] in card.recipe
    assert "torch" in card.recipe
    assert set(card.psnr) == {"kept-out pictures x2", "kept-out pictures x3"}
    page = (tmp_path / "m.md").read_text()
    assert content["sha256"] in page
    assert "bicubic" in page
    with Upscaler(str(model)) as upscaler:
        rgb = np.repeat(drawn(9)[:, :, None], 3, axis=2)
        assert upscaler.upscale(rgb, scale=2).shape == (144, 144, 3)


def test_the_model_is_better_than_bicubic_on_what_it_has_not_seen(photos, tmp_path):
    text = RECIPE.replace("width = 6", "width = 16").replace("batch = 4", "batch = 8")
    (tmp_path / "better.toml").write_text(text.replace("0.01", "0.02").replace("= 60", "= 150"))
    train(str(tmp_path / "better.toml"), tmp_path / "m.onnx", [photos], **options(quiet=True))
    unseen = drawn(77).astype(np.float32)
    enlarged = degrade(unseen, 2)
    network = load_model(tmp_path / "m.onnx").architecture
    from vdsr.training.network import VDSR

    ours = VDSR(depth=network.depth, width=network.width)
    ours.load_architecture(network)
    import torch

    with torch.no_grad():
        restored = ours(torch.from_numpy(enlarged / 255)[None, None])[0, 0].numpy() * 255
    figures = [psnr(y, unseen, data_range=255, border=2) for y in (enlarged, restored)]
    assert figures[1] > figures[0] + 0.1


def test_what_is_wrong_is_said_before_anything_is_done(photos, tmp_path):
    recipe, model = str(tmp_path / "tiny.toml"), tmp_path / "m.onnx"
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        train(recipe, tmp_path / "m.pt", [photos], **options())
    with pytest.raises(UsageError, match="names no data"):
        train(recipe, model, [], **options())
    with pytest.raises(UsageError, match="no recipe"):
        train("nosuch", model, [photos], **options())
    with pytest.raises(UsageError, match="--devices"):
        train(recipe, model, [photos], **options(devices=0))
    model.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        train(recipe, model, [photos], **options())
    assert model.read_text() == "mine"
    assert not (tmp_path / "m.training").exists()


# Sends itself SIGTERM in the middle, as a person's `kill` would.
STOPPED = """
import os, signal, sys
from vdsr.cli import main
from vdsr.training.monitor import Monitor
after_step = Monitor.after_step
def interrupt(self, module, before):
    after_step(self, module, before)
    if module.total == 20:
        os.kill(os.getpid(), signal.SIGTERM)
Monitor.after_step = interrupt
sys.argv = ["vdsr", "train", *sys.argv[1:]]
main.main()
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without asking it")
def test_a_stopped_command_says_how_to_go_on(photos, tmp_path):
    recipe, model = str(tmp_path / "tiny.toml"), tmp_path / "m.onnx"
    arguments = [recipe, "--data", str(photos), "--output", str(model)]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "after 20 steps" in done.stderr or "after 21 steps" in done.stderr
    assert "--resume continues" in done.stderr
    assert not model.exists()
    train(recipe, model, [photos], **options(resume=True))
    assert load_model(model).metadata.recipe.count("100 steps") == 1


def test_a_shipped_model_is_started_from_by_its_name():
    start = _start(Path("vdsr"), "unknown")
    assert start.architecture.depth == 20
    assert start.origin.startswith("vdsr ")
    with pytest.raises(CheckpointError, match="vdsx"):
        _start(Path("vdsx"), "unknown")
