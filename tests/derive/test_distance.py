"""Networks of a contest are no near copies of each other: a distance in choices, kept by every way to derive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nas.data.digits import digits
from nas.data.space import build_space
from nas.derive.budget import Budget
from nas.derive.handover import derive_ranked
from nas.derive.integer_programme import best_apart
from nas.derive.most_probable import Derivation, derive, log_probability
from nas.derive.within_budget import Clock
from nas.latency.measuring.network_time import NetworkTime
from nas.terminal.configuration.composition import card_values
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.space import Genotype
from search_spaces.wrappers.distance import Apart, apart, canonical, distance
from search_spaces.wrappers.joint import JointSpace
from search_spaces.wrappers.silent import SilentGenes
from tests.methods.gradient_task import few_layers, stand_in_ms


@pytest.fixture(scope="module")
def cost() -> AdditiveCost:
    return stand_in_ms(few_layers())


@pytest.mark.parametrize("least", [1, 2, 3])
def test_the_most_probable_apart_are_those_of_a_full_list(cost: AdditiveCost, least: int) -> None:
    rng = np.random.default_rng(least)
    probabilities = [rng.dirichlet(np.ones(n)) for n in cost.cardinalities]
    everything = np.array(list(itertools.product(*(range(n) for n in cost.cardinalities))))
    limit = float(np.quantile(cost(everything), 0.6))
    within = [tuple(row) for row in everything[cost(everything) <= limit].tolist()]
    within.sort(key=lambda genotype: -log_probability(probabilities, genotype))
    expected = list(itertools.islice(apart(within, Apart(least)), 5))
    assert best_apart(probabilities, cost, (-np.inf, limit), 5, Apart(least)) == expected
    assert min(distance(a, b) for a, b in itertools.combinations(expected, 2)) >= least


@pytest.mark.parametrize("mode", ["budget", "sample"])
def test_derived_networks_keep_their_distance(cost: AdditiveCost, mode: str) -> None:
    rng = np.random.default_rng(0)
    probabilities = [rng.dirichlet(np.ones(n)) for n in cost.cardinalities]
    limit = float(np.mean(cost.reachable()))
    found = derive(probabilities, cost, limit, Derivation(mode, 0.9, 4, 1, 0, distance=2))
    assert len(found) == 4 and (cost(np.array(found)) <= limit).all()
    assert all(distance(a, b) >= 2 for a, b in itertools.combinations(found, 2))
    near = derive(probabilities, cost, limit, Derivation(mode, 0.9, 4, 1, 0))
    assert any(distance(a, b) < 2 for a, b in itertools.combinations(near, 2)), "so that it says something"


def test_a_ranking_is_thinned_within_the_limit(cost: AdditiveCost) -> None:
    """What measures too slow keeps nobody out: those like it are taken in its place."""
    space = JointSpace(few_layers(), recipe_space(Recipe(epochs=1, batch_size=8, lr=0.1), lr=[0.1, 0.2]))
    ranked = space.sample(60, np.random.default_rng(1))
    priced = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e4)
    budget = Budget(*[float(np.median(priced(ranked)))] * 2, 0.0, 0.0, 1e9)
    within = [tuple(row) for row in ranked[priced(ranked) <= budget.limit_ms].tolist()]
    asked = Derivation("budget", 0.9, 6, 5, 0, distance=3)
    for slow in (set[Genotype](), {within[1]}):

        def measure(genotype: Genotype, slow: set[Genotype] = slow) -> NetworkTime:
            ms = budget.limit_ms * (1.5 if genotype in slow else 0.9)
            return NetworkTime(ms, ms, 0.0, 1.0)

        clock = Clock(lambda genotype: float(priced(np.array([genotype]))[0]), measure)
        found = derive_ranked(ranked, priced, clock, budget, asked, space).genotypes
        assert list(found) == list(itertools.islice(apart((g for g in within if g not in slow), Apart(3)), 6))
        assert len(found) > 2 and found[0] == within[0]


@pytest.mark.parametrize(
    ("mode", "distance_asked", "deep"),
    [("budget", 1, False), ("budget", 3, False), ("budget", 3, True), ("sample", 2, False)],
)
def test_no_two_derived_networks_differ_in_silent_genes_alone(mode: str, distance_asked: int, deep: bool) -> None:
    """Probabilities that leave out blocks make many genotypes of one network, all of them likely."""
    space = build_space({**card_values("space/mobile"), "lists": "recommended"}, digits(16))
    cost = space.cost(lambda layer, shape: layer.cost(shape).macs / 1e6 + 0.01)
    rng = np.random.default_rng(0)
    rows = []
    for variable in space.variables:
        row = rng.dirichlet(np.ones(len(variable)))
        if deep:  # what a silent gene is blanked to is likely too
            row = np.sort(row)[::-1]
        if variable.name.endswith("depth"):
            row = np.array([*(0.3 for _ in row[1:]), 0.5]) if deep else np.array([1.0, *(0.05 for _ in row[1:])])
        rows.append(row / row.sum())
    silent = SilentGenes.of(space)
    assert silent is not None
    asked = Derivation(mode, 0.0, 6, 1, 0, distance_asked, silent)
    found = derive(rows, cost, None, asked)
    assert len({space.decode(genotype).id for genotype in found}) == 6
    assert all(asked.apart(a, b) for a, b in itertools.combinations(found, 2))
    assert deep or any(silent.mask(np.array(found)).ravel()), "so that it says something"


def test_genes_that_change_nothing_do_not_count() -> None:
    space = build_space(card_values("space/mobile"), digits(16))
    pairs = 0
    for genotype in space.sample(10, np.random.default_rng(0)).tolist():
        own = canonical(space, tuple(genotype))
        assert space.decode(own) == space.decode(genotype) and canonical(space, own) == own
        pairs += own != tuple(genotype)
    assert pairs, "some genes of this space change nothing"
