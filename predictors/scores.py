"""Free statistics as normal scores: orders of magnitude and heavy tails count alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.base import Floats, Statistics
from predictors.encoding import Encoding
from predictors.features import checked_statistics
from search_spaces.space import Population, Variable

QUANTILES, LARGEST, SAMPLES = 1000, 3.0, 10_000


class NormalScores:
    """The quantile of each statistic among reference architectures, as a normal deviate within +-`LARGEST`."""

    def __init__(self, statistics: Statistics, reference: Population) -> None:
        from sklearn.preprocessing import QuantileTransformer

        self.statistics = statistics
        raw = checked_statistics(statistics, reference)
        self.width = raw.shape[1]
        self._quantiles = QuantileTransformer(
            n_quantiles=min(QUANTILES, len(raw)), output_distribution="normal", random_state=0
        ).fit(raw)
        self.of_reference = self._scores(raw)

    @staticmethod
    def of(
        variables: Sequence[Variable],
        statistics: Statistics,
        rng: np.random.Generator,
        pool: Population | None = None,
        samples: int = SAMPLES,
    ) -> NormalScores:
        """Scores among `samples` architectures drawn uniformly over `variables`, or among those of `pool`."""
        encoding = Encoding(variables)
        drawn = rng.integers(0, encoding.cardinalities, (samples, len(variables))) if pool is None else pool
        return NormalScores(statistics, encoding.check(drawn))

    def __call__(self, architectures: Population) -> Floats:
        """(n, s) scores of `architectures` (n, architecture genes)."""
        return self._scores(checked_statistics(self.statistics, architectures))

    def _scores(self, raw: Floats) -> Floats:
        return np.clip(self._quantiles.transform(raw), -LARGEST, LARGEST)
