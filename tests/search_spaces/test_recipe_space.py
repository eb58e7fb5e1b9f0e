"""Recipe spaces and joint spaces: decode, encode, prices, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import conf
from nas.terminal.configuration import cards
from search_spaces.families.fbnet import fbnet
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import RecipeSpace, recipe_space
from search_spaces.wrappers.joint import JointSpace, single

BASE = Recipe(epochs=10, batch_size=32, lr=0.01, warmup_epochs=1)
CARDS = Path(conf.__file__).parent / "recipe_space"


def card(name: str, base: Recipe = BASE, **changes: Any) -> RecipeSpace:
    values = yaml.safe_load((CARDS / f"{name}.yaml").read_text())
    found = cards.build({**values, **changes}, "recipe_space", {"base": base})
    assert isinstance(found, RecipeSpace)
    return found


@pytest.mark.parametrize("name", sorted(path.stem for path in CARDS.glob("*.yaml")))
def test_encode_inverts_decode(name: str) -> None:
    space = card(name)
    rng = np.random.default_rng(0)
    for _ in range(20):
        genes = tuple(int(rng.integers(len(v))) for v in space.variables)
        assert space.encode(space.decode(genes)) == genes


def test_the_published_space_has_its_size() -> None:
    """11 * 2 * 2 * 15 * 31 * 22 * 42 recipes: the paper's 10^7."""
    space = card("fbnetv3")
    assert [len(v) for v in space.variables] == [11, 2, 2, 15, 31, 22, 42]
    assert space.size == 18_905_040
    last = space.decode([len(v) - 1 for v in space.variables])
    assert (last.lr, last.weight_decay, last.drop_path_rate, last.drop_rate, last.mixup) == (
        0.03,
        21e-6,
        0.31,
        0.31,
        0.41,
    )


def test_a_grid_may_hold_its_last_value_exactly() -> None:
    space = recipe_space(BASE, lr={"low": 0.1, "high": 0.3, "step": 0.1}, epochs={"low": 5, "high": 9, "step": 2})
    assert space.variables[0].choices == (0.1, 0.2, 0.3)
    assert space.variables[1].choices == (5, 7, 9)
    assert all(isinstance(epochs, int) for epochs in space.variables[1].choices)


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ({"speed": [1]}, "recipe_space.speed cannot be searched"),
        ({"lr": 0.1}, "must be a list of values"),
        ({"lr": []}, "must be a list of values"),
        ({"lr": [0.1, 0.1]}, "twice"),
        ({"lr": [-0.1]}, "lr must be greater than 0"),
        ({"optimizer": ["sgdd"]}, "recipe_space.optimizer: recipe: optimizer must be one of"),
        ({"lr": {"low": 1, "high": 0, "step": 1}}, "low <= high"),
        ({"lr": {"low": 1}}, "low, high, step"),
        ({"lr": {"low": 0.0001, "high": 1, "step": 0.0001}}, "at most 1000"),
        ({"epochs": [2, 4], "warmup_epochs": [1, 3]}, "warmup_epochs 3 must stay below"),
    ],
)
def test_bad_grids_are_refused(grids: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_space(BASE, **grids)


def test_foreign_recipes_are_refused() -> None:
    space = recipe_space(BASE, lr=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"lr is 0\.01; this recipe space has 0\.1, 0\.2"):
        space.encode(BASE)
    with pytest.raises(ValueError, match="epochs is 9; this recipe space fixes it at 10"):
        space.encode(Recipe(epochs=9, batch_size=32, lr=0.1, warmup_epochs=1))
    with pytest.raises(ValueError, match=r"lr has choices 0\.\.1, got 2"):
        space.decode([2])


def test_a_joint_space_prices_archs_and_decodes_both() -> None:
    archs = fbnet(16, 10, 1, width=0.25, head_channels=32)
    space = JointSpace(archs, card("small_images"))
    population = space.sample(8, np.random.default_rng(0))
    macs = space.count("macs")
    np.testing.assert_array_equal(macs(population), [space.decode(g).macs for g in population])
    assert macs.reachable() == archs.count("macs").reachable()
    for genotype in population.tolist():
        assert space.encode(space.decode(genotype), space.recipe(genotype)) == tuple(genotype)
    assert len({space.candidate_id(g) for g in population}) == 8
    assert set(space.table_entries()) == set(archs.table_entries())


def test_one_arch_leaves_only_recipes_to_search() -> None:
    arch = fbnet(16, 10, 1, width=0.25, head_channels=32).decode([0] * 22)
    space = JointSpace(single(arch), card("small_images"))
    assert space.size == card("small_images").size
    cost = space.count("params")
    assert cost.reachable() == (arch.params, arch.params)
    assert space.decode([0] * 8) == arch
    assert set(space.table_entries()) == set(arch.walk())
    with pytest.raises(ValueError, match="not in single"):
        space.architectures.encode(arch.with_classes(3))
