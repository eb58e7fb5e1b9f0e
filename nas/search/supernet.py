"""A search that trains a supernet: probabilities of choices, and the networks derived from them."""

from __future__ import annotations

import dataclasses
import time

from nas.derive.handover import derived_once, write_probabilities
from nas.derive.most_probable import log_probability
from nas.methods.base import SearchResult, SupernetMethod
from nas.runs.resuming import go_on
from nas.runs.run import Run
from nas.search.deriving import from_probabilities
from nas.search.ending import Ending
from nas.search.forecast.phases import Told
from nas.search.found import Found
from nas.search.pricing.prices import Prices
from nas.search.setup import SearchSetup
from nas.search.several import together
from nas.terminal.progress import phase


def search_supernet(run: Run, setup: SearchSetup, method: SupernetMethod, prices: Prices, told: Told) -> Found:
    """Train the supernet, or what is left of it, and derive networks within the budget; `told` of the time it takes."""
    space = setup.problem.space
    result = _train(run, setup, method, prices, told)
    write_probabilities(run.path, space.architectures, result.probabilities, result.decided)
    deriving = from_probabilities(setup, prices, result.probabilities, result.decided)
    derived = derived_once(run.path, space, deriving.depends, deriving.now)
    inherit = result.inherit if setup.training.inherit else None
    ending = Ending.of(space.architectures, method, result, setup.derivation.mode)
    scores = {genotype: log_probability(result.probabilities, genotype) for genotype in derived.genotypes}
    found = Found(derived, result.seconds, setup.derivation.mode, inherit, ending=ending)
    return dataclasses.replace(found, scores=scores, score_is="log-probability")


def _train(run: Run, setup: SearchSetup, method: SupernetMethod, prices: Prices, told: Told) -> SearchResult:
    checkpoint = run.checkpoints / "search.pt"
    done = method.finished(checkpoint)
    go_on(run, "search", done, checkpoint)
    assert prices.cost is not None
    ahead = [method.work_of(epoch) for epoch in range(done, method.epochs)]
    with phase("searching", method.epochs, "epoch", completed=done) as advance:
        seen, ended, began = 0.0, 0, time.perf_counter()  # of the present epoch; epochs, when the first of them began

        def on_share(share: float) -> None:
            nonlocal seen
            if share > seen:  # the two parts of the data are passed side by side
                advance(share - seen)
                seen = share
                worked = sum(ahead[:ended]) + share * sum(ahead[ended : ended + 1])
                told.see(worked, sum(ahead), time.perf_counter() - began)

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            nonlocal seen, ended
            run.log("search", epoch, **record)
            advance(1 - seen, f"loss {record['weight_loss']:.3f}, expected {record['expected_latency_ms']:.4g} ms")
            seen, ended = 0.0, ended + 1

        work = together.SupernetSearch(prices.cost, prices.budget.limit_ms if prices.budget else None, checkpoint)
        together.begin(setup, work)
        return method.search(together.reporting(work.task(setup), on_epoch, on_share))
