"""Levers of networks in numbers, and what candidates score at each of their levels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from nas.search.diagnosis.levers import levers, of_arch
from nas.search.diagnosis.marginal import lever, marginal_means
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Skip
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace
from tests.methods.gradient_task import few_layers


def test_levers_of_a_network_by_hand() -> None:
    stages = (
        (ConvBNAct(8, 3),),
        (InvertedResidual(8, 3, 1, 2.0), InvertedResidual(16, 5, 2, 4.0), Skip(16)),
        (ConvBNAct(32), Classifier(10)),
    )
    found = of_arch(Arch((12, 8), stages, in_channels=1))
    assert found == {
        "resolution": 8,  # the shorter side
        "depth": 2,  # the skip executes nothing
        "width": (8 + 16) / 2,
        "inner width": (8 * 2 + 8 * 4) / 2,
        "kernel": (3 + 5) / 2,
        "share of inverted_residual": 1.0,
    }
    nothing = Arch(8, (stages[0], (Skip(8),), stages[2]), in_channels=1)
    assert of_arch(nothing) == {"resolution": 8, "depth": 0}


def test_recipes_are_levers_too() -> None:
    base = Recipe(epochs=1, batch_size=8, lr=0.1)
    space = JointSpace(few_layers(), recipe_space(base, lr=[0.1, 0.2], optimizer=["sgd", "adamw"]))
    found = levers(space, (0, 0, 0, 0, 1, 1))
    assert found["recipe.lr"] == 0.2 and found["recipe.optimizer"] == "adamw" and found["depth"] == 4


def test_gains_are_differences_of_means_with_the_intervals_of_welch() -> None:
    rng = np.random.default_rng(0)
    depth = np.repeat([1.0, 2.0, 3.0], 8)
    scores = 50 + 3 * depth + rng.normal(0, 1, 24)
    found = lever("depth", depth.tolist(), scores.tolist())
    assert found is not None and found.ordered and [level.label for level in found.levels] == ["1", "2", "3"]
    first, last = scores[:8], scores[16:]
    assert found.gain == pytest.approx(last.mean() - first.mean())
    interval = stats.ttest_ind(last, first, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(interval))
    assert 0 < found.low < 6 < found.high or found.low > 0  # the truth is 6 points
    alone = stats.t.interval(0.95, 7, loc=first.mean(), scale=stats.sem(first))
    assert found.levels[0].half == pytest.approx((alone[1] - alone[0]) / 2)
    fewer = lever("depth", (-depth).tolist(), scores.tolist())
    assert fewer is not None and fewer.gain == pytest.approx(-found.gain)


def test_many_values_are_taken_in_thirds_and_equal_ones_stay_together() -> None:
    values = np.array([0.0] * 10 + list(range(1, 21)), dtype=np.float64)
    found = lever("width", values.tolist(), values.tolist())
    assert found is not None and sum(level.count for level in found.levels) == 30
    assert found.levels[0].count == 10 and found.levels[0].label == "0" and found.levels[-1].label == "11 to 20"


def test_words_have_no_order() -> None:
    found = lever("recipe.optimizer", ["sgd", "adamw"] * 6, [59.0, 50.0, 61.0, 50.0] * 3)
    assert found is not None and not found.ordered and [level.label for level in found.levels] == ["adamw", "sgd"]
    assert found.gain == 10 and 8 < found.low < 10 < found.high < 12


def test_what_cannot_be_told_is_no_lever() -> None:
    assert lever("depth", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None  # all alike
    assert lever("depth", [1.0, 1.0, 2.0], [1.0, 2.0, 3.0]) is None  # one of a level says nothing of its spread
    third = 100 / 3  # so do equal ones, which few validation images make: four candidates are no certainty
    assert lever("depth", [1.0, 1.0, 2.0, 2.0], [third, third, 2 * third, 2 * third]) is None
    assert lever("depth", [1.0, 1.0, 2.0, 2.0], [third, third, 2 * third, third]) is not None


def test_levers_are_ordered_by_their_gain_and_missing_shares_are_none() -> None:
    rows = [{"depth": float(i % 2), "share of skip": 0.5} if i < 6 else {"depth": float(i % 2)} for i in range(12)]
    scores = [50.0 + (i % 2) + (5 if i < 6 else 0) for i in range(12)]
    found = marginal_means(rows, scores)
    assert [each.name for each in found] == ["share of skip", "depth"]
    assert found[0].gain == pytest.approx(5) and found[1].gain == pytest.approx(1)
    assert set(found[0].to_dict()) == {"name", "ordered", "gain", "low", "high", "levels"}
    assert dataclasses.asdict(found[0])["levels"][0] == {"label": "0", "count": 6, "mean": 50.5,
                                                        "half": found[0].levels[0].half}  # fmt: skip


def test_equal_scores_have_no_levers() -> None:
    rows = [{"depth": float(depth)} for depth in (1, 1, 2, 2)]
    assert marginal_means(rows, [90.0] * 4) == [] and len(marginal_means(rows, [90.0, 91.0, 92.0, 93.0])) == 1
