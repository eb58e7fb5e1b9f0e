"""How networks are derived from what a search of either kind found, while it runs and later from its directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nas.derive.handover import (
    derivation_identity,
    derive_probable,
    derive_ranked,
    read_decided,
    read_probabilities,
    rounded,
)
from nas.derive.most_probable import Rows
from nas.derive.within_budget import Derived
from nas.methods.base import CandidateMethod, is_supernet
from nas.methods.candidates.trials_file import read_trials
from nas.search.pricing.prices import Prices
from nas.search.setup import SearchSetup
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype, Population
from search_spaces.wrappers.silent import SilentGenes


@dataclass(frozen=True)
class Deriving:
    """A derivation: all it `depends` on, and `now`, which makes it."""

    depends: Mapping[str, Any]
    now: Callable[[], Derived]


def from_probabilities(
    setup: SearchSetup, prices: Prices, probabilities: Rows, decided: Genotype | None = None
) -> Deriving:
    """From what a supernet learned, or the network that it decided itself."""
    cost, budgets, space = prices.cost, prices.budgets, setup.problem.space
    assert cost is not None  # a supernet always has a table
    asked = dataclasses.replace(setup.deriving, silent=SilentGenes.of(space.architectures))
    depends = derivation_identity(rounded(probabilities, decided), space, cost, prices.device, budgets, asked)
    return Deriving(depends, lambda: derive_probable(probabilities, decided, cost, prices.clock, budgets, asked))


def from_ranking(setup: SearchSetup, prices: Prices, ranked: Population) -> Deriving:
    """From the candidates that were trained and are within the budgets, best first."""
    cost, asked, space = prices.cost, setup.deriving, setup.problem.space
    depends = derivation_identity(ranked.tolist(), space, cost, prices.device, prices.budgets, asked)
    return Deriving(depends, lambda: derive_ranked(ranked, cost, prices.clock, prices.budget, asked, space))


def of_finished(folder: Path, setup: SearchSetup, prices: Prices) -> Deriving:
    """That of the finished search in `folder`. Raises `ValueError` where its files are missing or another's."""
    if is_supernet(setup.method):
        space = setup.problem.space.architectures
        return from_probabilities(setup, prices, read_probabilities(folder, space), read_decided(folder, space))
    feasible = Feasible(setup.problem.space, prices.limits)
    genotypes, scores = read_trials(folder, setup.problem.space)
    proposal = cast(CandidateMethod, setup.method).start(feasible, setup.seed)
    proposal.tell(genotypes, scores)
    best = proposal.best(len(proposal.told))
    return from_ranking(setup, prices, best[feasible.mask(best)])
