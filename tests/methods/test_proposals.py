"""What every candidate-by-candidate search method promises, under no budget, one, several, and very tight ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.methods.predictor import PredictorProposal
from nas.methods.proposal import Proposal
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from predictors.fbnetv3.encoders import pretrain
from search_spaces.costs import Count
from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.space import Population, SearchSpace
from search_spaces.wrappers.joint import JointSpace, single
from tests.search_spaces.test_composed import with_own_kernels

SMALL: dict[str, dict[str, Any]] = {
    "random": {},
    "regularized_evolution": {"population_size": 6, "sample_size": 3},
    "tpe": {"startup_candidates": 4},
    "nsga2": {"population_size": 6},
    "predictor": {
        "initial": 6,
        "pool_size": 64,
        "acquisition_evaluations": 300,
        "predictor": {"_target_": "predictors.baselines.RandomForest", "trees": 10},
    },
}


def spaces() -> dict[str, SearchSpace]:
    base = Recipe(epochs=2, batch_size=32, lr=0.01)
    recipes = recipe_space(base, lr=[0.01, 0.02, 0.05], drop_rate=[0.0, 0.1])
    archs = fbnet(16, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k3_e3", "skip"))
    return {
        "arch": archs,
        "joint": JointSpace(archs, recipes),
        "narrow": JointSpace(fbnetv3(16, 10, 1, width=0.25, depth=0.25, head_channels=32), recipes),
        "recipe": JointSpace(single(archs.decode([0] * len(archs.variables))), recipes),
    }


SPACES = spaces()


def limits(space: SearchSpace, *shares: float) -> list[Limit]:
    """Limits on MACs and params at these shares of the reachable range."""
    names: tuple[Count, ...] = ("macs", "params")
    found = []
    for name, share in zip(names, shares, strict=False):
        cost = space.count(name)
        low, high = cost.reachable()
        found.append(Limit(name, cost, low + share * (high - low)))
    return found


def method(name: str, **changes: Any) -> Any:
    return cards.build({**card_values(f"method/{name}"), **SMALL[name], **changes}, "method", {})


def start(name: str, space: SearchSpace, shares: tuple[float, ...] = (), seed: int = 0, **changes: Any) -> Proposal:
    found = method(name, **changes).start(Feasible(space, limits(space, *shares)), seed)
    assert isinstance(found, Proposal)
    return found


def score(population: Population) -> np.ndarray:
    """Something to find: every gene has a favourite, and two interact."""
    weights = np.sin(1.0 + np.arange(population.shape[1]))
    return population @ weights - np.abs(population[:, 0] - population[:, -1])


def rounds(proposal: Proposal, count: int, size: int, failing: bool = False) -> Population:
    for number in range(count):
        rows = proposal.ask(size)
        scores = score(rows)
        if failing and number % 2 == 1:
            scores[0] = np.nan
        proposal.tell(rows, scores)
    return proposal.told


@pytest.mark.parametrize(
    ("space", "shares"),
    [
        pytest.param("joint", (), id="joint-free"),
        pytest.param("joint", (0.3,), id="joint-macs"),
        pytest.param("joint", (0.3, 0.4), id="joint-macs, params"),
        pytest.param("joint", (0.015,), id="joint-tight"),
        pytest.param("arch", (0.3, 0.4), id="arch-macs, params"),
    ],
)
@pytest.mark.parametrize("name", SMALL)
def test_asked_candidates_are_new_and_within_every_budget(name: str, space: str, shares: tuple[float, ...]) -> None:
    proposal = start(name, SPACES[space], shares)
    told = rounds(proposal, 5, 4, failing=True)
    assert told.shape == (20, len(SPACES[space].variables)) and told.dtype == np.int64
    assert len({row.tobytes() for row in told}) == 20
    assert proposal.feasible.mask(told).all()
    for genotype in told.tolist():
        SPACES[space].check(genotype)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_that_several_genotypes_describe_is_asked_once(name: str) -> None:
    """Narrow and shallow, FBNetV3's space has silent genes: a mutant can be the network it came from."""
    space = SPACES["narrow"]
    assert isinstance(space, JointSpace)
    rng = np.random.default_rng(0)
    parents = space.sample(200, rng)
    mutants = space.mutate(parents, rng, 1 / len(space.variables))
    twins = [
        (one, other)
        for one, other in zip(parents, mutants, strict=True)
        if (one != other).any() and space.candidate_id(one) == space.candidate_id(other)
    ]
    assert twins
    proposal = start(name, space, (0.2,))
    for one, other in twins:
        assert len(proposal._new(np.array([one, other]), 2)) == 1
    rounds(proposal, 4, 4)
    told = list(proposal.told)
    if isinstance(proposal, PredictorProposal):
        told += list(proposal.finalists(4))
    assert len({space.candidate_id(row) for row in told}) == len(told) >= 16


