"""How promising candidates are, by a predictor's mean and deviation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search_spaces.pricing.genotype_cost import Floats

Acquisition = Literal["upper_bound", "expected_improvement"]
HALF_LOG_2_PI = math.log(2 * math.pi) / 2
LEAST = 1e-12  # deviation of what a predictor is sure of


@dataclass(frozen=True)
class UpperBound:
    """`mean + exploration * std * spread`; `spread`: from 0 for what is like the rest of a batch to 1."""

    exploration: float

    def __call__(self, mean: Floats, std: Floats, spread: Floats | float = 1.0) -> Floats:
        return np.asarray(mean + self.exploration * std * spread)


@dataclass(frozen=True)
class ExpectedImprovement:
    """The logarithm of `spread` times the improvement over `best` that is to be expected."""

    best: float

    def __call__(self, mean: Floats, std: Floats, spread: Floats | float = 1.0) -> Floats:
        return np.asarray(log_expected_improvement(mean, std, self.best) + np.log(spread))


def log_expected_improvement(mean: Floats, std: Floats, best: float) -> Floats:
    """log E[max(score - best, 0)] of scores with normal distributions: (n,), (n,) -> (n,).

    In logarithms, as Ament et al. (NeurIPS 2023, arXiv 2310.20708, equation 9) compute it, so that candidates far below
    `best` still compare: with z = (mean - best) / std it is log std + log(phi(z) + z Phi(z)).
    """
    from scipy.special import erfcx, ndtr

    std = np.maximum(std, LEAST)
    z = (mean - best) / std
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near = np.log(np.exp(-(z**2) / 2 - HALF_LOG_2_PI) + z * ndtr(z))
        ratio = math.sqrt(math.pi / 2) * erfcx(-z / math.sqrt(2)) * -z  # -z Phi(z) / phi(z), which tends to 1
        far = -(z**2) / 2 - HALF_LOG_2_PI + np.log1p(-ratio)
        farthest = -(z**2) / 2 - HALF_LOG_2_PI - 2 * np.log(-z)
    return np.asarray(np.log(std) + np.where(z > -1, near, np.where(z > -1e4, far, farthest)))
