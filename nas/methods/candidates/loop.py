"""The loop of methods that train candidate by candidate: propose a round, train it, tell its scores, and again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.candidates import early_stopping
from nas.methods.candidates.early_stopping import Stop
from nas.methods.candidates.executors.base import Executor, Workers
from nas.methods.candidates.log import CandidateLog, Clock, keep_id, run_id
from nas.methods.candidates.scorers.base import Scorer
from nas.methods.candidates.storage import file_url
from nas.methods.candidates.study import check_candidates, study_identity
from nas.methods.candidates.trials import Claim, TrialStore, own_study
from nas.methods.candidates.trials_file import write_trials
from nas.methods.proposal import Proposal
from nas.runs.run import Run
from nas.terminal.progress import Advance, log, phase
from predictors.early_stopping import FEWEST
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype, Population
from search_spaces.wrappers.joint import JointSpace

WAIT_SECONDS = 5.0  # between two signs of life of what is under way
POLL_SECONDS = 1.0  # while only other processes train
FINALISTS = 4  # at most, where nothing is said


@dataclass(frozen=True)
class CandidateSettings:
    """`trials` candidates are trained, `batch` a round; where the method has a predictor, the last `finalists` of them
    are those that it ranks first (None: an eighth of the trials, `FINALISTS` at most; never more than half of the
    trials). `epochs`: of a candidate's training (None: the recipe's).
    `validation_fraction` of the training images score it. A failed one is tried `attempts` times in all. `storage`: an
    Optuna storage URL (None: `trials.db` in the run directory); `study`: its name there (None: one of its own).
    `stop_correlation`: see `early_stopping` (None: all train in full). `scorer`: see `scorers`; `supernet`: the run
    whose elastic one scores (None: this one); `statistics`: images of batch-norm statistics at most.
    """

    trials: int
    batch: int
    finalists: int | None
    epochs: int | None
    validation_fraction: float
    attempts: int
    storage: str | None
    study: str | None
    stop_correlation: float | None = None
    scorer: Literal["training", "elastic"] = "training"
    supernet: str | None = None
    statistics: int = 2048

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("batch", 1), ("epochs", 1), ("finalists", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"search.{name} must be >= {least}, got {value}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"search.validation_fraction must lie between 0 and 1, got {self.validation_fraction}")
        if self.statistics < 1:
            raise ValueError(f"search.statistics must be >= 1, got {self.statistics}")
        if self.scorer != "elastic" and self.supernet is not None:
            raise ValueError("search.supernet is a run whose supernet scores candidates: add search.scorer=elastic")
        if self.scorer == "elastic" and self.stop_correlation is not None:
            raise ValueError("search.stop_correlation stops trainings early, and search.scorer=elastic has none")
        if self.stop_correlation is not None:
            if not 0 < self.stop_correlation <= 1:
                raise ValueError(
                    f"search.stop_correlation must be above 0 and at most 1, got {self.stop_correlation:g}"
                )
            if self.trials <= FEWEST:
                raise ValueError(
                    f"search.stop_correlation needs a first batch of {FEWEST} trained in full and others after it: "
                    f"search.trials must be > {FEWEST}, got {self.trials}"
                )

    def last(self, total: int) -> int:
        """How many finalists are among `total` trials of a method that has some."""
        asked = min(FINALISTS, total // 8) if self.finalists is None else self.finalists
        return min(asked, total // 2)


@dataclass(frozen=True)
class Found:
    """Trained candidates, best first: `genotypes` (n, genes), validation `scores` (n,), percent; `seconds` it took."""

    genotypes: Population
    scores: Floats
    seconds: float


@dataclass(frozen=True)
class CandidateSearch:
    """A search by `method` among the candidates within the budgets of `feasible`, each scored by `scorer`.

    `first`: candidates (n, genes) that come before those that the method proposes; None: none.
    """

    method: CandidateMethod
    feasible: Feasible
    scorer: Scorer
    executor: Executor
    settings: CandidateSettings
    seed: int
    first: Population | None = None

    def start(self) -> Proposal:
        """A search in progress, nothing told."""
        proposal = self.method.start(self.feasible, self.seed)
        if self.first is not None:
            proposal.begin_with(self.first)
        return proposal


def search_candidates(run: Run, search: CandidateSearch) -> Found:
    """Run the search, or what is left of it. Raises `ValueError` where no candidate could be trained.

    A round is proposed from the rounds before alone and told in its own order, whenever its trainings ended: executor,
    number of workers and interruptions do not change what is found.
    """
    feasible, settings = search.feasible, search.settings
    space = feasible.space
    assert isinstance(space, JointSpace)
    store = _store(run, search)
    stop = _noted(store, settings)
    store.recover(restarted=True)
    proposal, rows = search.start(), CandidateLog(run, feasible)
    clock = Clock(run.checkpoints / "search.json")
    total = _total(store, settings)
    before_finalists = total - (settings.last(total) if proposal.has_finalists else 0)
    settled = len(store.outcomes())

    def checked_job(candidate: str, genotype: Genotype) -> Any:
        check_candidates(feasible, store.study.study_name, [(candidate, genotype)])
        return search.scorer.job(candidate, genotype)

    with (
        phase("training candidates", total, "candidate", completed=settled) as advance,
        search.executor.open(type(search.scorer).work) as workers,
    ):
        number = 0
        while len(proposal.told) < total:
            final = len(proposal.told) >= before_finalists
            candidates = store.round(number)
            if candidates is None:
                left = (total if final else before_finalists) - len(proposal.told)
                drawn_rows = _propose(proposal, final, left if final else min(settings.batch, left))
                if not len(drawn_rows):
                    break
                drawn = [(space.candidate_id(row), tuple(int(g) for g in row)) for row in drawn_rows]
                store.add(number, drawn)
                candidates = store.round(number) or drawn
            check_candidates(feasible, store.study.study_name, candidates)
            stopping = settings.stop_correlation is not None
            round_ = _Round(store, workers, checked_job, advance, stopping, clock)
            round_.run(number, len(candidates))
            outcomes = store.outcomes()
            if settings.stop_correlation is not None and stop is None:
                stop = _decide(store, number + 1, settings.stop_correlation)
                if stop is not None and number > 0:  # what was told so far counts at the chosen epoch too
                    proposal, number, rows = search.start(), 0, CandidateLog(run, feasible)
                    continue
            told = [early_stopping.comparable(outcomes[number, place], stop) for place in range(len(candidates))]
            begin = len(proposal.told)
            proposal.tell(np.array([outcome.genotype for outcome in told]), [outcome.score for outcome in told])
            rows.add(begin, told, proposal.scores)
            clock.save()
            number += 1
    outcomes = {key: outcome for key, outcome in store.outcomes().items() if key[0] < number}
    store.close()
    if settings.stop_correlation is not None and stop is None:
        log(
            f"no early stopping: fewer than {FEWEST} candidates that end with different accuracies; all trained in full"
        )
    write_trials(run.path, feasible, [early_stopping.comparable(outcomes[key], stop) for key in sorted(outcomes)])
    best = proposal.best(len(proposal.told))
    if not len(best):
        reason = next((outcome.reason for outcome in outcomes.values() if outcome.reason), "unknown")
        raise ValueError(f"none of {len(proposal.told)} candidates could be trained; the last reason: {reason}")
    scores = np.sort(proposal.scores[np.isfinite(proposal.scores)])[::-1]
    return Found(best, scores, clock.save())


def _store(run: Run, search: CandidateSearch) -> TrialStore:
    """The study of this search: the run's own unless one is named, and refused where it is another search's."""
    feasible, settings = search.feasible, search.settings
    own = run_id(run)
    store = TrialStore(
        settings.storage or file_url(run.path / "trials.db"),
        settings.study or own_study(own),
        feasible.space.variables,
        owner=own,
        attempts=settings.attempts,
        identity=study_identity(feasible, search.method, search.scorer, settings.stop_correlation, search.first),
    )
    keep_id(run, own)  # only now: a run that is refused leaves no directory
    return store


def _noted(store: TrialStore, settings: CandidateSettings) -> Stop | None:
    """The early stop that this or another process decided on before."""
    return early_stopping.from_dict(store.noted(early_stopping.NOTE))


def _total(store: TrialStore, settings: CandidateSettings) -> int:
    """How many are trained in all. A search can grow, not shrink: what was proposed belongs to it.

    Runs from before finalists were among the trials have so many more.
    """
    proposed = store.proposed()
    if proposed > settings.trials + (settings.finalists or 0):
        raise ValueError(
            f"search.trials={settings.trials}, but this search has proposed {proposed} candidates already; give "
            f"search.trials={proposed} or more"
        )
    return max(settings.trials, proposed)


def _propose(proposal: Proposal, final: bool, count: int) -> Population:
    if final:
        if len(np.unique(proposal.scores[np.isfinite(proposal.scores)])) < 2:
            return proposal.ask(count)
        return proposal.finalists(count)
    return proposal.ask(count)


def _decide(store: TrialStore, rounds: int, threshold: float) -> Stop | None:
    """What another process decided, else what `rounds` finished rounds justify; kept with the trials."""
    stop = early_stopping.from_dict(store.noted(early_stopping.NOTE))
    if stop is None:
        stop = early_stopping.decide(store.outcomes(), rounds, threshold)
        if stop is not None:
            store.note(early_stopping.NOTE, early_stopping.to_dict(stop))
    if stop is not None:
        log(stop.sentence())
    return stop


@dataclass(frozen=True)
class _Round:
    """What it takes to train a round; with `stopping` an early stop may be decided meanwhile."""

    store: TrialStore
    workers: Workers
    job_of: Callable[[str, Genotype], Any]
    advance: Advance
    stopping: bool
    clock: Clock

    def run(self, number: int, count: int) -> None:
        """Train, together with other processes, until each of the `count` candidates of round `number` is settled."""
        under_way: dict[int, Claim] = {}
        best = max((o.score for o in self.store.outcomes().values() if not math.isnan(o.score)), default=-math.inf)
        while True:
            while len(under_way) < self.workers.capacity and (claim := self.store.claim()) is not None:
                job = self.job_of(claim.candidate, claim.genotype)
                if self.stopping:  # asked anew each time: another process may have decided, and begun the next round
                    stop = early_stopping.from_dict(self.store.noted(early_stopping.NOTE))
                    job = early_stopping.with_stop(job, stop, claim.round)
                self.workers.submit(claim.trial_id, job)
                under_way[claim.trial_id] = claim
            if not under_way:
                outcomes = self.store.outcomes()
                if all((number, place) in outcomes for place in range(count)):
                    return
                self.store.recover()
                time.sleep(POLL_SECONDS)
                continue
            self.store.alive(list(under_way.values()))
            self.clock.save()
            for done in self.workers.wait(WAIT_SECONDS):
                claim = under_way.pop(done.key)
                if done.error is None:
                    score = float(done.result["top1_percent"])
                    self.store.finish(claim, score, done.result)
                    best = max(best, score)
                    so_far = "" if self.stopping else f", best so far {best:.2f}%"  # scores of equal epochs alone
                    self.advance(1, f"{score:.2f}% of the validation images{so_far}")
                else:
                    self.store.fail(claim, done.error)
                    log(f"candidate {claim.candidate}, attempt {claim.attempt}, failed: {done.error}")
                    if claim.attempt >= self.store.attempts:
                        self.advance(1)