@pytest.mark.parametrize("name", SMALL)
def test_recipes_that_train_alike_are_asked_once(name: str) -> None:
    """AdamW gets no momentum, plain SGD no second moment, a cosine no rate: seven trainings of 24 recipes."""
    grids: dict[str, Any] = {"optimizer": ["sgd", "adamw"], "momentum": [0.8, 0.9], "decay_rate": [0.1, 0.5]}
    grids["second_moment"] = [None, 0.95, 0.99]
    space = JointSpace(SPACES["recipe"].architectures, recipe_space(Recipe(epochs=2, batch_size=16, lr=0.1), **grids))
    asked = start(name, space, ()).ask(24)
    distinct = {(r.optimizer, r.momentum, r.second_moment) for r in (space.recipe(row).acting for row in asked)}
    assert distinct == {
        ("sgd", 0.8, None),
        ("sgd", 0.9, None),
        ("adamw", 0.9, None),
        *(("adamw", momentum, second) for momentum in (0.8, 0.9) for second in (0.95, 0.99)),
    }
    assert len(asked) == len(distinct)
    ids = {space.candidate_id(genotype) for genotype in np.ndindex(*space.cardinalities)}
    assert len(ids) == space.size, "records of earlier searches keep their names"


def test_copies_of_one_network_do_not_crowd_out_the_others() -> None:
    """Genotypes that differ in genes of absent blocks alone score alike; a front of them would be one network."""
    space = SPACES["narrow"]
    assert isinstance(space, JointSpace)
    proposal = start("predictor", space, (0.2,))
    assert isinstance(proposal, PredictorProposal)
    rounds(proposal, 4, 4)
    ranked = proposal.front(proposal.feasible.maxima[None]).genotypes[0]
    blanked = {row.tobytes() for row in proposal.silent.blank(ranked)}
    assert proposal.silent.possible and len(blanked) == len(ranked) >= 16
    assert len(proposal.finalists(6)) == 6


@pytest.mark.parametrize("name", [*SMALL, "predictor by expected improvement"])
def test_the_seed_decides(name: str) -> None:
    space, (name, _, kind) = SPACES["joint"], name.partition(" by ")
    more = {"acquisition": kind.replace(" ", "_")} if kind else {}
    one, same, other = (rounds(start(name, space, (0.5,), seed, **more), 4, 4) for seed in (1, 1, 2))
    assert all(SPACES["joint"].check(row) for row in one.tolist())
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("name", SMALL)
def test_a_search_continues_from_what_was_told(name: str) -> None:
    """A new object that is told everything at once asks what the old one asks."""
    space = SPACES["joint"]
    whole = start(name, space, (0.5,))
    rounds(whole, 4, 4, failing=True)
    again = start(name, space, (0.5,))
    again.tell(whole.told, whole.scores)
    for _ in range(3):
        expected, found = whole.ask(3), again.ask(3)
        np.testing.assert_array_equal(expected, found)
        for proposal in (whole, again):
            proposal.tell(expected, score(expected))


@pytest.mark.parametrize("name", SMALL)
def test_a_small_space_is_exhausted_and_then_nothing_is_asked(name: str) -> None:
    space = SPACES["recipe"]
    proposal = start(name, space)
    told = rounds(proposal, 3, 4)
    assert len(told) == space.size == 6
    assert proposal.ask(1).shape == (0, 2)


