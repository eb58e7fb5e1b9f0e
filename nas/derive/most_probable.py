"""From probabilities to architectures: argmax, sampling, and the exact best choice under a latency budget."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from nas.derive.integer_programme import best_apart
from nas.derive.settings import Mode
from nas.runs.seeding import numpy_generator
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.limits import Limit, as_typed
from search_spaces.space import Genotype
from search_spaces.wrappers.distance import Apart, apart
from search_spaces.wrappers.silent import SilentGenes

Rows = Sequence[NDArray[np.float64]]
MODES = get_args(Mode)
SINGLE = ("argmax", "thresholds")  # these name one network


class NothingWithin(ValueError):
    """No network within the limit can be derived this way."""


@dataclass(frozen=True)
class Derivation:
    """How networks are derived from a result: see `derive`, and for `rounds` `nas.derive.within_budget`.

    `distance`: in how many choices each differs from all before it at least, of those that are not `silent` (None: all
    say something).
    """

    mode: str
    use: float
    count: int
    rounds: int
    seed: int
    distance: int = 1
    silent: SilentGenes | None = None

    @property
    def apart(self) -> Apart:
        """When two networks are handed over beside each other."""
        return Apart(self.distance, self.silent)


def derive(
    probabilities: Rows,
    cost: AdditiveCost,
    limit: float | None,
    asked: Derivation,
    decided: Genotype | None = None,
    others: Sequence[Limit] = (),
) -> list[Genotype]:
    """`count` networks from a finished search's probabilities, best first, none above `limit` or one of `others`.

    `mode`: `budget` (exact, `best_under_budget`), `argmax` (one network), `sample` (from P(theta), ordered by
    probability) or `thresholds` (the one network that the search itself `decided`, as Single-Path NAS is published).
    `limit` None: no limit. `use`: the share of the limit (or of the largest cost, where that is smaller) that networks
    derived by `budget` cost at least, as long as there are such networks. Raises `NothingWithin` where the one network
    of `argmax` or `thresholds`, or every sampled one, is above the limit.
    """
    mode, count, use = asked.mode, asked.count, asked.use
    check(mode, count, use)
    bound = np.inf if limit is None else limit
    if mode == "budget":
        if limit is None or not use:
            return best_apart(probabilities, cost, (-np.inf, bound), count, asked.apart, others)
        least = use * min(bound, cost.reachable()[1])
        found = best_apart(probabilities, cost, (least, bound), count, asked.apart, others)
        if len(found) < count:  # then cheaper ones too
            cheaper = best_apart(probabilities, cost, (-np.inf, bound), count, asked.apart, others)
            found = list(apart([*found, *cheaper], asked.apart))[:count]
        return found
    if mode == "sample":
        limits = [Limit("latency_ms", cost, bound), *others]
        drawn = sample(probabilities, None, numpy_generator(asked.seed, "derive"), limits)
        found = list(itertools.islice(apart(drawn, asked.apart), count))
        return sorted(found, key=lambda genotype: -log_probability(probabilities, genotype))
    if mode == "thresholds" and decided is None:
        raise ValueError("this search decided no network by thresholds; derive with mode=budget, argmax or sample")
    genotype = decided if mode == "thresholds" and decided is not None else argmax(probabilities)
    found_ms = float(cost(np.array([genotype]))[0])
    what = "argmax network" if mode == "argmax" else "network that the thresholds decide"
    for other in others:
        if not other.holds(genotype):
            raise NothingWithin(
                f"the {what} has {as_typed(other.value(genotype))} {other.name}, above budget.{other.name}="
                f"{as_typed(other.limit)}; use mode=budget (python -m nas.derive run=... mode=budget), or raise it"
            )
    if found_ms > bound:
        raise NothingWithin(
            f"the {what} takes {found_ms:.4g} ms, above the limit {bound:.4g} ms on estimates; use mode=budget, which "
            "finds the most probable network within the budget (python -m nas.derive run=... mode=budget), or raise it"
        )
    return [genotype]


def own_mode(method: object, mode: str | None) -> str:
    """`mode`, or where that is None the method's own way to derive, `budget` where it has none.

    Raises `ValueError` for `thresholds` where the method has none that decide a network.
    """
    published: str | None = getattr(method, "derive_mode", None)  # methods that train candidates have none
    if mode == "thresholds" and published is None:
        raise ValueError("mode=thresholds: only method=single_path decides a network by thresholds; use mode=budget")
    return mode or published or "budget"


def check(mode: str, count: int, use: float) -> None:
    """Refuse what `derive` would refuse whatever a search found, so that no search is made for it."""
    if not 0 <= use < 1:
        raise ValueError(f"use must be at least 0 and less than 1, got {use:g}")
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; one of {', '.join(MODES)}")
    if count < 1:
        raise ValueError(f"count of networks to derive must be >= 1, got {count}")
    if mode in SINGLE and count > 1:
        what = "argmax is" if mode == "argmax" else "the thresholds decide"
        raise ValueError(f"{what} a single network, {count} were asked; derive with mode=budget or mode=sample")


def log_probability(probabilities: Rows, genotype: Genotype) -> float:
    """`log P(genotype)`: positions are independent (FBNet section 3.2)."""
    return float(sum(np.log(max(row[gene], 1e-300)) for row, gene in zip(probabilities, genotype, strict=True)))


def argmax(probabilities: Rows) -> Genotype:
    """The most probable candidate of every position."""
    return tuple(int(row.argmax()) for row in probabilities)


def sample(
    probabilities: Rows,
    count: int | None,
    rng: np.random.Generator,
    limits: Sequence[Limit] = (),
    draws: int = 200_000,
) -> list[Genotype]:
    """Up to `count` (None: all) distinct genotypes drawn from P(theta), the paper's final step, all within `limits`.

    Raises `NothingWithin` where none of `draws` draws is.
    """
    population = np.stack(
        [np.minimum(np.searchsorted(np.cumsum(p), rng.random(draws), side="right"), len(p) - 1) for p in probabilities],
        axis=1,
    )
    for limit in limits:
        population = population[limit.cost(population) <= limit.limit]
    if not len(population):
        asked = " and ".join(f"{limit.name} <= {limit.limit:.4g}" for limit in limits)
        raise NothingWithin(
            f"none of {draws} networks sampled from P(theta) has {asked}; derive with mode=budget, which finds the "
            "best one within the budget"
        )
    _, first = np.unique(population, axis=0, return_index=True)
    return [tuple(int(g) for g in population[i]) for i in np.sort(first)[:count]]
