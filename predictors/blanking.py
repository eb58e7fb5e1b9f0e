"""Predictors that see no choices about blocks that are not there."""

from __future__ import annotations

from collections.abc import Callable

from predictors.base import Floats, Predictor
from search_spaces.space import Population


class Blanked:
    """`predictor`, which gets populations after `blank`: genes that say nothing all have one value."""

    def __init__(self, predictor: Predictor, blank: Callable[[Population], Population]) -> None:
        self.predictor, self.blank = predictor, blank

    def fit(self, population: Population, targets: Floats) -> None:
        self.predictor.fit(self.blank(population), targets)

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        return self.predictor.predict(self.blank(population))