@pytest.mark.parametrize("name", SMALL)
def test_pending_candidates_are_not_asked_again(name: str) -> None:
    proposal = start(name, SPACES["joint"])
    pending = [proposal.ask(3) for _ in range(4)]
    assert len({row.tobytes() for rows in pending for row in rows}) == 12


@pytest.mark.parametrize("name", ["regularized_evolution", "tpe", "predictor"])
def test_guided_methods_beat_random_search(name: str) -> None:
    """On an easy landscape, by the mean over seeds of the best score after 60 candidates."""
    space = SPACES["arch"]
    best = {
        kind: np.mean([score(rounds(start(kind, space, (), seed), 15, 4)).max() for seed in range(3)])
        for kind in (name, "random")
    }
    assert best[name] > best["random"]


@pytest.mark.parametrize("name", SMALL)
def test_unreachable_budgets_are_refused_with_the_range(name: str) -> None:
    space = SPACES["arch"]
    (limit,) = limits(space, -0.01)
    with pytest.raises(ValueError, match=r"budget macs=.* out of reach: networks of this space take \d"):
        method(name).start(Feasible(space, [limit]), 0)


def test_scores_must_match_candidates() -> None:
    proposal = start("random", SPACES["arch"])
    with pytest.raises(ValueError, match="2 candidates were told with 1 scores"):
        proposal.tell(proposal.ask(2), [1.0])
    with pytest.raises(ValueError, match="must be >= 1, got 0"):
        proposal.ask(0)
    genes = len(SPACES["arch"].variables)
    for genotype, message in (([0] * (genes - 1), f"has {genes} genes, got {genes - 1}"), ([99] * genes, "got 99")):
        with pytest.raises(ValueError, match=message):
            proposal.tell(np.array([genotype]), [1.0])
    assert not len(proposal.told) and len(proposal.pending) == 2


def test_regularized_evolution_changes_one_gene_of_the_best_of_a_sample() -> None:
    """With a sample as large as the population, every child's parent is the best of the last six told."""
    space = SPACES["arch"]
    found = cards.build(
        {
            "_target_": "nas.methods.regularized_evolution.RegularizedEvolution",
            "population_size": 6,
            "sample_size": 6,
        },
        "method",
        {},
    ).start(Feasible(space), 0)
    rounds(found, 2, 3)
    for _ in range(10):
        last, values = found.told[-6:], found.scores[-6:]
        child = found.ask(1)
        assert (child[0] != last[values.argmax()]).sum() == 1
        found.tell(child, score(child))


def test_an_encoder_is_pre_trained_once_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fit starts from it all the same: predictions are those of a predictor built anew."""
    learned: list[Any] = []

    def counted(*args: Any) -> Any:
        learned.append(args)
        return pretrain(*args)

    monkeypatch.setattr("predictors.fbnetv3.encoders.pretrain", counted)
    card = {
        "_target_": "predictors.fbnetv3.FBNetV3",
        "members": 2,
        "encoder": [8],
        "head": [4],
        "frozen_steps": 5,
        "tuned_steps": 5,
        "pretraining": {"_target_": "predictors.pretraining.Pretraining", "samples": 256, "batch_size": 64},
    }
    space = SPACES["joint"]
    proposal = start("predictor", space, (0.5,), predictor=card)
    assert isinstance(proposal, PredictorProposal)
    rounds(proposal, 4, 6)
    proposal.finalists(2)
    assert len(learned) == 1
    again = start("predictor", space, (0.5,), predictor=card)
    assert isinstance(again, PredictorProposal)
    again.tell(proposal.told, proposal.scores)
    for one, other in zip(proposal.fitted().predict(proposal.told), again.fitted().predict(proposal.told), strict=True):
        np.testing.assert_array_equal(one, other)


def test_predictors_see_no_choices_about_blocks_that_are_not_there() -> None:
    space = with_own_kernels()
    proposal = start("predictor", space, ())
    assert isinstance(proposal, PredictorProposal)
    rng = np.random.default_rng(0)
    told = space.sample(16, rng)
    proposal.tell(told, rng.random(16))
    mean, _ = proposal.fitted().predict(np.array([[0, 1, 0], [0, 1, 1]]))
    assert mean[0] == mean[1]
