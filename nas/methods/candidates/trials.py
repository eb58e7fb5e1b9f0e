"""Trained candidates as trials of an Optuna study: kept across kills, shared by processes, none lost or run twice."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.methods.candidates.shared_study import SharedStudy, spoken
from nas.methods.candidates.storage import FAILURES, damaged
from nas.methods.candidates.trial_schema import check_trial, trial_digest
from search_spaces.plain_data.identity import Identity
from search_spaces.space import Genotype, Variable

GRACE_SECONDS = 300.0  # a running trial without a sign of life for this long belongs to a process that is gone


@dataclass(frozen=True)
class Claim:
    """A trial this process is to run: its number, the candidate and its round, and which attempt it is (from 1)."""

    trial_id: int
    number: int
    candidate: str
    genotype: Genotype
    attempt: int
    round: int


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate: its score (higher is better, NaN: failed for good), figures, the last reason."""

    candidate: str
    genotype: Genotype
    round: int
    place: int
    score: float
    figures: dict[str, Any]
    reason: str | None


def own_study(owner: str) -> str:
    """What the study of a search is called that names none: no other search has it."""
    return f"search-{owner}"


class TrialStore(SharedStudy):
    """The trials of one search. Candidates are waiting, running, complete or failed; a failed one is tried again, up to
    `attempts` times in all. A trial whose process died is given out again without counting as an attempt.

    `storage`: an SQLAlchemy URL (`sqlite:///path`, `postgresql://...`) as Optuna takes it. `owner`: who runs trials
    here, unique among living processes, the same when a killed search continues; what it left running is given out
    again at once, what others left after `GRACE_SECONDS`. `identity`: everything scores and proposals depend on; a
    study of something else is refused by naming what differs.

    Raises `ValueError` where the storage cannot be used, stays locked or is damaged, `OSError` where its disk is full.
    """

    def __init__(
        self,
        storage: str,
        study: str,
        variables: Sequence[Variable],
        *,
        owner: str,
        attempts: int,
        identity: Identity,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"search.attempts must be >= 1, got {attempts}")
        self.owner, self.attempts = owner, attempts
        self.distributions: dict[str, BaseDistribution] = {
            v.name: IntDistribution(0, len(v) - 1) if v.ordered else CategoricalDistribution(range(len(v)))
            for v in variables
        }
        self._sizes = [len(v) for v in variables]
        self._checked: set[int] = set()  # finished trials, which never change
        is_own = study == own_study(owner)
        other = "name another search.study, or leave it out"
        fix = "put that back, or begin a search of its own" if is_own else other
        super().__init__(storage, study, identity, fix)

    # -- candidates

    @spoken
    def add(self, round_: int, candidates: Sequence[tuple[str, Genotype]]) -> None:
        """Let the `(candidate id, genotype)` of a round wait to be run; those there already stay as they are."""
        with self._exclusive():
            known = {(t.user_attrs["round"], t.user_attrs["place"]) for t in self._trials()}
            for place, (candidate, genotype) in enumerate(candidates):
                if (round_, place) not in known:
                    attributes = {"round": round_, "place": place, "count": len(candidates), "attempt": 1}
                    self._enqueue(candidate, genotype, attributes)

    @spoken
    def round(self, number: int) -> list[tuple[str, Genotype]] | None:
        """The candidates of a round in their order; None where it was not added, or only in part."""
        found = {
            t.user_attrs["place"]: (t.user_attrs["candidate"], _genotype(t), t.user_attrs["count"])
            for t in self._trials()
            if t.user_attrs["round"] == number
        }
        if not found or len(found) < found[min(found)][2]:
            return None
        return [found[place][:2] for place in sorted(found)]

    @spoken
    def claim(self) -> Claim | None:
        """A waiting trial, now running under this process; None where none waits."""
        with self._exclusive():
            trials = self._trials()
            for trial in trials:
                if trial.state != TrialState.WAITING or _superseded(trial, trials):
                    continue
                if not self.storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                    continue
                self.storage.set_trial_user_attr(trial._trial_id, "owner", self.owner)
                self.storage.set_trial_user_attr(trial._trial_id, "alive", time.time())
                name, attempt, round_ = (trial.user_attrs[key] for key in ("candidate", "attempt", "round"))
                return Claim(trial._trial_id, trial.number, name, _genotype(trial), attempt, round_)
        return None

    @spoken
    def alive(self, claims: Sequence[Claim]) -> None:
        """Say that these trials are still being run."""
        for claim in claims:
            with contextlib.suppress(UpdateFinishedTrialError):
                self.storage.set_trial_user_attr(claim.trial_id, "alive", time.time())

    @spoken
    def finish(self, claim: Claim, score: float, figures: dict[str, Any]) -> None:
        """Record the score of a trial. One that was given to another process meanwhile is left to that."""
        if not math.isfinite(score):
            self.fail(claim, f"the score is {score}")
            return
        # a loss may overflow where the score is fine
        figures = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(claim.trial_id, "figures", figures)
            checked = trial_digest(claim.candidate, claim.genotype, score, figures)
            self.storage.set_trial_user_attr(claim.trial_id, "digest", checked)
            self.storage.set_trial_state_values(claim.trial_id, state=TrialState.COMPLETE, values=[score])

    @spoken
    def fail(self, claim: Claim, reason: str) -> None:
        """Record that a trial failed and why; it waits again while attempts are left."""
        with self._exclusive(), contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(claim.trial_id, "reason", reason[:2000])
            self.storage.set_trial_state_values(claim.trial_id, state=TrialState.FAIL)
            if claim.attempt < self.attempts:
                self._again(claim.trial_id, claim.attempt + 1)

    @spoken
    def recover(self, restarted: bool = False) -> int:
        """Give out again what dead processes left running, `restarted`: this owner's own too. Returns how many."""
        found = 0
        with self._exclusive():
            for trial in self._trials():
                if trial.state != TrialState.RUNNING:
                    continue
                owner = trial.user_attrs.get("owner")
                # under our lock nobody is in the midst of a claim: one without an owner was interrupted there
                is_ours = owner == self.owner or (owner is None and self._lock is not None)
                if (is_ours and restarted) or time.time() - _last_sign(trial) > GRACE_SECONDS:
                    self.storage.set_trial_user_attr(trial._trial_id, "reason", "the process that ran it is gone")
                    self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
                    self._again(trial._trial_id, trial.user_attrs["attempt"])
                    found += 1
            return found + (self._more_attempts() if restarted else 0)

    @spoken
    def outcomes(self) -> dict[tuple[int, int], Outcome]:
        """Every candidate that is settled (complete, or failed for good), by round and place."""
        trials = self._trials()
        settled = {t.user_attrs["candidate"]: t for t in trials if t.state == TrialState.COMPLETE}
        open_ = {t.user_attrs["candidate"] for t in trials if t.state in (TrialState.WAITING, TrialState.RUNNING)}
        for trial in trials:
            if trial.user_attrs["candidate"] not in open_ and trial.state == TrialState.FAIL:
                settled.setdefault(trial.user_attrs["candidate"], trial)
                if settled[trial.user_attrs["candidate"]].state == TrialState.FAIL:
                    settled[trial.user_attrs["candidate"]] = trial
        found: dict[tuple[int, int], Outcome] = {}
        for trial in trials:
            round_, place = trial.user_attrs["round"], trial.user_attrs["place"]
            last = settled.get(trial.user_attrs["candidate"])
            if last is None:
                continue
            score = float("nan") if last.value is None else float(last.value)
            figures, reason = last.user_attrs.get("figures", {}), last.user_attrs.get("reason")
            found[round_, place] = Outcome(
                trial.user_attrs["candidate"], _genotype(trial), round_, place, score, figures, reason
            )
        return found

    @spoken
    def proposed(self) -> int:
        """How many candidates the rounds hold, waiting ones included."""
        return len({(t.user_attrs["round"], t.user_attrs["place"]) for t in self._trials()})

    # -- inside

    def _trials(self) -> list[FrozenTrial]:
        self.storage.remove_session()  # a session keeps what it has seen; others write too
        try:
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.number not in self._checked:
                    check_trial(trial, self._sizes)
                if trial.state.is_finished():
                    self._checked.add(trial.number)
        except FAILURES:
            raise
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
            ArithmeticError,
        ) as error:  # what Optuna makes of it
            raise damaged(self.file or self.url, self.study.study_name, error) from error
        return trials

    def _enqueue(self, candidate: str, genotype: Genotype, attributes: dict[str, Any]) -> None:
        params = dict(zip(self.distributions, genotype, strict=True))
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=params,
                distributions=self.distributions,
                user_attrs={"candidate": candidate, "genotype": list(genotype), **attributes},
            )
        )

    def _more_attempts(self) -> int:
        """Give out again what was given up after fewer attempts than are allowed now. Returns how many."""
        last: dict[str, FrozenTrial] = {}
        for trial in self._trials():
            name = trial.user_attrs["candidate"]
            if name not in last or last[name].state == TrialState.FAIL:
                last[name] = trial
        again = [
            trial
            for trial in last.values()
            if trial.state == TrialState.FAIL and trial.user_attrs["attempt"] < self.attempts
        ]
        for trial in again:
            self._again(trial._trial_id, trial.user_attrs["attempt"] + 1)
        return len(again)

    def _again(self, trial_id: int, attempt: int) -> None:
        trial = self.storage.get_trial(trial_id)
        attributes = {key: trial.user_attrs[key] for key in ("round", "place", "count")}
        self._enqueue(trial.user_attrs["candidate"], _genotype(trial), {**attributes, "attempt": attempt})


def _superseded(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether another trial of the same candidate is complete, running, or waits further in front."""
    for other in trials:
        if other.user_attrs["candidate"] != trial.user_attrs["candidate"] or other.number == trial.number:
            continue
        if other.state in (TrialState.COMPLETE, TrialState.RUNNING):
            return True
        if other.state == TrialState.WAITING and other.number < trial.number:
            return True
    return False


def _last_sign(trial: FrozenTrial) -> float:
    """When a running trial last said that it is alive, seconds since the epoch; its start where it never did."""
    alive = trial.user_attrs.get("alive")
    if alive is not None:
        return float(alive)
    assert trial.datetime_start is not None
    return trial.datetime_start.timestamp()


def _genotype(trial: FrozenTrial) -> Genotype:
    return tuple(int(gene) for gene in trial.user_attrs["genotype"])
