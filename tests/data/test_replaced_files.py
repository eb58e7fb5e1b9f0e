"""Data that are replaced on disk while a process that has read them still serves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.data.arrays import npz
from nas.data.card import DataSource
from nas.data.files.known_images import KnownImages
from nas.data.files.stamp import stamp
from nas.methods.candidates.executors.base import Done, Work
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.train import training
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

from .test_data_files import arrays

pytestmark = pytest.mark.usefixtures("light_studies")


def test_candidates_train_on_the_files_as_they_are_now(
    arch: Arch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process may serve two searches, and the data be replaced in between."""
    seen = []
    monkeypatch.setattr(training, "train", lambda network, data, *_, **__: seen.append(data) or {})
    path = tmp_path / "mine.npz"
    card = {"_target_": "nas.data.arrays.npz", "root": str(path)}
    given: dict[str, Any] = {"arch": arch.to_dict(), "recipe": Recipe(epochs=1, batch_size=8, lr=0.1).to_dict()}
    given |= {"data": card, "fingerprint": "mine", "validation_fraction": 0.2, "seed": 0, "candidate": "c"}
    job = TrainingJob(**given, accelerator="cpu", precision="no")
    np.savez(path, **arrays((8, 8)))
    for _ in range(2):
        train_candidate(job)
    np.savez(path, **arrays((8, 8)))
    train_candidate(job)
    assert seen[0] is seen[1]
    assert seen[2].fingerprint != seen[0].fingerprint


def test_a_search_ends_where_its_images_change_and_goes_on_once_they_are_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score on other images enters neither study nor contest."""
    path, before, other = (tmp_path / f"{name}.npz" for name in ("mine", "before", "other"))
    for file in (before, other):
        np.savez(file, **arrays((8, 8), train=80))
    shutil.copy(before, path)
    replace_at = [0]

    @contextlib.contextmanager
    def here(self: LocalExecutor, work: Work) -> Iterator[Here]:
        yield Here(work, replace_at, lambda: shutil.copy(other, path))

    monkeypatch.setattr(LocalExecutor, "open", here)
    settings: dict[str, Any] = {
        "space": "fbnet",
        "data": "npz",
        "method": "random",
        "latency": "off",
        "budget": {"fraction": None},
        "references": {"names": []},
        "search": {"trials": 3, "batch": 1},
        "derive": {"contest": 2, "rungs": [1], "apart": 0.0},
        "accelerator": "cpu",
        "overrides": [
            *("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.batch_size=32"),
            *(f"data.root={path}", "data.resolution=8", "space.resolution=8", "space.width=0.25"),
            *("space.head_channels=32", "space.candidates=[k3_e1,skip]"),
        ],
    }

    def outcome(run: str) -> list[Any]:
        found = json.loads((tmp_path / run / "result.json").read_text())
        scores = [network["score"] for network in found["contest"]["networks"]]
        return [scores, *(found[key] for key in ("genotype", "validation_top1_percent", "top1_percent"))]

    nas.run_search(run_dir=str(tmp_path / "whole"), **settings)
    assert len(outcome("whole")[0]) == 2
    for job in (2, 5):  # three candidates, then the contest: the second candidate, the second network of the contest
        replace_at[0], part = job, str(tmp_path / f"part-{job}")
        with pytest.raises(ValueError, match="images of mine are others than when this began; put them back and resum"):
            nas.run_search(run_dir=part, **settings)
        shutil.copy(before, path)
        nas.run_search(resume=part)
        assert outcome(f"part-{job}") == outcome("whole")


class Here:
    """Works in this process; before the job whose number `replace_at` holds is done, something happens once."""

    capacity = 1

    def __init__(self, work: Work, replace_at: list[int], replace: Any) -> None:
        self.work, self.replace_at, self.replace = work, replace_at, replace
        self.waiting: list[tuple[int, Any]] = []

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        self.replace_at[0] -= 1
        if self.replace_at[0] == 0:
            self.replace()
        return [Done(key, self.work(job))]


def test_files_that_were_touched_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays((8, 8)))
    source = DataSource({"_target_": "nas.data.arrays.npz", "root": str(path)})
    known = KnownImages(source, npz(str(path)), stamp(source.card))
    os.utime(path, ns=(1, 1))
    known.check()
    np.savez(path, **arrays((8, 8)))
    known._again = 0.0  # however long that took
    with pytest.raises(ValueError, match="others than when this began"):
        known.check()
