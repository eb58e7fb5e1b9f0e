"""How good a ranking is: Kendall's tau, Spearman's rho, regret of the best k, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictors.base import Floats

Metric = Callable[[Floats, Floats], float]


def kendall_tau(predicted: Floats, actual: Floats) -> float:
    """Kendall's tau-b: pairs in the same order minus pairs in the other, over all, corrected for ties. In [-1, 1]."""
    from scipy.stats import kendalltau

    predicted, actual = _pair(predicted, actual)
    return float(kendalltau(predicted, actual).statistic) if np.ptp(predicted) > 0 and np.ptp(actual) > 0 else 0.0


def spearman(predicted: Floats, actual: Floats) -> float:
    """Spearman's rho: the correlation of the ranks. In [-1, 1]."""
    from scipy.stats import spearmanr

    predicted, actual = _pair(predicted, actual)
    return float(spearmanr(predicted, actual).statistic) if np.ptp(predicted) > 0 and np.ptp(actual) > 0 else 0.0


def top_k_regret(predicted: Floats, actual: Floats, k: int = 10) -> float:
    """What is lost by training only the `k` predicted best: best of all minus best of those, in the targets' unit."""
    predicted, actual = _pair(predicted, actual)
    if not 1 <= k <= len(actual):
        raise ValueError(f"k must lie between 1 and the {len(actual)} candidates, got {k}")
    chosen = np.argsort(-predicted, kind="stable")[:k]
    return float(actual.max() - actual[chosen].max())


@dataclass(frozen=True)
class Interval:
    """A mean with a confidence interval: `low <= mean <= high`, and the deviation `std` over what it was taken."""

    mean: float
    low: float
    high: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def over_seeds(values: Floats, confidence: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """The mean of `values` (one per seed) and its percentile bootstrap interval."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval over seeds needs at least two values in a row, got shape {values.shape}")
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high), float(values.std(ddof=1)))


def _pair(predicted: Floats, actual: Floats) -> tuple[Floats, Floats]:
    predicted, actual = np.asarray(predicted, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if predicted.shape != actual.shape or predicted.ndim != 1 or len(actual) < 2:
        raise ValueError(
            f"a ranking is judged on two rows of equal length >= 2, got {predicted.shape} and {actual.shape}"
        )
    for name, values in (("predicted", predicted), ("actual", actual)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} value {int(np.flatnonzero(~np.isfinite(values))[0])} is not finite")
    return predicted, actual
