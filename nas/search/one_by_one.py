"""A search that trains candidate by candidate, and the networks at the head of their ranking."""

from __future__ import annotations

import dataclasses

from nas.derive.handover import derived_once
from nas.methods.base import CandidateMethod
from nas.methods.candidates.executors.watched import Watched
from nas.methods.candidates.loop import CandidateSearch, search_candidates
from nas.methods.elastic.stored import note_scores
from nas.runs.run import Run
from nas.search.deriving import from_ranking
from nas.search.found import Found
from nas.search.pricing.prices import Prices
from nas.search.references.starting import starting_points
from nas.search.scoring import scoring_of
from nas.search.setup import SearchSetup
from search_spaces.pricing.budgets import Feasible


def search_one_by_one(run: Run, setup: SearchSetup, method: CandidateMethod, prices: Prices) -> Found:
    """Train candidates, or those that are left, and derive networks within the budget from their ranking."""
    feasible = Feasible(setup.problem.space, prices.limits)
    scoring = scoring_of(run, setup, prices)
    first = starting_points(run, setup, prices, feasible) if method.begins_with_given else None
    executor = Watched(setup.executor, setup.problem.images)
    search = CandidateSearch(method, feasible, scoring.scorer, executor, setup.candidates, setup.seed, first)
    found = search_candidates(run, search)
    if scoring.weights is not None:
        note_scores(run.path, scoring.weights)
    deriving = from_ranking(setup, prices, found.genotypes[feasible.mask(found.genotypes)])
    derived = derived_once(run.path, setup.problem.space, deriving.depends, deriving.now)
    known = {tuple(row): score for row, score in zip(found.genotypes.tolist(), found.scores.tolist(), strict=True)}
    scores = {genotype: known[genotype] for genotype in derived.genotypes}
    inherit, trials = scoring.inherit if setup.training.inherit else None, len(found.genotypes)
    first = scores[derived.first.genotype]
    equals = int((found.scores == first).sum()) - 1
    all_found = Found(derived, found.seconds, "ranking", inherit, trials, first, equals, scoring.pretrain_seconds)
    how = "with inherited weights" if setup.is_elastic else "of its training as a candidate"
    return dataclasses.replace(all_found, scores=scores, score_is=f"validation accuracy {how}, %")
