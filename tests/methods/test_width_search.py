"""The search of widths by gradient, and the exact choice of widths within a budget."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.integer_programme import best_under_budget
from nas.methods.base import Task
from nas.methods.masking import Masking
from search_spaces.families.mobilenetv2.space import mobilenetv2
from search_spaces.families.rexnet.space import rexnet
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import SearchSpace
from tests.methods import gradient_task
from tests.methods.gradient_task import Records, check_continues


def widths_of(name: str) -> SearchSpace:
    if name == "mobilenetv2":
        return mobilenetv2(8, 10, 1, (0.25, 0.375), (1,), (3,), (6,), head_channels=32)
    return rexnet(8, 10, 1, widths=(0.02, 0.1), firsts=(8, 16))


def method(**changes: Any) -> Masking:
    found = gradient_task.method("masking", **changes)
    assert isinstance(found, Masking)
    return found


def task(folder: Path, name: str = "mobilenetv2", share: float | None = 0.5) -> tuple[Task, Records]:
    return gradient_task.task(folder, widths_of(name), share)


@pytest.mark.parametrize("name", ["mobilenetv2", "rexnet"])
def test_interrupted_search_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    records = check_continues(method, lambda folder: task(tmp_path / folder, name, share=0.1))
    assert [record["epoch"] for record in records] == [0, 1, 2]
    assert "theta_loss" not in records[0] and "theta_loss" in records[1]


def test_the_budget_moves_the_expected_cost_below_it(tmp_path: Path) -> None:
    """Theta starts uniform, above the limit of a tenth of the range; the multiplier rises until it is met."""
    problem, records = task(tmp_path, share=0.1)
    assert problem.limit_ms is not None
    method(epochs=12, theta_lr=0.3).search(problem)
    assert records[0]["expected_latency_ms"] > problem.limit_ms
    assert records[1]["multiplier"] > 0
    assert records[-1]["expected_latency_ms"] < problem.limit_ms * 1.02


def test_inherited_networks_are_points_of_the_space(tmp_path: Path) -> None:
    problem, _ = task(tmp_path, share=None)
    result = method().search(problem)
    assert result.inherit is not None
    assert problem.limit_ms is None
    (genotype,) = best_under_budget(result.probabilities, problem.cost, np.inf)
    assert genotype == tuple(int(row.argmax()) for row in result.probabilities)
    assert result.inherit(genotype).arch == problem.space.decode(genotype)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("warmup_epochs", 3, "warmup_epochs must lie in 0..epochs-1"),
        ("weight_fraction", 1, "weight_fraction must lie between 0 and 1"),
        ("theta_lr", 0, "theta_lr must be > 0"),
    ],
)
def test_bad_settings(key: str, value: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        method(**{key: value})


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_within_a_budget_is_exact(seed: int) -> None:
    """Against all genotypes of random chains of pairs, in order, at limits over the whole range."""
    rng = np.random.default_rng(seed)
    sizes = tuple(int(n) for n in rng.integers(2, 5, size=5))
    scopes = [(0,), (0, 1), (1, 2), (1, 2), (2, 3), (4, 3)]
    tables = tuple(rng.uniform(size=[sizes[v] for v in scope]) for scope in scopes)
    cost = AdditiveCost(0.3, tuple(scopes), tables, sizes)
    probabilities = [rng.dirichlet(np.ones(n)) for n in sizes]
    every = np.array(list(itertools.product(*(range(n) for n in sizes))))
    gain = sum(np.log(p[every[:, v]]) for v, p in enumerate(probabilities))
    prices = cost(every)
    for share in (0.0, 0.2, 0.6, 1.0):
        limit = float(np.quantile(prices, share))
        inside = np.flatnonzero(prices <= limit)
        best = inside[np.argsort(-gain[inside])][:3]
        found = best_under_budget(probabilities, cost, limit, count=3)
        assert found == [tuple(row) for row in every[best].tolist()]


def test_a_budget_out_of_reach_is_refused_with_the_range() -> None:
    cost = gradient_task.stand_in_ms(widths_of("mobilenetv2"))
    low, _ = cost.reachable()
    with pytest.raises(ValueError, match="out of reach; this space spans"):
        best_under_budget([np.ones(n) / n for n in cost.cardinalities], cost, 0.9 * low)
