"""The parts of a training run, and small runs of it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vdsr.data.packfile import make_pack
from vdsr.errors import CheckpointError, OutputError, UsageError, VdsrError
from vdsr.model.architecture import Architecture, Layer
from vdsr.training import checkpoint as checkpoints
from vdsr.training import lightning
from vdsr.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vdsr.training.growth import deepen
from vdsr.training.losses import loss
from vdsr.training.module import StageModule, build_network
from vdsr.training.monitor import Monitor
from vdsr.training.network import SRCNN, VDSR
from vdsr.training.optimizers import Muon, orthogonal
from vdsr.training.parallel import Parallel
from vdsr.training.patches import Patches
from vdsr.training.recipe import NetworkSettings
from vdsr.training.recipe_file import parse_recipe
from vdsr.training.run import Start, TrainingOptions
from vdsr.training.trainer import train
from vdsr.training.validation import Validation, hold_out

TINY = """
name = "tiny"
ema = 0.9
validations = 2
[network]
width = 6
[data]
scales = [2, 3]
patch = 18
batch = 4
validation = 1
[optimizer]
kind = "muon"
[[phases]]
loss = "charbonnier"
until = 0.5
clip_norm = 0.5
[[phases]]
loss = "mse"
[[stages]]
depth = 3
steps = 4
rate = 0.01
[[stages]]
depth = 5
steps = 3
rate = 0.005
"""
SGD = TINY.replace('kind = "muon"', 'kind = "sgd"')


def drawn(seed, side=60):
    """Discs with soft edges, which bicubic blurs and a network finds again."""
    rng = np.random.default_rng(seed)
    fine = 4 * side
    y, x = np.mgrid[:fine, :fine]
    picture = np.full((fine, fine), 120.0)
    for _ in range(14):
        (cy, cx), r = rng.uniform(0, fine, 2), rng.uniform(0.05, 0.25) * fine
        picture[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = rng.uniform(20, 230)
    return picture.reshape(side, 4, side, 4).mean((1, 3)).round().astype(np.uint8)


PACK = make_pack([drawn(i) for i in range(8)], list("abcdefgh"), data="discs", license="CC0")


def layers_equal(one, other):
    return all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
        for a, b in zip(one, other, strict=True)
    )


# The parts


@pytest.mark.parametrize(("before", "after"), [(6, 12), (12, 20), (3, 4), (2, 20), (5, 5)])
def test_growing_changes_nothing_that_the_network_gives(before, after):
    torch.manual_seed(before)
    small = VDSR(depth=before, width=8)
    for layer in small.convolutions:
        torch.nn.init.normal_(layer.bias, std=0.05)
    grown = deepen(small.architecture(), after)
    large = VDSR(depth=after, width=8)
    large.load_architecture(grown)
    y = torch.rand(2, 1, 30, 40)
    assert grown.depth == after
    torch.testing.assert_close(large(y), small(y), atol=1e-6, rtol=1e-5)


def test_growth_spreads_the_new_layers_and_refuses_what_it_cannot_do():
    grown = deepen(VDSR(depth=6, width=4).architecture(), 11)
    new = [i for i, la in enumerate(grown) if np.count_nonzero(la.weight) == 4]
    assert new == [1, 3, 5, 7, 9]
    with pytest.raises(UsageError, match="6 layers cannot grow to 5"):
        deepen(VDSR(depth=6, width=4).architecture(), 5)
    with pytest.raises(UsageError, match="one width"):
        deepen(SRCNN().architecture(), 5)


def test_srcnn_is_the_chain_of_its_paper_and_comes_back():
    network = SRCNN(kernels=(9, 1, 5))
    shapes = [tuple(layer.weight.shape) for layer in network.convolutions]
    assert shapes == [(64, 1, 9, 9), (32, 64, 1, 1), (1, 32, 5, 5)]
    assert sum(layer.weight.numel() for layer in network.convolutions) == 8032  # its "8K"
    assert not network.architecture().residual
    other = SRCNN(kernels=(9, 1, 5))
    other.load_architecture(network.architecture())
    y = torch.rand(1, 1, 20, 20)
    assert torch.equal(other(y), network(y))
    with pytest.raises(ValueError, match="not those"):
        other.load_architecture(Architecture(layers=network.architecture().layers, residual=True))


def test_a_quiet_start_is_bicubic():
    y = torch.rand(1, 1, 20, 20)
    network = build_network(parse_recipe(TINY).network, 5)
    assert torch.equal(network(y), y)
    srcnn = build_network(NetworkSettings(kind="srcnn"), 3)
    torch.testing.assert_close(srcnn(y), y, atol=1e-6, rtol=0.0)
    # The other channels are there to learn.
    first, inner, last = srcnn.convolutions
    assert first.weight[1:].std() > 0.0 and inner.weight[1:].std() > 0.0
    assert not torch.equal(
        build_network(NetworkSettings(kind="srcnn", quiet=False), 3).convolutions[2].weight,
        last.weight,
    )


def test_losses_and_their_sums():
    restored, original = torch.full((2, 1, 3, 3), 0.5), torch.full((2, 1, 3, 3), 0.1)
    assert float(loss(restored, original, "l1", "mean")) == pytest.approx(0.4)
    assert float(loss(restored, original, "mse", "mean")) == pytest.approx(0.16)
    assert float(loss(restored, original, "mse", "sum")) == pytest.approx(18 * 0.16)
    assert float(loss(restored, original, "mse", "half_sum")) == pytest.approx(9 * 0.16 / 2)
    expected = (0.16 + 1e-6) ** 0.5
    assert float(loss(restored, original, "charbonnier", "mean")) == pytest.approx(expected)
    assert float(loss(original, original, "charbonnier", "mean")) == pytest.approx(1e-3)


def test_the_logarithmic_loss_counts_decibels_of_each_patch():
    original = torch.rand(2, 3, 8, 8)
    restored = original + torch.tensor([0.4, 0.04])[:, None, None, None]
    expected = (np.log1p(0.16 / 1e-4) + np.log1p(0.0016 / 1e-4)) / 2
    assert float(loss(restored, original, "log_mse", "mean")) == pytest.approx(expected, rel=1e-4)
    assert float(loss(original, original, "log_mse", "mean")) == 0.0


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_muon_steps_are_nearly_orthogonal(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.35


def test_muon_finds_the_least_of_a_bowl():
    torch.manual_seed(0)
    goal = torch.randn(6, 4, 3, 3)
    kernel, bias = torch.nn.Parameter(torch.zeros(6, 4, 3, 3)), torch.nn.Parameter(torch.ones(6))
    optimizer = Muon([kernel], [bias], rate=0.5, other_rate=0.1)
    for step in range(60):
        for group, first in zip(optimizer.param_groups, (0.5, 0.1), strict=True):
            group["lr"] = first * (1 - step / 60)
        optimizer.zero_grad()
        ((kernel - goal).square().sum() + bias.square().sum()).backward()
        optimizer.step()
    assert float(bias.detach().abs().max()) < 0.05
    assert float((kernel.detach() - goal).norm() / goal.norm()) < 0.2


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    torch.manual_seed(0)
    network, y = VDSR(depth=4, width=8), torch.rand(5, 1, 12, 12)
    network(y).square().sum().backward()
    whole = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    threads = torch.get_num_threads()
    # As the trainer does: workers that share threads may wait for each other for ever.
    torch.set_num_threads(1)
    try:
        parallel = Parallel(network, 2)
        parallel(y).square().sum().backward()
        parallel.close()
    finally:
        torch.set_num_threads(threads)
    for expected, parameter in zip(whole, network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("clip", "holds"), [("theta = 1e-3", "element"), ("norm = 0.4", "norm")])
def test_gradients_are_limited(clip, holds):
    recipe = parse_recipe(SGD.replace("clip_norm = 0.5", f"clip_{clip}"))
    network = build_network(recipe.network, 3)
    state = Checkpoint(
        recipe="", pack="", origin="", weights={}, mean=dict(network.named_parameters())
    )
    patches = Patches([drawn(0)], scales=(2,), patch=18, batch=2)
    module = StageModule(
        recipe, network, patches, state, restore=network, after_step=lambda module: None
    )
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, -7.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    module.configure_gradient_clipping(optimizer)
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
    if holds == "element":  # +- theta / rate
        assert gradient.unique().tolist() == pytest.approx([-0.01])
    else:
        assert float(gradient.norm()) == pytest.approx(0.4, rel=1e-3)


def test_kept_out_pictures_are_not_trained_on():
    pictures = [np.full((2, 2), i, np.uint8) for i in range(30)]
    train_on, kept_out = hold_out(12, pictures)
    assert (len(train_on), len(kept_out)) == (27, 3)
    assert {int(p[0, 0]) for p in train_on} | {int(p[0, 0]) for p in kept_out} == set(range(30))
    assert hold_out(5, pictures[:1])[1] == hold_out(0, pictures)[1] == []


def test_validation_measures_bicubic_as_bicubic():
    figures = Validation([drawn(0, 100)], (2, 4), "cpu").bicubic()
    assert set(figures) == {"x2", "x4"}
    assert 15 < figures["x4"] < figures["x2"] < 40


# Checkpoints


def some_checkpoint():
    return Checkpoint(
        recipe="r",
        pack="p",
        origin="",
        weights={"layers.0.weight": torch.rand(2, 1, 3, 3)},
        mean={"layers.0.weight": torch.rand(2, 1, 3, 3)},
        optimizer={"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]},
        scores=[{"step": 1, "x2": 30.0}],
    )


def test_a_checkpoint_comes_back_and_unpickles_nothing(tmp_path):
    saved, path = some_checkpoint(), tmp_path / "c.pt"
    save_checkpoint(saved, path)
    back = load_checkpoint(path)
    assert torch.equal(back.weights["layers.0.weight"], saved.weights["layers.0.weight"])
    assert (back.optimizer, back.scores) == (saved.optimizer, saved.scores)
    torch.save({"format": 1, "harm": os.system}, path)
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_checkpoint(path)


def test_damaged_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(some_checkpoint(), path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no checkpoint"):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match="not an intact checkpoint"):
            load_checkpoint(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch, error):
    path = tmp_path / "c.pt"
    save_checkpoint(some_checkpoint(), path)
    before = path.read_bytes()

    def full(content, file):
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(OutputError, match="the one before it is kept"):
        save_checkpoint(some_checkpoint(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Runs


def test_a_run_grows_measures_logs_and_ends(tmp_path):
    said = []
    recipe = parse_recipe(TINY)
    outcome = train(recipe, PACK, tmp_path, options=TrainingOptions(threads=2, say=said.append))
    assert outcome.finished
    assert outcome.leads
    assert (outcome.steps, outcome.architecture.depth, outcome.architecture.width) == (7, 5, 6)
    assert [score["step"] for score in outcome.scores] == [2, 4, 6, 7]
    assert set(outcome.bicubic) == {"x2", "x3"}
    assert "x2" in said[-1]
    logs = list((tmp_path / "logs").rglob("metrics.csv"))
    assert len(logs) == 2
    assert "psnr_x2" in logs[0].read_text()
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    recipe = parse_recipe(TINY)
    unbroken = train(recipe, PACK, tmp_path / "a", options=TrainingOptions(threads=2))

    class Stopped(Exception):
        pass

    def stop(line):
        raise Stopped

    # The first measurement, at step 2, breaks the run; step 1 is what was saved.
    breaking = TrainingOptions(threads=2, save_seconds=0.0, say=stop)
    with pytest.raises(Stopped):
        train(recipe, PACK, tmp_path / "b", options=breaking)
    assert load_checkpoint(tmp_path / "b" / "checkpoint.pt").step == 1
    options = TrainingOptions(threads=2, save_seconds=0.0)
    resumed = train(recipe, PACK, tmp_path / "b", resume=True, options=options)
    assert resumed.steps == unbroken.steps == 7
    assert layers_equal(resumed.architecture, unbroken.architecture)


def test_what_it_was_trained_on_goes_along(tmp_path, monkeypatch):
    recipe = parse_recipe(TINY)
    monkeypatch.setattr(lightning, "device_name", lambda devices: "a GPU elsewhere")
    halfway = TrainingOptions(threads=1, stopped=lambda: True)
    assert train(recipe, PACK, tmp_path, options=halfway).device == "a GPU elsewhere"
    monkeypatch.undo()
    rest = train(recipe, PACK, tmp_path, resume=True)
    assert rest.finished and rest.device.startswith("a GPU elsewhere, then ")
    # Nothing is left to do on this one.
    monkeypatch.setattr(lightning, "device_name", lambda devices: "a laptop")
    assert train(recipe, PACK, tmp_path, resume=True).device == rest.device


def test_a_run_of_an_earlier_version_does_not_know_what_it_was_trained_on(tmp_path):
    recipe = parse_recipe(TINY)
    train(recipe, PACK, tmp_path, options=TrainingOptions(threads=1, stopped=lambda: True))
    path = tmp_path / "checkpoint.pt"
    earlier = torch.load(path, weights_only=True)
    del earlier["device"]
    torch.save(earlier, path)
    assert train(recipe, PACK, tmp_path, resume=True).device == "unknown, then CPU"


def test_the_network_of_a_gpu_can_be_compiled():
    network = VDSR(depth=4, width=8, fold=2)
    y = torch.rand(2, 1, 16, 16)
    fused = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert torch.equal(fused(y), network(y))
    weights = list(network.parameters())
    for one, other in zip(
        torch.autograd.grad(fused(y).sum(), weights),
        torch.autograd.grad(network(y).sum(), weights),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_finished_run_can_be_asked_again_but_not_overwritten(tmp_path):
    recipe = parse_recipe(TINY)
    first = train(recipe, PACK, tmp_path)
    again = train(recipe, PACK, tmp_path, resume=True)
    assert again.finished
    assert layers_equal(first.architecture, again.architecture)
    with pytest.raises(UsageError, match="resume=True"):
        train(recipe, PACK, tmp_path)
    with pytest.raises(UsageError, match="another recipe"):
        train(parse_recipe("seed = 2\n" + TINY), PACK, tmp_path, resume=True)
    with pytest.raises(UsageError, match="other data"):
        other = make_pack([drawn(9)], ["z"], data="z", license="CC0")
        train(recipe, other, tmp_path, resume=True)


def test_a_run_may_start_from_a_shallower_network(tmp_path):
    torch.manual_seed(3)
    layers = VDSR(depth=2, width=6).architecture()
    recipe = parse_recipe(TINY.replace("rate = 0.01", "rate = 1e-30").replace("0.005", "1e-30"))
    start = Start(architecture=layers, origin="a test")
    outcome = train(recipe, PACK, tmp_path / "a", start=start)
    assert outcome.origin == "a test"
    grown = VDSR(depth=5, width=6)
    grown.load_architecture(outcome.architecture)
    small = VDSR(depth=2, width=6)
    small.load_architecture(layers)
    y = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(grown(y), small(y), atol=1e-6, rtol=1e-5)
    wide = Start(architecture=VDSR(depth=3, width=7).architecture(), origin="a test")
    with pytest.raises(UsageError, match="width 7"):
        train(recipe, PACK, tmp_path / "b", start=wide)


def test_a_loss_that_explodes_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    text = SGD.replace("steps = 4", "steps = 300").replace("rate = 0.01", "rate = 1e9")
    with pytest.raises(VdsrError, match=r"(not a number|diverges).*last good checkpoint") as caught:
        train(parse_recipe(text), PACK, tmp_path, options=TrainingOptions(save_seconds=0.0))
    assert caught.value.exit_code == 1
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    assert all(bool(torch.isfinite(value).all()) for value in state.weights.values())


def test_a_network_that_dies_stops_the_run_and_is_not_kept(tmp_path, monkeypatch):
    text = TINY.replace("width = 6", "width = 16").replace("steps = 4", "steps = 600")
    text = text.replace("batch = 4", "batch = 8\nfocus = 1.0").replace("0.01", "0.02")
    watch = Monitor.after_step

    def killed(self, module, before):
        if module.step > 150:
            with torch.no_grad():
                module.network.convolutions[-1].weight.zero_()
                module.network.convolutions[-1].bias.zero_()
        watch(self, module, before)

    monkeypatch.setattr(Monitor, "after_step", killed)
    with pytest.raises(VdsrError, match=r"lost all that it had learned, after [34]\d\d steps"):
        train(parse_recipe(text), PACK, tmp_path, options=TrainingOptions(save_seconds=0.0))
    # It was saved after every step while all was well.
    assert 150 <= load_checkpoint(tmp_path / "checkpoint.pt").step <= 155


def test_an_unwritable_folder_is_found_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        train(parse_recipe(TINY), PACK, tmp_path / "file" / "run")


def test_training_learns(tmp_path):
    text = TINY.replace("width = 6", "width = 16").replace("steps = 4", "steps = 150")
    text = text.replace("batch = 4", "batch = 8\nfocus = 1.0").replace("0.01", "0.02")
    outcome = train(parse_recipe(text.replace("0.005", "1e-5")), PACK, tmp_path)
    for scale, value in outcome.bicubic.items():
        assert outcome.scores[-1][scale] > value + 0.2


def test_the_way_that_trains_needs_little():
    """A machine lent for training has torch, Lightning and Pillow, and no more of ours."""
    code = """
import sys
for name in ("pyvips", "openvino", "onnx", "safetensors", "typer"):
    sys.modules[name] = None
import vdsr.training.trainer, vdsr.training.recipe_file, vdsr.training.card
from vdsr.data.packfile import read_pack
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_layers_of_the_identity_have_a_bias_only_where_there_was_one():
    bare = Architecture(
        layers=(
            Layer(weight=np.ones((4, 1, 3, 3), np.float32)),
            Layer(weight=np.ones((1, 4, 3, 3), np.float32)),
        ),
        residual=True,
    )
    assert [layer.bias for layer in deepen(bare, 4)] == [None] * 4
