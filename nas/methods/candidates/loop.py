"""The loop of methods that train candidate by candidate: propose a round, train it, tell its scores, and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.candidates import early_stopping
from nas.methods.candidates.early_stopping import Stop
from nas.methods.candidates.executors.base import Executor
from nas.methods.candidates.executors.crew import Crew
from nas.methods.candidates.log import CandidateLog, Clock, is_kept, keep_id, run_id
from nas.methods.candidates.scorers.base import Scorer
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.storage import TRIALS, check_continued, file_url
from nas.methods.candidates.study import check_candidates, study_identity
from nas.methods.candidates.trials import TrialStore, own_study
from nas.methods.candidates.trials_file import write_trials
from nas.methods.proposal import Proposal
from nas.runs.keeping.own_code import OWN_CODE, other_than
from nas.runs.run import Run
from nas.terminal.progress import log, phase
from predictors.early_stopping import FEWEST
from search_spaces.plain_data.own_code import code_of, modules_behind
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype, Population
from search_spaces.wrappers.joint import JointSpace


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

    A round, of one candidate or several (`CandidateSettings.stride`), is proposed as soon as no more than `batch` are
    not told with it, and rounds are told in their order, whenever their trainings ended: executor, number of workers
    and interruptions do not change what is found.
    """
    feasible, settings = search.feasible, search.settings
    store = _store(run, search)
    stop = _noted(store, settings)
    store.recover(restarted=True)
    proposal, rows = search.start(), CandidateLog(run, feasible)
    clock = Clock(run.checkpoints / "search.json")
    plan = _Plan(settings, _total(store, settings))
    settled = len(store.outcomes())

    def checked_job(candidate: str, genotype: Genotype) -> Any:
        check_candidates(feasible, store.study.study_name, [(candidate, genotype)])
        return search.scorer.job(candidate, genotype)

    with (
        phase(search.scorer.doing, plan.total, "candidate", completed=settled) as advance,
        search.executor.open(type(search.scorer).work) as workers,
    ):
        crew = Crew(store, workers, checked_job, advance, settings.stop_correlation is not None, clock)
        number, waiting = 0, list[int]()  # rounds told; how many candidates the next ones hold
        while len(proposal.told) < plan.total:
            while candidates := _next_round(store, proposal, plan, number + len(waiting)):
                check_candidates(feasible, store.study.study_name, candidates)
                waiting.append(len(candidates))
            if not waiting:
                break
            count = waiting.pop(0)
            crew.train(number, count)
            outcomes = store.outcomes()
            if settings.stop_correlation is not None and stop is None:
                stop = _decide(store, number + 1, settings.stop_correlation)
                if stop is not None and number > 0:  # what was told so far counts at the chosen epoch too
                    proposal, number, rows = search.start(), 0, CandidateLog(run, feasible)
                    continue
            told = [early_stopping.comparable(outcomes[number, place], stop) for place in range(count)]
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


@dataclass(frozen=True)
class _Plan:
    """How many candidates are asked for at a time, `total` in all."""

    settings: CandidateSettings
    total: int

    def size(self, proposal: Proposal) -> int:
        """Of the next round; 0 where those under way come first."""
        left = self._left(proposal)
        size = min(self.settings.stride, left) if left > 0 else left + self._finalists(proposal)
        return size if self.has_room(proposal, size) else 0

    def is_last(self, proposal: Proposal) -> bool:
        """Whether finalists are what comes next."""
        return self._left(proposal) <= 0

    def has_room(self, proposal: Proposal, size: int) -> bool:
        """Whether `size` more may be asked for beside those that are not told: finalists wait for all of them."""
        if not len(proposal.pending):
            return True
        return not self.is_last(proposal) and len(proposal.pending) + size <= self.settings.batch

    def _left(self, proposal: Proposal) -> int:
        """How many are to be asked for before the finalists."""
        return self.total - self._finalists(proposal) - len(proposal.told) - len(proposal.pending)

    def _finalists(self, proposal: Proposal) -> int:
        return self.settings.last(self.total) if proposal.has_finalists else 0


def _next_round(store: TrialStore, proposal: Proposal, plan: _Plan, number: int) -> list[tuple[str, Genotype]] | None:
    """The candidates of round `number`, kept there or proposed now; None where there is none yet, or none any more."""
    candidates = store.round(number)
    if candidates is not None:
        if not plan.has_room(proposal, len(candidates)):
            return None
        proposal.expect(np.array([genotype for _, genotype in candidates]))
        return candidates
    size = plan.size(proposal)
    rows = _propose(proposal, plan.is_last(proposal), size) if size > 0 else ()
    if not len(rows):
        return None
    space = proposal.space
    assert isinstance(space, JointSpace)
    drawn = [(space.candidate_id(row), tuple(int(g) for g in row)) for row in rows]
    store.add(number, drawn)
    return store.round(number) or drawn


def _store(run: Run, search: CandidateSearch) -> TrialStore:
    """The study of this search: the run's own unless one is named, and refused where it is another search's."""
    feasible, settings = search.feasible, search.settings
    own = run_id(run, settings.study)
    study = settings.study or own_study(own)
    if is_kept(run):
        check_continued(settings.storage, study, run.path)
    store = TrialStore(
        settings.storage or file_url(run.path / TRIALS),
        study,
        feasible.space.variables,
        owner=own,
        attempts=settings.attempts,
        identity=study_identity(feasible, search.method, search.scorer, settings.stop_correlation, search.first),
    )
    keep_id(run, own)  # only now: a run that is refused leaves no directory
    if settings.study is not None:
        _note_code(store, own, search.method)
    return store


def _note_code(store: TrialStore, own: str, method: CandidateMethod) -> None:
    """Note with a study that runs share the code of the user's own by which the run `own` proposes; said where others
    of them went by another."""
    noted = store.noted(OWN_CODE) or {}
    others = [{"method": code} for run, code in noted.items() if run != own and isinstance(code, str)]
    code = code_of(modules_behind(method))
    if changed := other_than({"method": code}, others):
        log(
            f"NOTE: study {store.study.study_name!r} is searched with other code of your own, too ({changed}): what it "
            "holds is of both; search.study=... begins another"
        )
    if code and noted.get(own) != code:
        store.note(OWN_CODE, {**noted, own: code})


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
