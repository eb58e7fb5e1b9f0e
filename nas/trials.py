"""Trained candidates as trials of an Optuna study: kept across kills, shared by processes, none lost or run twice."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.storage import lock_file, unusable
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


class TrialStore:
    """The trials of one search. Candidates are waiting, running, complete or failed; a failed one is tried again, up to
    `attempts` times in all. A trial whose process died is given out again without counting as an attempt.

    `storage`: an SQLAlchemy URL (`sqlite:///path`, `postgresql://...`) as Optuna takes it. `owner`: who runs trials
    here, unique among living processes, the same when a killed search continues; what it left running is given out
    again at once, what others left after `GRACE_SECONDS`.
    """

    def __init__(
        self,
        storage: str,
        study: str,
        variables: Sequence[Variable],
        *,
        owner: str,
        attempts: int,
        seed: int,
        stop_correlation: float | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"search.attempts must be >= 1, got {attempts}")
        self.owner, self.attempts = f"{socket.gethostname()}:{owner}", attempts
        self.distributions: dict[str, BaseDistribution] = {
            v.name: IntDistribution(0, len(v) - 1) if v.ordered else CategoricalDistribution(range(len(v)))
            for v in variables
        }
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            url = sqlalchemy.engine.make_url(storage)
            self._lock = lock_file(url)
            with self._exclusive():
                connect = {"connect_args": {"timeout": 120}} if url.get_backend_name() == "sqlite" else {}
                self.storage = RDBStorage(storage, engine_kwargs=connect)
                self.study = optuna.create_study(
                    storage=self.storage, study_name=study, direction="maximize", load_if_exists=True
                )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
            raise unusable(storage, error) from None
        finally:
            optuna.logging.set_verbosity(verbosity)
        names = [[v.name, len(v)] for v in variables]
        self._check({"variables": names, "seed": seed, "stop_correlation": stop_correlation})

    def _check(self, identity: dict[str, Any]) -> None:
        """Refuse a study of another search, whose candidates would be misread."""
        known = self.study.user_attrs
        for key, value in identity.items():
            if key not in known:
                self.study.set_user_attr(key, value)
            elif known[key] != value:
                raise ValueError(
                    f"study {self.study.study_name!r} belongs to a search with another {key}; name another search.study"
                )

    # -- what holds for the whole search

    def note(self, key: str, value: dict[str, Any]) -> None:
        """Keep plain data with the search, for every process that shares it."""
        self.study.set_user_attr(key, value)

    def noted(self, key: str) -> dict[str, Any] | None:
        """What any process kept under `key`; None where none did."""
        self.storage.remove_session()
        found = self.study.user_attrs.get(key)
        return None if found is None else dict(found)

    # -- candidates

    def add(self, round_: int, candidates: Sequence[tuple[str, Genotype]]) -> None:
        """Let the `(candidate id, genotype)` of a round wait to be run; those there already stay as they are."""
        with self._exclusive():
            known = {(t.user_attrs["round"], t.user_attrs["place"]) for t in self._trials()}
            for place, (candidate, genotype) in enumerate(candidates):
                if (round_, place) not in known:
                    attributes = {"round": round_, "place": place, "count": len(candidates), "attempt": 1}
                    self._enqueue(candidate, genotype, attributes)

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

    def alive(self, claims: Sequence[Claim]) -> None:
        """Say that these trials are still being run."""
        for claim in claims:
            with contextlib.suppress(UpdateFinishedTrialError):
                self.storage.set_trial_user_attr(claim.trial_id, "alive", time.time())

    def finish(self, claim: Claim, score: float, figures: dict[str, Any]) -> None:
        """Record the score of a trial. One that was given to another process meanwhile is left to that."""
        if not math.isfinite(score):
            self.fail(claim, f"the score is {score}")
            return
        with contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(claim.trial_id, "figures", figures)
            self.storage.set_trial_state_values(claim.trial_id, state=TrialState.COMPLETE, values=[score])

    def fail(self, claim: Claim, reason: str) -> None:
        """Record that a trial failed and why; it waits again while attempts are left."""
        with self._exclusive(), contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(claim.trial_id, "reason", reason[:2000])
            self.storage.set_trial_state_values(claim.trial_id, state=TrialState.FAIL)
            if claim.attempt < self.attempts:
                self._again(claim.trial_id, claim.attempt + 1)

    def recover(self, restarted: bool = False) -> int:
        """Give out again what dead processes left running, `restarted`: this owner's own too. Returns how many."""
        found = 0
        with self._exclusive():
            for trial in self._trials():
                if trial.state != TrialState.RUNNING:
                    continue
                is_ours = trial.user_attrs.get("owner") == self.owner
                if (is_ours and restarted) or time.time() - _last_sign(trial) > GRACE_SECONDS:
                    self.storage.set_trial_user_attr(trial._trial_id, "reason", "the process that ran it is gone")
                    self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
                    self._again(trial._trial_id, trial.user_attrs["attempt"])
                    found += 1
        return found

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

    def counts(self) -> dict[str, int]:
        """How many trials are in each state (waiting, running, complete, fail)."""
        names = [trial.state.name.lower() for trial in self._trials()]
        return {name: names.count(name) for name in ("waiting", "running", "complete", "fail")}

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    # -- inside

    def _trials(self) -> list[FrozenTrial]:
        self.storage.remove_session()  # a session keeps what it has seen; others write too
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if "candidate" in trial.user_attrs]

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

    def _again(self, trial_id: int, attempt: int) -> None:
        trial = self.storage.get_trial(trial_id)
        attributes = {key: trial.user_attrs[key] for key in ("round", "place", "count")}
        self._enqueue(trial.user_attrs["candidate"], _genotype(trial), {**attributes, "attempt": attempt})

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time, on a local SQLite file; other databases order the changes by themselves."""
        if self._lock is None:
            yield
            return
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


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
