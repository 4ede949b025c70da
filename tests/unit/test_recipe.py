"""Recipes: what is accepted, what is refused and why, and what the schedules make of them."""

from __future__ import annotations

import math

import pytest

from vdsr.errors import UsageError
from vdsr.training.recipe import Phase, Stage
from vdsr.training.recipe_file import load_recipe, parse_recipe, recipe_names
from vdsr.training.schedule import phase, rate

MINIMAL = 'name = "x"\n[[stages]]\nsteps = 10\nrate = 0.1\n'


def test_every_recipe_of_the_package_is_valid_and_has_its_own_name():
    names = recipe_names()
    assert {"smoke", "cpu", "release", "paper", "pytorch-vdsr", "srcnn", "fast"} <= set(names)
    for name in names:
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.about.endswith(".")


def test_the_public_scripts_recipe_is_that_script():
    """Of 291 images 92,636 patches; 12 mirrored and turned ones of each; whole chunks of 64."""
    recipe = load_recipe("pytorch-vdsr")
    (stage,), (only,) = recipe.stages, recipe.phases
    stored = 12 * 92_636 // 64 * 64
    assert stage.steps == 50 * -(-stored // recipe.data.batch)
    assert (recipe.data.batch, recipe.data.patch, recipe.data.scales) == (128, 41, (2, 3, 4))
    assert (recipe.data.flips, recipe.data.rotations) == (True, True)
    assert recipe.data.rescales == (1.0, 0.7, 0.5)
    assert (only.loss, only.reduction, only.clip_norm) == ("mse", "sum", 0.4)
    assert (stage.rate, stage.drops, stage.factor, stage.depth) == (0.1, 4, 0.1, 20)
    assert (recipe.optimizer.momentum, recipe.optimizer.decay) == (0.9, 1e-4)
    assert not recipe.network.bias


def test_the_papers_recipe_is_the_papers():
    recipe = load_recipe("paper")
    (stage,), (only,) = recipe.stages, recipe.phases
    assert (recipe.data.batch, recipe.data.patch, recipe.data.scales) == (64, 41, (2, 3, 4))
    assert (recipe.optimizer.kind, recipe.optimizer.momentum) == ("sgd", 0.9)
    assert recipe.optimizer.decay == 1e-4
    assert (only.loss, only.reduction, only.clip_norm) == ("mse", "half_sum", 0.0)
    assert only.clip_theta > 0.0
    # 80 epochs are 9960 steps; the rate falls after 20, 40 and 60 of them.
    epochs = [0, 19.9, 20.1, 40.1, 60.1, 79.9]
    rates = [rate(stage, epoch / 80) for epoch in epochs]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])
    assert stage.steps == 9960


def test_the_digest_is_of_the_values_and_not_of_the_text():
    plain = parse_recipe(MINIMAL)
    spelled = parse_recipe("# the same\nema = 0.999\n" + MINIMAL.replace("0.1", "1e-1"))
    other = parse_recipe(MINIMAL.replace("0.1", "0.2"))
    assert plain.digest == spelled.digest != other.digest
    assert len(plain.digest) == 64


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "not TOML"),
        ("[[stages]]\nsteps = 1\nrate = 0.1\n", "name is missing"),
        ('name = "x"\nstages = []\n', "at least one stage"),
        ('name = "x"\n[[stages]]\nsteps = 1\n', "stages.rate is missing"),
        (MINIMAL + "minutes = 3\n", "either steps or minutes"),
        (MINIMAL + "[data]\npatches = 3\n", "unknown key data.patches"),
        (MINIMAL + "[data]\npatch = 41.5\n", "data.patch = 41.5 is not a whole number"),
        (MINIMAL + "[data]\nflips = 1\n", "data.flips = 1 is not true or false"),
        (MINIMAL + "[data]\nscales = 2\n", "data.scales is a list"),
        (MINIMAL + "[data]\nrescales = [1.0, 0.0]\n", "data.rescales"),
        (MINIMAL + "[optimizer]\nkind = 'adam'\n", "muon, adamw, sgd"),
        (MINIMAL + "[optimizer]\nmomentum = 1\n", "optimizer.momentum"),
        (MINIMAL + "[network]\nkind = 'srcnn'\n", "depth = 3"),
        (MINIMAL + "[network]\nkernels = [9, 4, 5]\n", "three odd numbers"),
        (MINIMAL + "[[phases]]\nloss = 'l2'\n", "l1, charbonnier, mse"),
        (MINIMAL + "[[phases]]\nuntil = 0.5\n", "the last one ends at 1"),
        (MINIMAL + "[[stages]]\ndepth = 5\nsteps = 1\nrate = 0.1\n", "only grow"),
        (MINIMAL.replace("0.1", "nan"), "not a finite number"),
        (MINIMAL.replace("0.1", "-0.1"), "rate is above 0"),
        ("precision = '8'\n" + MINIMAL, "precision is 32, bf16 or 16"),
        ("data = 3\n" + MINIMAL, "data is a table"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, complaint):
    with pytest.raises(UsageError) as caught:
        parse_recipe(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_and_unreadable_recipes(tmp_path):
    with pytest.raises(UsageError, match=r"no recipe 'nosuch': .*smoke"):
        load_recipe("nosuch")
    with pytest.raises(UsageError, match=r"mine\.toml: the recipe cannot be read"):
        load_recipe(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text(MINIMAL + "[data]\nbatch = 0\n")
    with pytest.raises(UsageError, match=r"mine\.toml: data\.batch"):
        load_recipe(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("key", ["license", "licence"])
def test_sources_of_data_come_with_their_license(key: str):
    recipe = parse_recipe(MINIMAL + f"[[data.sources]]\npath = 'photos'\n{key} = 'CC0'\n")
    assert [(s.path, s.license) for s in recipe.data.sources] == [("photos", "CC0")]


def test_the_cosine_rises_during_the_warmup_and_falls_to_nothing():
    stage = Stage(steps=1, rate=2.0, warmup=0.1)
    assert rate(stage, 0.0) < 0.01
    assert rate(stage, 0.05) == pytest.approx(1.0)
    assert rate(stage, 0.1) == pytest.approx(2.0)
    assert rate(stage, 0.55) == pytest.approx(1.0)
    assert rate(stage, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert math.isclose(rate(Stage(steps=1, rate=2.0), 0.0), 2.0)


def test_phases_follow_each_other():
    first, second = Phase(until=0.7), Phase(loss="mse")
    assert [phase((first, second), done) for done in (0.0, 0.69, 0.7, 1.0)] == [
        first,
        first,
        second,
        second,
    ]
