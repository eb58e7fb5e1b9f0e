"""The command printed as the next one, pasted: it composes, uses the data and recipe at hand, and is within reach."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from nas.derive.budget import COUNTED
from nas.search.result import another_budget
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from nas.terminal.entry import plain
from nas.terminal.next_command import data_settings, recipe_settings, train_command
from search_spaces.recipe import Recipe


def composed(*settings: str) -> dict[str, Any]:
    return plain(compose("train", ["arch=x", *settings]))


@pytest.mark.parametrize(
    "settings",
    [
        ["data=digits"],
        ["data=fashion_mnist", "data.root=my data/f.npz", "data.train_limit=500"],
        ["data=npz", "data.root=a.npz", "data.class_names=[cat,dog]"],
        ["data=imagefolder", "data.root=pictures", "data.in_channels=1", "data.crop_percent=0.9"],
    ],
)
def test_the_data_of_a_run_are_named_in_full(settings: list[str]) -> None:
    card = composed(*settings)["data"]
    line = data_settings(card)
    assert composed(*shlex.split(line))["data"] == card
    assert len(shlex.split(line)) == len(settings)


def test_a_card_of_the_users_own_is_called_like_its_function() -> None:
    assert data_settings({"_target_": "my_package.shapes.shapes", "root": "x"}) == "data=shapes"


@pytest.mark.parametrize("card", ["quick", "small_images", "mobilenetv2", "fbnetv3", "fbnet"])
def test_the_recipe_of_a_run_is_named_where_it_differs_from_the_default(card: str) -> None:
    recipe: Recipe = cards.build(composed(f"recipe={card}")["recipe"], "recipe", {})
    line = recipe_settings(recipe)
    assert cards.build(composed(*shlex.split(line))["recipe"], "recipe", {}) == recipe
    assert (line == "") == (card == "quick")


def test_the_training_of_a_derived_network() -> None:
    config = composed("data=fashion_mnist", "data.root=f.npz")
    recipe = cards.build(composed("recipe.lr=0.02")["recipe"], "recipe", {})
    line = train_command(Path("runs/a b/arch.json"), config["data"], recipe)
    expected = "'arch=runs/a b/arch.json' data=fashion_mnist data.root=f.npz ++recipe.lr=0.02"
    assert line == f"next: python -m nas.train {expected}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"budget.latency_ms": 0.8}),
        ({"asked_latency_ms": 0.6}, {"budget.latency_ms": 1.75}),  # 0.48 is below what networks can take
        ({"asked_latency_ms": 0.625}, {"budget.latency_ms": 1.75}),
        ({"asked_latency_ms": None, "reachable_latency_ms": None, "trials": 8}, {"budget.fraction": 0.3}),
        ({"asked_latency_ms": None, "estimated_latency_ms": None, "asked_macs": 10**6}, {"budget.macs": 1_250_000}),
        ({"asked_latency_ms": None, "asked_weights_kib": 0.9}, {"budget.weights_kib": 1.125}),
        ({"asked_macs": 10**6}, {"budget.latency_ms": 0.8, "budget.macs": 10**6}),
        ({"asked_latency_ms": None, "estimated_latency_ms": None}, {}),
        ({"method": "random", "trials": 8}, {}),
    ],
)
def test_the_budget_offered_next_is_in_reach(changes: dict[str, Any], expected: dict[str, float]) -> None:
    found = {"method": "predictor", "trials": None, "asked_latency_ms": 1.0, "reachable_latency_ms": [0.5, 3.0]}
    found |= dict.fromkeys(f"asked_{name}" for name in COUNTED)
    assert another_budget({"estimated_latency_ms": 0.7} | found | changes) == expected
