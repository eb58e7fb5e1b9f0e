"""Baseline surrogates from scikit-learn, on the plain features of a candidate."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from predictors.base import Floats, Statistics, not_fitted, training_data
from predictors.encoding import Ordered
from predictors.features import Features
from search_spaces.plain_data.annotations import AboveZero, Count, Positive, Range
from search_spaces.plain_data.fields import check_fields
from search_spaces.space import Population, Variable

Portion = Annotated[float, Range(0, 1, above=True)]


class Baseline(ABC):
    """A regressor on `Features`; subclasses say which, and how it tells its uncertainty."""

    def __init__(self, features: Features, seed: int) -> None:
        self.features, self.seed = features, seed
        self.model: Any = None

    def fit(self, population: Population, targets: Floats) -> None:
        population, targets = training_data(population, targets)
        self.features.fit_statistics(population)
        self.model = self._regress(self.features(population), targets)

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        if self.model is None:
            raise not_fitted(type(self).__name__)
        return self._ask(self.features(population))

    @abstractmethod
    def _regress(self, features: Floats, targets: Floats) -> Any:
        """The fitted model."""

    @abstractmethod
    def _ask(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and deviation, each (n,)."""


@dataclass(frozen=True)
class BaselineCard(ABC):
    """What all baselines share. `ordered`: how ordered numeric choices are written, see `Encoding`."""

    ordered: Ordered = "scaled"

    def __post_init__(self) -> None:
        check_fields(self, "predictor")

    def build(
        self,
        *,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
    ) -> Baseline:
        """The baseline on the choices and, where given, the free statistics; it has no use for a `pool`."""
        return self._make(Features(variables, recipe_variables, statistics, self.ordered), seed)

    @abstractmethod
    def _make(self, features: Features, seed: int) -> Baseline:
        """The predictor itself."""


@dataclass(frozen=True)
class Ridge(BaselineCard):
    """Linear regression whose penalty is chosen by the evidence (scikit-learn's `BayesianRidge`)."""

    def _make(self, features: Features, seed: int) -> Baseline:
        from sklearn.linear_model import BayesianRidge

        return _Standardised(features, seed, lambda: BayesianRidge())


@dataclass(frozen=True)
class GaussianProcess(BaselineCard):
    """A Gaussian process with one RBF kernel over all features and noise, both fitted by the evidence."""

    restarts: Count = 2

    def _make(self, features: Features, seed: int) -> Baseline:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        kernel = ConstantKernel(1.0) * RBF(np.sqrt(max(features.encoding.width, 1))) + WhiteKernel(0.1)
        return _WithStd(
            features,
            seed,
            lambda: GaussianProcessRegressor(
                kernel, normalize_y=True, n_restarts_optimizer=self.restarts, random_state=seed
            ),
        )


@dataclass(frozen=True)
class RandomForest(BaselineCard):
    """A random forest; the uncertainty is the deviation between its trees."""

    trees: Positive = 200
    min_samples_leaf: Positive = 1
    max_features: Portion = 1.0
    extra: bool = False  # extremely randomised trees

    def _make(self, features: Features, seed: int) -> Baseline:
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        kind = ExtraTreesRegressor if self.extra else RandomForestRegressor
        return _Trees(
            features,
            seed,
            lambda: kind(
                self.trees,
                min_samples_leaf=self.min_samples_leaf,
                max_features=self.max_features,
                random_state=seed,
                n_jobs=1,
            ),
        )


@dataclass(frozen=True)
class GradientBoosting(BaselineCard):
    """Boosted trees, several of them on random halves of the data; the uncertainty is their deviation."""

    members: Positive = 5
    trees: Positive = 200
    depth: Positive = 3
    learning_rate: AboveZero = 0.05
    subsample: Portion = 0.5

    def _make(self, features: Features, seed: int) -> Baseline:
        return _Boosted(features, seed, self)


class _WithStd(Baseline):
    """A scikit-learn model that states its own uncertainty."""

    def __init__(self, features: Features, seed: int, make: Any) -> None:
        super().__init__(features, seed)
        self.make = make

    def _regress(self, features: Floats, targets: Floats) -> Any:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():  # a length scale at its bound is an answer here, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self.make().fit(features, targets)

    def _ask(self, features: Floats) -> tuple[Floats, Floats]:
        mean, std = self.model.predict(features, return_std=True)
        return mean, std


class _Standardised(_WithStd):
    """One whose priors are those of targets with mean 0 and deviation 1: smaller ones drown in them."""

    mean, std = 0.0, 1.0

    def _regress(self, features: Floats, targets: Floats) -> Any:
        self.mean, self.std = float(targets.mean()), float(targets.std())
        return super()._regress(features, (targets - self.mean) / self.std)

    def _ask(self, features: Floats) -> tuple[Floats, Floats]:
        mean, std = super()._ask(features)
        return self.mean + self.std * mean, self.std * std


class _Trees(Baseline):
    """A forest: mean and deviation over its trees."""

    def __init__(self, features: Features, seed: int, make: Any) -> None:
        super().__init__(features, seed)
        self.make = make

    def _regress(self, features: Floats, targets: Floats) -> Any:
        return self.make().fit(features, targets)

    def _ask(self, features: Floats) -> tuple[Floats, Floats]:
        single = features.astype(np.float32)  # what trees compare; converting once spares a check per tree
        trees = np.stack([tree.predict(single, check_input=False) for tree in self.model.estimators_])
        return trees.mean(axis=0), trees.std(axis=0)


class _Boosted(Baseline):
    """Several boosted models that differ by their random halves."""

    def __init__(self, features: Features, seed: int, card: GradientBoosting) -> None:
        super().__init__(features, seed)
        self.card = card

    def _regress(self, features: Floats, targets: Floats) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        card = self.card
        return [
            GradientBoostingRegressor(
                n_estimators=card.trees,
                max_depth=card.depth,
                learning_rate=card.learning_rate,
                subsample=card.subsample,
                random_state=self.seed + member,
            ).fit(features, targets)
            for member in range(card.members)
        ]

    def _ask(self, features: Floats) -> tuple[Floats, Floats]:
        members = np.stack([model.predict(features) for model in self.model])
        return members.mean(axis=0), members.std(axis=0)
