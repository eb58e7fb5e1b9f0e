"""Studies without a database, for tests to which they are a place that remembers: SQL takes most of a made-up search.

What becomes of the real one is tested in `test_trials.py`, `test_study_identity.py`, `test_damaged_studies.py`,
`test_candidate_search.py` and `tests/runs`.
"""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from nas.methods.candidates import shared_study, storage


class LightStorage(InMemoryStorage):
    """Studies in memory that are kept in the file of an SQLite URL, as a whole, whenever they change."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.file = Path(storage.sqlite_file(url) or "")
        self.engine = SimpleNamespace(dispose=lambda: None)
        self.remove_session()

    def remove_session(self) -> None:
        if self.file.exists():
            self.__dict__.update(pickle.loads(self.file.read_bytes()))

    def save(self) -> None:
        aside = ("_lock", "file", "engine")
        self.file.write_bytes(pickle.dumps({key: kept for key, kept in self.__dict__.items() if key not in aside}))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, json.loads(json.dumps(value)))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, json.loads(json.dumps(value)))


def saved(change: Callable[..., Any]) -> Callable[..., Any]:
    """`change` of a study, which is kept then."""

    @functools.wraps(change)
    def kept(self: LightStorage, *args: Any, **kwargs: Any) -> Any:
        found = change(self, *args, **kwargs)
        self.save()
        return found

    return kept


CHANGES = (
    "create_new_study",
    "create_new_trial",
    "set_trial_state_values",
    "set_study_user_attr",
    "set_trial_user_attr",
)
for name in CHANGES:
    setattr(LightStorage, name, saved(getattr(LightStorage, name)))


def holds(url: str, study: str) -> bool:
    file = storage.sqlite_file(url)
    return file is not None and Path(file).exists() and study in LightStorage(url)._study_name_to_id


def no_database(patch: pytest.MonkeyPatch) -> None:
    """Let searches keep their trials in such a file."""
    patch.setattr(shared_study, "RDBStorage", LightStorage)
    patch.setattr(shared_study, "holds", holds)
    patch.setattr(storage, "holds", holds)
