"""An Optuna study that processes share: of one search alone, one process at a time, its failures in one line each."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from nas.methods.candidates.storage import (
    FAILURES,
    LOCK_SUFFIX,
    damaged,
    holds,
    lock_file,
    patience,
    sqlite_file,
    unusable,
)
from nas.runs.locks import exclusive, said
from search_spaces.plain_data import identity as identities
from search_spaces.plain_data.identity import Identity

IDENTITY = "identity"  # what the study's trials depend on
NO_LOCKS_CURE = "put it on a local disk, or name a database server: search.storage=postgresql://..."
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="SharedStudy")


def spoken(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """`method` of a study with the database's failures in one line each, and a long wait for it said."""

    @functools.wraps(method)
    def speaking(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with said(self.file or "the database", *self.locks):
                return method(self, *args, **kwargs)
        except FAILURES as error:
            raise unusable(self.url, error) from error

    return speaking


def known_identity(storage: str, study: str) -> Identity:
    """What the trials of the study called `study` depend on; empty where it is not there or cannot be read.

    Makes no file. What is wrong with a study is said by whoever opens it. Raises `ValueError` where it stays locked.
    """
    found: Any = None
    with said(sqlite_file(storage) or "the database"):
        is_there = holds(storage, study)
    with contextlib.suppress(*FAILURES, RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, OSError):
        if is_there:
            stored = RDBStorage(storage, engine_kwargs=patience(storage))
            try:
                found = stored.get_study_user_attrs(stored.get_study_id_from_name(study)).get(IDENTITY)
            finally:
                stored.remove_session()
                stored.engine.dispose()
    return found if isinstance(found, dict) else {}


class SharedStudy:
    """The study called `name` in `storage`, made where it is not there.

    `storage`: an SQLAlchemy URL (`sqlite:///path`, `postgresql://...`) as Optuna takes it. `identity`: everything its
    trials depend on; a study of something else is refused by naming what differs, with the way out `fix`.

    Raises `ValueError` where the storage cannot be used, stays locked or is damaged, `OSError` where its disk is full.
    """

    def __init__(self, storage: str, name: str, identity: Identity, fix: str) -> None:
        self.url = storage
        self.file = sqlite_file(storage)  # None: another database
        self.locks = () if self.file is None else (self.file, f"{self.file}{LOCK_SUFFIX}")
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._open(name)
            self._belongs(identity, fix)
        finally:
            optuna.logging.set_verbosity(verbosity)

    @spoken
    def _open(self, name: str) -> None:
        self._lock = lock_file(sqlalchemy.engine.make_url(self.url))
        with self._exclusive():
            try:
                self.storage = RDBStorage(self.url, engine_kwargs=patience(self.url))
                self.study = optuna.create_study(
                    storage=self.storage, study_name=name, direction="maximize", load_if_exists=True
                )
            except FAILURES:
                raise
            except (RuntimeError, LookupError, TypeError, ArithmeticError) as error:  # what Optuna makes of its tables
                where = self.file or self.url
                raise ValueError(f"{where} is damaged or was made by another version of Optuna: {error}") from None

    @spoken
    def _belongs(self, identity: Identity, fix: str) -> None:
        """Refuse a study of another search, whose scores or candidates would be taken for this one's."""
        name = f"study {self.study.study_name!r}"
        with self._exclusive():
            if IDENTITY not in self._attributes():
                if self.study.get_trials(deepcopy=False):
                    raise ValueError(f"{name} holds trials and does not say of which search; {fix}")
                self.study.set_user_attr(IDENTITY, identities.plain(identity))
                self.storage.remove_session()
            known = self._attributes()[IDENTITY]
        if not isinstance(known, dict):
            raise ValueError(f"{name} is damaged: its identity is {known!r}; {fix}")
        identities.check(name, known, identity, fix)

    @spoken
    def note(self, key: str, value: dict[str, Any]) -> None:
        """Keep plain data with the search, for every process that shares it."""
        self.study.set_user_attr(key, value)

    @spoken
    def noted(self, key: str) -> dict[str, Any] | None:
        """What any process kept under `key`; None where none did."""
        self.storage.remove_session()
        found = self._attributes().get(key)
        if found is not None and not isinstance(found, dict):
            raise ValueError(f"study {self.study.study_name!r} is damaged: its note {key!r} is {found!r}")
        return None if found is None else dict(found)

    def _attributes(self) -> dict[str, Any]:
        """What is kept with the study. Raises `ValueError` where it is not JSON, in what words Optuna has for that."""
        try:
            return dict(self.study.user_attrs)
        except FAILURES:
            raise
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise damaged(self.file or self.url, self.study.study_name, error) from None

    def close(self) -> None:
        """Let go of the database."""
        self.storage.remove_session()
        self.storage.engine.dispose()

    def _exclusive(self) -> contextlib.AbstractContextManager[None]:
        """One process at a time, on a local SQLite file; other databases order the changes by themselves."""
        return contextlib.nullcontext() if self._lock is None else exclusive(self._lock, NO_LOCKS_CURE)
