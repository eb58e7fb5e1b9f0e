"""Several predictors as one: a weighted mean whose weights cross-validation chooses inside the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np

from predictors.base import Floats, Predictor, Statistics, not_fitted, training_data
from predictors.baselines import RandomForest
from predictors.fbnetv3 import FBNetV3
from predictors.process import StructuredProcess
from predictors.warping import Warp
from search_spaces.plain_data.annotations import NonNegative, Range
from search_spaces.plain_data.fields import check_fields
from search_spaces.space import Population, Variable

if TYPE_CHECKING:
    from predictors.fbnetv3.encoders import Pretrained

SUM_TO_ONE = 1e3  # weight of the equation that the weights sum to one


@dataclass(frozen=True)
class Blend:
    """Which predictors are blended (null leaves one out), and how their weights are found.

    The default fbnetv3 member keeps its encoder frozen, since it is fitted `folds + 1` times.

    `folds` of cross-validation give every member a prediction of each training candidate it has not seen; the weights
    minimise the squared error of their mean, summed over candidates, plus `equality * |w - 1/M|^2`, M the members, on
    targets of deviation 1. `equality` counts in candidates: a large one means equal weights, None that no
    cross-validation is run for them. Raises `ValueError` without a member, and for fewer than two folds.
    """

    process: StructuredProcess | None = field(default_factory=StructuredProcess)
    fbnetv3: FBNetV3 | None = field(default_factory=lambda: FBNetV3(tuned_steps=0))
    forest: RandomForest | None = field(default_factory=lambda: RandomForest(trees=100))
    folds: Annotated[int, Range(2)] = 5
    equality: NonNegative | None = 2.0

    def __post_init__(self) -> None:
        if self.process is None and self.fbnetv3 is None and self.forest is None:
            raise ValueError("a blend needs at least one of process, fbnetv3 and forest")
        check_fields(self, "blend")

    def build(
        self,
        *,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
        pretrained: Pretrained | None = None,
    ) -> Blended:
        """The blend of its members, each built from the same description of the candidates."""
        parts: list[Predictor] = []
        for card in (self.process, self.forest):
            if card is not None:
                parts.append(
                    card.build(
                        variables=variables,
                        recipe_variables=recipe_variables,
                        statistics=statistics,
                        seed=seed,
                        pool=pool,
                    )
                )
        if self.fbnetv3 is not None:
            parts.append(
                self.fbnetv3.build(
                    variables=variables,
                    recipe_variables=recipe_variables,
                    statistics=statistics,
                    seed=seed,
                    pool=pool,
                    pretrained=pretrained,
                )
            )
        return Blended(self, parts, seed)


class Blended:
    """The predictor itself. `weights`: (members,) after a fit, in the order process, forest, fbnetv3."""

    def __init__(self, card: Blend, members: Sequence[Predictor], seed: int) -> None:
        self.card, self.members, self.seed = card, tuple(members), seed
        self.weights: Floats = np.full(len(self.members), 1 / len(self.members))
        self.warp: Warp | None = None

    def fit(self, population: Population, targets: Floats) -> None:
        population, targets = training_data(population, targets)
        self.warp = Warp.fit(targets)
        wanted = self.warp.forward(targets)
        self.weights = self._weights(population, wanted)
        for member in self.members:
            member.fit(population, wanted)

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        """The weighted mean; its variance is the members' mean variance plus the variance between them."""
        if self.warp is None:
            raise not_fitted("the blend")
        means, stds = zip(*(member.predict(population) for member in self.members), strict=True)
        mean = self.weights @ np.stack(means)
        variance = self.weights @ (np.stack(stds) ** 2 + (np.stack(means) - mean) ** 2)
        return self.warp.backward(mean, np.sqrt(variance))

    def _weights(self, population: Population, wanted: Floats) -> Floats:
        from scipy.optimize import nnls

        count, members = len(wanted), len(self.members)
        equal = np.full(members, 1 / members)
        folds = min(self.card.folds, count // 2)
        if members == 1 or folds < 2 or self.card.equality is None:
            return equal
        fold = np.random.default_rng([self.seed, 3]).permutation(count) % folds
        unseen = np.empty((count, members))
        for f in range(folds):
            train, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            if np.ptp(wanted[train]) == 0:
                return equal
            for m, member in enumerate(self.members):
                member.fit(population[train], wanted[train])
                unseen[test, m] = member.predict(population[test])[0]
        pull = np.sqrt(self.card.equality) * np.eye(members)
        rows = np.concatenate([unseen, pull, SUM_TO_ONE * np.sqrt(count) * np.ones((1, members))])
        right = np.concatenate([wanted, pull @ equal, [SUM_TO_ONE * np.sqrt(count)]])
        weights = nnls(rows, right)[0]
        return np.asarray(weights / weights.sum())
