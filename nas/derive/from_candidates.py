"""Other budgets from a search that trained candidate by candidate: from its trials, and from a predictor of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.derive.most_probable import NothingWithin
from nas.derive.request import DerivedNetworks, Ranking, Request, hand_over
from nas.derive.setup import FinishedSearch
from nas.derive.within_budget import within_budget
from nas.methods.base import CandidateMethod
from nas.methods.candidates.trials_file import read_trials
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible, Limit, as_typed
from search_spaces.space import Genotype, Population
from search_spaces.wrappers.joint import JointSpace


def derive_candidates(request: Request, method: CandidateMethod) -> DerivedNetworks:
    """Write the best networks within the `request`'s budgets, with their recipes, and show them.

    A method that predicts scores gives its front under the new budgets, trained or not; another, and one whose
    candidates all score alike, offers those that were trained. Raises `ValueError` where the budget is out of reach, or
    where none of the trained candidates meets it.
    """
    setup, space = request.setup, request.search.space
    assert isinstance(space, JointSpace)
    facts: dict[Genotype, dict[str, Any]] = {}

    def propose(limit: float, count: int) -> list[Genotype]:
        limits = [
            Limit(known.name, known.cost, limit) if known.name == "latency_ms" else known for known in request.limits
        ]
        found, scores, origin = ranked(setup.search, method, Feasible(space, limits), count)
        genotypes = [tuple(genotype) for genotype in found.tolist()]
        for genotype, score in zip(genotypes, scores.tolist(), strict=True):
            facts[genotype] = {"score": score, "score_is": origin}
        return genotypes

    derived = within_budget(propose, request.clock, request.budgets.latency, setup.count, setup.budget.rounds)
    origin = facts[derived.first.genotype]["score_is"]
    ranking = Ranking(f"{origin}, %", facts.__getitem__, space.recipe, searched_recipes=True)
    return hand_over(request, derived, ranking)


def ranked(
    search: FinishedSearch, method: CandidateMethod, feasible: Feasible, count: int
) -> tuple[Population, Floats, str]:
    """The `count` best genotypes within the limits, their scores, and what these are (predicted or observed)."""
    assert isinstance(feasible.space, JointSpace)
    genotypes, scores = read_trials(search.folder, feasible.space)
    proposal = method.start(feasible, search.seed)
    proposal.tell(genotypes, scores)
    alike = len(np.unique(scores[np.isfinite(scores)])) < 2  # a predictor has nothing to learn from
    if proposal.has_front and not alike:
        front = proposal.front(feasible.maxima[None])
        return front.genotypes[0][:count], front.scores[0][:count], "predicted validation accuracy"
    within = feasible.mask(genotypes) & np.isfinite(scores)
    if not within.any():
        spans = "; ".join(
            f"{limit.name} {as_typed(costs.min())} to {as_typed(costs.max())} (at most {as_typed(limit.limit)}"
            f"{' by the estimate' if limit.name == 'latency_ms' else ''})"
            for limit, costs in zip(feasible.limits, feasible.costs(genotypes).T, strict=True)
        )
        raise NothingWithin(
            f"none of the {len(genotypes)} candidates that {search.folder} trained is within the budget: they span "
            f"{spans}; search again under it"
            + (", all of them score alike" if alike else ", or with method=predictor, which can predict others")
        )
    order = np.flatnonzero(within)[feasible.best_first(genotypes[within], scores[within])][:count]
    origin = "observed validation accuracy" + (", that of all candidates" if alike else "")
    return genotypes[order], scores[order], origin
