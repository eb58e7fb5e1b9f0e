"""What trains the candidates of a study that wait, on the workers of an executor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nas.methods.candidates import early_stopping
from nas.methods.candidates.executors.base import Done, Workers
from nas.methods.candidates.log import Clock
from nas.methods.candidates.trials import Claim, TrialStore
from nas.terminal.progress import Advance, log
from search_spaces.space import Genotype

WAIT_SECONDS = 5.0  # between two signs of life of what is under way
POLL_SECONDS = 1.0  # while only other processes train


@dataclass(frozen=True)
class Crew:
    """What trains the candidates that wait; with `stopping` an early stop may be decided meanwhile."""

    store: TrialStore
    workers: Workers
    job_of: Callable[[str, Genotype], Any]
    advance: Advance
    stopping: bool
    clock: Clock
    under_way: dict[int, Claim] = field(default_factory=dict)

    def train(self, number: int, count: int) -> None:
        """Train, together with other processes, until each of the `count` candidates of round `number` is settled.

        What of later rounds is under way then goes on.
        """
        outcomes = self.store.outcomes()
        best = max((o.score for o in outcomes.values() if not math.isnan(o.score)), default=-math.inf)
        while not all((number, place) in outcomes for place in range(count)):
            self._begin()
            if not self.under_way:
                self.store.recover()
                time.sleep(POLL_SECONDS)
            self.store.alive(list(self.under_way.values()))
            self.clock.save()
            for done in self.workers.wait(WAIT_SECONDS):
                best = max(best, self._end(done, best))
            outcomes = self.store.outcomes()

    def _begin(self) -> None:
        """Give the workers that are free what waits."""
        while len(self.under_way) < self.workers.capacity and (claim := self.store.claim()) is not None:
            job = self.job_of(claim.candidate, claim.genotype)
            if self.stopping:  # asked anew each time: another process may have decided, and begun the next round
                stop = early_stopping.from_dict(self.store.noted(early_stopping.NOTE))
                job = early_stopping.with_stop(job, stop, claim.round)
            self.workers.submit(claim.trial_id, job)
            self.under_way[claim.trial_id] = claim

    def _end(self, done: Done, best: float) -> float:
        """Keep what came of a training; its score, lowest of all where there is none."""
        claim = self.under_way.pop(done.key)
        if done.error is None:
            score = float(done.result["top1_percent"])
            self.store.finish(claim, score, done.result)
            # scores of equal epochs alone
            so_far = "" if self.stopping else f", best so far {max(best, score):.2f}%"
            self.advance(1, f"{score:.2f}% of the validation images{so_far}")
            return score
        self.store.fail(claim, done.error)
        log(f"candidate {claim.candidate}, attempt {claim.attempt}, failed: {done.error}")
        if claim.attempt >= self.store.attempts:
            self.advance(1)
        return -math.inf
