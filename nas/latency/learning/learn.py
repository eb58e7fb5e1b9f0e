"""Tables learned from times of whole networks, where no block can be timed alone.

For a layer-wise space the time of genotype g is modelled as `fixed + sum_i rows[i][g[i]]`. The rows are a Gaussian
linear model: what each candidate adds at each position is a sum of shared effects (the same layer at the same input
costs the same wherever it stands; or: what other devices pay for it; or: multiply-adds) and of a deviation of its own.
How far each part may go is chosen by leave-one-out error, which the model gives in closed form. The same model learns
from 4,000 networks and, leaning on other devices' tables, from ten.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.pricing.additive import Floats, price
from search_spaces.space import LayerwiseSpace, Population

Basis = tuple[Floats, float]
"""Effects and the prior standard deviation of their weights: `(candidates of all positions, effects)`, std.

A std is relative to the spread of the observed times.
"""

NOISES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
OUTLIER = 4.0  # robust standard deviations from which a network's time counts less
REWEIGHTINGS = 3


@dataclass(frozen=True)
class Additive:
    """`fixed_ms + sum_i rows_ms[i][g[i]]`, and the leave-one-out root mean square error of the fit in ms.

    `left_out`: the same, relative to the times.
    """

    fixed_ms: float
    rows_ms: tuple[Floats, ...]
    loo_ms: float = float("nan")
    option: int = 0
    left_out: float = float("nan")

    def predict(self, population: Population) -> Floats:
        """Milliseconds of every genotype."""
        return price(population, self.fixed_ms, self.rows_ms)


def one_hot(population: Population, cardinalities: Sequence[int]) -> Floats:
    """`(n, positions)` choices as `(n, candidates of all positions)` zeros and ones."""
    starts = np.concatenate([[0], np.cumsum(cardinalities)[:-1]])
    matrix = np.zeros((len(population), int(np.sum(cardinalities))))
    matrix[np.arange(len(population))[:, None], population + starts] = 1.0
    return matrix


def fit_additive(
    population: Population,
    times: Floats,
    cardinalities: Sequence[int],
    options: Sequence[Sequence[Basis]],
    noises: Sequence[float] = NOISES,
    robust: bool = True,
) -> Additive:
    """The rows that explain `times` of the genotypes in `population`, under the best of several priors.

    Each option is a list of bases; the option and the noise (relative to the spread of the times) with the least
    leave-one-out error are taken. Raises `ValueError` below three networks.
    """
    if not options or not all(options) or not noises:
        raise ValueError("a table cannot be learned without a prior; give an option of at least one basis, and a noise")
    if len(times) < 3:
        raise ValueError(f"a table cannot be learned from {len(times)} networks; measure at least 3")
    choices = one_hot(population, cardinalities)
    mean, spread = np.median(times), max(float(times.std()), 1e-12)
    target = (times - mean) / spread
    designs = []
    for option in options:
        effects = np.hstack([basis * std for basis, std in option])
        designs.append((effects, choices @ effects))
    weight = np.ones(len(times))
    fit = _best(designs, target, weight, noises)
    for _ in range(REWEIGHTINGS if robust else 0):
        size = np.abs(fit.loo_residual - np.median(fit.loo_residual))
        limit = OUTLIER * 1.4826 * max(float(np.median(size)), 1e-6)
        changed = np.minimum(1.0, limit / np.maximum(size, 1e-12))
        if np.allclose(changed, weight, atol=0.01):
            break
        weight = changed
        again = _best(designs, target, weight, noises)
        if np.square(again.loo_residual).sum() > 0.97 * np.square(fit.loo_residual).sum():
            break  # what looked like outliers is part of how the device behaves
        fit = again
    effects = designs[fit.option][0]
    rows = np.split(effects @ fit.weights * spread, np.cumsum(cardinalities)[:-1])
    left_out = float(np.sqrt(np.mean((fit.loo_residual * spread / times) ** 2)))
    return Additive(float(mean + fit.intercept * spread), tuple(rows), fit.loo * spread, fit.option, left_out)


@dataclass(frozen=True)
class _Fit:
    loo: float
    loo_residual: Floats
    weights: Floats
    intercept: float
    option: int


def _best(designs: list[tuple[Floats, Floats]], target: Floats, weight: Floats, noises: Sequence[float]) -> _Fit:
    """The ridge regression, with free intercept and observation weights, of least leave-one-out error."""
    best: _Fit | None = None
    root, total = np.sqrt(weight), weight.sum()
    for index, (_, design) in enumerate(designs):
        middle, centre = weight @ design / total, float(weight @ target / total)
        left, values, right = np.linalg.svd(root[:, None] * (design - middle), full_matrices=False)
        real = values > 1e-9 * max(values[0], 1e-30)
        left, values, right = left[:, real], values[real], right[real]
        centred = root * (target - centre)
        rotated = left.T @ centred
        # what no weights could explain; with as many effects as networks it is nothing, and must be so exactly
        beyond, free = centred - left @ rotated, np.maximum(1 - weight / total - (left**2).sum(1), 0.0)
        beyond, free = (0 * beyond, 0 * free) if free.max() < 1e-9 else (beyond, free)
        for noise in noises:
            lost = noise**2 / (values**2 + noise**2)
            coefficients = right.T @ (values / (values**2 + noise**2) * rotated)
            residual = (beyond + left @ (lost * rotated)) / root
            left_out = residual / (free + (left**2) @ lost)
            loo = float(np.sqrt(np.average(left_out**2, weights=weight)))
            if best is None or loo < best.loo:
                best = _Fit(loo, left_out, coefficients, centre - float(middle @ coefficients), index)
    assert best is not None
    return best


def shared_rows(space: LayerwiseSpace) -> Floats:
    """Which candidates execute alike: `(candidates of all positions, distinct rows)`; an identity has no row."""
    keys: dict[object, int] = {}
    members = []
    for position in space.positions:
        for layer in position.candidates:
            same = layer.table_row(position.shape)
            members.append(None if same is None else keys.setdefault((same, position.shape), len(keys)))
    matrix = np.zeros((len(members), len(keys)))
    for i, member in enumerate(members):
        if member is not None:
            matrix[i, member] = 1.0
    return matrix


def work(space: LayerwiseSpace) -> Floats:
    """What each candidate has to do, by kind of work: `(candidates of all positions, kinds of work)`, mean square 1.

    Multiply-adds of 1x1, 3x3 and 5x5 depthwise, and other convolutions; elements written; parameters; layers;
    convolutions; elements written by grouped convolutions. Each once as is and once weighted by the map's side (where
    it is not square: of the square with as many pixels).
    """
    features = []
    for position in space.positions:
        for layer in position.candidates:
            kinds = np.zeros(9)
            for conv in layer.convs(position.shape):
                depthwise = conv.groups == conv.in_channels and conv.groups > 1
                kinds[{1: 0, 9: 1, 25: 2}.get(conv.taps, 3) if depthwise or conv.taps == 1 else 3] += conv.macs
                kinds[4] += conv.activations
                kinds[5] += conv.params
                kinds[6] = 1
                kinds[7] += 1
                kinds[8] += conv.activations if conv.groups > 1 and not depthwise else 0
            features.append(np.concatenate([kinds, kinds * math.sqrt(position.shape.height * position.shape.width)]))
    matrix = np.array(features)
    size = np.sqrt((matrix**2).mean(0))
    return matrix[:, size > 0] / size[size > 0]


def learning_options(space: LayerwiseSpace) -> list[list[Basis]]:
    """Priors from "time follows the work" over "a layer costs the same wherever it stands" to "each position alone"."""
    shared, known = shared_rows(space), work(space)
    own = np.eye(len(shared))
    return [
        *([(known, 1.0), (shared, std)] for std in (0.01, 0.03, 0.1)),
        [(known, 1.0), (shared, 1.0)],
        *([(known, 1.0), (shared, 0.3), (own, std)] for std in (0.03, 0.1)),
        [(own, 1.0)],
    ]


def learn(space: LayerwiseSpace, population: Population, times: Floats, *, robust: bool = True) -> Additive:
    """An additive cost of `space` from the `times` (ms) of the genotypes in `population`.

    `robust` lets times far from the fit count less: phones stall now and then.
    """
    return fit_additive(population, times, space.cardinalities.tolist(), learning_options(space), robust=robust)
