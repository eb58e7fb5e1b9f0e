"""FBNetV3's search (arXiv 2006.02049): a predictor learns from trained candidates which ones to train next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.methods.acquisition import Acquisition, ExpectedImprovement, UpperBound
from nas.methods.base import CandidateMethod
from nas.methods.evolution import Evolution, Front, Landscape, Score, evolve
from nas.methods.proposal import Proposal
from nas.runs.seeding import derive_seed, numpy_generator
from predictors.base import Predictor, PredictorCard, Statistics
from predictors.blanking import Blanked
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population, SearchSpace, Variable
from search_spaces.wrappers.joint import JointSpace
from search_spaces.wrappers.silent import SilentGenes

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible


class PredictorSearch(CandidateMethod):
    """Stage 1, constrained iterative optimisation: `initial` candidates from a quasi-random pool within the budgets,
    then again and again a predictor is fitted to all scores and the candidates of largest

        EI * d / (d + diversity),   d = genes changed to the nearest one that is chosen and not trained,

    are trained, the improvement being that over the highest mean predicted for a trained candidate (training is noisy:
    the highest score is luck); with `acquisition="upper_bound"` those of largest
    mean + exploration * std * d / (d + diversity).
    Candidates are chosen one by one, the predictor fitted anew as if those chosen before, and those still in training,
    had scored what it predicts of them (the "Kriging believer" of Ginsbourger, Le Riche and Carraro, 2010). They come
    from the pool of `pool_size`, from the neighbourhood of the best and from evolution on that score; a space small
    enough is scored whole. Stage 2: evolution on the predicted mean alone (`finalists`, `front`).

    Departures: the paper takes the top predictions of one predictor without an exploration term and keeps shrinking
    the pool; `exploration=0, diversity=0` leaves out that term.
    """

    def __init__(
        self,
        *,
        predictor: PredictorCard,
        initial: int,
        pool_size: int,
        exploration: float,
        diversity: float,
        acquisition_evaluations: int,
        evolution: Evolution,
        acquisition: Acquisition = "upper_bound",
    ) -> None:
        least_of = {"initial": (initial, 2), "pool_size": (pool_size, 1)}
        least_of["acquisition_evaluations"] = (acquisition_evaluations, 1)
        for name, (value, least) in least_of.items():
            if value < least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
        for name, number in (("exploration", exploration), ("diversity", diversity)):
            if not number >= 0:
                raise ValueError(f"{name} must be >= 0, got {number}")
        self.predictor, self.initial, self.pool_size = predictor, initial, pool_size
        self.exploration, self.diversity = exploration, diversity
        self.acquisition, self.acquisition_evolution = (
            acquisition,
            Evolution(evaluations=acquisition_evaluations, patience=4),
        )
        self.evolution = evolution

    def start(self, feasible: Feasible, seed: int) -> PredictorProposal:
        return PredictorProposal(feasible, seed, self, free_statistics(feasible.space))


class _Trained(NamedTuple):
    """What a predictor is fitted to: genotypes (n, genes) and their scores (n,)."""

    genotypes: Population
    scores: Floats

    def believing(self, predictor: Predictor, others: Population) -> _Trained:
        """With `others` as if they had scored what `predictor` says of them, which is fitted to that."""
        found = _Trained(
            np.concatenate([self.genotypes, others]), np.concatenate([self.scores, predictor.predict(others)[0]])
        )
        predictor.fit(*found)
        return found


class PredictorProposal(Proposal):
    """`PredictorSearch` in progress."""

    has_finalists = has_front = True

    def __init__(self, feasible: Feasible, seed: int, card: PredictorSearch, statistics: Statistics | None) -> None:
        super().__init__(feasible, seed)
        self.card = card
        self.statistics = statistics
        self.pool = quasi_random(feasible, card.pool_size, seed)
        self.silent = SilentGenes(architectures_of(feasible.space))
        self._predictor: Predictor | None = None

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        scored = np.isfinite(self.scores)
        begun = scored.sum() + len(self.pending)  # each of them a point of the start, whatever came of it so far
        if begun < self.card.initial or len(np.unique(self.scores[scored])) < 2:
            return self.pool
        predictor = self.fitted()
        trained = _Trained(self.told[scored], self.scores[scored])
        if len(self.pending):
            trained = trained.believing(predictor, self.pending)
        pool = self.unknown()
        if pool is None:
            promise = self._promise(predictor, trained.genotypes)
            good = self.best(self.card.initial)
            front = evolve(
                self._landscape(lambda p: promise(*predictor.predict(p))), good, rng, self.card.acquisition_evolution
            )
            near = self.feasible.repair(
                self.space.mutate(np.repeat(good, 16, axis=0), rng, 2 / max(good.shape[1], 1)), rng
            )
            pool = np.concatenate([self.pool, near, *front.genotypes])
            pool = self._unseen(pool)
        return self._batch(pool, predictor, trained, count)

    def _promise(self, predictor: Predictor, trained: Population) -> UpperBound | ExpectedImprovement:
        """How promising candidates are; improvement is that over the highest mean of those that were `trained`."""
        if self.card.acquisition == "upper_bound":
            return UpperBound(self.card.exploration)
        return ExpectedImprovement(float(predictor.predict(trained)[0].max()))

    def _batch(self, pool: Population, predictor: Predictor, trained: _Trained, count: int) -> Population:
        """The most promising `count` of `pool`, each chosen as if those before it had scored what was predicted."""
        chosen = self.told[:0]
        genes = self.silent.blank(pool)
        nearest = self._apart(genes, self.pending)
        while len(pool):
            mean, std = predictor.predict(pool)
            spread = 1.0 if np.isinf(nearest).all() else nearest / (nearest + self.card.diversity)
            value = self._promise(predictor, trained.genotypes)(mean, std, spread)
            best = self._new(pool[np.argsort(-value, kind="stable")], 1, chosen)
            chosen = np.concatenate([chosen, best])
            if not len(best) or len(chosen) == count:
                break
            trained = trained.believing(predictor, best)
            nearest = np.minimum(nearest, self._apart(genes, best))
        return chosen

    def _apart(self, genes: Population, others: Population) -> Floats:
        """How many `genes` (n, genes), blanked, differ from the nearest of `others`; infinite where there are none."""
        apart = np.full(len(genes), np.inf)
        for row in self.silent.blank(others) if len(others) else ():
            apart = np.minimum(apart, np.maximum((genes != row).sum(axis=1), 1e-9))
        return apart

    def fitted(self) -> Predictor:
        """The predictor of all scores told so far, until it is fitted again; built (an encoder pre-trained) once.

        It sees the genes of blocks that are not there blanked. Raises `ValueError` where fewer than two scores differ.
        """
        if self._predictor is None:
            arch_variables, recipe_variables = variables_of(self.space)
            built = self.card.predictor.build(
                variables=arch_variables,
                recipe_variables=recipe_variables,
                statistics=self.statistics,
                seed=derive_seed(self.seed, "predictor") % 2**31,
            )
            self._predictor = Blanked(built, self.silent.blank)
        scored = np.isfinite(self.scores)
        self._predictor.fit(self.told[scored], self.scores[scored])
        return self._predictor

    def finalists(self, count: int) -> Population:
        """The `count` candidates of highest predicted score within the budgets that were not trained yet; where
        evolution ends with fewer new ones, what `ask` gives besides."""
        front = self.front(self.feasible.maxima[None])
        chosen = self._new(front.genotypes[0], count)
        self.expect(chosen)
        left = count - len(chosen)
        return np.concatenate([chosen, self.ask(left)]) if left else chosen

    def front(self, maxima: Floats) -> Front:
        """Evolution on the predicted mean under each row of `maxima` (budgets, limits)."""
        predictor = self.fitted()
        if self.space.listed is not None and self._all is not None:
            return _front_of_list(self.feasible, self._all, predictor.predict(self._all)[0], maxima)
        rng = numpy_generator(self.seed, "front", len(self.told))
        start = self.best(self.card.evolution.population_size)
        return evolve(self._landscape(lambda p: predictor.predict(p)[0]), start, rng, self.card.evolution, maxima)

    def _landscape(self, score: Score) -> Landscape:
        """Of `score`, which sees a network once, whatever the genes of blocks say that it leaves out."""
        return Landscape(self.feasible, score, self.silent.blank)


def _front_of_list(feasible: Feasible, points: Population, predicted: Floats, maxima: Floats) -> Front:
    """The listed `points` under each row of `maxima`, best `predicted` first. Raises `ValueError` where none is."""
    costs, order = feasible.costs(points), np.argsort(-predicted, kind="stable")
    found = [order[(costs[order] <= most).all(axis=1)] for most in np.atleast_2d(maxima)]
    if not all(map(len, found)):
        raise ValueError(f"no point of {feasible.space.name} is within each of the budgets {maxima.tolist()}")
    return Front(tuple(points[rows] for rows in found), tuple(predicted[rows] for rows in found), len(points))


def quasi_random(feasible: Feasible, count: int, seed: int) -> Population:
    """At least `count` points of a scrambled Sobol sequence, in its order, those beyond a budget repaired: (n, genes).

    Points within the budgets come first, so that repaired ones serve only where the budgets are tight.
    """
    cardinalities = feasible.space.cardinalities
    if not len(cardinalities):
        return np.zeros((1, 0), dtype=np.int64)
    from scipy.stats import qmc

    sobol = qmc.Sobol(len(cardinalities), rng=numpy_generator(seed, "quasi-random"))
    points = sobol.random_base2(max(int(np.ceil(np.log2(count))), 1))
    pool = np.minimum((points * cardinalities).astype(np.int64), cardinalities - 1)
    within = feasible.mask(pool)
    repaired = feasible.repair(pool[~within], numpy_generator(seed, "quasi-random repair"))
    return np.concatenate([pool[within], repaired])


def variables_of(space: SearchSpace) -> tuple[Sequence[Variable], Sequence[Variable]]:
    """The variables of the architecture and of the recipe."""
    return space.variables[: space.arch_genes], space.variables[space.arch_genes :]


def architectures_of(space: SearchSpace) -> SearchSpace:
    """The space of the architectures alone."""
    return space.architectures if isinstance(space, JointSpace) else space


def free_statistics(space: SearchSpace) -> Statistics | None:
    """Logarithms of parameters, MACs and activations of architecture genes; None without architecture variables or
    layers."""
    arch_space = architectures_of(space)
    if not arch_space.variables or not arch_space.terms:
        return None
    from nas.networks.zero_cost import cost_statistics

    counts = cost_statistics(arch_space)
    return lambda architectures: np.log(counts(architectures))
