"""Trunks and branches, idle channels, slopes, rates of their own: what long trainings need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from networks import model
from vdsr.data.packfile import join_packs, make_pack, read_pack, write_pack
from vdsr.errors import InputError, UsageError
from vdsr.training import lightning, trainer
from vdsr.training.branch import branch_of
from vdsr.training.checkpoint import NAME, load_checkpoint
from vdsr.training.growth import deepen, with_chroma
from vdsr.training.module import build_network
from vdsr.training.network import VDSR, rounded
from vdsr.training.optimizers import Muon, orthogonal
from vdsr.training.recipe import DamageSettings, DecaySettings, NetworkSettings, Phase, Stage
from vdsr.training.recipe_file import load_recipe, parse_recipe
from vdsr.training.revival import idle_channels, revive
from vdsr.training.run import Start, TrainingOptions
from vdsr.training.schedule import rate

TRUNK = """
name = "trunk"
ema = 0.9
validations = 0
validate_every = 4
[network]
width = 6
fold = 2
identity = 0.9
slope = 0.1
slope_steps = 4
[data]
patch = 24
batch = 4
scales = [2]
validation = 1
[optimizer]
kind = "muon"
other_rate = 0.03
bias_rate = 0.01
[[stages]]
depth = 3
steps = 3
rate = 0.01
[[stages]]
depth = 4
rate = 0.01
schedule = "stable"
warmup_steps = 2
revive = 3
noise = 0.02
[decay]
steps = 4
[[decay.phases]]
until = 0.5
[[decay.phases]]
loss = "mse"
"""


@pytest.fixture
def pack():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 48), np.uint8) for _ in range(3)]
    return make_pack(pictures, ["a", "b", "c"], data="test", license="CC0-1.0")


def stop_at(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    """Stop the run, as Ctrl-C does, after so many steps in all."""
    after = trainer._Training._after_step

    def step(self, module) -> None:
        if module.total == total:
            self._stop()
        after(self, module)

    monkeypatch.setattr(trainer._Training, "_after_step", step)


def test_a_trunk_goes_on_and_branches_end(tmp_path: Path, pack, monkeypatch):
    recipe = parse_recipe(TRUNK)
    trunk, goal = tmp_path / "trunk", tmp_path / "branch"
    lines: list[str] = []
    options = TrainingOptions(threads=1, say=lines.append)
    stop_at(monkeypatch, 9)
    stopped = trainer.train(recipe, pack, trunk, options=options)
    assert (stopped.finished, stopped.interrupted, stopped.steps) == (False, True, 9)
    # In a stage without an end, pictures are measured by the step.
    assert any("step 7" in line for line in lines)
    before = (trunk / NAME).read_bytes()

    ended = trainer.branch(recipe, pack, trunk, goal, options=options)
    assert (ended.finished, ended.steps, ended.architecture.depth) == (True, 13, 4)
    assert (trunk / NAME).read_bytes() == before, "a branch leaves its trunk alone"
    # The trunk goes on, and the next branch begins where it is then.
    monkeypatch.undo()
    stop_at(monkeypatch, 11)
    assert trainer.train(recipe, pack, trunk, resume=True, options=options).steps == 11
    assert trainer.branch(recipe, pack, trunk, goal, options=options).steps == 15


def test_an_interrupted_branch_ends_as_an_unbroken_one(tmp_path: Path, pack, monkeypatch):
    recipe = parse_recipe(TRUNK)
    trunk, options = tmp_path / "trunk", TrainingOptions(threads=1)
    stop_at(monkeypatch, 8)
    trainer.train(recipe, pack, trunk, options=options)
    whole = trainer.branch(recipe, pack, trunk, tmp_path / "whole", options=options)
    monkeypatch.undo()
    stop_at(monkeypatch, 10)
    half = trainer.branch(recipe, pack, trunk, tmp_path / "half", options=options)
    assert (half.finished, half.steps) == (False, 10)
    monkeypatch.undo()
    rest = trainer.branch(recipe, pack, trunk, tmp_path / "half", resume=True, options=options)
    assert rest.finished
    for a, b in zip(whole.architecture, rest.architecture, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.bias, b.bias)


def test_an_interrupted_trunk_goes_on_as_an_unbroken_one(tmp_path: Path, pack, monkeypatch):
    """With slopes that fall, channels that are reinitialized, and batches that are made ahead."""
    recipe = parse_recipe(TRUNK)
    options = TrainingOptions(threads=1)
    found = []
    for stops in ((10,), (5, 8, 10)):
        folder = tmp_path / str(len(stops))
        for stop in stops:
            monkeypatch.undo()
            stop_at(monkeypatch, stop)
            trainer.train(recipe, pack, folder, resume=True, options=options)
        found.append(load_checkpoint(folder / NAME))
    for name, value in found[0].weights.items():
        assert torch.equal(value, found[1].weights[name]), name
        assert torch.equal(found[0].mean[name], found[1].mean[name]), name


def test_a_branch_is_a_share_of_the_whole(tmp_path: Path, pack, monkeypatch):
    recipe = replace(parse_recipe(TRUNK), decay=DecaySettings(share=0.2))
    stop_at(monkeypatch, 8)
    trainer.train(recipe, pack, tmp_path, options=TrainingOptions(threads=1))
    trunk = load_checkpoint(tmp_path / NAME)
    derived, state = branch_of(recipe, trunk)
    (stage,) = derived.stages
    assert (stage.schedule, stage.steps, stage.revive, stage.depth) == ("decay", 2, 0, 4)
    assert (state.step, state.total) == (0, 8)
    assert state.optimizer == trunk.optimizer
    with pytest.raises(UsageError, match="another recipe"):
        branch_of(replace(recipe, seed=7), trunk)
    with pytest.raises(UsageError, match="has not come to its stable stage"):
        branch_of(recipe, replace(trunk, stage=0))
    with pytest.raises(UsageError, match="no stable stage"):
        branch_of(load_recipe("cpu"), trunk)
    other = make_pack([np.zeros((40, 40), np.uint8)] * 2, ["x", "y"], data="o", license="CC0")
    with pytest.raises(UsageError, match="trained on other data"):
        trainer.branch(recipe, other, tmp_path, tmp_path / "b")


def test_a_run_stops_when_its_time_is_up(tmp_path: Path, pack):
    recipe = parse_recipe(TRUNK)
    options = TrainingOptions(threads=1, minutes=1e-9)
    outcome = trainer.train(recipe, pack, tmp_path, options=options)
    assert (outcome.finished, outcome.interrupted, outcome.steps) == (False, False, 1)


def test_schedules():
    stable = Stage(rate=2.0, schedule="stable", warmup_steps=4)
    assert [rate(stable, 0.0, step) for step in (0, 1, 3, 4, 9999)] == [0.5, 1.0, 2.0, 2.0, 2.0]
    decay = Stage(rate=2.0, schedule="decay", steps=10)
    assert [rate(decay, done) for done in (0.0, 0.25, 1.0)] == [2.0, 1.5, 0.0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"schedule": "decay"}, "either steps or minutes"),
        ({"schedule": "stable", "steps": 3, "minutes": 1.0}, "either steps or minutes"),
    ],
)
def test_stages_without_an_end(more, message: str):
    with pytest.raises(UsageError, match=message):
        Stage(rate=1.0, **more)


def test_only_the_last_stage_is_without_an_end():
    text = TRUNK.replace("steps = 3\n", 'schedule = "stable"\n')
    with pytest.raises(UsageError, match="only the last stage"):
        parse_recipe(text)


def test_idle_channels_are_made_anew_and_nothing_changes():
    torch.manual_seed(0)
    network = VDSR(depth=5, width=8, fold=2)
    dead = {0: [1, 5], 2: [0], 3: [2, 3, 7]}
    with torch.no_grad():
        for i, channels in dead.items():
            network.convolutions[i].weight[channels] = -1.0
            network.convolutions[i].bias[channels] = -1.0
    y = torch.rand(3, 1, 24, 24)
    mean = {name: p.detach().clone() for name, p in network.named_parameters()}
    first, *inner, last = network.convolutions
    biases = [layer.bias for layer in network.convolutions]
    optimizer = Muon(
        [layer.weight for layer in inner],
        [first.weight, last.weight],
        biases,
        rate=0.01,
        other_rate=0.03,
    )
    network(y).square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        for name, p in network.named_parameters():
            p.copy_(mean[name])
        before = network(y)
    idle = idle_channels(network, [y[:1], y[1:]])
    assert {i: torch.nonzero(d)[:, 0].tolist() for i, d in enumerate(idle) if d.any()} == dead
    assert revive(network, idle, mean=mean, optimizer=optimizer, seed=3) == 6
    with torch.no_grad():
        assert float((network(y) - before).abs().max()) < 1e-6
    # They are alive, as large as their neighbors, and the mean has them, too.
    assert not any(d.any() for d in idle_channels(network, [y]))
    sizes = network.convolutions[2].weight.detach().flatten(1).norm(dim=1)
    assert 0.5 < float(sizes[0] / sizes[1:].mean()) < 2.0
    # Brightness alone does not move them.
    for i, channels in dead.items():
        kernels = network.convolutions[i].weight.detach()[channels]
        assert float(kernels.sum((2, 3)).abs().max()) < 1e-5
    for name, p in network.named_parameters():
        assert torch.equal(mean[name], p.detach()), name
    momentum = optimizer.state[network.convolutions[2].weight]["momentum"]
    assert not momentum[0].any()
    assert momentum[1].any()
    assert not optimizer.state[network.convolutions[3].weight]["momentum"][:, 0].any()
    # And a gradient comes back through them after a step.
    optimizer.zero_grad()
    network(y).square().mean().backward()
    assert float(network.convolutions[3].weight.grad[:, 0].abs().max()) > 0.0


def test_layers_of_which_all_channels_are_idle():
    network = VDSR(depth=3, width=4)
    with torch.no_grad():
        network.convolutions[0].weight.fill_(-1.0)
    idle = idle_channels(network, [torch.rand(1, 1, 12, 12) + 0.1])
    assert idle[0].all()
    mean = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    revive(network, idle[:1], mean=mean, optimizer=optimizer, seed=0)
    assert network.convolutions[0].weight.abs().max() > 0


def test_the_slope_falls_to_relu():
    network = VDSR(depth=3, width=4)
    y = torch.rand(1, 1, 12, 12)
    plain = network(y)
    network.slope = 0.1
    assert not torch.equal(network(y), plain)
    network.slope = 0.0
    assert torch.equal(network(y), plain)


def test_a_recipe_may_begin_near_the_identity():
    torch.manual_seed(0)
    network = build_network(NetworkSettings(width=6, identity=0.9), 4)
    inner = network.convolutions[1].weight.detach()
    middle = inner[torch.arange(6), torch.arange(6), 1, 1]
    assert float(middle.mean()) == pytest.approx(0.9, abs=0.15)
    assert float(inner.std()) < 0.5


def test_growth_with_noise_is_nearly_the_same():
    net = VDSR(depth=3, width=6, fold=2).architecture()
    exact, noisy = deepen(net, 5), deepen(net, 5, noise=0.02, seed=1)
    pairs = zip(exact, noisy, strict=True)
    different = [i for i, (a, b) in enumerate(pairs) if not np.array_equal(a.weight, b.weight)]
    assert len(different) == 2
    assert np.array_equal(
        deepen(net, 5, noise=0.02, seed=1).layers[different[0]].weight,
        noisy.layers[different[0]].weight,
    )
    change = noisy.layers[different[0]].weight - exact.layers[different[0]].weight
    assert change.std() == pytest.approx(0.02 * (2 / 54) ** 0.5, rel=0.2)


def test_chroma_is_added_to_a_network_of_luma():
    small = VDSR(depth=3, width=6, fold=2)
    wide = VDSR(depth=3, width=6, fold=2, planes=3)
    wide.load_architecture(with_chroma(small.architecture()))
    y = torch.rand(2, 3, 12, 16)
    with torch.no_grad():
        found = wide(y)
        assert torch.allclose(found[:, :1], small(y[:, :1]), atol=1e-6)
    assert torch.equal(found[:, 1:], y[:, 1:])
    with pytest.raises(UsageError, match="only a residual network of luma"):
        with_chroma(wide.architecture())


def test_a_photo_run_starts_from_luma(tmp_path: Path, monkeypatch):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (48, 60, 3), np.uint8) for _ in range(3)]
    pack = make_pack(pictures, ["a", "b", "c"], data="test", license="CC0-1.0")
    recipe = parse_recipe(TRUNK)
    recipe = replace(
        recipe,
        network=replace(recipe.network, planes=3),
        data=replace(recipe.data, scales=(1, 1.5, 2)),
        damage=DamageSettings(share=0.7),
    )
    start = Start(architecture=VDSR(depth=3, width=6, fold=2).architecture(), origin="luma")
    stop_at(monkeypatch, 6)
    options = TrainingOptions(threads=2)
    outcome = trainer.train(recipe, pack, tmp_path / "a", start=start, options=options)
    assert (outcome.steps, outcome.architecture.planes) == (6, 3)
    assert set(outcome.bicubic) == {"damaged", "x1.5", "x2"}
    luma = make_pack([p[..., 0] for p in pictures], list("abc"), data="t", license="CC0")
    with pytest.raises(InputError, match="pack them in color"):
        trainer.train(recipe, luma, tmp_path / "b", options=options)


def test_rates_of_kernels_ends_and_biases():
    torch.manual_seed(0)
    shapes = ((4, 4, 3, 3), (4, 1, 3, 3), (4,))
    kernel, end, bias = (torch.nn.Parameter(torch.zeros(shape)) for shape in shapes)
    optimizer = Muon([kernel], [end], [bias], rate=1.0, other_rate=0.03, bias_rate=0.01)
    for p in (kernel, end, bias):
        p.grad = torch.randn_like(p)
    optimizer.step()
    # AdamW's first step is as long as its rate.
    largest = [float(p.detach().abs().max()) for p in (kernel, end, bias)]
    assert largest[1:] == pytest.approx([0.03, 0.01], rel=1e-3)
    assert largest[0] > 0.1


@pytest.mark.parametrize("shape", [(3, 8, 72), (2, 72, 8), (8, 8)])
def test_the_short_way_to_orthogonal_matrices_is_the_long_one(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    long = x if shape[-2] <= shape[-1] else x.mT
    long = long / (long.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = long @ long.mT
        long = 3.4445 * long + (-4.7750 * square + 2.0315 * square @ square) @ long
    long = long if shape[-2] <= shape[-1] else long.mT
    assert float((orthogonal(x) - long).abs().max()) < 1e-4


def test_auto_is_what_the_machine_multiplies_faster(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for found, expected in ((("AVX2",), "32"), (("AVX2", "AVX-512 BF16"), "bf16")):
        monkeypatch.setattr("vdsr.inference.cpu.instructions", lambda found=found: found)
        assert lightning.settled("auto") == expected
        assert lightning.settled("16") == "16"


def test_packs_of_color(tmp_path: Path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2)]
    pack = make_pack(pictures, ["a", "b"], data="test", license="CC0-1.0")
    write_pack(pack, tmp_path / "a.pack")
    found = read_pack(tmp_path / "a.pack")
    assert found.color
    assert (found.pixels, found.digest) == (1200, pack.digest)
    for a, b in zip(found.pictures, pictures, strict=True):
        assert np.array_equal(a, b)
    luma = make_pack([pictures[0][..., 0]], ["c"], data="luma", license="CC0-1.0")
    assert not luma.color
    with pytest.raises(InputError, match="cannot be trained on together"):
        join_packs([pack, luma])
    joined = join_packs([pack, pack], [0.0, 0.1])
    assert (joined.groups, joined.shares) == ((0, 0, 1, 1), (0.0, 0.1))


def test_the_recipes_of_this_package_for_folded_networks():
    folded, photo, restore = map(load_recipe, ("folded", "photo", "restore"))
    for recipe, planes in ((folded, 1), (photo, 3), (restore, 3)):
        assert (recipe.network.fold, recipe.network.planes) == (2, planes)
        assert recipe.stages[-1].depth == 20
    assert folded.stages[-1].endless
    assert photo.stages[-1].endless
    last = Phase(loss="log_mse", clip_norm=0.5)
    assert folded.decay.phases[-1] == photo.decay.phases[-1] == restore.phases[-1] == last
    assert (photo.damage.share, restore.damage.share) == (0.75, 0.95)
    assert restore.data.scales == (1,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scales = [2]", "scales = [1.5]", "without damage, data.scales are whole"),
        ("patch = 24", "patch = 25", "multiple of network.fold"),
        ("fold = 2", "fold = 5", "network.fold is 1, 2, 3 or 4"),
        (
            "fold = 2",
            'fold = 2\nkind = "srcnn"',
            "an srcnn is of luma, not folded, and not in int8",
        ),
        ("slope = 0.1", "slope = 2.0", "network.slope"),
        ("slope = 0.1", "int8 = [0]", "network.int8 are layers behind the first"),
        ("bias_rate = 0.01", "bias_rate = -1.0", "bias_rate"),
        ("[decay]\nsteps = 4", "[decay]\nsteps = 4\nminutes = 2.0", "either steps or minutes"),
        ("[decay]", "[damage]\nshare = 0.5\nqualities = [90, 20]\n[decay]", "damage.qualities"),
        ("[decay]", "[damage]\nnoise = 1.5\n[decay]", r"damage.noise lies in 0\.\.1"),
    ],
)
def test_recipes_that_do_not_hold(old: str, new: str, message: str):
    with pytest.raises(UsageError, match=message):
        parse_recipe(TRUNK.replace(old, new, 1))


def test_a_trained_folded_network_is_a_model_file(tmp_path: Path, pack, monkeypatch):
    recipe = parse_recipe(TRUNK)
    stop_at(monkeypatch, 6)
    outcome = trainer.train(recipe, pack, tmp_path, options=TrainingOptions(threads=1))
    file = model(outcome.architecture.layers)
    assert (file.architecture.fold, file.architecture.halo) == (2, 8)


def test_values_are_rounded_and_gradients_are_not():
    values = torch.linspace(0.0, 2.0, 1000, requires_grad=True)
    found = rounded(values, torch.tensor(2.0), 255)
    steps = found.detach() * 255 / 2
    assert (steps - steps.round()).abs().max() < 1e-4
    assert (found - values).abs().max() <= 1 / 255 + 1e-6
    found.sum().backward()
    assert torch.equal(values.grad, torch.ones(1000))


def test_layers_compute_as_in_int8():
    torch.manual_seed(0)
    network = VDSR(depth=4, width=8)
    y = torch.rand(2, 1, 16, 16)
    plain = network(y)
    network.int8 = frozenset({1})
    first, second, *rest = network.convolutions
    h = first(y).relu()
    step = h.max() / 255
    peaks = second.weight.abs().amax((1, 2, 3), keepdim=True) / 63
    weight = (second.weight / peaks).round() * peaks
    h = functional.conv2d((h / step).round() * step, weight, second.bias, padding=1).relu()
    expected = y + rest[1](rest[0](h).relu())
    assert (network(y) - expected).abs().max() < 1e-5
    assert (network(y) - plain).abs().max() > 1e-5
    # All weights learn, and a model file has them as they are.
    network(y).square().mean().backward()
    assert all(layer.weight.grad.abs().max() > 0 for layer in network.convolutions)
    assert np.array_equal(network.architecture().layers[1].weight, second.weight.detach().numpy())
